"""Finance, honestly: returns and volatility as targets, walk-forward folds with a purge gap, and one plain sentence on
whether a forecast beats the random walk.

A price's best simple forecast is the price now (the random walk); nothing here shows a forecast of prices or a score on
them without that row. What can be forecast is how large returns will be, not where they lead.

Axes: B... any leading axes, C series, N time steps, H horizon steps, T origins in order of time.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import UserError, near
from .baselines import carried_forward, repeat_last
from .metrics import diebold_mariano, mae, rmse

if TYPE_CHECKING:
    from .frames import pd
    from .panel import Group, Panel
    from .picture import Forecast

TARGETS = ("price", "return", "volatility")
DECAY = 0.94
"""Of the exponential mean, a step: RiskMetrics' for daily data (J.P. Morgan 1996)."""
LEVEL = 0.05
"""A p-value below this is called evidence (of a single test)."""


# -- prices, returns, volatility --------------------------------------------------------------------------------------


def log_returns(prices: np.ndarray) -> np.ndarray:
    """log(price / last observed price before it), prices [B..., N] above 0 -> [B..., N] float64.

    NaN where the price was not observed (a holiday) and where none was before it (the first). A return after a gap is
    that of the whole gap, so that the sum of all is the log of last over first. ValueError for prices of 0 or less."""
    prices = np.asarray(prices, dtype=np.float64)
    if (prices <= 0).any():
        raise ValueError("prices have to be above 0 for a log return")
    observed = ~np.isnan(prices)
    earlier = np.cumsum(observed, axis=-1) - observed > 0
    before = np.concatenate([np.full_like(prices[..., :1], np.nan), carried_forward(prices)[..., :-1]], axis=-1)
    return np.log(np.divide(prices, before, out=np.full_like(prices, np.nan), where=observed & earlier))


def prices_from_returns(last: np.ndarray, returns: np.ndarray) -> np.ndarray:
    """The inverse: prices [B..., H] that follow the price `last` [B...] with log returns [B..., H].

    A NaN return is NaN as a price and moves nothing. For single paths and means only: a cumulated 90 % quantile of
    returns is not the 90 % quantile of the price (all steps would have to go wrong at once)."""
    returns = np.asarray(returns, dtype=np.float64)
    moved = np.exp(np.cumsum(np.nan_to_num(returns, nan=0.0), axis=-1))
    return np.where(np.isnan(returns), np.nan, np.asarray(last, dtype=np.float64)[..., None] * moved)


def realised_volatility(returns: np.ndarray, days: int = 5) -> np.ndarray:
    """sqrt(mean of the squared returns of the last `days` steps), this one included: [B..., N] -> [B..., N] float64.

    The mean return is taken as 0, as is usual at this range; `days` 1 is |return|. In the returns' own unit, a step's
    volatility, not annualised. NaN where the return itself is, or where fewer than half of the `days` were observed.
    Neighbouring values share days - 1 returns: purge as many steps between training and test (`purge_gap`)."""
    if days < 1:
        raise UserError(f"Volatility over {days} days cannot be.", "Give 1 (the size of each return) or more.")
    returns = np.asarray(returns, dtype=np.float64)
    observed = ~np.isnan(returns)
    squares = _trailing_sum(np.where(observed, np.square(returns), 0.0), days)
    count = _trailing_sum(observed.astype(np.float64), days)
    known = observed & (2 * count >= days)
    return np.sqrt(np.divide(squares, count, out=np.full(returns.shape, np.nan), where=known))


def _trailing_sum(values: np.ndarray, length: int) -> np.ndarray:
    """The sum of the last `length` values at each step, [B..., N]; zeros before the beginning. Added up step by step:
    differences of running sums would leave the rounding of large old values behind."""
    total = values.copy()
    for lag in range(1, min(length, values.shape[-1])):
        total[..., lag:] += values[..., :-lag]
    return total


def as_target(panel: Panel, target: str, *, days: int = 5) -> Panel:
    """A panel of prices as a panel of what is to be forecast: "price" (as it is), "return" or "volatility".

    Covariates and stamps stay. Raises UserError for an unknown target or, naming series and stamp, a price of 0 or
    less."""
    if target not in TARGETS:
        raise UserError(f"There is no target called {target!r} in finance.", near(target, TARGETS))
    if target == "price":
        return panel
    groups = []
    for group in panel.groups:
        _above_zero(group, panel.name)
        values = log_returns(group.values)
        if target == "volatility":
            values = realised_volatility(values, days)
        groups.append(dataclasses.replace(group, values=values.astype(np.float32)))
    unit = "log return" if target == "return" else f"volatility over {days} step{'s' * (days > 1)}"
    return dataclasses.replace(panel, groups=tuple(groups), unit=unit)


def _above_zero(group: Group, name: str) -> None:
    wrong = np.argwhere(group.values <= 0)
    if len(wrong):
        series, step = wrong[0]
        raise UserError(
            f"{name}: the price of {group.ids[series]} at {group.index[step]} is {group.values[series, step]:g}; "
            "a return needs prices above 0.",
            "Leave the cell empty where there was no price; for returns that are given already, set no finance target.",
        )


def volatility_naives(history: np.ndarray, horizon: int, *, decay: float = DECAY) -> dict[str, np.ndarray]:
    """What a forecast of volatility has to beat: the last value, and the exponentially weighted mean of all, from
    histories [B..., N] -> [B..., H] each. The first suits overlapping windows, the second single |returns|."""
    history = np.asarray(history, dtype=np.float64)
    observed = ~np.isnan(history)
    weights = observed * decay ** np.arange(history.shape[-1] - 1, -1, -1.0)
    total = weights.sum(axis=-1)
    mean = np.divide(
        (weights * np.where(observed, history, 0)).sum(axis=-1),
        total,
        out=np.full(total.shape, np.nan),
        where=total > 0,
    )
    return {
        "repeat-last": repeat_last(history, horizon),
        "exponential mean": np.repeat(mean[..., None], horizon, axis=-1),
    }


# -- walk-forward -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Steps to learn from and steps to forecast; what lies between them is purged."""

    train: range
    test: range

    @property
    def gap(self) -> int:
        return self.test.start - self.train.stop


def purge_gap(days: int = 1) -> int:
    """The steps that must lie between training and test for no return to stand in a target on either side, where
    targets look back over `days` returns (de Prado 2018, chapter 7)."""
    return days - 1


def walk_forward(steps: int, *, first: int, test: int, gap: int = 0, most: int | None = None) -> Iterator[Fold]:
    """Folds that never learn from what comes later: train, a purged gap, test; then everything moves on by one test.

    steps: length of the timeline; first: training steps of the first fold; test: steps of each test part (the last may
    be shorter, so that no step is left out); most: training steps at most (None: all there are, an expanding window).
    Raises UserError where not one step can be tested."""
    settings = {"first": first, "test": test, "gap": gap + 1, "most": most or 1}
    if min(settings.values()) < 1:
        raise UserError("Walk-forward needs training and test steps of 1 or more, and a gap of 0 or more.")
    if first + gap >= steps:
        raise UserError(
            f"{steps} steps cannot be walked through: {first} to learn from and a gap of {gap} leave none to test.",
            "Learn from fewer steps first.",
        )
    starts = range(first + gap, steps, test)
    return (
        Fold(
            train=range(max(0, start - gap - (most or start)), start - gap),
            test=range(start, min(start + test, steps)),
        )
        for start in starts
    )


# -- does it beat the random walk? ------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a forecast beats the naive one: `beats` True, False, or None where there is too little to tell.

    error, naive_error: mean absolute errors in the target's unit; p_value: two-sided Diebold-Mariano, NaN for None.
    """

    sentence: str
    beats: bool | None
    naive: str
    error: float
    naive_error: float
    p_value: float
    origins: int

    def to_json(self) -> dict[str, Any]:
        return {key: None if isinstance(value, float) and math.isnan(value) else value
                for key, value in vars(self).items()}  # fmt: skip


def random_walk_verdict(
    y: np.ndarray,
    y_hat: np.ndarray,
    y_random_walk: np.ndarray,
    *,
    target: str = "price",
    others: Mapping[str, np.ndarray] | None = None,
    stride: int = 1,
    days: int = 1,
    tests: int = 1,
    name: str = "The forecast",
) -> Verdict:
    """Does a forecast beat the random walk on prices or returns, the best naive forecast on volatility?

    y (the truth, NaN = not observed), y_hat, y_random_walk: [T, H] or [T, C, H], origins in order of time, `stride`
    steps apart. y_random_walk is repeat-last (for returns 0); `others` are further naive forecasts, and the one with
    the lowest error is the one to beat. days: how many returns a target looks back over; errors of origins nearer than
    H + days - 1 are related, and the test allows for it. tests: how many such verdicts a report gives (one a series):
    the level of 5 % is shared among them (Bonferroni), for of twenty without an edge one looks good by chance.
    """
    naives = {"repeat-last" if target != "return" else "no change": y_random_walk, **(others or {})}
    rival = min(naives, key=lambda one: _or_infinite(mae(y, naives[one])))
    error, naive_error = mae(y, y_hat), mae(y, naives[rival])
    related = max(1, math.ceil((y.shape[-1] + days - 1) / stride))
    test = diebold_mariano(_origin_loss(y, y_hat), _origin_loss(y, naives[rival]), horizon=related)
    evidence = test.p_value < LEVEL / tests
    beats = None if math.isnan(test.p_value) else bool(evidence and test.difference < 0)
    walk = "the random walk" if target != "volatility" else "the naive forecast"
    figures = f"MAE {error:.4g} against {naive_error:.4g}, {test.count} origins"
    subject = {"price": "the price level", "return": "returns", "volatility": "volatility"}[target]
    if beats is None:
        rest = f"cannot be told from {walk} ({rival}): {test.count} origins are too few for a horizon of {related}"
    else:
        p = "p < 0.001" if test.p_value < 0.001 else f"p = {test.p_value:.3f}"
        rest = f"{_outcome(test.difference, evidence)} {walk} ({rival}): {figures}, Diebold-Mariano {p}"
        if not beats and test.difference < 0:
            rest += "; so small an advantage can be chance" + f" where {tests} are tested" * (tests > 1)
        if beats and target != "volatility":
            rest += "; costs of trading are not counted"
    return Verdict(
        sentence=f"{name} of {subject} {rest}.", beats=beats, naive=rival, error=error, naive_error=naive_error,
        p_value=test.p_value, origins=test.count,
    )  # fmt: skip


def _outcome(difference: float, evidence: bool) -> str:
    if not evidence:
        return "does not beat"
    return "beats" if difference < 0 else "is worse than"


def _origin_loss(y: np.ndarray, y_hat: np.ndarray) -> np.ndarray:
    """Mean absolute error of each origin [T]; NaN where nothing was observed."""
    error = np.abs(y - y_hat).reshape(len(y), -1).astype(np.float64)
    observed = ~np.isnan(y).reshape(len(y), -1)
    total, count = np.where(observed, error, 0).sum(axis=1), observed.sum(axis=1)
    return np.divide(total, count, out=np.full(len(y), np.nan), where=count > 0)


def _or_infinite(value: float) -> float:
    return math.inf if math.isnan(value) else value


# -- tables -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Row:
    """One forecast's errors in the target's unit; p_value: Diebold-Mariano against repeat-last, NaN for itself."""

    name: str
    mae: float
    rmse: float
    p_value: float = math.nan


def score_table(
    y: np.ndarray, forecasts: Mapping[str, np.ndarray], *, repeat_last: np.ndarray, stride: int = 1, days: int = 1
) -> list[Row]:
    """Errors of forecasts [T, H] or [T, C, H] of prices or volatility, best MAE first, always with repeat-last's."""
    related = max(1, math.ceil((y.shape[-1] + days - 1) / stride))
    naive = _origin_loss(y, repeat_last)
    rows = [Row(name="repeat-last", mae=mae(y, repeat_last), rmse=rmse(y, repeat_last))]
    for name, y_hat in forecasts.items():
        if name != "repeat-last":
            p = diebold_mariano(_origin_loss(y, y_hat), naive, horizon=related).p_value
            rows.append(Row(name=name, mae=mae(y, y_hat), rmse=rmse(y, y_hat), p_value=p))
    return sorted(rows, key=lambda row: _or_infinite(row.mae))


def with_repeat_last(forecast: Forecast) -> Forecast:
    """What a picture of prices has to be made of: the forecast with repeat-last as its first baseline."""
    naive = repeat_last(np.asarray(forecast.history), len(forecast.y_hat))
    others = {name: values for name, values in forecast.others.items() if name != "repeat-last"}
    return dataclasses.replace(forecast, others={"repeat-last": naive, **others})


def price_table(forecast: pd.DataFrame, repeat_last: Mapping[str, float]) -> pd.DataFrame:
    """A tidy forecast of prices (unique_id, ds, horizon, y_hat, ...) with the column repeat_last after y_hat, which no
    forecast of prices is shown without.

    repeat_last: the last observed price of each series. Raises UserError for a series without one."""
    missing = sorted(set(forecast["unique_id"]) - {name for name, last in repeat_last.items() if math.isfinite(last)})
    if missing:
        raise UserError(
            f"The price of {missing[0]} was never observed, so there is nothing to compare its forecast with.",
            "Give a history that has prices.",
        )
    table = forecast.copy()
    values = [float(repeat_last[name]) for name in forecast["unique_id"]]
    table.insert(list(table.columns).index("y_hat") + 1, "repeat_last", values)
    return table
