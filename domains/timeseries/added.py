"""Rows that a person adds to series that are followed: what is known ahead of them, and what happened next.

C series of a group, N time steps, H steps after them, F future-known covariates, R rows.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...core.errors import UserError, near
from .covariates import reaching
from .frames import pd
from .panel import Group, Panel
from .stamps import Where, in_zone, read_stamps
from .tables import Columns, as_table, numbers_in, stamp_column

AHEAD = "The frame of what is known ahead"
NEXT = "The update"


def known_ahead(panel: Panel, given: Any, horizon: int, columns: Columns) -> Panel:
    """The panel with the covariates of a table for the `horizon` steps after its series' end, as if the table that it
    was read from had gone on with them.

    A column of stamps (or a DatetimeIndex) says which step a row is for, rows of other steps are left out; a table
    without stamps holds exactly the `horizon` rows, in order. A column of names (`columns.id`, `unique_id`) gives each
    series rows of its own; without one, all share them. UserError for a step that no row is for, named by its stamp,
    and for cells that are no numbers.
    """
    if not isinstance(given, (pd.DataFrame, pd.Series)):
        raise UserError(
            f"What is known ahead is a pandas frame, not a {type(given).__name__}.",
            f"Give a column {' and a column '.join(panel.future) or 'for each covariate'}, with the time stamps.",
        )
    frame, where, name, _ = as_table(given, AHEAD)
    if lacking := [one for one in panel.future if one not in frame.columns]:
        raise UserError(f"{name} lacks {lacking[0]}.", near(lacking[0], map(str, frame.columns)))
    id_column = next((one for one in (columns.id, "unique_id") if one and one in frame.columns), "")
    codes, names = frame[id_column].astype(str).factorize() if id_column else (np.zeros(len(frame), np.int64), None)
    time = _time(frame, panel, columns.time, {id_column})
    rows = _Rows(
        values=numbers_in(frame, panel.future, where),
        codes=np.asarray(codes, dtype=np.int64),
        names=None if names is None else tuple(map(str, names)),
        stamps=_stamps(frame, time, np.asarray(codes), panel, where) if time else None,
        where=where,
    )
    groups = []
    for group in panel.groups:
        groups += _going_on(group, panel, [rows.ahead_of(series, group, panel, horizon) for series in group.ids])
    return replace(panel, groups=tuple(groups))


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """values [F, R] of what is known ahead; codes [R] of the series `names` (None: rows are for all); stamps [R]."""

    values: np.ndarray
    codes: np.ndarray
    names: tuple[str, ...] | None
    stamps: pd.Index | None
    where: Where

    def ahead_of(self, series: str, group: Group, panel: Panel, horizon: int) -> np.ndarray:
        """[F, H] of one series."""
        mine = np.arange(len(self.codes))
        if self.names is not None:
            mine = np.flatnonzero(self.codes == self._code(series, panel))
        steps = panel.frequency.after(group.index[len(group) - 1], horizon)
        of = f" of {series}" if self.names is not None else ""
        if self.stamps is None:
            if len(mine) != horizon:
                raise UserError(
                    f"{AHEAD} has {len(mine)} rows{of} and no time stamps; a horizon of {horizon} needs {horizon}.",
                    f"Give a row for each step, or a column ds of stamps: {steps[0]} to {steps[-1]}.",
                )
            return self.values[:, mine]
        place = steps.get_indexer(self.stamps[mine])
        mine, place = mine[place >= 0], place[place >= 0]
        count = np.bincount(place, minlength=horizon)
        if (count > 1).any():
            step = int(np.argmax(count > 1))
            first, second = mine[place == step][:2]
            raise UserError(
                f"{self.where(int(first))} and row {second} are both for {steps[step]}{of}.",
                "Keep one of the two." if of else "If they belong to several series, name these in a column unique_id.",
            )
        if (count == 0).any():
            raise UserError(
                f"{AHEAD} has no row{of} for {steps[int(np.argmax(count == 0))]}.",
                f"A horizon of {horizon} needs all steps from {steps[0]} to {steps[-1]}.",
            )
        return self.values[:, mine[np.argsort(place)]]

    def _code(self, series: str, panel: Panel) -> int:
        """The number of the series in `names`; where a table has several targets, each is called "name target"."""
        names = self.names or ()
        for name in (series, *(series.removesuffix(f" {target}") for target in panel.targets)):
            if name in names:
                return names.index(name)
        raise UserError(f"{AHEAD} has no row of the series {series}.", near(series, names))


def _going_on(group: Group, panel: Panel, told: list[np.ndarray]) -> list[Group]:
    """The group with what is told [C][F, H] after its end: several groups where its series are told different things,
    for covariates are shared by the series of a group."""
    parts: dict[bytes, list[int]] = {}
    for row, block in enumerate(told):
        parts.setdefault(block.tobytes(), []).append(row)
    end = len(group)
    alone = reaching(group.slice(0, end), panel.frequency, told[0].shape[1])
    return [
        replace(
            alone,
            ids=tuple(group.ids[row] for row in rows),
            values=group.values[rows],
            static=group.static[rows],
            future=np.concatenate([group.future[:, :end], told[rows[0]]], axis=1),
        )
        for rows in parts.values()
    ]


def grown(panel: Panel, observed: Any, columns: Columns) -> Panel:
    """The panel with one step more, or several (a frame's rows), of series and covariates by name; a series that is not
    named was not observed, a covariate that was known ahead stays unless it is told anew. Rows with stamps must be the
    steps that come next. UserError for a name that is neither, and for what is no finite number."""
    if not isinstance(observed, (Mapping, pd.Series, pd.DataFrame)):
        raise UserError(
            f"What happened next cannot be a {type(observed).__name__}.",
            f"Give it by name, as in update({{{panel.ids[0]!r}: 1.5}}), or as the rows of a frame.",
        )
    given = observed if isinstance(observed, pd.DataFrame) else pd.DataFrame([dict(observed)])
    if not len(given):
        return panel
    frame, where, _, _ = as_table(given, NEXT)
    known = (*panel.ids, *panel.past, *panel.future)
    time = _time(frame, panel, columns.time, set(known))
    for name in frame.columns:
        if name not in known and name != time:
            raise UserError(f"There is no series or covariate {name!r}.", near(str(name), known))
    if time:
        _next(_stamps(frame, time, np.zeros(len(frame), np.int64), panel, where), panel)
    return replace(panel, groups=tuple(_grown(group, panel, frame, where) for group in panel.groups))


def _next(stamps: pd.Index, panel: Panel) -> None:
    """UserError unless the stamps are those that come next."""
    for group in panel.groups:
        steps = panel.frequency.after(group.index[len(group) - 1], len(stamps))
        if (other := np.flatnonzero(np.asarray(steps != stamps))).size:
            row = int(other[0])
            raise UserError(
                f"What comes next of {group.ids[0]} is {steps[row]}, not {stamps[row]}.",
                "Give every step in order; one that was not observed is a row of empty cells.",
            )


def _grown(group: Group, panel: Panel, frame: pd.DataFrame, where: Where) -> Group:
    def told(names: tuple[str, ...]) -> np.ndarray:
        found = np.full((len(names), len(frame)), np.nan, dtype=np.float32)
        there = [place for place, name in enumerate(names) if name in frame.columns]
        found[there] = numbers_in(frame, [names[place] for place in there], where)
        return found

    end, count, group = len(group), len(frame), reaching(group, panel.frequency, len(frame))
    anew, future = told(panel.future), group.future.copy()
    future[:, end : end + count] = np.where(np.isnan(anew), future[:, end : end + count], anew)
    return replace(
        group,
        values=np.concatenate([group.values, told(group.ids)], axis=1),
        past=np.concatenate([group.past, told(panel.past)], axis=1),
        future=future,
    )


# -- stamps -----------------------------------------------------------------------------------------------------------


def _time(frame: pd.DataFrame, panel: Panel, named: str, others: set[str]) -> str:
    """The column of the rows' stamps, "" if they have none. Whole numbers are stamps where those of the series are."""
    free = [column for column in map(str, frame.columns) if column not in {*others, *panel.past, *panel.future}]
    for column in (named, "ds"):
        if column and column in free:
            return column
    found = stamp_column(frame, [column for column in free if column not in panel.targets])
    dated = isinstance(panel.groups[0].index, pd.DatetimeIndex)
    if found and pd.api.types.is_integer_dtype(frame[found].dtype):
        read, _ = read_stamps(frame[found], column=found, where=str)
        return found if isinstance(read, pd.DatetimeIndex) == dated else ""
    return found


def _stamps(frame: pd.DataFrame, column: str, codes: np.ndarray, panel: Panel, where: Where) -> pd.Index:
    """The stamps of the rows on the clock of the series."""
    stamps, _ = read_stamps(frame[column], column=column, where=where)
    index = panel.groups[0].index
    if isinstance(stamps, pd.DatetimeIndex) != isinstance(index, pd.DatetimeIndex):
        raise UserError(
            f"{where(0)}: the stamp {stamps[0]} in the column {column} is of another kind than the series' own, such "
            f"as {index[-1]}.",
            "Write both in one form.",
        )
    if not isinstance(stamps, pd.DatetimeIndex) or not isinstance(index, pd.DatetimeIndex):
        return stamps
    if stamps.tz is None and index.tz is not None:
        fixed = isinstance(index.tz, datetime.timezone)
        return stamps.tz_localize(index.tz) if fixed else in_zone(stamps, codes, str(index.tz), where=where)
    if stamps.tz is not None and index.tz is None:
        raise UserError(
            f"{where(0)}: the stamp {stamps[0]} in the column {column} has a time zone, those of the series have none.",
            "Write both in one form.",
        )
    return stamps if stamps.tz is None else stamps.tz_convert(index.tz)
