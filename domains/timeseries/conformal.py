"""Bands that hold what they promise: split-conformal calibration of quantile forecasts on windows not trained on.

Conformalised quantile regression (Romano, Patterson & Candès 2019, arXiv 1905.03222), for each step of the horizon and
each pair of levels: how far the truth lay outside the band [low, high] is a score, max(low - y, y - high), negative
inside; the band is widened by the ceil((n + 1)(1 - alpha))-th smallest of n scores, which may narrow it. If calibration
and new windows are exchangeable, the truth then lies in a 1 - alpha band with a probability from 1 - alpha to
1 - alpha + 1 / (n + 1). Windows of a series are exchangeable only as far as its errors keep their size over time.

Axes: M calibration windows, B... any axes, Q quantile levels, H horizon steps, P pairs of levels (outermost first).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True, eq=False)
class Conformal:
    """How much each band is widened. Make one with `fit`, or `from_dict` with what `to_dict` gave."""

    levels: tuple[float, ...]
    widening: np.ndarray
    """[P, H] float64 in the forecasts' unit, added on both sides; negative narrows."""
    counts: np.ndarray
    """[H] calibration windows observed at each step."""

    @classmethod
    def fit(cls, y: np.ndarray, quantiles: np.ndarray, levels: Sequence[float]) -> Conformal:
        """Calibrate on y [M, H] (NaN: not observed, left out) and quantiles [M, Q, H] forecast for it.

        Several series go in as further windows if one widening shall serve all. A step without any observed window is
        not widened. Raises ValueError for levels that are not symmetric about 0.5, or shapes that do not fit.
        """
        levels = tuple(float(level) for level in levels)
        pairs = _pairs(levels)
        if quantiles.shape != (y.shape[0], len(levels), y.shape[1]):
            raise ValueError(f"quantiles {quantiles.shape} do not fit y {y.shape} and {len(levels)} levels")
        y = np.where(np.isnan(quantiles).any(axis=1), np.nan, y)  # where nothing was forecast nothing is learnt
        widening = np.zeros((len(pairs), y.shape[1]))
        counts = (~np.isnan(y)).sum(axis=0)
        for pair, (low, high) in enumerate(pairs):
            score = np.sort(np.maximum(quantiles[:, low] - y, y - quantiles[:, high]), axis=0)  # [M, H], NaN last
            rank = np.minimum(_rank(counts, levels[high] - levels[low]), counts)
            chosen = np.take_along_axis(score, np.maximum(rank - 1, 0)[None], axis=0)[0]
            widening[pair] = np.where(counts > 0, chosen, 0)
        return cls(levels=levels, widening=widening, counts=counts)

    @property
    def short(self) -> np.ndarray:
        """[P, H] bool: where windows are too few for the promise. It would take an infinite band; the largest score is
        used instead, whose band holds with a probability of at least n / (n + 1)."""
        bands = [self.levels[high] - self.levels[low] for low, high in _pairs(self.levels)]
        return np.stack([_rank(self.counts, band) > self.counts for band in bands])

    @property
    def notices(self) -> tuple[str, ...]:
        """What the person should know: bands calibrated on too few windows, or nothing."""
        if not self.short.any():
            return ()
        pair = int(np.argmax(self.short.any(axis=1)))
        low, high = _pairs(self.levels)[pair]
        band = self.levels[high] - self.levels[low]
        need = math.ceil(band / (1 - band) - 1e-9)
        return (
            f"The {band:.0%} band was calibrated on {int(self.counts.min())} windows, fewer than the {need} it takes: "
            "it is widened by the largest error seen and may hold less often than it says.",
        )

    def apply(self, quantiles: np.ndarray) -> np.ndarray:
        """Widen quantiles [B..., Q, H], never decreasing along Q -> the same shape and type, still in order.

        Steps beyond those calibrated take the last one's widening. Where narrowing or unequal widening would let bands
        cross, the outer one is moved out to the inner: a band only ever grows by that.
        """
        if quantiles.shape[-2] != len(self.levels):
            raise ValueError(f"{quantiles.shape[-2]} quantiles do not fit {len(self.levels)} levels")
        step = np.minimum(np.arange(quantiles.shape[-1]), self.widening.shape[1] - 1)
        widening = self.widening[:, step].astype(quantiles.dtype)  # [P, H]
        wide = quantiles.copy()
        pairs = _pairs(self.levels)
        # The innermost band may not cross the median, or where there is none its own middle.
        low, high = pairs[-1]
        middle = (
            (quantiles[..., low, :] + quantiles[..., high, :]) / 2 if high - low == 1 else quantiles[..., low + 1, :]
        )
        inner_low = inner_high = middle
        for pair, (low, high) in reversed(list(enumerate(pairs))):
            inner_low = wide[..., low, :] = np.minimum(quantiles[..., low, :] - widening[pair], inner_low)
            inner_high = wide[..., high, :] = np.maximum(quantiles[..., high, :] + widening[pair], inner_high)
        return wide

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "levels": list(self.levels), "widening": self.widening.tolist(), "counts": self.counts.tolist(),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Conformal:
        """What `to_dict` gave."""
        return cls(
            levels=tuple(given["levels"]),
            widening=np.asarray(given["widening"], dtype=np.float64),
            counts=np.asarray(given["counts"], dtype=np.int64),
        )


def flat(y_hat: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """A point forecast as quantiles without any width, for `Conformal` to widen: [B..., H] -> [B..., Q, H].

    The bands are then absolute errors' quantiles; this gives bands to a baseline, or to a head that knows none.
    """
    return np.repeat(y_hat[..., None, :], len(levels), axis=-2)


def _pairs(levels: Sequence[float]) -> list[tuple[int, int]]:
    """Indices of lower and upper level, outermost first; a median in the middle belongs to none."""
    count = len(levels)
    pairs = [(low, count - 1 - low) for low in range(count // 2)]
    symmetric = all(abs(levels[low] + levels[high] - 1) < 1e-6 and levels[low] < levels[high] for low, high in pairs)
    if not pairs or not symmetric or (count % 2 and abs(levels[count // 2] - 0.5) > 1e-6):
        raise ValueError(f"levels must be symmetric about 0.5, which {tuple(levels)} are not")
    return pairs


def _rank(counts: np.ndarray, band: float) -> np.ndarray:
    """Which smallest score of n makes a band hold: ceil((n + 1) band); above n where no score does."""
    return np.ceil((counts + 1) * band - 1e-9).astype(np.int64)
