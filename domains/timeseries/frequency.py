"""The regular step of a timeline: recognised from its stamps, continued beyond them, with its seasons.

Steps below a day are regular in absolute time (a day has 23, 24 or 25 hours where clocks change); days and longer are
regular on the local calendar. Every stamp has a place on the frequency's endless ruler: a number and a phase. Stamps of
one series share one phase; neighbours differ by one in their numbers.

N stamps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import UserError
from .frames import pd

if TYPE_CHECKING:
    from collections.abc import Sequence

SECOND = 1_000_000
"""Microseconds, the unit of all arithmetic here."""
DAY = 86_400 * SECOND
FIXED = (("h", 3600 * SECOND), ("min", 60 * SECOND), ("s", SECOND), ("ms", 1000), ("us", 1))
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
OLD = {"T": "min", "H": "h", "S": "s", "L": "ms", "M": "ME", "BM": "BME", "Q": "QE", "A": "YE", "Y": "YE", "AS": "YS"}
"""Aliases of pandas before 2.2, which many files and habits still carry."""
KNOWN = "Known are 30min, h, D, B (Monday to Friday), W, MS, ME, QS, YS and multiples such as 15min."


@dataclass(frozen=True, kw_only=True)
class Step:
    """A frequency taken apart: `kind` is "integer", "fixed", "days", "business" or "months", `size` is in steps,
    microseconds, days, business days or months; `end`: counted from the end of the month."""

    kind: str
    size: int
    end: bool = False


@dataclass(frozen=True, kw_only=True)
class Frequency:
    """A regular step, by its pandas offset alias: "30min", "h", "D", "B", "W-SUN", "MS", "QS", "YS" ...

    "" is one step of plain whole numbers, "10" ten of them. UserError for an alias that names no regular step.
    """

    alias: str

    def __post_init__(self) -> None:
        _ = self.step

    @cached_property
    def step(self) -> Step:
        """What the alias means."""
        if not self.alias or self.alias.isdigit():
            return _checked(Step(kind="integer", size=int(self.alias or 1)), self.alias)
        number = self.alias[: len(self.alias) - len(self.alias.lstrip("0123456789"))]
        unit, _, anchor = self.alias[len(number) :].partition("-")
        try:
            offset: Any = pd.tseries.frequencies.to_offset(number + OLD.get(unit, unit) + (f"-{anchor}" * bool(anchor)))
        except ValueError as error:
            raise UserError(f"The frequency {self.alias!r} is not known.", KNOWN) from error
        return _checked(_step(offset), self.alias)

    @property
    def seasons(self) -> tuple[int, ...]:
        """Steps after which things come again, shortest first: 30min (48, 336), D (7,), MS (12,); (1,) where none."""
        kind, size = self.step.kind, self.step.size
        if kind == "fixed":
            hour = (DAY // 24,) if size < 60 * SECOND else ()
            found = tuple(cycle // size for cycle in (*hour, DAY, 7 * DAY) if cycle % size == 0 and cycle > size)
        elif kind == "days":
            found = (7,) * (size == 1) + (52,) * (size == 7)
        elif kind == "months":
            found = (12 // size,) if 12 % size == 0 and size < 12 else ()
        else:
            found = (5,) if kind == "business" and size == 1 else ()
        return found or (1,)

    @property
    def seconds(self) -> float | None:
        """Seconds of a step, on average for months and business days; None for whole numbers."""
        units = {"fixed": 1 / SECOND, "days": 86_400, "business": 86_400 * 7 / 5, "months": 86_400 * 365.25 / 12}
        return None if self.step.kind == "integer" else self.step.size * units[self.step.kind]

    @property
    def steps_per_year(self) -> float | None:
        """Steps in 365.25 days; None for whole numbers."""
        return None if self.seconds is None else 365.25 * 86_400 / self.seconds

    def after(self, last: Any, steps: int) -> pd.Index:
        """The `steps` stamps that follow the stamp `last`, in its time zone."""
        return self.ruler(last, steps + 1)[1:]

    def ruler(self, first: Any, periods: int) -> pd.Index:
        """`periods` stamps from `first` on, without a gap. Local times that clocks skip move to the next that is."""
        kind, size = self.step.kind, self.step.size
        steps = np.arange(periods, dtype=np.int64)
        if kind == "integer":
            return pd.RangeIndex(int(first), int(first) + periods * size, size)
        start = pd.DatetimeIndex([first])
        if kind == "fixed":
            absolute = _stamps(absolute_time(start) + steps * size)
            return absolute if start.tz is None else absolute.tz_localize("UTC").tz_convert(start.tz)
        wall = int(wall_time(start)[0])
        if kind == "months":
            months = _month(np.array([wall])) + steps * size
            edge = months + self.step.end
            local = _month_start(edge) + (wall - int(_month_start(edge[:1])[0]))
        elif kind == "business":
            day = np.datetime64(wall // DAY, "D")
            local = np.busday_offset(day, steps * size, roll="forward").astype(np.int64) * DAY + wall % DAY
        else:
            local = wall + steps * size * DAY
        stamps = _stamps(local)
        if start.tz is None:
            return stamps
        return stamps.tz_localize(start.tz, ambiguous=np.ones(periods, dtype=bool), nonexistent="shift_forward")

    def places(self, index: pd.Index) -> tuple[np.ndarray, np.ndarray]:
        """Each stamp's number on the ruler and its phase, both [N] int64."""
        kind, size = self.step.kind, self.step.size
        if kind == "integer":
            return np.divmod(index.to_numpy(np.int64), size)
        if kind == "fixed":
            return np.divmod(absolute_time(index), size)
        wall = wall_time(index)
        if kind == "months":
            months = _month(wall)
            number, phase = np.divmod(months, size)
            return number, phase * 64 * DAY + np.abs(wall - _month_start(months + self.step.end))
        if kind == "business":
            days = wall // DAY
            weekend = ~np.is_busday(days.astype("M8[D]"))
            number = np.busday_count(np.datetime64(0, "D"), days.astype("M8[D]")) // size
            return number.astype(np.int64), wall % DAY + weekend * DAY
        return np.divmod(wall, size * DAY)


def recognise(index: pd.Index, *, name: str) -> Frequency:
    """The step of sorted stamps without doubles, where some may be missing: the commonest distance between neighbours.

    UserError, which names the stamp, where there is but one, or where not all of them lie on that step.
    """
    if len(index) < 2:
        held = f"only the stamp {index[0]}" if len(index) else "no stamp"
        raise UserError(f"{name} holds {held}: no frequency can be seen in it.", "Give it: --frequency h")
    found = Frequency(alias=_alias(index))
    _, phase = found.places(index)
    fitting = int((phase == _commonest(phase)).sum())
    if fitting * 2 < len(index):
        raise UserError(
            f"{name} has no regular step: of its {len(index):,} stamps only {fitting:,} lie on the commonest one, "
            f"{found.alias}.",
            "Sum or average the rows to a step first, such as 30min or D.",
        )
    check_steps(found, index, name=name)
    return found


def check_steps(
    frequency: Frequency,
    index: pd.Index,
    *,
    name: str,
    starts: np.ndarray | None = None,
    ids: Sequence[object] | np.ndarray = ("",),
) -> tuple[np.ndarray, np.ndarray]:
    """`places` of sorted stamps, of one series or of several one after another (`starts`: where each begins, `ids`:
    their names). UserError, naming series and stamps, where a stamp lies off the step or a stretch has another one."""
    number, phase = frequency.places(index)
    first = np.zeros(1, dtype=np.int64) if starts is None else starts
    series = np.zeros(len(index), dtype=np.int64)
    series[first[1:]] = 1
    series = np.cumsum(series)
    inside = series[1:] == series[:-1]
    off = np.flatnonzero(inside & (np.diff(phase) != 0)) + 1
    if len(off):
        raise _off_step(frequency, index, int(off[0]), _who(name, ids[int(series[off[0]])]))
    steps = np.where(inside, np.diff(number), 0)
    if (row := _other_step(steps, first, series)) is not None:
        other = _length(index[row + 1] - index[row])
        raise UserError(
            f"{_who(name, ids[int(series[row])])} mixes frequencies: from {index[row]} on its step is {other}, "
            f"not {frequency.alias or 1}.",
            "Bring all rows to one step, or split the file.",
        )
    return number, phase


def absolute_time(index: pd.Index) -> np.ndarray:
    """Microseconds since 1970 in UTC (of stamps without a zone: on their own clock), [N] int64."""
    return pd.DatetimeIndex(index).as_unit("us").asi8


def wall_time(index: pd.Index) -> np.ndarray:
    """Microseconds since 1970 on the local clock, [N] int64."""
    return pd.DatetimeIndex(index).as_unit("us").tz_localize(None).asi8


# -- an alias taken apart ---------------------------------------------------------------------------------------------


def _step(offset: Any) -> Step | None:
    kinds = pd.offsets
    if isinstance(offset, kinds.Day):  # before Tick: a Day was one until pandas 3
        return Step(kind="days", size=offset.n)
    if isinstance(offset, kinds.Tick):
        return Step(kind="fixed", size=int(pd.Timedelta(offset).value) // 1000)
    if isinstance(offset, kinds.Week):
        return Step(kind="days", size=7 * offset.n)
    if type(offset) is kinds.BusinessDay:
        return Step(kind="business", size=offset.n)
    months = ((kinds.MonthBegin, kinds.MonthEnd, 1), (kinds.QuarterBegin, kinds.QuarterEnd, 3),
              (kinds.YearBegin, kinds.YearEnd, 12))  # fmt: skip
    for begin, end, count in months:
        if type(offset) in (begin, end):
            return Step(kind="months", size=count * offset.n, end=type(offset) is end)
    return None


def _checked(step: Step | None, alias: str) -> Step:
    if step is None or step.size < 1:
        raise UserError(f"The frequency {alias!r} is no regular step.", KNOWN)
    return step


def _stamps(micro: np.ndarray) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(micro.astype("M8[us]"))


def _month(wall: np.ndarray) -> np.ndarray:
    """Months since 1970."""
    return wall.astype("M8[us]").astype("M8[M]").astype(np.int64)


def _month_start(months: np.ndarray) -> np.ndarray:
    return months.astype("M8[M]").astype("M8[us]").astype(np.int64)


# -- recognising ------------------------------------------------------------------------------------------------------


def _alias(index: pd.Index) -> str:
    """The alias of the commonest distance."""
    if not isinstance(index, pd.DatetimeIndex):
        step = _commonest(np.diff(index.to_numpy(np.int64)))
        return "" if step == 1 else str(step)
    wall, absolute = wall_time(index), absolute_time(index)
    step = _commonest(np.diff(wall))
    if _constant(absolute % DAY) and not _constant(wall % DAY):  # 24 hours apart, whatever local clocks do
        return _times(_commonest(np.diff(absolute)) // FIXED[0][1], "h")
    if step >= 28 * DAY and (alias := _months(wall)):
        return alias
    if step >= DAY and step % DAY == 0:
        return _days(wall, step // DAY)
    step = _commonest(np.diff(absolute))
    unit, size = next((unit, size) for unit, size in FIXED if step % size == 0)
    return _times(step // size, unit)


def _months(wall: np.ndarray) -> str:
    """A step of months, if all stamps lie on the same day of theirs or on the last; "" if not."""
    months = _month(wall)
    start, end = wall - _month_start(months), _month_start(months + 1) - wall
    at_end = _constant(end) and end[0] <= DAY
    if not at_end and not _constant(start):
        return ""
    size = _commonest(np.diff(months))
    letter, month = ("E" if at_end else "S"), int(months[0] % 12)
    if size % 12 == 0:
        usual = month == (11 if at_end else 0)
        return _times(size // 12, "Y" + letter) + f"-{MONTHS[month]}" * (not usual)
    if size % 3 == 0:
        month = month % 3 if letter == "S" else (month + 1) % 3 + 11
        usual = month in (0, 11)
        return _times(size // 3, "Q" + letter) + f"-{MONTHS[month % 12]}" * (not usual)
    return _times(size, "M" + letter)


def _days(wall: np.ndarray, days: int) -> str:
    """A step of days: business days where weekends are always left out."""
    weekday = (wall // DAY + 3) % 7  # 1970-01-01 was a Thursday
    if days == 1 and (weekday < 5).all() and (np.diff(weekday) < 0).any():
        return "B"
    if days % 7 == 0:
        return _times(days // 7, f"W-{WEEKDAYS[int(weekday[0])]}")
    return _times(days, "D")


def _times(count: int, unit: str) -> str:
    return unit if count == 1 else f"{count}{unit}"


def _constant(values: np.ndarray) -> bool:
    return bool((values == values[0]).all())


def _commonest(values: np.ndarray) -> int:
    """The value seen most often, the smallest of those that tie."""
    found, counts = np.unique(values, return_counts=True)
    return int(found[np.argmax(counts)])


# -- stamps that do not fit -------------------------------------------------------------------------------------------


def _off_step(frequency: Frequency, index: pd.Index, row: int, who: str) -> UserError:
    hint = "Bring all rows to one step, or split the file."
    if isinstance(index, pd.DatetimeIndex) and frequency.step.kind in ("days", "business", "months"):
        hint += " If the days begin at a local midnight, name its zone, like --timezone Europe/Berlin"
    return UserError(
        f"{who} mixes frequencies: the stamp {index[row]} does not lie on its step of {frequency.alias or 1}. "
        f"It follows {index[row - 1]}, {_length(index[row] - index[row - 1])} later.",
        hint,
    )


def _length(distance: Any) -> str:
    """The distance of two stamps in words: 30 min, 1 h, 2 days; of whole numbers as it is."""
    if not isinstance(distance, pd.Timedelta):
        return str(distance)
    micro = int(distance.value) // 1000
    unit, size = next((unit, size) for unit, size in (("day", DAY), *FIXED) if micro % size == 0)
    count = micro // size
    return f"{count:,} {unit}{'s' if unit == 'day' and count != 1 else ''}"


def _other_step(steps: np.ndarray, starts: np.ndarray, series: np.ndarray) -> int | None:
    """The first row of a stretch with a longer step of its own; None for gaps that come and go.

    A stretch is 12 equal distances in a row, or 3 if they are a fifth of the series: with a fifth of the rows missing
    at random, 12 equal gaps in a row are seen once in ten million."""
    change = np.flatnonzero(np.diff(steps)) + 1
    begins = np.concatenate([[0], change])
    lengths = np.diff(np.concatenate([begins, [len(steps)]]))
    rows = np.diff(np.concatenate([starts, [len(series)]]))
    size = rows[series[begins]] - 1 if len(steps) else np.zeros(0)
    long = (lengths >= 12) | ((lengths >= 3) & (lengths >= 0.2 * size))
    found = begins[: len(lengths)][long & (steps[begins] > 1)] if len(steps) else begins[:0]
    return int(found[0]) if len(found) else None


def _who(name: str, series: object) -> str:
    return f"{name}, series {series}," if str(series) else name
