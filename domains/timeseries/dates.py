"""Stamps as people read them: in words, and as ticks that lie evenly in time.

Axes: N stamps.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .frames import pd

SECONDS = tuple(
    number * unit
    for unit, numbers in ((1, (1, 2, 5, 10, 15, 30)), (60, (1, 2, 5, 10, 15, 30)), (3600, (1, 2, 3, 6, 12)))
    for number in numbers
)
DAYS = (1, 2, 7, 14)
MONTHS = (1, 2, 3, 6)
YEARS = (1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 1000, 2000)
MONDAY = 4
"""Days from 1970-01-01 to the first Monday."""
EVER = (-700_000.0, 2_900_000.0)
"""Days since 1970 that have a date."""


def plain(stamps: Any) -> list[str]:
    """Stamps [N] in words: the date alone where all are midnights, whole numbers as they are."""
    index = pd.Index(stamps)
    if isinstance(index, pd.DatetimeIndex) and bool((index == index.normalize()).all()):
        return [f"{stamp:%Y-%m-%d}" for stamp in index]
    return [str(stamp) for stamp in index]


def even_ticks(first: float, last: float, zone: Any, most: int) -> np.ndarray:
    """Ticks between two times (days since 1970, UTC), about `most` of them or fewer, the same step apart on the clocks
    and calendar of `zone`: seconds to half days from midnight, days, whole weeks from Mondays, months, years.

    None where less than a few seconds lie between them."""
    first, last = max(first, EVER[0]), min(last, EVER[1])
    span, most = last - first, max(2, most)
    rulers = [
        *((seconds / 86_400, "s", seconds) for seconds in SECONDS),
        *((days, "D", days) for days in DAYS),
        *((30.44 * months, "M", months) for months in MONTHS),
        *((365.25 * years, "Y", years) for years in YEARS),
    ]
    found = np.empty(0)
    for length, unit, size in rulers:
        if span / length > most:
            continue
        found = _on_ruler(first, last, zone, unit, size)
        if len(found) <= most:
            break
    return found


def _on_ruler(first: float, last: float, zone: Any, unit: str, size: int) -> np.ndarray:
    """Every `size`-th second, day, month or year, counted from a midnight, Monday, January or year 0."""
    edges = _local(np.array([first, last]), zone)
    ruler = edges.astype(f"datetime64[{unit}]").astype(np.int64)
    shift = {"D": MONDAY if size % 7 == 0 else 0, "Y": -1970}.get(unit, 0)
    low, high = (ruler - shift) // size
    numbers = np.arange(low - 1, high + 2) * size + shift
    walls = numbers.astype(f"datetime64[{unit}]").astype("datetime64[us]")
    near = np.timedelta64(2, "D")
    walls = pd.DatetimeIndex(walls[(walls > edges[0] - near) & (walls < edges[1] + near)])
    # An hour that clocks skip begins when they go on; of one that comes twice, the first.
    utc = walls.tz_localize(zone, ambiguous=np.ones(len(walls), bool), nonexistent="shift_forward").tz_convert("UTC")
    days = utc.tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64) / 86_400e6
    return np.unique(days[(days >= first) & (days <= last)])


def _local(days: np.ndarray, zone: Any) -> np.ndarray:
    """What clocks in `zone` show at these times (days since 1970, UTC)."""
    utc = pd.DatetimeIndex(np.round(days * 86_400e6).astype(np.int64).astype("datetime64[us]")).tz_localize("UTC")
    return utc.tz_convert(zone).tz_localize(None).to_numpy().astype("datetime64[us]")
