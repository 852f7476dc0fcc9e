"""Returns in figures: their summary, how well they follow what was asked, and D4RL's common scale.

Axes: E episodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

D4RL = {
    "Hopper": (-20.272305, 3234.3),
    "HalfCheetah": (-280.178953, 12135.0),
    "Walker2d": (1.629008, 4592.3),
    "Ant": (-325.6, 3879.7),
}
"""Returns of a random and of an expert policy (Fu et al. 2020, arXiv 2004.07219, `d4rl/infos.py`), measured on the v2
environments of that time; what later versions earn is not quite comparable."""


def reference(env: str) -> tuple[float, float] | None:
    """(random, expert) of D4RL for a gymnasium id; None where it has none."""
    return D4RL.get(env.rpartition("/")[2].partition("-v")[0])


def normalised(returns: Any, setting: Any) -> float | None:
    """The mean of `returns` on the scale on which a random policy has 0 and an expert 100; None without a reference."""
    if setting.reference is None or not np.size(returns):
        return None
    random, expert = setting.reference
    return float(100 * (np.mean(returns) - random) / (expert - random))


def spearman(asked: Any, achieved: Any) -> float:
    """Spearman's rank correlation of two sequences of the same length, ties by their mean rank; NaN where one of them
    does not vary or there are fewer than two."""
    first, second = _ranks(np.asarray(asked, float)), _ranks(np.asarray(achieved, float))
    if len(first) != len(second):
        raise ValueError(f"{len(first)} returns were asked and {len(second)} achieved")
    if len(first) < 2:
        return float("nan")
    first, second = first - first.mean(), second - second.mean()
    size = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / size) if size > 0 else float("nan")


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1 on; equal values share the mean of theirs."""
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[where.ravel()]


def summary_of(returns: Sequence[float] | np.ndarray) -> dict[str, float]:
    """n, mean, std (of the sample, n - 1; 0 for one), median, min and max; all but n are NaN where there is none."""
    values = np.asarray(returns, float)
    if not values.size:
        return {"n": 0, **dict.fromkeys(("mean", "std", "median", "min", "max"), float("nan"))}
    return {
        "n": int(values.size),
        "mean": float(values.mean()),
        "std": float(values.std(ddof=1)) if values.size > 1 else 0.0,
        "median": float(np.median(values)),
        "min": float(values.min()),
        "max": float(values.max()),
    }
