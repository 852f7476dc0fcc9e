"""Data sets of the text domain: named ones with their fixed split, and whatever a person has.

name or path -> files -> formats -> parts (train, validation, test) -> Collection of lazily read examples
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...core import manifest
from ...core import task as core_task
from ...core.errors import UserError, near
from ...core.sources import Progress, sha256_of
from ...core.sources.derived import derived
from . import formats, stored
from .conversation import Conversation, Document
from .formats import AnyExample, Kind
from .stored import PARTS, Stored

VERSION = 2
"""Of what is kept in the cache: raised when the same files give other examples."""
NAMES = {"train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "dev": 1, "eval": 1, "test": 2, "testing": 2}
"""Names of files and folders that say which part they hold."""


@dataclass(frozen=True, kw_only=True)
class Collection(core_task.Collection):
    """Examples of one kind, read when asked for."""

    kind: Kind
    train: Stored
    validation: Stored
    test: Stored


def collect(
    data: str, *, kind: Kind = "chat", validation: float = 0.05, progress: Progress | None = None
) -> Collection:
    """The data that `data` names: a name of `tsuite data list`, a file or folder, or `hf://org/name`.

    Named sets keep their fixed split. Of other data, files called train, validation or test (or in folders of that
    name) are those parts; without a validation part the share `validation` of the rows becomes it, at least one: those
    whose question hashes lowest, so that the choice is the same everywhere and equal questions stay together.
    Raises `UserError` for what cannot be found, read or used, with file, row and field.
    """
    path = Path(data).expanduser()
    if data.endswith("dataset.toml") or (data in manifest.manifests() and not path.exists()):
        found = manifest.manifest(data)
        if not any(column.kind in ("text", "messages") for item in found.members() for column in item.columns):
            raise UserError(f"The data set {found.name} holds no text.", "See: tsuite data list")
        found.fetch(progress)
        name, digest = found.name, found.sha256 + json.dumps([_rule(item) for item in found.members()])
        rows = _rows_of(found, kind)
    else:
        if "://" not in data and not path.exists():
            hint = f"{near(data, manifest.manifests())} See: tsuite data list"
            raise UserError(f"There is no data called {data!r} and no such path.", hint)
        place = formats.fetch(data if "://" in data else path, progress)
        files = {file: _part_of(file, place) for file in formats.files_of(place)}
        name, digest = data, f"{validation} {_content(files)}"
        rows = _rows_at(files, kind)
    key = hashlib.sha256(f"{VERSION} {kind} {name} {digest}".encode()).hexdigest()
    folder = derived("texts", key, lambda folder: _store(folder, rows, validation), progress)
    told = json.loads((folder / "told.json").read_text(encoding="utf-8"))
    train, held, test = (Stored(folder, part) for part in PARTS)
    return Collection(
        name=name, kind=kind, train=train, validation=held, test=test, sha256=key, notices=tuple(told["notices"])
    )


def question(item: AnyExample) -> str:
    """What equal examples share, and are kept together by: all that was asked, or a document's text."""
    if isinstance(item, Document):
        return item.text
    return "\n".join(turn.content for turn in item.turns if turn.role == "user")


# -- rows with their part ---------------------------------------------------------------------------------------------

Row = tuple[AnyExample, int]
"""An example and the index of its part; -1 where the data name none."""


def _rows_of(found: manifest.Manifest, kind: Kind) -> Iterator[Row]:
    """The rows of a named set, each in the part that its rule gives it."""
    for member in found.members():
        index = 0
        for source, path in member.fetch().items():
            files = sorted(path.glob(member.format.files or "*")) if path.is_dir() else [path]
            for file in files:
                for _, record, item in formats.read_file(file, kind):
                    by_source = member.split.rule == "source"
                    cell = source if by_source else _cell(record, member.split.column, item)
                    yield item, PARTS.index(member.part(index, cell))
                    index += 1


def _cell(record: formats.Record, column: str, item: AnyExample) -> str:
    """The text that the rule looks at: the row's cell, or of a column of turns the last question."""
    value = record.value.get(column) if isinstance(record.value, dict) else None
    return value if isinstance(value, str) else question(item)


def _rows_at(files: dict[Path, int], kind: Kind) -> Iterator[Row]:
    """The rows of files whose parts are known by their names, or -1."""
    for file, part in files.items():
        for _, _, item in formats.read_file(file, kind):
            yield item, part


def _part_of(file: Path, place: Path) -> int:
    """The part that a file's name ("train-00000-of-00002.parquet") or its folder's inside `place` names; else -1."""
    names = [file.stem, *(parent.name for parent in file.parents if place in parent.parents)] if place.is_dir() else []
    for name in names:
        word = name.lower().replace("_", "-").replace(".", "-").split("-")[0]
        if word in NAMES:
            return NAMES[word]
    return -1


def _rule(member: manifest.Manifest) -> dict[str, str]:
    return {key: str(value) for key, value in vars(member.split).items() if key != "words"}


def _content(files: dict[Path, int]) -> str:
    """One hash of the files that are read, and of their parts."""
    lines = [f"{part} {file.name} {sha256_of(file)}\n" for file, part in files.items()]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


# -- storing ----------------------------------------------------------------------------------------------------------


def _store(folder: Path, rows: Iterator[Row], validation: float) -> None:
    """Write the rows that can be learnt from, and then decide which of them are validation, if the data did not."""
    hashes, prompts = array("Q"), 0

    def usable() -> Iterator[Row]:
        nonlocal prompts
        for item, part in rows:
            if isinstance(item, Conversation) and item.reference is None:
                prompts += 1
                continue
            hashes.append(int.from_bytes(hashlib.sha256(question(item).encode()).digest()[:8], "big"))
            yield item, part

    stored.write(folder, usable())
    notices = [f"{prompts:,} conversations that end with the user were left out."] if prompts else []
    if not hashes:
        raise UserError("The data hold no rows that can be learnt from.", " ".join(notices))
    parts = np.load(folder / "parts.npy")
    np.save(folder / "parts.npy", _complete(parts, np.asarray(hashes, dtype=np.uint64), validation))
    (folder / "told.json").write_text(json.dumps({"notices": notices}), encoding="utf-8")


def _complete(parts: np.ndarray, hashes: np.ndarray, validation: float) -> np.ndarray:
    """Parts [N] without -1: the lowest hashes are validation where no row is, the rest train. A row that has the
    question of a test row does not become validation by this, but nothing of the named parts moves."""
    free = parts == -1
    done = np.where(free, 0, parts).astype(np.int8)
    candidates = np.flatnonzero(done == 0)
    if (done == 1).any() or not validation or len(candidates) < 2:
        return done
    values = np.unique(hashes[candidates])
    if len(values) < 2:
        return done
    limit = values[min(max(1, round(len(values) * validation)), len(values) - 1)]
    done[candidates[hashes[candidates] < limit]] = 1
    return done
