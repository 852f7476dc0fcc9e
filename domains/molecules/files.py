"""Molecules in files: .smi, .csv and .sdf read (gzipped or not) entry by entry, .csv and .sdf written.

A reader only finds the entries; what is no molecule among them is for `smiles.py` to say. What cannot be an entry at
all (a line without the cell) is one with an `error`, and the rest goes on.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from ...core.errors import UserError, near
from ...core.files import replacing

Form = Literal["smi", "csv", "sdf"]
ENDINGS: dict[str, Form] = {
    ".smi": "smi", ".smiles": "smi", ".ism": "smi", ".can": "smi", ".csv": "csv", ".tsv": "csv", ".sdf": "sdf",
    ".sd": "sdf", ".mol": "sdf",
}  # fmt: skip
SMILES_NAMES = ("smiles", "canonical_smiles", "isomeric_smiles", "can_smiles", "smi", "structure", "molecule", "mol")
ID_NAMES = (
    "id",
    "name",
    "title",
    "chembl_id",
    "molecule_chembl_id",
    "zinc_id",
    "compound_id",
    "mol_id",
    "cid",
    "iupac",
)
WHOLE = "M  END"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One molecule as a file has it: `text` is a SMILES or, where `block`, the lines of an SDF down to its M  END;
    `line` counts from 1, `values` are the numbers beside it, `texts` what stands where a number was asked for and is
    none, `error` says why there is no text."""

    file: str
    line: int
    name: str = ""
    text: str = ""
    block: bool = False
    values: Mapping[str, float] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    error: str = ""

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """An entry that is not used: where, what was given (shortened), and why."""

    file: str
    line: int
    given: str
    reason: str


def form_of(path: Path) -> Form:
    """What a file holds, by its ending; without one that is known, by how it begins."""
    name = path.name.lower().removesuffix(".gz")
    for ending, form in ENDINGS.items():
        if name.endswith(ending):
            return form
    with opened(path) as file:
        head = file.read(1 << 16)
    if "$$$$" in head or WHOLE in head:
        return "sdf"
    first = head.partition("\n")[0]
    return "csv" if any(mark in first for mark in ",;\t") else "smi"


def read_file(path: str | Path, *, column: str = "", numbers: Sequence[str] = ()) -> Iterator[Entry]:
    """The entries of a file in its order, read as they are asked for. column: that of the SMILES in a csv; "": found.
    numbers: columns (items of an SDF) that are read as numbers whatever they hold.

    UserError for no such file, one that is empty, damaged or holds no text, and for one without such columns."""
    path = Path(path)
    if not path.is_file():
        siblings = [one.name for one in path.parent.glob("*") if one.is_file()] if path.parent.is_dir() else []
        raise UserError(f"There is no file {path}.", near(path.name, siblings, most=5) if siblings else "")
    form = form_of(path)
    if form == "csv":
        from .sheets import read_csv

        entries = read_csv(path, column, numbers)
    elif form == "smi" and numbers and path.stat().st_size:
        raise UserError(f"{path} holds SMILES and names, but no {numbers[0]}.", "Numbers come in a .csv or an .sdf.")
    else:
        entries = _smi(path) if form == "smi" else _sdf(path, numbers)
    found = False
    for entry in entries:
        found = True
        yield entry
    if not found:
        raise UserError(
            f"{path} is empty: it holds no molecules.", "One SMILES a line (.smi), a column of them (.csv), or an .sdf."
        )


@contextmanager
def opened(path: Path) -> Iterator[IO[str]]:
    """The text of a file, unpacked if it is gzipped. UserError if it cannot be read, is cut short, or is no text."""
    try:
        with open(path, "rb") as plain:
            packed = plain.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if packed else open(path, "rb") as raw:
            head = raw.read(4096)
            raw.seek(0)
            wide = head[:2] in (b"\xff\xfe", b"\xfe\xff")  # what Excel calls Unicode text
            if b"\0" in head and not wide:
                raise UserError(f"{path} holds no text.", f"Known are {', '.join(ENDINGS)}, each also as .gz.")
            # Only names can hold letters beyond ASCII: one that cannot be read is no reason to lose the molecule.
            yield io.TextIOWrapper(raw, "utf-16" if wide else "utf-8-sig", errors="replace")  # type: ignore[arg-type]
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path} is cut short or damaged: it cannot be unpacked.", "Copy it again.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error


# -- reading ----------------------------------------------------------------------------------------------------------


def _smi(path: Path) -> Iterator[Entry]:
    """A SMILES a line, and perhaps a name after white space (or a comma)."""
    with opened(path) as file:
        for number, line in enumerate(file, start=1):
            words = line.split(None, 1)
            if not words or line.startswith("#"):
                continue
            text, comma, rest = words[0].partition(",")
            if number == 1 and text.lower() in SMILES_NAMES:
                continue
            name = rest if comma else (words[1] if len(words) > 1 else "")
            yield Entry(file=path.name, line=number, name=_name(name), text=text)


def _name(text: str) -> str:
    """What stands behind a SMILES, without the extension that some programs put between bars."""
    text = text.strip()
    if text.startswith("|") and text.count("|") > 1:
        text = text.rpartition("|")[2]
    return text.strip()


def _sdf(path: Path, numbers: Sequence[str] = ()) -> Iterator[Entry]:
    """The blocks of an SDF; the numbers in its data are values."""
    seen: set[str] = set()
    with opened(path) as file:
        lines: list[str] = []
        start = 1
        for number, line in enumerate(file, start=1):
            if line.startswith("$$$$"):
                yield _block(path.name, start, lines, numbers, seen)
                lines, start = [], number + 1
            else:
                lines.append(line.rstrip("\r\n"))
        if any(line.strip() for line in lines):
            yield _block(path.name, start, lines, numbers, seen)
    for name in numbers:
        if name not in seen:
            raise UserError(f"No block of {path} has an item {name!r}.", near(name, seen))


def _block(file: str, start: int, lines: Sequence[str], numbers: Sequence[str], seen: set[str]) -> Entry:
    """One molecule; the names of its data are added to `seen`."""
    end = next((n + 1 for n, line in enumerate(lines) if line.startswith(WHOLE)), len(lines))
    data = _data(lines[end:])
    seen.update(data)
    values = {name: found for name, text in data.items() if (found := number_in(text)) is not None}
    names = [lines[0].strip() if lines else "", *(data[key] for key in data if key.lower() in ID_NAMES)]
    values = {name: value for name, value in values.items() if name in numbers or name.lower() not in ID_NAMES}
    texts = {name: data.get(name, "") for name in numbers if name not in values}
    name = next(filter(None, names), "")
    text = "\n".join(lines[:end]) + "\n"
    return Entry(file=file, line=start, name=name, text=text, block=True, values=values, texts=texts)


def _data(lines: Sequence[str]) -> dict[str, str]:
    """The data items of a block: "> <NAME>" and the lines below it, up to an empty one."""
    data: dict[str, str] = {}
    name = ""
    for line in lines:
        if line.startswith(">") and "<" in line:
            name = line[line.index("<") + 1 :].rpartition(">")[0].strip() or line[line.index("<") + 1 :].strip()
        elif not line.strip():
            name = ""
        elif name:
            data[name] = f"{data[name]}\n{line}" if name in data else line.strip()
    return data


def number_in(text: str, *, comma: bool = False) -> float | None:
    """The finite number that a cell holds; comma: it may have a decimal comma."""
    try:
        value = float(text.replace(",", ".") if comma else text)
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None


# -- writing ----------------------------------------------------------------------------------------------------------


@contextmanager
def whole(path: str | Path) -> Iterator[IO[str]]:
    """A text file (gzipped by its ending .gz) that is there whole or not at all. UserError where it cannot be."""
    with (
        replacing(path) as fresh,
        gzip.open(fresh, "wt", encoding="utf-8", newline="")
        if Path(path).suffix == ".gz"
        else fresh.open("w", encoding="utf-8", newline="") as file,
    ):
        yield file  # type: ignore[misc]


def write_csv(path: str | Path, molecules: Sequence[Any]) -> Path:
    """Rows of id, smiles and every property that any of them has (molecules have `id`, `smiles`, `properties`)."""
    names = list(dict.fromkeys(name for item in molecules for name in item.properties))
    with whole(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "smiles", *names])
        for item in molecules:
            writer.writerow([item.id, item.smiles, *(_cell(item.properties.get(name)) for name in names)])
    return Path(path)


def _cell(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.6g}"


def write_sdf(path: str | Path, molecules: Sequence[Any]) -> Path:
    """Each molecule with coordinates to draw it by (2D), its id as title, its SMILES and properties as data."""
    from .chem import Chem
    from .draw import laid_out
    from .properties import CAVEAT

    with whole(path) as file:
        writer = Chem.SDWriter(file)
        for item in molecules:
            mol = laid_out(item.smiles)
            mol.SetProp("_Name", " ".join(item.id.split()))
            mol.SetProp("_MolFileComments", CAVEAT)
            mol.SetProp("SMILES", item.smiles)
            for name, value in item.properties.items():
                if not math.isnan(value):
                    mol.SetProp(name, _cell(value))
            writer.write(mol)
        writer.close()
    return Path(path)


def write_rejected(path: str | Path, rejected: Sequence[Rejected]) -> Path:
    """What was not used, as a csv: file, line, what was given, why."""
    with whole(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "line", "given", "reason"])
        writer.writerows([one.file, one.line, one.given, one.reason] for one in rejected)
    return Path(path)


def read_rejected(path: str | Path) -> list[Rejected]:
    """What `write_rejected` wrote."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        return [
            Rejected(file=row["file"], line=int(row["line"]), given=row["given"], reason=row["reason"]) for row in rows
        ]
