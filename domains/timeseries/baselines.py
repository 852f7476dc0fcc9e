"""The forecasts every other has to beat: the last value, the last season, a ridge-regressed linear map, DLinear.

Axes: M windows (any leading axes where dots stand), L look-back steps, E extra regressors, H horizon steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn
from torch.nn import functional

from ...core.errors import UserError

LAMBDAS = tuple(10.0**power for power in range(-7, 5))
"""Ridge penalties tried, as multiples of the mean eigenvalue of XtX: the same grid suits every unit and length."""


def repeat_last(history: np.ndarray, horizon: int) -> np.ndarray:
    """The last observed value, `horizon` times. history [..., L], NaN = not observed -> [..., H]; NaN where nothing
    was observed."""
    last = last_observed(np.asarray(history))
    return np.repeat(last[..., None], horizon, axis=-1)


def seasonal_naive(history: np.ndarray, horizon: int, season: int) -> np.ndarray:
    """The last observed value at the same place of the season, `season` steps long. history [..., L] -> [..., H].

    Where a place was never observed, and everywhere if the history is shorter than a season, it is `repeat_last`.
    """
    history = np.asarray(history)
    length = history.shape[-1]
    if season < 1:
        raise ValueError(f"a season has at least 1 step, not {season}")
    if length < season:
        return repeat_last(history, horizon)
    latest = history[..., length - season :].copy()  # [..., season]
    end = length - season
    while end > 0 and np.isnan(latest).any():  # one season further back for the places that are still unknown
        start = max(0, end - season)
        holes, earlier = latest[..., season - (end - start) :], history[..., start:end]
        np.copyto(holes, earlier, where=np.isnan(holes))
        end = start
    if np.isnan(latest).any():
        latest = np.where(np.isnan(latest), last_observed(history)[..., None], latest)
    return latest[..., np.arange(horizon) % season]


def last_observed(values: np.ndarray) -> np.ndarray:
    """The last value along the last axis that is not NaN; NaN where there is none. [..., L] -> [...]."""
    length = values.shape[-1]
    if not length:
        return np.full(values.shape[:-1], np.nan, dtype=values.dtype)
    last = values[..., -1]
    if not np.isnan(last).any():
        return last
    behind = np.argmax(~np.isnan(values[..., ::-1]), axis=-1)  # steps from the end; 0 where there is none, a NaN again
    return np.take_along_axis(values, (length - 1 - behind)[..., None], axis=-1)[..., 0]


def carried_forward(values: np.ndarray) -> np.ndarray:
    """Gaps filled with the value before them, leading ones with the first observed. [..., L] -> [..., L]."""
    missing = np.isnan(values)
    if not missing.any():
        return values
    place = np.where(missing, 0, np.arange(values.shape[-1]))
    filled = np.take_along_axis(values, np.maximum.accumulate(place, axis=-1), axis=-1)
    first = np.take_along_axis(values, np.argmin(missing, axis=-1)[..., None], axis=-1)
    return np.where(np.isnan(filled), first, filled)


class Moments:
    """Sums over windows that are all a linear regression needs: XtX [L + E, L + E], XtY [L + E, H], YtY, float64."""

    def __init__(self, inputs: int, horizon: int) -> None:
        self.xtx = np.zeros((inputs, inputs))
        self.xty = np.zeros((inputs, horizon))
        self.yty = 0.0
        self.rows = 0
        """Windows counted: those without any NaN."""

    def update(self, x: np.ndarray, y: np.ndarray) -> None:
        """Add windows x [M, L + E] and what followed them y [M, H], leaving out rows with any NaN."""
        complete = ~(np.isnan(x).any(axis=-1) | np.isnan(y).any(axis=-1))
        if not complete.all():
            x, y = x[complete], y[complete]
        x, y = x.astype(np.float64, copy=False), y.astype(np.float64, copy=False)
        self.xtx += x.T @ x
        self.xty += x.T @ y
        self.yty += float(np.vdot(y, y))
        self.rows += len(x)

    def squared_error(self, weight: np.ndarray) -> float:
        """The mean squared error over all windows and steps of the map `weight` [L + E, H]; needs no window again."""
        total = self.yty - 2 * np.vdot(weight, self.xty) + np.vdot(weight, self.xtx @ weight)
        return max(float(total), 0.0) / (self.rows * weight.shape[1])


class RidgeNLinear:
    """NLinear (Zeng et al. 2023, arXiv 2205.13504) without bias, in closed form: one linear map for all channels.

    The window's last value is subtracted, a map [H, L] applied, the value added back. Windows come in blocks, in any
    order, those of several channels as further rows; nothing but their moments is kept:

        ridge = RidgeNLinear(lookback=336, horizon=96)
        for x, y in blocks_of_training:    ridge.update(x, y)
        for x, y in blocks_of_validation:  ridge.validate(x, y)
        y_hat = ridge.solve().predict(history)

    `extras` further regressors (about -1 to 1, known at the origin; a 1 makes a bias) may go along with each window.
    """

    def __init__(self, lookback: int, horizon: int, *, extras: int = 0) -> None:
        self.lookback, self.horizon, self.extras = lookback, horizon, extras
        self.training = Moments(lookback + extras, horizon)
        self.validation = Moments(lookback + extras, horizon)
        self.penalty = float("nan")
        """The lambda chosen, as a multiple of XtX's mean eigenvalue."""
        self.errors: dict[float, float] = {}
        """Mean squared error on the validation windows for each lambda tried."""
        self._weight: np.ndarray | None = None  # [L + E, H] float64

    def update(self, x: np.ndarray, y: np.ndarray, extra: np.ndarray | None = None) -> None:
        """Learn from windows x [M, L], what followed y [M, H], and extra [M, E]. Rows with any NaN are left out."""
        self.training.update(*self._relative(x, y, extra))

    def validate(self, x: np.ndarray, y: np.ndarray, extra: np.ndarray | None = None) -> None:
        """Choose lambda by these windows too; shapes as for `update`."""
        self.validation.update(*self._relative(x, y, extra))

    def solve(self, lambdas: Sequence[float] = LAMBDAS) -> RidgeNLinear:
        """Find the map for each lambda from one eigendecomposition, keep the best on validation; gives itself.

        Without validation windows the training windows choose, which means the smallest lambda. Raises UserError if no
        training window was complete.
        """
        if not self.training.rows:
            raise UserError(
                f"No stretch of {self.lookback} + {self.horizon} steps of the training data is without a gap.",
                "Try a shorter look-back or horizon.",
            )
        values, vectors = np.linalg.eigh(self.training.xtx)
        values = values.clip(min=0)
        projected = vectors.T @ self.training.xty
        mean = values.mean()
        judge = self.validation if self.validation.rows else self.training
        best, self._weight, self.errors = np.inf, None, {}
        for penalty in lambdas:
            # A value close to zero is rounding (the last column always is zero) and must not be divided by.
            damped = values + penalty * mean
            kept = damped > 1e-13 * values[-1]
            inverse = np.divide(1.0, damped, out=np.zeros_like(damped), where=kept)
            weight = vectors @ (inverse[:, None] * projected)
            error = self.errors[penalty] = judge.squared_error(weight)
            if error < best or self._weight is None:
                best, self.penalty, self._weight = error, penalty, weight
        return self

    def fit(self, x: np.ndarray, y: np.ndarray, x_val: np.ndarray, y_val: np.ndarray) -> RidgeNLinear:
        """All at once, for windows that fit in memory: x [M, L], y [M, H] to learn from, the others to choose by."""
        self.update(x, y)
        self.validate(x_val, y_val)
        return self.solve()

    @property
    def weight(self) -> np.ndarray:
        """The map [H, L] float32 on windows relative to their last value: y_hat = last + (x - last) @ weight.T."""
        return self._solved[: self.lookback].T.astype(np.float32)

    @property
    def extra_weight(self) -> np.ndarray:
        """The map [H, E] float32 of the extra regressors."""
        return self._solved[self.lookback :].T.astype(np.float32)

    @property
    def folded(self) -> np.ndarray:
        """The same map [H, L] float32 on windows as they are, its rows summing to one: y_hat = x @ folded.T.

        It commutes with any shift and scaling of a window, so it is also the map on windows that RevIN normalised.
        """
        weight = self._solved[: self.lookback].T.copy()
        weight[:, -1] += 1 - weight.sum(axis=1)
        return weight.astype(np.float32)

    def predict(self, x: np.ndarray, extra: np.ndarray | None = None) -> np.ndarray:
        """Floating windows x [..., L] (and extra [..., E]) -> [..., H] of x's type.

        Gaps in a window are bridged with the value before them; a window without any value gives NaN.
        """
        x = carried_forward(np.asarray(x))
        weight = self._solved.astype(x.dtype, copy=False)
        last = x[..., -1:]
        y_hat = (x - last) @ weight[: self.lookback] + last
        if extra is not None:
            y_hat += extra.astype(x.dtype, copy=False) @ weight[self.lookback :]
        return y_hat

    @property
    def _solved(self) -> np.ndarray:
        if self._weight is None:
            raise RuntimeError("solve() comes first")
        return self._weight

    def _relative(self, x: np.ndarray, y: np.ndarray, extra: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Window and future less the window's last value, the extra regressors behind the window."""
        if x.shape[-1] != self.lookback or y.shape[-1] != self.horizon:
            raise ValueError(f"expected [M, {self.lookback}] and [M, {self.horizon}], not {x.shape} and {y.shape}")
        last = x[:, -1:].astype(np.float64)
        inputs = x - last
        if self.extras:
            if extra is None or extra.shape != (len(x), self.extras):
                raise ValueError(f"expected extra regressors [{len(x)}, {self.extras}]")
            inputs = np.concatenate([inputs, extra], axis=1)
        return inputs, y - last


class DLinear(nn.Module):
    """DLinear (Zeng et al. 2023, arXiv 2205.13504): a moving average and what it leaves over, a Linear each.

    [..., L] -> [..., H]; one pair of maps for all channels. `kernel` is the moving average's length in steps, odd.
    """

    def __init__(self, lookback: int, horizon: int, kernel: int = 25) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(f"the moving average needs an odd length, not {kernel}")
        self.kernel = kernel
        self.trend = nn.Linear(lookback, horizon)
        self.remainder = nn.Linear(lookback, horizon)

    def decompose(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Trend and remainder, each [..., L]; the ends are repeated so that the average has values to take."""
        side = self.kernel // 2
        flat = x.reshape(-1, 1, x.shape[-1])  # [B, 1, L]
        padded = functional.pad(flat, (side, side), mode="replicate")
        trend = functional.avg_pool1d(padded, self.kernel, stride=1).reshape(x.shape)
        return trend, x - trend

    def forward(self, x: Tensor) -> Tensor:
        trend, remainder = self.decompose(x)
        return self.trend(trend) + self.remainder(remainder)
