"""Cells of a time column as stamps: texts in any usual form, numbers, time zones and the hours that clocks skip."""

from __future__ import annotations

import contextlib
import datetime
import zoneinfo
from collections.abc import Callable
from typing import Any

import numpy as np

from ...core.errors import UserError, near
from .frames import pd
from .frequency import DAY, SECOND, absolute_time

TIME_NAMES = ("ds", "date", "time", "datetime", "timestamp", "day", "month", "year", "t", "step", "index", "datum",
              "utc")  # fmt: skip
"""Names (in lower case) by which a column of numbers is known to hold times."""
CHANGING = ("Europe/Berlin", "Europe/London", "Europe/Helsinki", "America/New_York", "Australia/Melbourne",
            "Pacific/Auckland")  # fmt: skip
"""Zones whose clocks change at different local times: the stamps that a file lacks tell which rule it follows."""
OFFSET = r"[T ]\d.*(?:Z|[+-]\d.*)$"
DATES = ("%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%m-%d-%Y", "%d-%m-%Y", "%d.%m.%y", "%m/%d/%y", "%d/%m/%y",
         "%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %Y", "%B %Y", "%Y %b", "%Y-%b",
         "%b-%Y", "%b-%y", "%Y.%m.%d", "%YM%m", "%G-W%V-%u")  # fmt: skip
"""Beside ISO 8601. Where two of them read all cells, the one whose stamps are more regular is meant, then the first."""
TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")
Where = Callable[[int], str]
"""How a person finds the row of that number: "line 7 of load.csv"."""


def looks_like_dates(cells: pd.Series) -> bool:
    """Whether the first cell of a column is a date (not: whether all are)."""
    if isinstance(cells.dtype, pd.DatetimeTZDtype) or pd.api.types.is_datetime64_any_dtype(cells.dtype):
        return True
    if isinstance(cells.dtype, pd.PeriodDtype):
        return True
    first = cells.dropna().head(1).astype(str)
    return not pd.api.types.is_numeric_dtype(cells.dtype) and any(_forms(text) for text in _usual(first))


def read_stamps(cells: pd.Series, *, column: str, where: Where) -> tuple[pd.Index, tuple[str, ...]]:
    """The stamps of a column, in its order, with notices: whole numbers, or dates with or without a time zone.

    Cells with offsets from UTC come in UTC. UserError names the first cell that is no date."""
    if (missing := np.flatnonzero(cells.isna())).size:
        raise UserError(f"{where(int(missing[0]))}: the time column {column} is empty.", "Give every row its stamp.")
    if isinstance(cells.dtype, pd.PeriodDtype):
        return pd.DatetimeIndex(cells.dt.to_timestamp()).as_unit("us"), ()
    if pd.api.types.is_datetime64_any_dtype(cells.dtype):
        return pd.DatetimeIndex(cells).as_unit("us"), ()
    if pd.api.types.is_numeric_dtype(cells.dtype):
        return _numbers(cells, column=column, where=where), ()
    texts = cells.astype(str)
    codes, distinct = texts.factorize()
    different = _usual(pd.Series(distinct))
    stamps, notices = _texts(different, lambda row: where(int(np.flatnonzero(codes == row)[0])), column)
    return stamps.take(codes), notices


def _numbers(cells: pd.Series, *, column: str, where: Where) -> pd.Index:
    """Years, dates such as 20140131, seconds or milliseconds since 1970, or plain steps."""
    values = cells.to_numpy(np.float64)
    if (odd := np.flatnonzero(values != np.floor(values))).size:
        row = int(odd[0])
        raise UserError(f"{where(row)}: the time {values[row]:g} in column {column} is no whole number.")
    whole = values.astype(np.int64)
    low, high = int(whole.min()), int(whole.max())
    if column.lower() in ("year", "years") and low >= 1000 and high <= 2999:
        return pd.DatetimeIndex((whole - 1970).astype("M8[Y]").astype("M8[us]"))
    if low >= 19000101 and high <= 29991231:
        return _texts(pd.Series(whole.astype(str)), where, column)[0]
    if low >= 10**8 and high < 10**11:
        return pd.DatetimeIndex((whole * SECOND).astype("M8[us]")).tz_localize("UTC")
    if low >= 10**11 and high < 10**14:
        return pd.DatetimeIndex((whole * 1000).astype("M8[us]")).tz_localize("UTC")
    return pd.Index(whole)


def _texts(texts: pd.Series, where: Where, column: str) -> tuple[pd.DatetimeIndex, tuple[str, ...]]:
    """Different texts as stamps, all in the form that suits them best."""
    first = str(texts.iloc[0])
    offsets = texts.str.contains(OFFSET, regex=True).to_numpy(dtype=bool)
    if offsets.any() and not offsets.all():
        row = int(np.flatnonzero(offsets != offsets[0])[0])
        raise UserError(
            f"{where(row)}: {texts[row]!r} in the time column {column} and {first!r} differ: only one says its offset "
            "from UTC.",
            "Write all stamps in one form, such as 2014-01-31T13:30:00+11:00.",
        )
    read = [_in_form(texts, form, utc=bool(offsets.any())) for form in _forms(first)]
    if not read:
        raise UserError(
            f"{where(0)}: {first!r} in the time column {column} is no date.",
            "Write stamps as 2014-01-31 13:30:00, or name another column: --time",
        )
    left, _, stamps = min(read, key=lambda one: one[:2])
    if left:
        row = int(np.flatnonzero(stamps.isna())[0])
        raise UserError(
            f"{where(row)}: {texts[row]!r} in the time column {column} is not a date written like {first!r}.",
            "Write all stamps in one form, such as 2014-01-31 13:30:00.",
        )
    for odd, _, other in read:
        if not odd and (differs := np.flatnonzero(np.asarray(other != stamps))).size:
            row = int(differs[0])
            how = f"{texts[row]} is read as {stamps[row]:%d %B %Y}, not as {other[row]:%d %B %Y}"
            return stamps, (f"In the time column {column}, {how}.",)
    return stamps, ()


def _usual(texts: pd.Series) -> pd.Series:
    """2014Q2 as 2014-04, 2014W05 as its Monday, "UTC" and " +01:00" as ISO 8601 has them; anything else stays."""
    texts = texts.str.strip().str.replace(r"(:\d\d(?:\.\d+)?) ?(?:UTC|GMT|Z)$", r"\1Z", regex=True)
    texts = texts.str.replace(r"(:\d\d(?:\.\d+)?) ([+-]\d\d:?\d\d)$", r"\1\2", regex=True)
    texts = texts.str.replace(r"^(\d{4})[- ]?W(\d\d)$", r"\1-W\2-1", regex=True)
    return texts.str.replace(r"^(\d{4})[- ]?Q([1-4])$", lambda m: f"{m[1]}-{3 * int(m[2]) - 2:02}", regex=True)


def _forms(text: str) -> list[str]:
    """The forms in which one text is a date."""
    if _in_form(pd.Series([text]), "ISO8601", utc=True)[0] == 0:
        return ["ISO8601"]
    found = []
    for form in (date + time for date in DATES for time in TIMES):
        with contextlib.suppress(ValueError):
            datetime.datetime.strptime(text, form)
            found.append(form)
    return found


def _in_form(texts: pd.Series, form: str, *, utc: bool) -> tuple[int, int, pd.DatetimeIndex]:
    """(how many are no date in this form, how many different distances neighbours have, the stamps)."""
    stamps = pd.DatetimeIndex(pd.to_datetime(texts, format=form, errors="coerce", utc=utc)).as_unit("us")
    distances = np.unique(np.diff(np.unique(absolute_time(stamps)))).size if form != "ISO8601" else 0
    return int(stamps.isna().sum()), int(distances), stamps


# -- time zones -------------------------------------------------------------------------------------------------------


def zone(name: str) -> zoneinfo.ZoneInfo:
    """A time zone by its IANA name. UserError for an unknown one."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        hint = near(name, zoneinfo.available_timezones())
        raise UserError(f"There is no time zone called {name!r}.", hint) from None


def in_zone(stamps: pd.DatetimeIndex, codes: np.ndarray, name: str, *, where: Where) -> pd.DatetimeIndex:
    """Stamps on the local clock of the zone `name` (or with a zone of their own: moved to it), in the order given.

    Where clocks go back, an hour comes twice: of two equal stamps of one series (`codes`) the first is summer time.
    UserError names a local time that clocks skip, or one of the doubled hour that comes only once."""
    there = zone(name)
    if stamps.tz is not None:
        return stamps.tz_convert(there)
    summer, winter = (
        stamps.tz_localize(there, ambiguous=np.full(len(stamps), first), nonexistent="NaT") for first in (True, False)
    )
    if (skipped := np.flatnonzero(summer.isna())).size:
        row = int(skipped[0])
        raise UserError(
            f"{where(row)}: clocks of {name} skip {stamps[row]}.",
            "The stamps are of another zone; for clocks that never change: --timezone UTC",
        )
    doubled = np.flatnonzero(summer != winter)
    if not len(doubled):
        return summer
    frame = pd.DataFrame({"series": codes[doubled], "stamp": stamps[doubled]})
    count = frame.groupby(["series", "stamp"]).cumcount().to_numpy()
    if (alone := np.flatnonzero(~frame.duplicated(keep=False).to_numpy())).size:
        row = int(doubled[alone[0]])
        raise UserError(
            f"{where(row)}: clocks of {name} show {stamps[row]} twice, but the file has it once.",
            "Give stamps with their offset from UTC (2014-04-06T02:30:00+11:00), or --timezone UTC to count them once.",
        )
    later = np.zeros(len(stamps), dtype=bool)
    later[doubled[count > 0]] = True
    return summer.where(~later, winter)


def clock_zone(stamp: Any) -> str:
    """The first of a few zones whose clocks skip or double the local time `stamp`; "" if none does."""
    local = pd.DatetimeIndex([stamp])
    for name in CHANGING:
        first, second = (
            local.tz_localize(name, ambiguous=np.array([early]), nonexistent="NaT") for early in (True, False)
        )
        if first.isna()[0] or first[0] != second[0]:
            return name
    return ""


def skipped_hour(stamps: pd.DatetimeIndex, step: int) -> pd.Timestamp | None:
    """Of sorted stamps without a zone and `step` microseconds apart: the first that is missing because clocks went
    forward, which is told by a hole of just one hour where clocks of a known zone do so. None if there is none."""
    if stamps.tz is not None or step > DAY // 24:
        return None
    times = absolute_time(stamps)
    for row in np.flatnonzero(np.diff(times) == step + DAY // 24):
        missing = stamps[row] + pd.Timedelta(step, unit="us")
        if clock_zone(missing):
            return missing
    return None
