"""Baselines: naive forecasts with gaps, ridge against scikit-learn, DLinear against its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from tsuite.core.errors import UserError
from tsuite.domains.timeseries.baselines import (
    DLinear,
    RidgeNLinear,
    carried_forward,
    last_observed,
    repeat_last,
    seasonal_naive,
)

NAN = float("nan")


def slow_seasonal_naive(history: np.ndarray, horizon: int, season: int) -> np.ndarray:
    """One series, step by step, by the definition."""
    observed = [value for value in history if not np.isnan(value)]
    fallback = observed[-1] if observed else NAN
    forecast = []
    for step in range(len(history), len(history) + horizon):
        same = [history[i] for i in range(len(history)) if (step - i) % season == 0 and not np.isnan(history[i])]
        forecast.append(same[-1] if same and len(history) >= season else fallback)
    return np.array(forecast)


def windows(count: int, lookback: int, horizon: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Windows of a noisy autoregression far from zero, [M, L] and [M, H]."""
    random = np.random.default_rng(seed)
    series = np.zeros(count + lookback + horizon)
    for i in range(3, len(series)):
        series[i] = 0.7 * series[i - 1] - 0.4 * series[i - 3] + random.normal()
    every = np.lib.stride_tricks.sliding_window_view(series + 1000, lookback + horizon)[:count]
    return every[:, :lookback], every[:, lookback:]


def test_repeat_last() -> None:
    history = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, NAN], [NAN, NAN, NAN]])
    np.testing.assert_array_equal(repeat_last(history, 2), [[3, 3], [5, 5], [NAN, NAN]])
    np.testing.assert_array_equal(repeat_last(np.zeros((2, 0)), 1), [[NAN], [NAN]])


def test_seasonal_naive_by_hand() -> None:
    np.testing.assert_array_equal(seasonal_naive(np.array([9.0, 1, 2, 3]), 5, 3), [1, 2, 3, 1, 2])
    np.testing.assert_array_equal(seasonal_naive(np.array([9.0, 8, 7, 1, NAN, NAN]), 3, 3), [1, 8, 7])
    np.testing.assert_array_equal(seasonal_naive(np.array([NAN, 8.0, NAN, 1, NAN, NAN]), 3, 3), [1, 8, 1])
    np.testing.assert_array_equal(seasonal_naive(np.array([5.0, NAN]), 3, 3), [5, 5, 5])  # shorter than a season
    with pytest.raises(ValueError, match="season"):
        seasonal_naive(np.zeros(4), 2, 0)


@pytest.mark.parametrize("missing", [0.0, 0.3, 0.8, 1.0])
@pytest.mark.parametrize(("length", "season"), [(1, 1), (7, 7), (20, 7), (21, 7), (6, 7), (30, 1)])
def test_seasonal_naive_is_its_definition(length: int, season: int, missing: float) -> None:
    random = np.random.default_rng(length)
    history = random.normal(size=(3, 4, length)).astype(np.float32)
    history[random.random(history.shape) < missing] = np.nan
    before = history.copy()
    forecast = seasonal_naive(history, 16, season)
    assert forecast.dtype == np.float32
    for i, j in np.ndindex(3, 4):
        np.testing.assert_array_equal(forecast[i, j], slow_seasonal_naive(history[i, j], 16, season))
    np.testing.assert_array_equal(history, before)


def test_naive_forecasts_take_views_of_one_series() -> None:
    every = np.lib.stride_tricks.sliding_window_view(np.arange(50.0), 10)  # read-only
    np.testing.assert_array_equal(seasonal_naive(every, 4, 4), every[:, 6:])
    np.testing.assert_array_equal(last_observed(every), every[:, -1])


def test_carried_forward() -> None:
    given = np.array([[NAN, 1.0, NAN, NAN, 2.0, NAN], [NAN] * 6])
    np.testing.assert_array_equal(carried_forward(given), [[1, 1, 1, 1, 2, 2], [NAN] * 6])


@pytest.mark.parametrize("penalty", [1e-4, 0.1, 10.0])
def test_ridge_is_scikit_learns(penalty: float) -> None:
    x, y = windows(300, 12, 5)
    ridge = RidgeNLinear(12, 5)
    for start in range(0, 300, 77):  # block by block
        ridge.update(x[start : start + 77], y[start : start + 77])
    ridge.solve([penalty])
    relative = x - x[:, -1:]
    alpha = penalty * np.trace(relative.T @ relative) / 12
    expected = Ridge(alpha=alpha, fit_intercept=False, solver="cholesky").fit(relative, y - x[:, -1:])
    assert ridge.weight.shape == (5, 12)
    np.testing.assert_allclose(ridge.weight, expected.coef_, atol=1e-6)
    np.testing.assert_allclose(ridge.predict(x), expected.predict(relative) + x[:, -1:], rtol=1e-9)


def test_lambda_is_the_best_on_validation() -> None:
    x, y = windows(60, 24, 3)  # few windows, so that the penalty matters
    x_val, y_val = windows(400, 24, 3, seed=1)
    lambdas = [1e-6, 1e-3, 1e-1, 1.0, 100.0]
    ridge = RidgeNLinear(24, 3)
    ridge.update(x, y)
    for part in (slice(0, 150), slice(150, 400)):
        ridge.validate(x_val[part], y_val[part])
    ridge.solve(lambdas)
    for penalty in lambdas:
        alone = RidgeNLinear(24, 3)
        alone.update(x, y)
        error = np.square(alone.solve([penalty]).predict(x_val) - y_val).mean()
        assert ridge.errors[penalty] == pytest.approx(error, rel=1e-9)
    assert ridge.penalty == min(lambdas, key=lambda penalty: ridge.errors[penalty])
    assert 1e-6 < ridge.penalty < 100
    assert ridge.solve([50.0]).penalty == 50.0  # solving again starts afresh
    assert list(ridge.errors) == [50.0]
    ridge.solve(lambdas)
    again = RidgeNLinear(24, 3).fit(x, y, x_val, y_val)
    assert again.errors[again.penalty] <= ridge.errors[ridge.penalty]


def test_ridge_finds_the_map_without_noise() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=(4, 8))
    truth[:, -1] = 0  # the last value is subtracted: it has no weight of its own
    x = random.normal(size=(100, 8)).astype(np.float32) + 50
    y = x[:, -1:] + (x - x[:, -1:]) @ truth.T
    ridge = RidgeNLinear(8, 4)
    ridge.update(x, y)
    np.testing.assert_allclose(ridge.solve([0.0]).weight, truth, atol=1e-4)
    assert ridge.predict(x).dtype == np.float32


def test_folded_map_commutes_with_shift_and_scaling() -> None:
    x, y = windows(200, 10, 4)
    ridge = RidgeNLinear(10, 4).fit(x, y, x, y)
    np.testing.assert_allclose(ridge.folded.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(x @ ridge.folded.T, ridge.predict(x), rtol=1e-5)
    mean, deviation = x.mean(axis=1, keepdims=True), x.std(axis=1, keepdims=True)
    np.testing.assert_allclose((x - mean) / deviation @ ridge.folded.T * deviation + mean, ridge.predict(x), rtol=1e-5)


def test_windows_with_gaps_are_left_out() -> None:
    x, y = (part.copy() for part in windows(200, 6, 3))
    clean = RidgeNLinear(6, 3).fit(x[:100], y[:100], x[:100], y[:100])
    x[100:150, 2] = np.nan
    y[150:, 1] = np.nan
    gappy = RidgeNLinear(6, 3).fit(x, y, x[:100], y[:100])
    assert gappy.training.rows == 100
    np.testing.assert_array_equal(gappy.weight, clean.weight)
    with pytest.raises(UserError, match=r"6 \+ 3 steps"):
        RidgeNLinear(6, 3).fit(x[100:], y[100:], x, y)


def test_prediction_bridges_gaps() -> None:
    x, y = windows(100, 6, 3)
    ridge = RidgeNLinear(6, 3).fit(x, y, x, y)
    gaps = np.stack([x[0], x[0], np.full(6, np.nan)])
    gaps[1, 4:] = np.nan
    bridged = x[0].copy()
    bridged[4:] = bridged[3]
    y_hat = ridge.predict(gaps)
    np.testing.assert_allclose(y_hat[:2], ridge.predict(np.stack([x[0], bridged])))
    assert bool(np.isnan(y_hat[2]).all())


def test_constant_series_are_repeated() -> None:
    x, y = np.full((20, 6), 3.0), np.full((20, 2), 3.0)
    ridge = RidgeNLinear(6, 2).fit(x, y, x, y)
    np.testing.assert_array_equal(ridge.predict(x), y)


def test_extra_regressors() -> None:
    x, y = windows(300, 8, 2)
    extra = np.random.default_rng(1).choice([-1.0, 1.0], size=(300, 1))
    ridge = RidgeNLinear(8, 2, extras=1)
    ridge.update(x, y + 5 * extra, extra)
    ridge.solve([1e-6])
    np.testing.assert_allclose(ridge.extra_weight, [[5], [5]], atol=0.3)
    plain = RidgeNLinear(8, 2)
    plain.update(x, y)
    difference = ridge.predict(x, extra) - plain.solve([1e-6]).predict(x) - 5 * extra
    assert np.abs(difference).mean() < 0.3
    with pytest.raises(ValueError, match="extra"):
        ridge.update(x, y)


def test_ridge_names_wrong_shapes() -> None:
    with pytest.raises(ValueError, match=r"\[M, 4\]"):
        RidgeNLinear(4, 2).update(np.zeros((3, 5)), np.zeros((3, 2)))
    with pytest.raises(RuntimeError, match="solve"):
        RidgeNLinear(4, 2).predict(np.zeros((3, 4)))


def test_dlinear_is_its_definition() -> None:
    torch.manual_seed(0)
    model = DLinear(12, 5, kernel=5)
    x = torch.randn(3, 2, 12)
    padded = np.pad(x.numpy(), [(0, 0), (0, 0), (2, 2)], mode="edge")
    trend = np.stack([padded[..., i : i + 5].mean(axis=-1) for i in range(12)], axis=-1)
    torch.testing.assert_close(model.decompose(x)[0], torch.from_numpy(trend))
    expected = model.trend(torch.from_numpy(trend)) + model.remainder(x - torch.from_numpy(trend))
    torch.testing.assert_close(model(x), expected)
    assert model(x[:, 0]).shape == (3, 5)
    assert sum(value.numel() for value in DLinear(336, 96).parameters()) == 2 * (336 * 96 + 96)
    with pytest.raises(ValueError, match="odd"):
        DLinear(12, 5, kernel=4)
