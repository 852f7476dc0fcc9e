"""Rows of a file, one at a time: JSON, JSON lines, CSV, TSV, parquet, Arrow, YAML talks and plain text.

JSON lines, CSV, parquet and text are never held whole. Each row comes with the words for where it stands, which every
message about it begins with.
"""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....core.errors import UserError, missing_extra, near

PIECE = 8_192
"""Characters after which a text is cut at the next empty line; four times as many after which it is cut anyway."""


@dataclass(frozen=True)
class Record:
    """One row: `value` as the file gives it, `where` for messages ("a.jsonl, line 3"), `id` ("a.jsonl:3")."""

    value: Any
    where: str
    id: str


def records(path: Path) -> Iterator[Record]:
    """The rows of one file, by its ending. Raises `UserError` that names the file and line of what cannot be read."""
    ending = path.suffix.lower()
    if ending not in READERS:
        raise UserError(f"{path.name} is of no kind that can be read as text data.", near(ending, READERS))
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty.")
    return READERS[ending](path)


def lines_of(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 file with their ends, the byte order mark left out."""
    with open(path, "rb") as file:
        start = file.read(3)
        if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise UserError(f"{path.name} is written in UTF-16.", _convert(path, "UTF-16"))
        if start != b"\xef\xbb\xbf":
            file.seek(0)
        for number, line in enumerate(file, start=1):
            try:
                yield line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise _not_utf8(path, number, line, error) from None


def _not_utf8(path: Path, number: int, line: bytes, error: UnicodeDecodeError) -> UserError:
    """The error for a line in another encoding; Chinese files are often GB18030, which is told by its Han."""
    what = f"{path.name}, line {number} is not written in UTF-8 (byte {error.start + 1} is {line[error.start]:#04x})."
    try:
        text = line.decode("gb18030")
    except UnicodeDecodeError:
        return UserError(what, "Save it again as UTF-8.")
    han = sum("\u4e00" <= letter <= "\u9fff" for letter in text)
    foreign = sum(not letter.isascii() for letter in text)
    if han * 2 > foreign:
        return UserError(f"{what} It looks like GB18030 (GBK).", _convert(path, "GB18030"))
    return UserError(what, "Save it again as UTF-8.")


def _convert(path: Path, encoding: str) -> str:
    return f"Convert it: iconv -f {encoding} -t UTF-8 {path.name} > utf8-{path.name}"


def _json_lines(path: Path) -> Iterator[Record]:
    for number, line in enumerate(lines_of(path), start=1):
        if line.strip():
            where = f"{path.name}, line {number}"
            try:
                yield Record(json.loads(line), where, f"{path.name}:{number}")
            except (json.JSONDecodeError, RecursionError) as error:
                raise UserError(f"{where} is no JSON: {_reason(error)}.", "Each line has to be one object.") from None


def _json(path: Path) -> Iterator[Record]:
    """A list of rows, a single row, or in truth JSON lines."""
    first = next((line.strip() for line in lines_of(path) if line.strip()), "")
    if not first.startswith("["):
        try:
            lines = isinstance(json.loads(first), dict)
        except json.JSONDecodeError:
            lines = False
        if lines:
            yield from _json_lines(path)
            return
    try:
        value = json.loads("".join(lines_of(path)))
    except json.JSONDecodeError as error:
        raise UserError(f"{path.name}, line {error.lineno} is no JSON: {_reason(error)}.") from None
    except RecursionError as error:
        raise UserError(f"{path.name} is no JSON that can be read: {_reason(error)}.") from None
    for number, row in enumerate(value if isinstance(value, list) else [value], start=1):
        yield Record(row, f"{path.name}, row {number}", f"{path.name}[{number}]")


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg[:1].lower()}{error.msg[1:]} at column {error.colno}"
    return "it is nested too deeply"


def _csv(path: Path) -> Iterator[Record]:
    reader = csv.DictReader(lines_of(path), delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
    try:
        names = [(name or "").strip() for name in reader.fieldnames or []]
        if len(set(names)) < len(names):
            raise UserError(f"{path.name}, line 1 has a column name twice: {', '.join(names)}.")
        for row in reader:
            where = f"{path.name}, line {reader.line_num}"
            if None in row or None in row.values():
                more = "more" if None in row else "fewer"
                raise UserError(f"{where} has {more} cells than the {len(names)} of the header.", "Quote the text.")
            value = dict(zip(names, row.values(), strict=True))
            yield Record(value, where, f"{path.name}:{reader.line_num}")
    except csv.Error as error:
        raise UserError(
            f"{path.name}, line {reader.line_num + 1}: {error}.", "Write it as JSON lines instead."
        ) from None


def _parquet(path: Path) -> Iterator[Record]:
    try:
        from pyarrow import parquet
    except ImportError:
        raise missing_extra("pyarrow", "text") from None

    def batches() -> Iterator[Any]:
        with parquet.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=256)

    return _rows(path, batches())


def _arrow(path: Path) -> Iterator[Record]:
    """A file of a data set that the `datasets` library saved."""
    try:
        import pyarrow as arrow
    except ImportError:
        raise missing_extra("pyarrow", "text") from None

    def batches() -> Iterator[Any]:
        with arrow.memory_map(str(path)) as file, arrow.ipc.open_stream(file) as reader:
            yield from reader

    return _rows(path, batches())


def _rows(path: Path, batches: Iterator[Any]) -> Iterator[Record]:
    """The rows of Arrow's record batches."""
    import pyarrow as arrow

    number = 0
    try:
        for batch in batches:
            for row in batch.to_pylist():
                number += 1
                yield Record(row, f"{path.name}, row {number}", f"{path.name}[{number}]")
    except (arrow.ArrowInvalid, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path.name} cannot be read as {path.suffix[1:].lower()}: {reason}.") from None


def _yaml(path: Path) -> Iterator[Record]:
    """Talks as chatterbot-corpus writes them: in `conversations`, lists of what is said in turn. Each line and the one
    after it are a question and its answer."""
    import yaml

    try:
        value = yaml.safe_load("".join(lines_of(path)))
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        line = f", line {place.line + 1}" if place else ""
        raise UserError(f"{path.name}{line} is no YAML: {getattr(error, 'problem', None) or error}.") from None
    talks = value.get("conversations") if isinstance(value, dict) else None
    if not isinstance(talks, list) or not all(isinstance(talk, list) for talk in talks):
        raise UserError(f"{path.name} has no list of talks under `conversations`.", "For other data use JSON lines.")
    for number, talk in enumerate(talks, start=1):
        for place, (question, answer) in enumerate(itertools.pairwise(talk), start=1):
            where = f"{path.name}, talk {number}, line {place}"
            yield Record({"question": question, "answer": answer}, where, f"{path.name}[{number}.{place}]")


def _text(path: Path) -> Iterator[Record]:
    """Plain text in pieces that end with a paragraph, so that no long file is held whole."""
    piece, size, start = [], 0, 1
    for number, line in enumerate(lines_of(path), start=1):
        piece.append(line)
        size += len(line)
        if (size >= PIECE and not line.strip()) or size >= 4 * PIECE:
            yield Record({"text": "".join(piece)}, f"{path.name}, line {start}", f"{path.name}:{start}")
            piece, size, start = [], 0, number + 1
    if "".join(piece).strip():
        yield Record({"text": "".join(piece)}, f"{path.name}, line {start}", f"{path.name}:{start}")


READERS: dict[str, Callable[[Path], Iterator[Record]]] = {
    ".json": _json, ".jsonl": _json_lines, ".ndjson": _json_lines, ".csv": _csv, ".tsv": _csv, ".parquet": _parquet,
    ".arrow": _arrow,
    ".yml": _yaml, ".yaml": _yaml, ".txt": _text, ".md": _text,
}  # fmt: skip
PLAIN = frozenset({".txt", ".md"})
