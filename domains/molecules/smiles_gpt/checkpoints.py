"""A model of molecules on disk: weights, and what it takes to use them on another machine.

config.json        shape of the network, its tokens, what the training molecules were
model.safetensors  the weights: exactly, or with --half (as the embedded checkpoint was made) in half precision
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....core import checkpoint, pretrained
from ....core.errors import UserError
from ....core.pretrained import Located
from ....core.registry import Card
from ....core.weights import load_into, without_weights
from ..tokenizer import SmilesTokenizer
from .config import SmilesGPTConfig
from .model import SmilesGPT


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """What it learnt from: a data set's name and hash, how many molecules, and of the `measured` ones the quantiles
    0, 0.05, … 1 of each property that it may be told."""

    name: str
    sha256: str = ""
    molecules: int = 0
    measured: int = 0
    quantiles: Mapping[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)
    before: tuple[str, ...] = ()
    """The data sets that the checkpoint learnt from which this learning began with."""

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> DataFacts:
        """What `dataclasses.asdict` gave, through JSON."""
        quantiles = {str(name): tuple(map(float, values)) for name, values in plain["quantiles"].items()}
        return cls(**{**plain, "quantiles": quantiles, "before": tuple(plain.get("before", ()))})


@dataclass(frozen=True, kw_only=True)
class Around:
    """What the network needs beside its weights: its tokens, and what it learnt from (None: not known)."""

    tokenizer: SmilesTokenizer
    data: DataFacts | None = None


def save(folder: Path, card: Card, network: SmilesGPT, around: Around, *, half: bool = False) -> None:
    """Write both into the empty `folder`. half: in half precision, half the size."""
    tensors, buffers = network.state_dict(), dict(network.named_buffers())
    weights = {name: value for name, value in tensors.items() if name not in buffers}
    stored = checkpoint.halved(weights) if half else weights
    kept = {name: value for name, value in buffers.items() if name in tensors}
    config = {
        "config": network.config.to_json(),
        "tokenizer": around.tokenizer.to_dict(),
        "data": None if around.data is None else dataclasses.asdict(around.data),
    }
    pretrained.save_ours(folder, card, {**stored, **kept}, json.loads(json.dumps(config)))


def load(located: Located, card: Card) -> tuple[SmilesGPT, Around]:
    """The network and what is around it. Raises UserError for what is incomplete or changed."""
    saved, tensors = pretrained.read_ours(located, card)
    try:
        config = SmilesGPTConfig.from_json(saved["config"])
        around = Around(
            tokenizer=SmilesTokenizer.from_dict(saved["tokenizer"]),
            data=None if saved["data"] is None else DataFacts.from_json(saved["data"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"The config of {located.source} is incomplete: {error}.") from None
    if config.vocabulary != len(around.tokenizer):
        raise UserError(
            f"{located.source} has {len(around.tokenizer)} tokens for a network of {config.vocabulary}: they do not "
            "belong together."
        )
    with without_weights():
        network = SmilesGPT(config)
    load_into(network, {name: value.float() for name, value in tensors.items()}, source=located.source)
    return network.eval(), around
