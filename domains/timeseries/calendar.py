"""What the local calendar says of each stamp, as smooth numbers a network can use.

K features, N stamps.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .frames import pd
from .frequency import DAY, Frequency, wall_time

WAVES = {"day": 2, "week": 3, "year": 2}
"""Sine and cosine pairs for each cycle. Three pairs tell seven weekdays fully apart; the week is that of whole days,
because a Sunday does not fade into Monday."""


def calendar(index: pd.Index, frequency: Frequency) -> tuple[np.ndarray, tuple[str, ...]]:
    """([K, N] float32 from -1 to 1, names): sines and cosines of the place in the day, week and year, on the local
    clock of `index`'s time zone; only of cycles longer than two steps of `frequency`. Plain whole numbers have none."""
    if not isinstance(index, pd.DatetimeIndex):
        return np.empty((0, len(index)), dtype=np.float32), ()
    names, rows = [], []
    for cycle, place in _places(wall_time(index), frequency):
        for wave in range(1, WAVES[cycle] + 1):
            angle = 2 * np.pi * wave * place
            rows += [np.sin(angle), np.cos(angle)]
            names += [f"{cycle} sin {wave}", f"{cycle} cos {wave}"]
    features = np.asarray(rows, dtype=np.float32) if rows else np.empty((0, len(index)), dtype=np.float32)
    return features, tuple(names)


def _places(wall: np.ndarray, frequency: Frequency) -> Iterator[tuple[str, np.ndarray]]:
    """Each cycle that suits the frequency, and where in it (0 to 1) the stamps lie."""
    step = frequency.seconds or 0.0
    days, time = wall // DAY, wall % DAY / DAY
    if step < 86_400 / 2:
        yield "day", time
    if step < 7 * 86_400 / 2:
        yield "week", (days + 3) % 7 / 7  # 1970-01-01 was a Thursday: Monday is 0
    if step < 365 * 86_400 / 2:
        year = days.astype("M8[D]").astype("M8[Y]")
        start, end = (edge.astype("M8[D]").astype(np.int64) for edge in (year, year + np.timedelta64(1, "Y")))
        yield "year", (days - start + time) / (end - start)
