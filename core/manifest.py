"""Data sets as manifests: `datasets/<name>/dataset.toml` says where the bytes are, what they mean and how they split.

A manifest holds no code. A domain's reader is told everything by it: the format, the columns with their roles and
units, the classes, and the fixed rule by which a row belongs to train, validation or test. Adding a data set is adding
one such file.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from .errors import UserError, near
from .options import build
from .parts import Part, SplitRule, check
from .recipe import Recipe
from .registry import HOME
from .sources import Progress, Source
from .sources.packages import shared_archives

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROLES = ("input", "target", "id", "time", "group", "weight", "past", "future", "static", "ignored")


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column, or `count` neighbouring ones that belong together (the pixels of an image).

    `role` is input, target, id (names the row), time, group (which series or speaker), weight, past, future or static
    (covariates of a series: known up to now, known ahead, never changing) or ignored; `kind` says what a cell holds
    (number, integer, text, image path, audio path, SMILES, date, messages, ...); `position` counts from 0 and matters
    where the table has no header; `unit` is that of a number ("kW", "grey level 0 to 255").
    """

    name: str
    about: str
    role: str = "input"
    kind: str = "number"
    unit: str = ""
    position: int | None = None
    count: int = 1

    def __post_init__(self) -> None:
        check(
            self.role in ROLES, f"the role {self.role!r} of column {self.name} is not known. {near(self.role, ROLES)}"
        )

    @property
    def slice(self) -> slice:
        """Where the column stands in a row; raises `UserError` if the manifest gives it no position."""
        check(self.position is not None, f"the column {self.name} has no position")
        return slice(self.position, (self.position or 0) + self.count)


@dataclass(frozen=True, kw_only=True)
class Format:
    """How the bytes are read. `kind` names it ("csv", "json", "jsonl", "yaml", "wav+transcripts", "parquet", ...;
    "combined": each member is read as its own manifest says).

    `table` is the table's path inside a source that is a folder, `files` the pattern of the files beside it, `base`
    the folder (inside the source) that paths in cells start from. `delimiter` "" means any white space. `shape` is that
    of one example's input (height, width), `rate` its samples a second (Hz), `every` the step between rows ("1h"),
    `timezone` the IANA name of the local clock by which days and holidays go.
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
    timezone: str = ""


@dataclass(frozen=True, kw_only=True)
class LabelClass:
    """One class: the cells that are one of `values`, or numbers from `low` to `high` (both included)."""

    name: str
    values: tuple[str | int | float, ...] = ()
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        ranged = self.low is not None and self.high is not None
        check(bool(self.values) != ranged, f"the class {self.name} needs either values, or low and high")

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
    `combine` names the data sets beside it that this one is made of; their sources and rows are then its own.
    `recipe` says how it is made, of a data set that is made on the machine and has no sources.
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
    combine: tuple[str, ...] = ()
    recipe: Recipe | None = None
    folder: Path = field(default_factory=Path)

    def part(self, index: int | None = None, key: str | None = None, *, rows: int | None = None) -> Part:
        """The part that a row belongs to; see `SplitRule.part`."""
        return self.split.part(index, key, rows=rows)

    def members(self) -> tuple[Manifest, ...]:
        """The data sets that this one combines, in order; of one that combines nothing, itself."""
        if not self.combine:
            return (self,)
        return tuple(read_manifest(self.folder.parent / name / "dataset.toml", member=True) for name in self.combine)

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
        """Every source's verified local file or folder by its name, fetched where it is not in the cache; of a recipe,
        the folder `made`, made where it is not.

        Raises `Unreachable` or another `UserError` as `Source.fetch` does."""
        if self.recipe:
            return {"made": self.recipe.make(progress)}
        with shared_archives():
            return {name: item.fetch(progress) for name, item in self.sources.items()}

    def cached(self) -> bool:
        """Whether `fetch` would find everything on this machine."""
        return all(self._places())

    def _places(self) -> list[Path | None]:
        """Where each source, or what was made, lies on this machine; None: it does not."""
        return [self.recipe.cached()] if self.recipe else [item.cached() for item in self.sources.values()]

    def bytes_on_disk(self) -> int:
        """Bytes that its files take on this machine; 0 if nothing was fetched."""
        found = [path for path in self._places() if path]
        files = [file for path in found for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file()]
        return sum(file.stat().st_size for file in files)

    @property
    def sha256(self) -> str:
        """One hash for all sources: that of the only one, else of the sorted `<sha256>  <name>` lines; of a recipe,
        that of the data it says, else of the recipe."""
        if self.recipe:
            return self.recipe.sha256 or self.recipe.key
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


def read_manifest(path: str | Path, *, member: bool = False) -> Manifest:
    """The manifest in one `dataset.toml`; raises `UserError` that names the file and what is wrong in it.

    A `member` of a combined set cannot itself combine others."""
    path = Path(path)
    try:
        values = _tuples(tomllib.loads(path.read_text(encoding="utf-8")))
        for key, cls in (("split", SplitRule), ("format", Format), ("labels", Labels), ("recipe", Recipe)):
            if key in values:
                check(isinstance(values[key], dict), f"{key} has to be a table")
                if key == "labels":
                    values[key]["classes"] = tuple(build(LabelClass, item) for item in values[key].get("classes", ()))
                values[key] = build(cls, values[key])
        values["columns"] = tuple(build(Column, item) for item in values.get("columns", ()))
        values["sources"] = {name: _data_source(item) for name, item in dict(values.get("sources", {})).items()}
        check(not (member and values.get("combine")), "a combined data set cannot be a member of another")
        result = _with_members(build(Manifest, {**values, "folder": path.parent}))
        _check_names(result)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, TypeError, ValueError, UserError) as error:
        raise UserError(f"The manifest {path} cannot be read: {error}") from error
    return result


def _data_source(item: Mapping[str, Any]) -> DataSource:
    return build(DataSource, {**item, "source": Source.parse(item.get("source", ""))})


def _with_members(manifest: Manifest) -> Manifest:
    """The manifest with the sources and rows of the data sets that it combines."""
    combines = [bool(manifest.combine), manifest.format.kind == "combined", manifest.split.rule == "members"]
    check(len(set(combines)) == 1, 'combine, format.kind "combined" and split.rule "members" belong together')
    if not manifest.combine:
        return manifest
    check(not manifest.sources and not manifest.columns, "a combined data set has no sources or columns of its own")
    members = manifest.members()
    sources = {
        item.name if len(item.sources) == 1 else f"{item.name}.{name}": source
        for item in members
        for name, source in item.sources.items()
    }
    return replace(manifest, sources=sources, rows=sum(item.rows for item in members))


def _check_names(manifest: Manifest) -> None:
    """Raise `UserError` unless every name used is declared."""
    columns = {column.name for column in manifest.columns}
    named = {manifest.split.column, manifest.labels.column if manifest.labels else ""} - {""}
    for name in sorted(named - columns):
        raise UserError(f"the column {name!r} is used but not declared.", near(name, columns))
    check(bool(manifest.sources) or bool(manifest.recipe), "it has no sources")
    check(not (manifest.sources and manifest.recipe), "a data set that is made by a recipe has no sources")
    if manifest.split.rule == "source":
        for name in sorted({*map(str, manifest.split.test + manifest.split.validation)} - set(manifest.sources)):
            raise UserError(
                f"the split names the source {name!r}, which is not declared.", near(name, manifest.sources)
            )
    if manifest.sample:
        check((manifest.folder / manifest.sample).is_file(), f"its sample {manifest.sample} is missing")
        check(bool(manifest.sample_licence), "its sample has no sample_licence")


def _tuples(value: Any) -> Any:
    """Lists as tuples, all the way down: manifests do not change."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


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
