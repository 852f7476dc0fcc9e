"""Data sets of the time series domain: named ones with their fixed split, and whatever a person has.

N time steps of a group.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ...core import manifest
from ...core.errors import UserError, near
from ...core.parts import Part
from ...core.sources import Progress, Source
from .frames import pd
from .panel import Group, Panel
from .table_files import read_table, tables_in
from .tables import Columns, read_panel

SHARES = (0.7, 0.1, 0.2)
"""Of a person's own series: train, validation and test."""


@dataclass(frozen=True, kw_only=True)
class Border:
    """Where the parts of one group end: train is the steps [0, train), validation [train, validation), test
    [validation, test). A window of a part forecasts steps of that part and may look back across its beginning."""

    train: int
    validation: int
    test: int

    def span(self, part: Part) -> tuple[int, int]:
        """(first step, the one after the last) of train, validation or test."""
        starts = {"train": 0, "validation": self.train, "test": self.validation}
        return starts[part], getattr(self, part)


@dataclass(frozen=True, kw_only=True)
class Borders:
    """One border for each group of a panel, and `words` that say how they came about; `fixed` by a manifest."""

    groups: tuple[Border, ...]
    words: str
    fixed: bool = False

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, group: int) -> Border:
        return self.groups[group]

    def spans(self, part: Part) -> list[tuple[int, int]]:
        """The span of one part in every group."""
        return [border.span(part) for border in self.groups]


class Parts(NamedTuple):
    """Series and where their parts end."""

    panel: Panel
    borders: Borders


def collect(
    data: Any,
    columns: Columns = Columns(),  # noqa: B008
    *,
    hints: Columns = Columns(),  # noqa: B008
    horizon: int = 1,
    frequency: str = "",
    timezone: str = "",
    shares: tuple[float, float, float] = SHARES,
    progress: Progress | None = None,
) -> Parts:
    """The series that `data` names: a name of `tsuite data list`, a csv, csv.gz or parquet file, a source such as
    `hf://org/name/load.csv`, or what `read_panel` takes. hints: roles of columns that a table of one's own may have.

    Named sets keep their fixed split; any `columns` given replace the manifest's. Other series are cut in time into
    `shares` (train, validation, test), each but an empty one at least `horizon` steps long; series too short for that
    are only learnt from. Raises `UserError` for what cannot be found, read or split.
    """
    named = manifest_of(data)
    if named is not None:
        panel = _named(named, columns, frequency, timezone, progress)
        return Parts(panel, _last(panel, named) if named.split.rule == "last" else _shared(panel, horizon, shares))
    place = _place(data, progress) if isinstance(data, (str, Path)) else data
    panel = read_panel(place, columns, hints=hints, frequency=frequency, timezone=timezone)
    return Parts(panel, _shared(panel, horizon, shares))


# -- what is there ----------------------------------------------------------------------------------------------------


def manifest_of(data: Any) -> manifest.Manifest | None:
    """The manifest of a named data set, None for whatever else `data` is; a file goes before a name."""
    if not isinstance(data, (str, Path)):
        return None
    name, there = str(data), Path(data).expanduser().exists()
    if name.endswith("dataset.toml") or (name in manifest.manifests() and not there):
        return manifest.manifest(name)
    return None


def _place(data: str | Path, progress: Progress | None) -> Path:
    """The local file that `data` names."""
    if "://" in str(data):
        return Source.parse(str(data)).fetch(progress)
    path = Path(data).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        raise UserError(f"{path} is a folder.", "Name the file in it that holds the table.")
    known = [item.name for item in manifest.manifests().values() if item.with_role("time")]
    nearby = tables_in(path.parent)
    raise UserError(f"There is no data called {str(data)!r} and no such file.", near(path.name, [*known, *nearby]))


def _named(
    found: manifest.Manifest, columns: Columns, frequency: str, timezone: str, progress: Progress | None
) -> Panel:
    """The series of a manifest; the table `future` beside `table` holds what is known after the last target."""
    if not (found.with_role("time") and found.with_role("target")):
        raise UserError(f"The data set {found.name} holds no time series.", "See: tsuite data list")
    roles = {role: tuple(item.name for item in found.with_role(role)) for role in manifest.ROLES}
    own = Columns(
        id="".join(roles["id"]),
        time="".join(roles["time"]),
        targets=roles["target"],
        past=roles["past"],
        future=roles["future"],
        static=roles["static"],
    )
    chosen = (
        own
        if columns == Columns()
        else dataclasses.replace(columns, id=columns.id or own.id, time=columns.time or own.time)
    )
    if not chosen.targets:
        chosen = dataclasses.replace(chosen, targets=own.targets)
    places = found.fetch(progress)
    frame = pd.concat([read_table(places[name])[0] for name in ("table", "future") if name in places])
    panel = read_panel(
        frame.loc[:, [name for _, name in chosen.named()]] if _all_there(frame, chosen) else frame,
        chosen,
        frequency=frequency or found.format.every,
        timezone=timezone or found.format.timezone,
        name=found.name,
    )
    unit = found.column(chosen.targets[0]).unit
    return dataclasses.replace(panel, sha256=found.sha256, unit=unit)


def _all_there(frame: pd.DataFrame, columns: Columns) -> bool:
    """Whether every column said is in the table (if not, the reader names it)."""
    return all(name in frame.columns for _, name in columns.named())


# -- parts in time ----------------------------------------------------------------------------------------------------


def _last(panel: Panel, found: manifest.Manifest) -> Borders:
    """The manifest's rule: so many steps each at the end of every series."""
    rule = found.split
    test, validation = int(rule.test[0]), int((rule.validation or (0,))[0])
    groups = []
    for group in panel.groups:
        if len(group) <= test + validation:
            raise UserError(f"{panel.name} has {len(group)} steps; its split needs more than {test + validation}.")
        groups.append(Border(train=len(group) - test - validation, validation=len(group) - test, test=len(group)))
    return Borders(groups=tuple(groups), words=rule.words, fixed=True)


def _shared(panel: Panel, horizon: int, shares: tuple[float, float, float]) -> Borders:
    """Shares of each series; the rounding is that of the literature's benchmarks."""
    if min(shares[1:]) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise UserError(f"The shares {shares} of train, validation and test do not add up to 1.", "Try: 0.7, 0.1, 0.2")
    if shares[0] < 1e-6:
        raise UserError(
            f"{shares[1]:.0%} for validation and {shares[2]:.0%} for test leave nothing to learn from.",
            "Let both together be less than all, like --validation 0.1 --test 0.2",
        )
    groups = tuple(_border(group, horizon, shares) for group in panel.groups)
    if shares[0] == 1:
        return Borders(groups=groups, words="All is train.")
    if all(border.train == border.test for border in groups):
        needed = _needed(horizon, shares)
        raise UserError(
            f"{panel.name} has {panel.longest} steps; a horizon of {horizon} needs at least {needed} to learn from and "
            "to check with.",
            "Use a shorter horizon, or give a longer history.",
        )
    names = ("train", "validation", "test")
    told = ", then ".join(f"{share:.0%} {name}" for share, name in zip(shares, names, strict=True) if share)
    short = sum(len(group.ids) for group, one in zip(panel.groups, groups, strict=True) if one.train == one.test)
    more = f" {short} of {len(panel)} series are too short for that and only learnt from." * (short > 0)
    return Borders(groups=groups, words=f"In the order of time: {told}.{more}")


def _border(group: Group, horizon: int, shares: tuple[float, float, float]) -> Border:
    steps = len(group)
    if steps < _needed(horizon, shares):
        return Border(train=steps, validation=steps, test=steps)
    test = max(int(steps * shares[2]), horizon) if shares[2] else 0
    validation = max(steps - int(steps * shares[0]) - test, horizon) if shares[1] else 0
    return Border(train=steps - test - validation, validation=steps - test, test=steps)


def _needed(horizon: int, shares: tuple[float, float, float]) -> int:
    """Steps that a series needs at least: each part a horizon, train one step more to look back at."""
    return horizon * sum(share > 0 for share in shares) + 1
