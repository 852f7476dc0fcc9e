"""Whatever a person has as conversations, preferences or documents: the format is found out, errors say where.

files -> Record (row and where it stands) -> shape (alpaca, ShareGPT, …) -> Conversation | Preference | Document
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from ....core.errors import UserError
from ....core.sources import Progress, Source
from .records import PLAIN, READERS, Record, records
from .shapes import KINDS, AnyExample, Kind, Shape, example, shape_of

__all__ = ["AnyExample", "Kind", "Record", "Shape", "fetch", "files_of", "read", "read_file", "records"]

DESCRIPTIONS = frozenset({"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "config.json"})


def fetch(data: str | Path, progress: Progress | None = None) -> Path:
    """The local file or folder that `data` names: a path, or `hf://org/name` (a data set of the hub).

    Raises `UserError` for a path that is not there, `HubUnreachable` where the hub is not.
    """
    source = Source.parse(str(data))
    if source.kind != "hf":
        return source.fetch(progress)
    tables = None if source.member else [f"*{ending}" for ending in READERS if ending not in PLAIN]
    return dataclasses.replace(source, dataset=True).fetch(progress, files=tables)


def files_of(path: Path) -> list[Path]:
    """The files with data at `path`, in order. In a folder text files count only where there is nothing else: beside
    tables they are notes."""
    if not path.exists():
        raise UserError(f"There is no file or folder {path}.")
    if path.is_file():
        return [path]
    found = [file for file in sorted(path.rglob("*")) if file.is_file() and file.suffix.lower() in READERS]
    found = [file for file in found if not any(part.startswith(".") for part in file.relative_to(path).parts)]
    found = [file for file in found if file.name not in DESCRIPTIONS]
    tables = [file for file in found if file.suffix.lower() not in PLAIN]
    if not found:
        raise UserError(f"The folder {path} holds no text data.", f"Known endings: {', '.join(sorted(READERS))}.")
    return tables or found


def read(path: str | Path, kind: Kind | None = None) -> Iterator[AnyExample]:
    """The examples of a file or folder one at a time, in order.

    A conversation that ends with the user is a prompt. All rows have one shape, else `UserError`; with `kind` given
    they have to be of that kind. Raises `UserError` for what is missing, empty or malformed, with file, row and field.
    """
    place = Path(path).expanduser()
    seen: tuple[Shape, Record] | None = None
    for file in files_of(place):
        for shape, record, item in read_file(file, kind):
            if seen is not None and KINDS.get(shape, "chat") != KINDS.get(seen[0], "chat"):
                raise UserError(f"{record.where} is {shape}, but {seen[1].where} is {seen[0]}.", "Keep them apart.")
            seen = seen or (shape, record)
            yield item
    if seen is None:
        raise UserError(f"{path} holds no rows.")


def read_file(path: Path, kind: Kind | None = None) -> Iterator[tuple[Shape, Record, AnyExample]]:
    """The rows of one file with their shape, which the first row decides."""
    first: tuple[Shape, Record] | None = None
    for record in records(path):
        shape = shape_of(record)
        if first is None:
            first = shape, record
            if kind is not None and KINDS.get(shape, "chat") != kind:
                raise UserError(f"{record.where} is {shape}, but {_WANTED[kind]} are needed.")
        elif shape != first[0]:
            shape = _same(shape, first, record)
        yield shape, record, example(record, shape)


def _same(shape: Shape, first: tuple[Shape, Record], record: Record) -> Shape:
    """The shape of the first row for one that only lacks a field of it; two shapes in one file are an error."""
    expected = first[0]
    if expected == "alpaca" and isinstance(record.value, dict) and "instruction" in record.value:
        return expected
    raise UserError(f"{record.where} is {shape}, but {first[1].where} is {expected}: two formats in one file.")


_WANTED = {
    "chat": "conversations",
    "preference": "pairs of replies, one preferred (chosen, rejected),",
    "document": "plain texts",
}
