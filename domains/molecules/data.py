"""Data sets of the molecules domain: named ones with their fixed split, and whatever a person has.

name, files or strings -> entries -> cleaned, each once -> parts (train, validation, test) -> Molecules, lazily read
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...core import manifest
from ...core import task as core_task
from ...core.errors import UserError, near
from ...core.sources import Progress, Source, sha256_of
from ...core.sources.derived import derived
from ...core.sources.digest import listener
from .believed import CANONICAL, store_believed
from .cleaning import Kept, clean_entries, with_part
from .files import ENDINGS, Entry, Rejected, read_file, read_rejected, write_rejected
from .measurements import NO_NUMBER, averaged, measured_only
from .splits import PARTS, Way, by_hash, by_scaffold, ranks
from .stored import Stored, write_facts, write_part

VERSION = 1
"""Of what is kept in the cache: raised when the same files give other molecules."""
SHARES: dict[Way, tuple[float, float, float]] = {
    "fixed": (0.9, 0.05, 0.05), "hash": (0.9, 0.05, 0.05), "scaffold": (0.8, 0.1, 0.1)
}  # fmt: skip
"""Of a person's own molecules: train, validation and test."""
NAMES = {"train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "dev": 1, "test": 2, "testing": 2}
"""Names of files that say which part they hold."""


@dataclass(frozen=True, kw_only=True)
class Molecules(core_task.Collection):
    """Molecules in their parts, each shuffled. `more` are test parts beside `test`, by name (MOSES: scaffold_test);
    `names` the numbers that molecules came with; `folder` holds rejected.csv."""

    train: Stored
    validation: Stored
    test: Stored
    more: dict[str, Stored] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    folder: Path = field(default_factory=Path)

    def split(self, part: str) -> core_task.Split:
        """One part by its name, those of `more` too. UserError for another."""
        if part in PARTS:
            return super().split(part)
        if part not in self.more:
            raise UserError(f"{self.name} has no part {part!r}.", near(part, [*PARTS, *self.more]))
        return core_task.Split(name=self.name, part=part, examples=self.more[part], sha256=self.sha256)

    def rejected(self) -> list[Rejected]:
        """The entries that were left out: where, what was given, and why."""
        return read_rejected(self.folder / "rejected.csv")

    def save_rejected(self, path: str | Path, more: Sequence[Rejected] = ()) -> Path | None:
        """`rejected` (and `more`) as a csv for people; None, and no file, where nothing was left out."""
        found = [*self.rejected(), *more]
        return write_rejected(path, found) if found else None


def collect(
    data: str | Path | Sequence[str],
    *,
    column: str = "",
    split: Way = "fixed",
    shares: tuple[float, float, float] | None = None,
    targets: Sequence[str] = (),
    keep_stereo: bool = True,
    workers: int = 0,
    progress: Progress | None = None,
) -> Molecules:
    """The molecules that `data` names: a name of `tsuite data list`, a .smi, .csv or .sdf file (also .gz), a folder of
    them, a source such as `hf://…`, or SMILES in a list.

    Salts are stripped, isotope labels removed, molecules made canonical and kept once (by InChIKey); what is left out
    is listed in `rejected` with line and reason. split: `fixed` keeps the split of named sets and of files called
    train, validation or test, and otherwise goes by `hash`; `hash` and `scaffold` share out all there is by `shares`
    (train, validation, test). column: that of the SMILES in a csv. targets: numbers that are wanted of each molecule;
    those without any of them are left out, and of those that come more than once the mean is kept. workers: processes,
    0: one for each core.

    Raises `UserError` for what cannot be found or read, and where not one molecule is left.
    """
    if split not in SHARES:
        raise UserError(f"There is no split {split!r}.", near(split, SHARES))
    found = _manifest_of(data)
    if found is not None:
        name, content = found.name, [found.sha256, {key: str(value) for key, value in vars(found.split).items()}]
        rows = _named(found, targets, progress)
    elif isinstance(data, (str, Path)):
        files = _files(data, progress)
        name, content = str(data), [[part, file.name, sha256_of(file)] for file, part in files.items()]
        read = (with_part(read_file(file, column=column, numbers=targets), part) for file, part in files.items())
        rows = itertools.chain.from_iterable(read)
    else:
        name, content = "molecules", [list(data)]
        rows = with_part((Entry(file="list", line=n, text=text) for n, text in enumerate(data, start=1)), -1)
    key = _hash([VERSION, name, content, column, split, shares, keep_stereo, *([list(targets)] if targets else [])])
    rows = measured_only(rows, targets) if targets else rows

    def produce(folder: Path) -> None:
        fixed = found if split == "fixed" and keep_stereo and not targets else None
        if fixed is not None and store_believed(folder, fixed, workers=workers, progress=progress):
            return
        kept = clean_entries(_told(rows, name, progress), keep_stereo=keep_stereo, workers=workers)
        averaged(kept) if targets else None
        _store(folder, kept, name=name, split=split, shares=shares or SHARES[split], workers=workers)

    folder = derived("molecules", key, produce, progress)
    return _opened(folder, name, key)


def _opened(folder: Path, name: str, key: str) -> Molecules:
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    parts = {part: Stored(folder, part, facts["names"]) for part in facts["parts"]}
    first = [parts.pop(part) for part in PARTS]
    return Molecules(
        name=name,
        train=first[0],
        validation=first[1],
        test=first[2],
        more=parts,
        names=tuple(facts["names"]),
        folder=folder,
        sha256=key,
        notices=tuple(facts["notices"]),
    )


# -- what is there ----------------------------------------------------------------------------------------------------


def _manifest_of(data: str | Path | Sequence[str]) -> manifest.Manifest | None:
    """The manifest of a named set that holds molecules, None for whatever else `data` is; a file goes before a name."""
    if not isinstance(data, (str, Path)):
        return None
    name, there = str(data), Path(data).expanduser().exists()
    if not (name.endswith("dataset.toml") or (name in manifest.manifests() and not there)):
        return None
    found = manifest.manifest(name)
    if not any(_is_molecule(one) for one in found.columns):
        raise UserError(f"The data set {found.name} holds no molecules.", "See: tsuite data list")
    return found


def _is_molecule(column: manifest.Column) -> bool:
    return column.kind in ("SMILES", CANONICAL, "molecule")


def units(data: str | Path | Sequence[str]) -> dict[str, str]:
    """The unit of each column of a named set; nothing for whatever else `data` is."""
    found = _manifest_of(data)
    return {} if found is None else {one.name: one.unit for one in found.columns}


def _files(data: str | Path, progress: Progress | None) -> dict[Path, int]:
    """The files that `data` names, each with the part that its name says, or -1."""
    place = Source.parse(str(data)).fetch(progress) if "://" in str(data) else Path(data).expanduser()
    if place.is_file():
        return {place: -1}
    if not place.is_dir():
        known = [item.name for item in manifest.manifests().values() if any(map(_is_molecule, item.columns))]
        nearby = [one.name for one in place.parent.glob("*")] if place.parent.is_dir() else []
        raise UserError(
            f"There is no data called {str(data)!r} and no such file.",
            f"{near(place.name, [*known, *nearby])} A list of molecules is a .smi, .csv or .sdf.",
        )
    endings = tuple(itertools.chain.from_iterable((ending, f"{ending}.gz") for ending in ENDINGS))
    files = [one for one in sorted(place.rglob("*")) if one.is_file() and one.name.lower().endswith(endings)]
    if not files:
        raise UserError(f"{place} holds no molecules.", f"Known are files that end in {', '.join(ENDINGS)}.")
    return {file: NAMES.get(file.name.lower().split(".")[0].replace("-", "_").split("_")[0], -1) for file in files}


def _named(found: manifest.Manifest, targets: Sequence[str], progress: Progress | None) -> Iterator[tuple[Entry, int]]:
    """The entries of a named set with their part; its columns say which numbers are kept, unless `targets` do."""
    known = [one.name for one in found.columns if one.kind in ("number", "integer")]
    for name in targets:
        if name not in known:
            raise UserError(f"{found.name} has no column of numbers {name!r}.", near(name, known))
    wanted = set(targets) or {one.name for one in found.columns if one.role == "target"}
    smiles = next(one for one in found.columns if _is_molecule(one))
    index = 0
    for source, path in found.fetch(progress).items():
        for entry in read_file(path, column=smiles.name if found.format.kind == "csv" else "", numbers=targets):
            cell = source if found.split.rule == "source" else entry.text
            part = PARTS.index(found.part(index, cell))
            index += 1
            values = {name: value for name, value in entry.values.items() if name in wanted}
            yield Entry(**{**vars(entry), "file": source, "values": values}), part


def _told(rows: Iterator[tuple[Entry, int]], name: str, progress: Progress | None) -> Iterator[tuple[Entry, int]]:
    report = listener(progress)
    for number, row in enumerate(rows):
        if number % 1000 == 0:
            report(number, None, f"molecules of {name}")
        yield row


def _hash(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


# -- storing ----------------------------------------------------------------------------------------------------------


def _store(
    folder: Path, kept: Kept, *, name: str, split: Way, shares: tuple[float, float, float], workers: int
) -> None:
    """Decide what is not decided yet, shuffle, and write each part."""
    if not kept.smiles:
        if not kept.rejected:
            raise UserError("There are no molecules to collect.")
        first = kept.rejected[0]
        if all(NO_NUMBER in one.reason for one in kept.rejected):
            raise UserError(
                f"Not one of the {kept.lines:,} entries of {Path(name).name} has the number that is to be learnt.",
                f"The first, {first.file}, line {first.line}: {first.reason}. Does --target name the right column?",
            )
        raise UserError(
            f"Not one of the {kept.lines:,} entries of {Path(name).name} is a molecule.",
            f"The first, {first.file}, line {first.line}, {first.given[:60]!r}: {first.reason}.",
        )
    order = ranks(kept.keys)
    parts = np.asarray(kept.parts, dtype=np.int8)
    words = ""
    if split == "scaffold":
        parts = by_scaffold(kept.smiles, shares, workers=workers)
        words = " No scaffold is in two parts."
    elif split == "hash" or (parts < 0).all():
        parts = by_hash(order, shares)
    else:
        parts = _completed(parts, order, shares)
    names = tuple(dict.fromkeys(name for values in kept.values for name in values))
    values = np.asarray([[row.get(name, np.nan) for name in names] for row in kept.values]).reshape(
        len(kept.values), len(names)
    )
    for number, part in enumerate(PARTS):
        rows = np.flatnonzero(parts == number)
        rows = rows[np.argsort(order[rows], kind="stable")]
        chosen = [[column[row] for row in rows] for column in (kept.smiles, kept.given, kept.names)]
        write_part(folder, part, chosen[0], given=chosen[1], ids=chosen[2], values=values[rows])
    told = ", ".join(f"{np.count_nonzero(parts == n):,} {part}" for n, part in enumerate(PARTS))
    write_rejected(folder / "rejected.csv", kept.rejected)
    write_facts(folder, PARTS, names, [*kept.notices(Path(name).name), f"Parts: {told}.{words}"])


def _completed(parts: np.ndarray, order: np.ndarray, shares: tuple[float, float, float]) -> np.ndarray:
    """Named parts stay; what has none is train, and a share of it by hash is validation, where nothing else is."""
    parts = np.where(parts < 0, 0, parts)
    train = np.flatnonzero(parts == 0)
    if not (parts == 1).any():
        chosen = by_hash(order[train], (1 - shares[1], shares[1], 0.0))
        parts[train[chosen == 1]] = 1
    return parts
