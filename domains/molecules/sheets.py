"""Tables of molecules (.csv, .tsv): which column holds the SMILES, which names a row, and which are numbers."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...core.errors import UserError, near
from .files import ID_NAMES, SMILES_NAMES, Entry, number_in, opened

LOOKED_AT = 50
"""Rows by which columns are recognised."""
SHORT = 3
"""Letters up to which a word may be a molecule by chance."""
Row = tuple[int, list[str]]
"""The line it begins in, and its cells."""


@dataclass(frozen=True)
class Sheet:
    """What stands in which column; `values` are those that hold numbers, `asked` those that somebody wants as such."""

    names: tuple[str, ...]
    smiles: int
    id: int | None
    values: tuple[int, ...]
    asked: tuple[int, ...]
    comma: bool


def read_csv(path: Path, column: str = "", numbers: Sequence[str] = ()) -> Iterator[Entry]:
    """The rows of a table as entries. UserError where no column holds SMILES, none is called `column`, or one of
    `numbers` is missing."""
    with opened(path) as file:
        mark = _mark(file.readline())
        file.seek(0)
        rows = _rows(file, mark, path)
        first = list(itertools.islice(rows, LOOKED_AT))
        if not first:
            return
        sheet, header = _recognise(path, first, column, numbers, comma=mark != ",")
        for line, cells in itertools.chain(first[header:], rows):
            yield _entry(path.name, line, cells, sheet)


def _mark(line: str) -> str:
    """What stands between the cells."""
    found = max(",;\t|", key=line.count)
    return found if found in line else ","


def _rows(file: Iterator[str], mark: str, path: Path) -> Iterator[Row]:
    reader = csv.reader(file, delimiter=mark, skipinitialspace=True)
    before = 0
    try:
        for cells in reader:
            line, before = before + 1, reader.line_num
            if any(cell.count("\n") > 1 for cell in cells):
                yield line, [f"lines {line} to {before} are one cell: is a quote left open?"] * len(cells)
                continue
            if any(cell.strip() for cell in cells):
                yield line, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}, cannot be read: {error}.", "Is a quote left open?") from error


def _recognise(
    path: Path, rows: Sequence[Row], column: str, asked: Sequence[str], *, comma: bool
) -> tuple[Sheet, bool]:
    """What the columns hold, and whether the first row names them."""
    head, body = rows[0][1], [cells for _, cells in rows[1:]]
    lower = [name.lower().replace(" ", "_") for name in head]
    named = bool(column) or any(name in SMILES_NAMES for name in lower)
    at = None
    if not named:
        at = _by_content([cells for _, cells in rows])
        named = at is None or not _is_smiles(head[at])
    names = tuple(head) if named else tuple(f"column {number + 1}" for number in range(len(head)))
    if column:
        at = next((n for n, name in enumerate(head) if name == column), None)
        if at is None:
            raise UserError(f"{path} has no column {column!r}.", near(column, head))
    elif named:
        at = next((lower.index(name) for name in SMILES_NAMES if name in lower), None)
        if at is None:
            several = [head[n] for n in _holding(body) if n < len(head)]
            if len(several) > 1:
                raise UserError(
                    f"Several columns of {path} hold SMILES: {', '.join(several)}.",
                    "Say which is meant (finetune: --column), or call it smiles.",
                )
            at = _by_content(body)
    if at is None:
        raise UserError(f"No column of {path} holds SMILES: {', '.join(head[:12])}.", "Say which does: column.")
    cells = body if named else [head, *body]
    ids = [lower.index(name) for name in ID_NAMES if name in lower] if named else []
    numbers = [n for n in range(len(head)) if n != at and n not in ids and _is_number(cells, n, comma=comma)]
    wanted = tuple(_place(path, names, name, at) for name in asked)
    return Sheet(names, at, ids[0] if ids else None, tuple(numbers), wanted, comma), named


def _place(path: Path, names: Sequence[str], name: str, smiles: int) -> int:
    """The column that is called so."""
    if name not in names:
        others = [one for n, one in enumerate(names) if n != smiles]
        raise UserError(f"{path} has no column {name!r}.", near(name, others))
    return names.index(name)


def _holding(rows: Sequence[Sequence[str]]) -> list[int]:
    """The columns most of whose cells are molecules of some length: short words such as "C" or "CN" are, too."""
    found = []
    for at in range(max(map(len, rows), default=0)):
        cells = [row[at] for row in rows if at < len(row) and row[at]]
        good = [cell for cell in cells if len(cell) > SHORT and _is_smiles(cell)]
        if cells and 2 * len(good) > len(cells):
            found.append(at)
    return found


def _by_content(rows: Sequence[Sequence[str]]) -> int | None:
    """The column most of whose cells are molecules; the widest such, since "C" and "N" are molecules too."""
    best: tuple[int, int] | None = None
    for at in range(max(map(len, rows), default=0)):
        cells = [row[at] for row in rows if at < len(row) and row[at]]
        good = [cell for cell in cells if _is_smiles(cell)]
        if cells and 2 * len(good) > len(cells):
            best = max(best or (0, 0), (sum(map(len, good)), -at))
    return None if best is None else -best[1]


def _is_smiles(cell: str) -> bool:
    from .smiles import parse

    return number_in(cell) is None and parse(_bare(cell)) is not None


def _bare(cell: str) -> str:
    """The cell without the extension that some programs put between bars behind a SMILES."""
    text, _, rest = cell.partition(" ")
    return text if rest.lstrip().startswith("|") else cell


def _is_number(rows: Sequence[Sequence[str]], at: int, *, comma: bool) -> bool:
    cells = [row[at] for row in rows if at < len(row) and row[at].lower() not in ("", "nan", "na", "null")]
    return bool(cells) and all(number_in(cell, comma=comma) is not None for cell in cells)


def _entry(file: str, line: int, cells: Sequence[str], sheet: Sheet) -> Entry:
    if len(cells) <= sheet.smiles or not cells[sheet.smiles]:
        there = "is empty" if len(cells) > sheet.smiles else f"is missing: there are {len(cells)} cells"
        return Entry(file=file, line=line, error=f"the cell {sheet.names[sheet.smiles]} {there}")
    wanted = dict.fromkeys((*sheet.values, *sheet.asked))
    found = {n: number_in(cells[n], comma=sheet.comma) for n in wanted if n < len(cells)}
    return Entry(
        file=file,
        line=line,
        name=cells[sheet.id] if sheet.id is not None and sheet.id < len(cells) else "",
        text=_bare(cells[sheet.smiles]),
        values={sheet.names[n]: value for n, value in found.items() if value is not None},
        texts={sheet.names[n]: cells[n] if n < len(cells) else "" for n in sheet.asked if found.get(n) is None},
    )
