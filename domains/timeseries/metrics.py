"""How good forecasts are, over all steps or for each, and whether one is really better than another.

Axes: B... any axes of series and origins, H horizon steps, Q quantile levels, T origins in order of time.

A NaN in the truth y means not observed: that point is left out everywhere. A NaN in a forecast of an observed point
makes the score NaN, as a forecaster must not be excused where it said nothing. With no observed point a score is NaN.
Errors are taken in the arrays' own type and summed in float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.errors import missing_extra


def mae(y: np.ndarray, y_hat: np.ndarray) -> float:
    """Mean absolute error, in the series' unit. y, y_hat [B..., H]."""
    return float(_mean(np.abs(y - y_hat), ~np.isnan(y)))


def mse(y: np.ndarray, y_hat: np.ndarray) -> float:
    """Mean squared error, in the unit's square. y, y_hat [B..., H]."""
    return float(_mean(np.square(y - y_hat), ~np.isnan(y)))


def rmse(y: np.ndarray, y_hat: np.ndarray) -> float:
    """Root of the mean squared error, in the series' unit. y, y_hat [B..., H]."""
    return math.sqrt(mse(y, y_hat))


def smape(y: np.ndarray, y_hat: np.ndarray) -> float:
    """Symmetric mean absolute percentage error, 0 to 200 %, as in M4: 200 |y - y_hat| / (|y| + |y_hat|).

    A point that is zero in both counts as no error. y, y_hat [B..., H].
    """
    return float(_mean(_symmetric(y, y_hat), ~np.isnan(y)))


def mase(y: np.ndarray, y_hat: np.ndarray, scale: np.ndarray) -> float:
    """Mean absolute scaled error (Hyndman & Koehler 2006): 1 is as far off as seasonal naive was in training.

    y, y_hat [B..., H]; scale from `seasonal_scale`, of a shape that broadcasts to [B...]. Series without a usable scale
    (constant in training) are left out, never infinite: `usable_scale` says which. NaN where none is left.
    """
    scaled, observed = _scaled(y, y_hat, scale)
    return float(_mean(scaled, observed))


def seasonal_scale(history: np.ndarray, season: int) -> np.ndarray:
    """What MASE divides by: the mean absolute difference over one season. Training history [C, N] -> [C] float64.

    Pairs with a NaN are left out. A history not longer than a season is judged by its steps (season 1), as the naive
    forecast then is. 0 for a constant series, NaN where there is no pair: see `usable_scale`.
    """
    lag = season if history.shape[-1] > season else 1
    difference = np.abs(history[..., lag:] - history[..., :-lag])
    return _mean(difference, ~np.isnan(difference), axes=-1)


def usable_scale(scale: np.ndarray) -> np.ndarray:
    """Which series MASE counts [C] bool: those whose scale is a number above 0."""
    return np.isfinite(scale) & (np.asarray(scale) > 0)


def pinball(y: np.ndarray, quantiles: np.ndarray, levels: Sequence[float]) -> float:
    """Mean pinball (quantile) loss over points and levels, in the series' unit. y [B..., H], quantiles [B..., Q, H]."""
    observed = ~np.isnan(y)
    return float(np.mean([_mean(loss, observed) for loss in _pinballs(y, quantiles, levels)]))


def wql(y: np.ndarray, quantiles: np.ndarray, levels: Sequence[float]) -> float:
    """Weighted quantile loss: twice the summed pinball loss over the summed |y|, the mean over levels (GluonTS).

    y [B..., H], quantiles [B..., Q, H]. NaN where the truth is zero throughout.
    """
    size = _mean(np.abs(y), ~np.isnan(y))
    return 2 * pinball(y, quantiles, levels) / float(size) if size else math.nan


def coverage(y: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """The part of the observed points inside the band, its edges included, 0 to 1. All [B..., H]."""
    return float(_mean(_inside(y, low, high), ~np.isnan(y)))


def width(low: np.ndarray, high: np.ndarray) -> float:
    """Mean width of a band, in the series' unit. Both [B..., H]."""
    return float(np.mean(high - low, dtype=np.float64))


def scores(
    y: np.ndarray,
    y_hat: np.ndarray,
    quantiles: np.ndarray | None = None,
    levels: Sequence[float] = (),
    scale: np.ndarray | None = None,
) -> dict[str, float]:
    """Every score over all points: mae, rmse, mse, smape; mase with `scale`; with quantiles [B..., Q, H] also pinball,
    wql, and coverage_80 and width_80 (and so on) for each pair of levels that lie equally far from the median."""
    found = _scores(y, y_hat, quantiles, levels, scale, axes=None)
    return {name: float(value) for name, value in found.items()}


def per_step(
    y: np.ndarray,
    y_hat: np.ndarray,
    quantiles: np.ndarray | None = None,
    levels: Sequence[float] = (),
    scale: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """The same as `scores` for each step of the horizon: arrays [H] float64."""
    return _scores(y, y_hat, quantiles, levels, scale, axes=tuple(range(y.ndim - 1)))


def band_pairs(levels: Sequence[float]) -> list[tuple[int, int, int]]:
    """(index of the lower level, of the upper, band in %) for levels equally far from the median, widest first.

    >>> band_pairs((0.1, 0.25, 0.5, 0.75, 0.9))
    [(0, 4, 80), (1, 3, 50)]
    """
    pairs = [
        (low, high, round(100 * (levels[high] - levels[low])))
        for low in range(len(levels))
        for high in range(low + 1, len(levels))
        if abs(levels[low] + levels[high] - 1) < 1e-6
    ]
    return sorted(pairs, key=lambda pair: -pair[2])


@dataclass(frozen=True, kw_only=True)
class DM:
    """A Diebold-Mariano test. Positive `statistic` and `difference`: the first forecast loses more than the second."""

    statistic: float
    p_value: float
    difference: float
    """Mean of the first loss less the second, in the loss's unit."""
    count: int
    """Origins compared."""

    def to_json(self) -> dict[str, Any]:
        """Plain data; what is not a finite number (constant differences, too few origins) becomes None."""
        return {key: value if math.isfinite(value) else None for key, value in vars(self).items()}


def diebold_mariano(loss_a: np.ndarray, loss_b: np.ndarray, *, horizon: int) -> DM:
    """Are two forecasts' losses [T], at the same origins in order of time, equal on average? Two-sided.

    The loss of one origin is one number (its mean absolute error over the horizon, say). Diebold & Mariano 1995 with
    the small-sample correction and Student's t of Harvey, Leybourne & Newbold 1997; the variance of the mean is Newey &
    West's (1987) with `horizon` - 1 lags, since forecasts from neighbouring origins share that many steps: give the
    horizon in origins, so 1 where origins lie a whole horizon apart.

    Origins with a NaN in either are left out. Identical losses give statistic 0, p 1; a difference that never varies
    gives an infinite statistic, p 0; no more origins than `horizon` give NaN: nothing can be said.
    Raises UserError where scipy is not installed.
    """
    loss_a, loss_b = np.asarray(loss_a, dtype=np.float64), np.asarray(loss_b, dtype=np.float64)
    if loss_a.shape != loss_b.shape or loss_a.ndim != 1:
        raise ValueError(f"expected two losses [T], not {loss_a.shape} and {loss_b.shape}")
    if horizon < 1:
        raise ValueError(f"the horizon is at least 1, not {horizon}")
    difference = loss_a - loss_b
    difference = difference[~np.isnan(difference)]
    count = len(difference)
    if count <= horizon:
        mean = float(difference.mean()) if count else math.nan
        return DM(statistic=math.nan, p_value=math.nan, difference=mean, count=count)
    mean = float(difference.mean())
    if np.ptp(difference) <= 1e-12 * np.abs(difference).max():  # the same everywhere, up to rounding
        certain = mean != 0
        statistic = math.copysign(math.inf, mean) if certain else 0.0
        return DM(statistic=statistic, p_value=0.0 if certain else 1.0, difference=mean, count=count)
    variance = _long_run_variance(difference - mean, horizon - 1) / count
    correction = (count + 1 - 2 * horizon + horizon * (horizon - 1) / count) / count
    statistic = mean / math.sqrt(variance) * math.sqrt(correction)
    return DM(statistic=statistic, p_value=_two_sided(statistic, count - 1), difference=mean, count=count)


def _long_run_variance(centred: np.ndarray, lags: int) -> float:
    """Newey-West: autocovariances up to `lags` with weights that fall to zero, which keeps the sum above zero."""
    total = float(centred @ centred)
    for lag in range(1, lags + 1):
        total += 2 * (1 - lag / (lags + 1)) * float(centred[lag:] @ centred[:-lag])
    return total / len(centred)


def _two_sided(statistic: float, freedom: int) -> float:
    """The probability that |t| is at least this large."""
    try:
        from scipy.special import stdtr
    except ModuleNotFoundError as error:
        raise missing_extra("scipy", "timeseries") from error
    return float(2 * stdtr(freedom, -abs(statistic)))


def _mean(values: np.ndarray, observed: np.ndarray, axes: Any = None) -> np.ndarray:
    """The mean of the observed values over `axes` (None: all), float64; NaN where nothing was observed."""
    count = np.asarray(observed.sum(axis=axes), dtype=np.float64)
    total = np.asarray(np.sum(values, axis=axes, where=observed, dtype=np.float64))
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _symmetric(y: np.ndarray, y_hat: np.ndarray) -> np.ndarray:
    size = np.abs(y) + np.abs(y_hat)
    return np.divide(200 * np.abs(y - y_hat), size, out=np.zeros_like(size), where=size != 0)


def _scaled(y: np.ndarray, y_hat: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Errors over the series' scale, and which of them count; both [B..., H]."""
    scale = np.broadcast_to(np.asarray(scale, dtype=np.float64), y.shape[:-1])[..., None]  # [B..., 1]
    usable = usable_scale(scale)
    return np.abs(y - y_hat) / np.where(usable, scale, 1), ~np.isnan(y) & usable


def _pinballs(y: np.ndarray, quantiles: np.ndarray, levels: Sequence[float]) -> Iterator[np.ndarray]:
    """The pinball loss at each level [B..., H], one after the other to save memory."""
    if quantiles.shape[-2] != len(levels):
        raise ValueError(f"{quantiles.shape[-2]} quantiles do not fit {len(levels)} levels")
    for number, level in enumerate(levels):
        error = y - quantiles[..., number, :]
        yield np.maximum(level * error, (level - 1) * error)


def _inside(y: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """1 inside, 0 outside, NaN where the band or the truth is."""
    known = ~(np.isnan(y) | np.isnan(low) | np.isnan(high))
    return np.where(known, (y >= low) & (y <= high), np.nan)


def _scores(
    y: np.ndarray,
    y_hat: np.ndarray,
    quantiles: np.ndarray | None,
    levels: Sequence[float],
    scale: np.ndarray | None,
    *,
    axes: Any,
) -> dict[str, np.ndarray]:
    """The scores of `scores`, means over `axes` (None: all)."""
    observed = ~np.isnan(y)
    squared = _mean(np.square(y - y_hat), observed, axes)
    found = {
        "mae": _mean(np.abs(y - y_hat), observed, axes),
        "rmse": np.sqrt(squared),
        "mse": squared,
        "smape": _mean(_symmetric(y, y_hat), observed, axes),
    }
    if scale is not None:
        found["mase"] = _mean(*_scaled(y, y_hat, scale), axes)
    if quantiles is None:
        return found
    found["pinball"] = np.mean([_mean(loss, observed, axes) for loss in _pinballs(y, quantiles, levels)], axis=0)
    size = _mean(np.abs(y), observed, axes)
    found["wql"] = np.divide(2 * found["pinball"], size, out=np.full(size.shape, np.nan), where=size > 0)
    for lower, upper, percent in band_pairs(levels):
        low, high = quantiles[..., lower, :], quantiles[..., upper, :]
        found[f"coverage_{percent}"] = _mean(_inside(y, low, high), observed, axes)
        found[f"width_{percent}"] = _mean(high - low, np.ones(low.shape, dtype=bool), axes)
    return found
