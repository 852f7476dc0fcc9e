"""Whether forecasts of a market beat the naive one, in plain sentences, one for each series."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .finance import Verdict, random_walk_verdict
from .forecast import NAIVE, REPEAT, UNCHANGED, Forecast

WALK = {"price": REPEAT, "return": UNCHANGED, "volatility": REPEAT}
"""The baseline that is a random walk of prices, or on volatility the simplest forecast."""
NAIVES = {*WALK.values(), NAIVE, "exponential mean"}
"""Forecasts that nothing was learnt for."""


def verdicts(forecasts: Sequence[Forecast], *, target: str, stride: int, days: int) -> dict[str, Verdict]:
    """The verdict on each series of forecasts that are in order of time, `stride` steps apart.

    days: returns that a target looks back over.
    """
    rows: dict[str, list[tuple[Forecast, int]]] = {}
    for item in forecasts:
        for row, name in enumerate(item.ids):
            rows.setdefault(name, []).append((item, row))
    found = {}
    naives = NAIVES & set(forecasts[0].others) if forecasts else set()
    for name, places in rows.items():
        naive = {other: np.stack([item.others[other][row] for item, row in places]) for other in sorted(naives)}
        found[name] = random_walk_verdict(
            np.stack([item.truth[row] for item, row in places]),
            np.stack([item.y_hat[row] for item, row in places]),
            naive.pop(WALK[target]),
            target=target,
            others=naive if target == "volatility" else None,
            stride=stride,
            days=days,
            tests=len(rows),
            name=f"{name}: the forecast",
        )
    return found
