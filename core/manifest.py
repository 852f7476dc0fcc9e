"""Data sets as manifests: `datasets/<name>/dataset.toml` says where the bytes are, what they mean and how they split.

A manifest holds no code. A domain's reader is told everything by it: the format, the columns with their roles and
units, the classes, and the fixed rule by which a row belongs to train, validation or test. Adding a data set is adding
one such file.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from .errors import UserError, near
from .options import build
from .registry import HOME
from .sources import Progress, Source
from .sources.packages import shared_archives

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Part = Literal["train", "validation", "test"]

RULES = ("index modulo", "hash", "column", "source", "last", "none")
ROLES = ("input", "target", "id", "time", "group", "weight", "ignored")


@dataclass(frozen=True, kw_only=True)
class SplitRule:
    """Which part each row belongs to, fixed for ever; what neither `test` nor `validation` names is train.

    | rule         | `test` and `validation` list                                | `part` is given            |
    |--------------|-------------------------------------------------------------|----------------------------|
    | index modulo | residues of the row's number (from 0) modulo `modulus`      | index                      |
    | hash         | residues of sha256(key as UTF-8), a big-endian number       | key: the cell of `column`  |
    | column       | values of `column` in the data                              | key: the cell of `column`  |
    | source       | names under `[sources]`: the data come in parts             | key: the source's name     |
    | last         | one number of rows each, at the end of every series         | index and rows             |
    | none         | nothing: all is train                                       | nothing                    |

    `words` says the same to people. Test is looked at before validation.
    """

    words: str
    rule: str
    modulus: int = 0
    column: str = ""
    test: tuple[int | str, ...] = ()
    validation: tuple[int | str, ...] = ()

    def __post_init__(self) -> None:
        _check(self.rule in RULES, f"the split rule {self.rule!r} is not known. {near(self.rule, RULES)}")
        if self.rule in ("index modulo", "hash"):
            residues = [*self.test, *self.validation]
            _check(self.modulus > 1, f"the split rule {self.rule} needs a modulus above 1, not {self.modulus}")
            _check(
                all(isinstance(value, int) and 0 <= value < self.modulus for value in residues),
                f"residues modulo {self.modulus} lie from 0 to {self.modulus - 1}, which {residues} do not",
            )
        if self.rule in ("hash", "column"):
            _check(bool(self.column), f"the split rule {self.rule} needs the column it looks at")
        if self.rule == "last":
            _check(
                len(self.test) == 1
                and len(self.validation) <= 1
                and all(_count(n) for n in self.test + self.validation),
                "the split rule last takes one number of rows for test and at most one for validation",
            )
        both = set(self.test) & set(self.validation)
        _check(self.rule == "last" or not both, f"{sorted(map(str, both))} are in test and in validation")

    def part(self, index: int | None = None, key: str | None = None, *, rows: int | None = None) -> Part:
        """The part of one row: `index` counts from 0, `key` is the cell or name that the rule looks at, `rows` the
        length of the row's series. Raises `UserError` if what the rule looks at is not given."""
        if self.rule == "none":
            return "train"
        if self.rule == "last":
            _check(
                index is not None and rows is not None,
                "the split rule last needs the row's number and how many there are",
            )
            assert index is not None
            assert rows is not None
            return self._from_end(rows - 1 - index)
        if self.rule == "index modulo":
            _check(index is not None, "the split rule index modulo needs the row's number")
            assert index is not None
            value: int | str = index % self.modulus
        else:
            _check(key is not None, f"the split rule {self.rule} needs a key: the text it looks at")
            value = str(key)
        if self.rule == "hash":
            value = int.from_bytes(hashlib.sha256(str(key).encode()).digest(), "big") % self.modulus
        if value in self.test:
            return "test"
        return "validation" if value in self.validation else "train"

    def _from_end(self, behind: int) -> Part:
        """The part of the row that has `behind` rows after it."""
        test = int(self.test[0])
        if behind < test:
            return "test"
        return "validation" if behind < test + int((self.validation or (0,))[0]) else "train"


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column, or `count` neighbouring ones that belong together (the pixels of an image).

    `role` is input, target, id (names the row), time, group (which series or speaker), weight or ignored; `kind` says
    what a cell holds (number, integer, text, image path, audio path, SMILES, date, messages, ...); `position` counts
    from 0 and matters where the table has no header; `unit` is that of a number ("kW", "grey level 0 to 255").
    """

    name: str
    about: str
    role: str = "input"
    kind: str = "number"
    unit: str = ""
    position: int | None = None
    count: int = 1

    def __post_init__(self) -> None:
        _check(
            self.role in ROLES, f"the role {self.role!r} of column {self.name} is not known. {near(self.role, ROLES)}"
        )

    @property
    def slice(self) -> slice:
        """Where the column stands in a row; raises `UserError` if the manifest gives it no position."""
        _check(self.position is not None, f"the column {self.name} has no position")
        return slice(self.position, (self.position or 0) + self.count)


@dataclass(frozen=True, kw_only=True)
class Format:
    """How the bytes are read. `kind` names it ("csv", "jsonl", "wav+transcripts", "parquet", "trajectories", ...).

    `table` is the table's path inside a source that is a folder, `files` the pattern of the files beside it, `base`
    the folder (inside the source) that paths in cells start from. `delimiter` "" means any white space. `shape` is that
    of one example's input (height, width), `rate` its samples a second (Hz), `every` the step between rows ("1h").
    """

    kind: str
    table: str = ""
    files: str = ""
    base: str = ""
    delimiter: str = ","
    header: bool = True
    encoding: str = "utf-8"
    compression: str = ""
    shape: tuple[int, ...] = ()
    rate: int = 0
    every: str = ""


@dataclass(frozen=True, kw_only=True)
class LabelClass:
    """One class: the cells that are one of `values`, or numbers from `low` to `high` (both included)."""

    name: str
    values: tuple[str | int | float, ...] = ()
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        ranged = self.low is not None and self.high is not None
        _check(bool(self.values) != ranged, f"the class {self.name} needs either values, or low and high")

    def holds(self, value: str | float) -> bool:
        """Whether a cell, as text or number, is of this class."""
        number = _number(value)
        if self.low is not None and self.high is not None:
            return number is not None and self.low <= number <= self.high
        return any(str(value) == str(own) or (number is not None and number == _number(own)) for own in self.values)


@dataclass(frozen=True, kw_only=True)
class Labels:
    """How the cells of `column` become classes, in the order of their numbers; the rest is left out, for `left_out`."""

    column: str
    classes: tuple[LabelClass, ...]
    left_out: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(item.name for item in self.classes)

    def index(self, value: str | float) -> int | None:
        """The number of the class that a cell belongs to; None: the row is left out."""
        return next((number for number, item in enumerate(self.classes) if item.holds(value)), None)

    def label(self, value: str | float) -> str | None:
        """The name of the class that a cell belongs to; None: the row is left out."""
        number = self.index(value)
        return None if number is None else self.classes[number].name


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """Where one file or folder of a data set comes from, its size unpacked in bytes, and, for a repository of the hub,
    patterns of the files wanted."""

    source: Source
    bytes: int
    files: tuple[str, ...] = ()

    def fetch(self, progress: Progress | None = None) -> Path:
        return self.source.fetch(progress, files=self.files or None, most_bytes=self.bytes)

    def cached(self) -> Path | None:
        return self.source.cached(files=self.files or None)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """One data set, as its `dataset.toml` describes it.

    `licence` is an SPDX expression; `redistributable` says whether copies may be passed on with this package;
    `rows` counts the examples (0: not said); `sample` names a small real extract beside the manifest, if there is one.
    """

    name: str
    summary: str
    licence: str
    licence_note: str
    redistributable: bool
    homepage: str
    citation: str
    sources: Mapping[str, DataSource]
    format: Format
    columns: tuple[Column, ...]
    split: SplitRule
    rows: int = 0
    labels: Labels | None = None
    sample: str = ""
    sample_licence: str = ""
    folder: Path = field(default_factory=Path)

    def part(self, index: int | None = None, key: str | None = None, *, rows: int | None = None) -> Part:
        """The part that a row belongs to; see `SplitRule.part`."""
        return self.split.part(index, key, rows=rows)

    def column(self, name: str) -> Column:
        """The column of that name; an unknown one is a `UserError`."""
        known = {column.name: column for column in self.columns}
        if name not in known:
            raise UserError(f"The data set {self.name} has no column {name!r}.", near(name, known))
        return known[name]

    def with_role(self, role: str) -> tuple[Column, ...]:
        """The columns of one role, in order."""
        return tuple(column for column in self.columns if column.role == role)

    def fetch(self, progress: Progress | None = None) -> dict[str, Path]:
        """Every source's verified local file or folder by its name, fetched where it is not in the cache.

        Raises `Unreachable` or another `UserError` as `Source.fetch` does."""
        with shared_archives():
            return {name: item.fetch(progress) for name, item in self.sources.items()}

    def cached(self) -> bool:
        """Whether `fetch` would find everything on this machine."""
        return all(item.cached() for item in self.sources.values())

    def bytes_on_disk(self) -> int:
        """Bytes that its files take on this machine; 0 if nothing was fetched."""
        found = [path for item in self.sources.values() if (path := item.cached())]
        files = [file for path in found for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file()]
        return sum(file.stat().st_size for file in files)

    @property
    def sha256(self) -> str:
        """One hash for all sources: that of the only one, else of the sorted `<sha256>  <name>` lines."""
        digests = [item.source.sha256 or str(item.source) for item in self.sources.values()]
        if len(digests) == 1:
            return digests[0]
        lines = sorted(f"{digest}  {name}\n" for digest, name in zip(digests, self.sources, strict=True))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @property
    def sample_path(self) -> Path | None:
        """The small extract that lies beside the manifest; None if it has none."""
        return self.folder / self.sample if self.sample else None

    def info(self) -> dict[str, Any]:
        """Everything as plain data for tables and JSON, with whether it is fetched and the bytes it takes."""
        plain = asdict(self)
        plain["folder"] = str(self.folder)
        plain["sources"] = {
            name: {"source": str(item.source), "bytes": item.bytes, "files": list(item.files)}
            for name, item in self.sources.items()
        }
        return plain | {"sha256": self.sha256, "cached": self.cached(), "bytes_on_disk": self.bytes_on_disk()}


# -- reading ----------------------------------------------------------------------------------------------------------


def read_manifest(path: str | Path) -> Manifest:
    """The manifest in one `dataset.toml`; raises `UserError` that names the file and what is wrong in it."""
    path = Path(path)
    try:
        values = _tuples(tomllib.loads(path.read_text(encoding="utf-8")))
        for key, cls in (("split", SplitRule), ("format", Format), ("labels", Labels)):
            if key in values:
                _check(isinstance(values[key], dict), f"{key} has to be a table")
                if key == "labels":
                    values[key]["classes"] = tuple(build(LabelClass, item) for item in values[key].get("classes", ()))
                values[key] = build(cls, values[key])
        values["columns"] = tuple(build(Column, item) for item in values.get("columns", ()))
        values["sources"] = {name: _data_source(item) for name, item in dict(values.get("sources", {})).items()}
        result = build(Manifest, {**values, "folder": path.parent})
        _check_names(result)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, TypeError, ValueError, UserError) as error:
        raise UserError(f"The manifest {path} cannot be read: {error}") from error
    return result


def _data_source(item: Mapping[str, Any]) -> DataSource:
    return build(DataSource, {**item, "source": Source.parse(item.get("source", ""))})


def _check_names(manifest: Manifest) -> None:
    """Raise `UserError` unless every name used is declared."""
    columns = {column.name for column in manifest.columns}
    named = {manifest.split.column, manifest.labels.column if manifest.labels else ""} - {""}
    for name in sorted(named - columns):
        raise UserError(f"the column {name!r} is used but not declared.", near(name, columns))
    _check(bool(manifest.sources), "it has no sources")
    if manifest.split.rule == "source":
        for name in sorted({*map(str, manifest.split.test + manifest.split.validation)} - set(manifest.sources)):
            raise UserError(
                f"the split names the source {name!r}, which is not declared.", near(name, manifest.sources)
            )
    if manifest.sample:
        _check((manifest.folder / manifest.sample).is_file(), f"its sample {manifest.sample} is missing")
        _check(bool(manifest.sample_licence), "its sample has no sample_licence")


def _tuples(value: Any) -> Any:
    """Lists as tuples, all the way down: manifests do not change."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _check(condition: bool, what: str) -> None:
    if not condition:
        raise UserError(f"{what}.")


def _count(value: object) -> bool:
    return isinstance(value, int) and value >= 0


def _number(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None


# -- finding ----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def manifests() -> dict[str, Manifest]:
    """Every data set by name, in order: the folders of `datasets/` that hold a `dataset.toml`."""
    found = [read_manifest(path) for path in sorted((HOME / "datasets").glob("*/dataset.toml"))]
    return {manifest.name: manifest for manifest in found}


def manifest(name: str) -> Manifest:
    """The manifest of one data set; `name` may also be the path of a `dataset.toml`.

    An unknown name is a `UserError` that lists near ones."""
    if name.endswith(".toml"):
        return read_manifest(name)
    known = manifests()
    if name not in known:
        raise UserError(f"There is no data set called {name!r}.", near(name, known))
    return known[name]
