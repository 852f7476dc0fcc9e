"""Tables of series as panels, and forecasts as tables.

A table is wide (a time column and value columns: one group of C series) or long (a row for each series and stamp:
`unique_id, ds, y`). Which column is what is found out where nobody says it.
"""

from __future__ import annotations

import datetime
import hashlib
import numbers
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import UserError, near
from ...core.sources import sha256_file
from .assemble import Rows, assemble
from .frames import pd
from .frequency import DAY, Frequency, recognise, wall_time
from .panel import Panel
from .stamps import TIME_NAMES, Where, clock_zone, in_zone, looks_like_dates, read_stamps, skipped_hour, zone
from .table_files import read_table, unique, write_table

__all__ = ["Columns", "as_table", "numbers_in", "read_panel", "stamp_column", "tidy", "write_table"]


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which column is what; "" and () are found out.

    `past` covariates are known up to now, `future` ones ahead as well (name each once), `static` ones do not change."""

    id: str = ""
    time: str = ""
    targets: tuple[str, ...] = ()
    past: tuple[str, ...] = ()
    future: tuple[str, ...] = ()
    static: tuple[str, ...] = ()

    def named(self) -> tuple[tuple[str, str], ...]:
        """(role, column) of every column said."""
        given = ((item.name, getattr(self, item.name)) for item in fields(self))
        return tuple(
            (role, name) for role, value in given for name in ((value,) if isinstance(value, str) else value) if name
        )

    def with_hints(self, hints: Columns, there: Iterable[str]) -> Columns:
        """These, and what `hints` names where it is `there` and has no other role; targets only where all of them are
        there and none is said."""
        said, free = {name for _, name in self.named()}, set(there)
        found: dict[str, Any] = {
            role: getattr(self, role) or (name if (name := getattr(hints, role)) in free - said else "")
            for role in ("id", "time")
        }
        if not self.targets and set(hints.targets) <= free - said:
            found["targets"] = hints.targets
        for role in ("past", "future", "static"):
            more = (name for name in getattr(hints, role) if name in free and name not in said)
            found[role] = (*getattr(self, role), *more)
        return replace(self, **found)


def read_panel(
    given: Any,
    columns: Columns = Columns(),
    *,
    hints: Columns = Columns(),
    frequency: str = "",
    timezone: str = "",
    name: str = "",
) -> Panel:
    """The series of a csv, csv.gz or parquet file, a frame or a pandas Series, or one of plain numbers [N].

    With nothing said: the time column is `ds` or the first that holds dates; the table is long if it has `unique_id`;
    every other column of numbers is a target (of a long table with `y`, only that one). A table without dates whose
    columns are all numbers counts its rows. Rows at the end where future covariates are known and no target is are the
    known future. Missing stamps become steps that were not observed; nothing is filled.

    hints: roles of columns that may be there; what `columns` says goes first.
    frequency: a pandas alias ("30min", "D"); "": recognised. timezone: an IANA name, the zone of stamps that have none
    (dates, a day or more apart, stay dates) or to which others are moved. UserError names file, line, column and value
    of what cannot be used: cells that are no numbers, doubled stamps, mixed frequencies, hours that clocks skip.
    """
    frame, where, name, digest = as_table(given, name)
    roles, ignored = _roles(frame, columns.with_hints(hints, frame.columns), name)
    notices = [f"Left out, since they are no numbers: {', '.join(ignored)}."] if ignored else []
    stamps, said = _times(frame, roles, where)
    ids, codes = _series(frame, roles, where)
    if isinstance(stamps, pd.DatetimeIndex):
        stamps = _zoned(stamps, codes, timezone, where)
    rows = Rows(
        stamps=stamps,
        codes=codes,
        ids=ids,
        targets=numbers_in(frame, roles.targets, where),
        past=numbers_in(frame, roles.past, where),
        future=numbers_in(frame, roles.future, where),
    )
    rows, sorted_notice = rows.sorted()
    _once(rows, ignored if not roles.id else None, name, where)
    found = Frequency(alias=frequency) if frequency else recognise(rows.longest(), name=name)
    if not timezone:
        _no_skipped_hour(rows.stamps, found, name)
    if not timezone and found.step.kind == "fixed" and getattr(rows.stamps, "tz", None) == datetime.timezone.utc:
        notices.append(
            "Days begin at midnight UTC. If another clock counts, name its zone, like --timezone Europe/Berlin"
        )
    static, levels = _static(frame, roles.static, codes, ids, name)
    groups, assembled = assemble(rows, found, static, target_names=roles.targets, wide=not roles.id, name=name)
    return Panel(
        groups=groups,
        frequency=found,
        name=name,
        past=roles.past,
        future=roles.future,
        static=roles.static,
        targets=roles.targets,
        static_levels=levels,
        sha256=digest or _digest([array for group in groups for array in (group.values, group.past, group.future)]),
        notices=(*notices, *said, *sorted_notice, *assembled),
    )


def tidy(
    ids: Sequence[str],
    stamps: Any,
    horizon: Sequence[int] | np.ndarray,
    y_hat: np.ndarray,
    quantiles: Mapping[float, np.ndarray],
) -> pd.DataFrame:
    """Forecasts as a frame unique_id, ds, horizon, y_hat, q10 ... q90: one row each, all arrays of one length; y_hat in
    original units, `horizon` counts steps from 1."""
    table: dict[str, Any] = {"unique_id": ids, "ds": stamps, "horizon": horizon, "y_hat": y_hat}
    return pd.DataFrame(table | {f"q{level * 100:g}": quantiles[level] for level in sorted(quantiles)})


# -- the table and the role of each column ----------------------------------------------------------------------------


def as_table(given: Any, name: str) -> tuple[pd.DataFrame, Where, str, str]:
    """(the table, how to name a row, the name of all, sha256 of a file) of a file, a frame, a Series or numbers [N].
    UserError for anything else."""
    if isinstance(given, (str, Path)):
        path = Path(given).expanduser()
        name = name or path.name
        frame, first = read_table(path)
        frame = _flat(frame)  # parquet keeps an index
        row_name, digest = ("line" if first else "row"), sha256_file(path)
    else:
        name = name or "the frame"
        frame, first, row_name, digest = _flat(_framed(given, name)), 0, "row", ""
    frame = frame.set_axis([str(column) for column in frame.columns], axis=1).reset_index(drop=True)
    unique(list(frame.columns), name)
    if not len(frame):
        raise UserError(f"{name} has no rows.", "A table needs a line of column names, then a row for each stamp.")
    return frame, lambda row: f"{name}, {row_name} {row + first}", name, digest


def _framed(given: Any, name: str) -> pd.DataFrame | pd.Series:
    """What holds a table, or numbers [N] as the column y."""
    if isinstance(given, (pd.DataFrame, pd.Series)):
        return given
    listed = given.tolist() if isinstance(given, np.ndarray) else given
    if isinstance(listed, (list, tuple)) and all(one is None or isinstance(one, numbers.Real) for one in listed):
        return pd.Series(listed, name="y", dtype=np.float64)
    raise UserError(
        f"{name} cannot be read from this {type(given).__name__}.",
        "Give a pandas frame with a column of dates, a pandas Series, a file's name, or a list of numbers.",
    )


def _flat(given: pd.DataFrame | pd.Series) -> pd.DataFrame:
    """A frame whose index, if it says anything, is a column: `ds` where it has no name and holds times."""
    frame = given.to_frame(given.name if given.name is not None else "y") if isinstance(given, pd.Series) else given
    index = frame.index
    if isinstance(index, (pd.DatetimeIndex, pd.PeriodIndex)):
        index = index.rename(index.name or "ds")
    elif all(one is None for one in index.names):
        return frame
    return frame.set_axis(index, axis=0).reset_index()


def _roles(frame: pd.DataFrame, given: Columns, name: str) -> tuple[Columns, list[str]]:
    """The role of every column, and the columns without one."""
    seen: dict[str, str] = {}
    for role, column in given.named():
        if column not in frame.columns:
            raise UserError(f"{name} has no column {column!r}.", near(column, map(str, frame.columns)))
        if column in seen:
            raise _twice(column, seen[column], role)
        seen[column] = role
    if "unique_id" in frame.columns and "unique_id" not in seen:
        given = replace(given, id=given.id or "unique_id")
    free = [str(column) for column in frame.columns if column not in {*seen, given.id}]
    given = replace(given, time=given.time or _time(frame, free, name))
    free = [column for column in free if column != given.time]
    counted = [column for column in free if _is_number(frame[column])]
    if not given.targets:
        given = replace(given, targets=("y",) if given.id and "y" in counted else tuple(counted))
    if not given.targets:
        hint = f"Its columns are {', '.join(map(str, frame.columns))}."
        raise UserError(f"{name} has no column of numbers to forecast.", hint)
    return given, [column for column in free if column not in counted]


def _twice(column: str, first: str, second: str) -> UserError:
    words = {"targets": "a target", "id": "the series' name", "time": "the time stamp"}
    was, now = (words.get(role, f"a {role} covariate") for role in (first, second))
    if was == now:
        return UserError(f"The column {column!r} is named twice as {was}.", "Name it once.")
    hint = "A future covariate is known in the past too: name it as future only."
    return UserError(
        f"The column {column!r} is named twice, as {was} and as {now}.",
        hint if {first, second} == {"past", "future"} else "Give each column one role.",
    )


def stamp_column(frame: pd.DataFrame, free: Sequence[str]) -> str:
    """Which of the `free` columns holds times: `ds` or the first of dates, else whole numbers by a name for times; ""
    if none does."""
    first = ["ds"] if "ds" in free else []
    for column in first or free:
        if looks_like_dates(frame[column]):
            return column
    for column in free:
        if column.lower() in TIME_NAMES and pd.api.types.is_integer_dtype(frame[column].dtype):
            return column
    return ""


def _time(frame: pd.DataFrame, free: list[str], name: str) -> str:
    """The column that holds times; "" for a table of nothing but numbers."""
    if column := stamp_column(frame, free):
        return column
    odd = [column for column in free if not _is_number(frame[column])]
    if odd:
        raise UserError(
            f"{name} has no column of dates: {odd[0]} begins with {frame[odd[0]].iloc[0]!r}.",
            "Name the column of the stamps: --time. Write them as 2014-01-31 13:30:00.",
        )
    return ""


def _is_number(cells: pd.Series) -> bool:
    """Whether a column is one of numbers: one or the other cell may still be none, which is then an error."""
    if pd.api.types.is_numeric_dtype(cells.dtype):
        return True
    if pd.api.types.is_datetime64_any_dtype(cells.dtype) or isinstance(cells.dtype, pd.PeriodDtype):
        return False
    filled = cells.dropna()
    return len(filled) > 0 and bool(_converted(filled).notna().mean() >= 0.5)


# -- cells ------------------------------------------------------------------------------------------------------------


def _converted(cells: pd.Series) -> pd.Series:
    """Cells as numbers, NaN for those that are none; true and false count as 1 and 0."""
    text = cells.astype(str).str.strip().str.lower().replace({"true": "1", "false": "0"})
    return pd.Series(pd.to_numeric(text, errors="coerce"), index=cells.index)


def numbers_in(frame: pd.DataFrame, names: Sequence[str], where: Where) -> np.ndarray:
    """Columns as float32 [columns, rows]; UserError for the first cell that is no finite number."""
    block = np.empty((len(names), len(frame)), dtype=np.float32)
    for number, name in enumerate(names):
        cells = frame[name]
        numeric = cells if pd.api.types.is_numeric_dtype(cells.dtype) else _converted(cells)
        with np.errstate(over="ignore"):
            block[number] = numeric.to_numpy(dtype=np.float64, na_value=np.nan)
        empty = cells.isna().to_numpy(dtype=bool, copy=True)
        if numeric is not cells:
            empty |= (cells.astype(str).str.strip() == "").to_numpy(dtype=bool)
        bad = np.flatnonzero((np.isnan(block[number]) & ~empty) | np.isinf(block[number]))
        if len(bad):
            row = int(bad[0])
            raise UserError(
                f"{where(row)}: {str(cells.iloc[row])!r} in the column {name} is no number.",
                "Leave a cell empty where nothing was measured.",
            )
    return block


def _times(frame: pd.DataFrame, roles: Columns, where: Where) -> tuple[pd.Index, tuple[str, ...]]:
    if roles.time:
        return read_stamps(frame[roles.time], column=roles.time, where=where)
    if not roles.id:
        return pd.RangeIndex(len(frame)), ("There is no column of dates: steps are counted from 0.",)
    steps = frame.groupby(roles.id, sort=False).cumcount()
    return pd.Index(steps.to_numpy(np.int64)), ("There is no column of dates: each series' steps are counted from 0.",)


def _series(frame: pd.DataFrame, roles: Columns, where: Where) -> tuple[tuple[str, ...], np.ndarray]:
    """The series' names in the order they appear, and the number of each row's series."""
    if not roles.id:
        return ("",), np.zeros(len(frame), dtype=np.int64)
    codes, names = frame[roles.id].factorize()
    if (missing := np.flatnonzero(codes < 0)).size:
        raise UserError(f"{where(int(missing[0]))}: the column {roles.id} is empty.", "Name every row's series.")
    return tuple(str(name) for name in names), codes.astype(np.int64)


def _zoned(stamps: pd.DatetimeIndex, codes: np.ndarray, timezone: str, where: Where) -> pd.DatetimeIndex:
    """Stamps in the zone given; dates without a zone stay dates."""
    if not timezone:
        return stamps
    zone(timezone)
    wall = wall_time(stamps)
    if stamps.tz is None and len(wall) > 1 and (wall % DAY == wall[0] % DAY).all():
        return stamps
    return in_zone(stamps, codes, timezone, where=where)


def _once(rows: Rows, words: Sequence[str] | None, name: str, where: Where) -> None:
    """UserError, naming both rows, if a series has a stamp twice. `words`: the columns that might tell series apart
    (None: one does)."""
    same = (rows.codes[1:] == rows.codes[:-1]) & np.asarray(rows.stamps[1:] == rows.stamps[:-1])
    if not same.any():
        return
    at = int(np.argmax(same))
    stamp, series = rows.stamps[at], rows.ids[rows.codes[at]]
    what = f"{name} has {stamp} twice{f' in series {series}' if series else ''}: {where(rows.order[at])} and "
    changed = clock_zone(stamp) if isinstance(rows.stamps, pd.DatetimeIndex) and rows.stamps.tz is None else ""
    if changed:
        hint = f"If clocks went back then, name their zone: --timezone {changed}"
    else:
        hint = "Keep one of the two."
        if words is not None:
            hint += " If the rows belong to several series, name the column that tells them apart: --id"
            hint += f" {words[0]}" if words else ""
    raise UserError(f"{what}{where(rows.order[at + 1])}.", hint)


def _no_skipped_hour(stamps: pd.Index, frequency: Frequency, name: str) -> None:
    """UserError if clocks seem to have gone forward in stamps without a zone."""
    if not isinstance(stamps, pd.DatetimeIndex) or frequency.step.kind != "fixed":
        return
    missing = skipped_hour(stamps.unique().sort_values(), frequency.step.size)
    if missing is not None:
        raise UserError(
            f"{name} has no {missing}, an hour that clocks skip in {clock_zone(missing)}.",
            f"Name the stamps' zone: --timezone {clock_zone(missing)}; for clocks that never change: --timezone UTC",
        )


def _static(
    frame: pd.DataFrame, names: Sequence[str], codes: np.ndarray, ids: Sequence[str], name: str
) -> tuple[np.ndarray, dict[str, tuple[str, ...]]]:
    """([series, S] float32, the words behind the codes of each column of words)."""
    table = np.empty((len(ids), len(names)), dtype=np.float32)
    levels: dict[str, tuple[str, ...]] = {}
    for number, column in enumerate(names):
        by_series = frame[column].groupby(codes)
        several = np.flatnonzero(by_series.nunique().to_numpy() > 1)
        if len(several):
            who = f" in series {ids[several[0]]}" if ids[several[0]] else ""
            raise UserError(f"{name}: the static column {column} changes{who}.", "Name it as past or future instead.")
        cells = by_series.first()
        if not _is_number(cells):
            words = tuple(sorted({str(cell) for cell in cells.dropna()}))
            levels[column] = words
            cells = cells.map({cell: words.index(str(cell)) for cell in cells.dropna().unique()})
        table[:, number] = _converted(cells).to_numpy(np.float32)
    return table, levels


def _digest(arrays: Sequence[np.ndarray]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
