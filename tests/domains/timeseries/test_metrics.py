"""Scores: by hand, against scikit-learn, with gaps; the Diebold-Mariano test against a slow one written out."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk
from tsuite.domains.timeseries.metrics import (
    band_pairs,
    coverage,
    diebold_mariano,
    mae,
    mase,
    mse,
    per_step,
    pinball,
    rmse,
    scores,
    seasonal_scale,
    smape,
    usable_scale,
    width,
    wql,
)

NAN = float("nan")
LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)


def forecasts(*, missing: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """y, y_hat [3, 7, 5] and quantiles [3, 7, 5 levels, 5 steps]."""
    random = np.random.default_rng(0)
    y = random.normal(10, 3, size=(3, 7, 5))
    y_hat = y + random.normal(size=y.shape)
    quantiles = y_hat[..., None, :] + np.array([-2.0, -1, 0, 1, 2])[:, None]
    y[random.random(y.shape) < missing] = np.nan
    return y, y_hat, quantiles


def slow_dm(a: np.ndarray, b: np.ndarray, horizon: int) -> tuple[float, float]:
    """Diebold-Mariano with Bartlett weights and the Harvey-Leybourne-Newbold correction, sum by sum."""
    d = [x - y for x, y in zip(a, b, strict=True)]
    count, mean = len(d), sum(d) / len(d)
    variance = 0.0
    for i in range(count):
        for j in range(count):
            if abs(i - j) < horizon:
                variance += (1 - abs(i - j) / horizon) * (d[i] - mean) * (d[j] - mean)
    statistic = mean / math.sqrt(variance / count**2)
    statistic *= math.sqrt((count + 1 - 2 * horizon + horizon * (horizon - 1) / count) / count)
    return statistic, float(2 * stats.t.sf(abs(statistic), df=count - 1))


def test_scores_by_hand() -> None:
    y, y_hat = np.array([[1.0, 2.0, 0.0], [4.0, NAN, 0.0]]), np.array([[2.0, 2.0, 0.0], [1.0, 5.0, -2.0]])
    assert mae(y, y_hat) == pytest.approx((1 + 0 + 0 + 3 + 2) / 5)
    assert mse(y, y_hat) == pytest.approx((1 + 9 + 4) / 5)
    assert rmse(y, y_hat) == pytest.approx(math.sqrt(14 / 5))
    assert smape(y, y_hat) == pytest.approx((200 / 3 + 0 + 0 + 200 * 3 / 5 + 200) / 5)
    assert mase(y, y_hat, np.array([2.0, 4.0])) == pytest.approx((0.5 + 0 + 0 + 0.75 + 0.5) / 5)


def test_scores_are_scikit_learns() -> None:
    y, y_hat, quantiles = forecasts()
    assert mae(y, y_hat) == pytest.approx(sk.mean_absolute_error(y.ravel(), y_hat.ravel()))
    assert mse(y, y_hat) == pytest.approx(sk.mean_squared_error(y.ravel(), y_hat.ravel()))
    losses = [
        sk.mean_pinball_loss(y.ravel(), quantiles[..., i, :].ravel(), alpha=level) for i, level in enumerate(LEVELS)
    ]
    assert pinball(y, quantiles, LEVELS) == pytest.approx(np.mean(losses))
    assert wql(y, quantiles, LEVELS) == pytest.approx(2 * np.mean(losses) * y.size / np.abs(y).sum())
    assert 2 * pinball(y, quantiles[..., 2:3, :], (0.5,)) == pytest.approx(mae(y, y_hat))


def test_what_is_not_observed_is_left_out() -> None:
    y, y_hat, quantiles = forecasts(missing=0.4)
    seen = ~np.isnan(y)
    few = quantiles.swapaxes(-1, -2)[seen].T  # [Q, observed]
    assert mae(y, y_hat) == pytest.approx(mae(y[seen], y_hat[seen]))
    assert smape(y, y_hat) == pytest.approx(smape(y[seen], y_hat[seen]))
    assert wql(y, quantiles, LEVELS) == pytest.approx(wql(y[seen], few, LEVELS))
    inside = coverage(y[seen], few[0], few[4])
    assert 0 < inside < 1
    assert coverage(y, quantiles[..., 0, :], quantiles[..., 4, :]) == pytest.approx(inside)


def test_a_missing_forecast_is_not_excused() -> None:
    y, y_hat, quantiles = forecasts()
    y_hat[0, 0, 0] = quantiles[0, 0, :, 0] = np.nan
    found = scores(y, y_hat, quantiles, LEVELS)
    assert all(math.isnan(value) for value in found.values())
    y[0, 0, 0] = np.nan  # unless nobody knows what came
    assert math.isfinite(mae(y, y_hat))


def test_nothing_observed_is_nan() -> None:
    y = np.full((2, 3), np.nan)
    found = scores(y, np.zeros((2, 3)), np.zeros((2, 5, 3)), LEVELS, np.ones(2))
    assert all(math.isnan(value) for name, value in found.items() if not name.startswith("width"))
    assert math.isnan(wql(np.zeros((2, 3)), np.zeros((2, 5, 3)), LEVELS))


def test_seasonal_scale() -> None:
    history = np.array([[1.0, 5, 2, 7, 4, 7], [3.0, 3, 3, 3, 3, 3], [1.0, NAN, 2, 4, NAN, 6], [NAN] * 6])
    np.testing.assert_allclose(seasonal_scale(history, 2), [(1 + 2 + 2 + 0) / 4, 0, (1 + 2) / 2, NAN])
    np.testing.assert_allclose(seasonal_scale(history[:1], 6), [(4 + 3 + 5 + 3 + 3) / 5])  # no pair a season apart
    np.testing.assert_array_equal(usable_scale(seasonal_scale(history, 2)), [True, False, True, False])


def test_constant_series_do_not_make_mase_infinite() -> None:
    y, y_hat, _ = forecasts()
    scale = np.array([2.0, 0.0, NAN])[:, None]  # one for each series, over its origins
    assert mase(y, y_hat, scale) == pytest.approx(np.abs(y - y_hat)[0].mean() / 2)
    assert math.isnan(mase(y, y_hat, np.zeros((3, 1))))


def test_seasonal_naive_has_a_mase_of_one_in_training() -> None:
    history = np.random.default_rng(1).normal(size=(2, 40))
    assert mase(history[:, 7:], history[:, :-7], seasonal_scale(history, 7)) == pytest.approx(1, abs=0.02)
    one = history[:1]
    assert mase(one[:, 7:], one[:, :-7], seasonal_scale(one, 7)) == pytest.approx(1)


def test_bands() -> None:
    y, low, high = np.array([[1.0, 2, 3, 4]]), np.array([[1.0, 0, 4, 0]]), np.array([[2.0, 1, 6, 8]])
    assert coverage(y, low, high) == 0.5
    assert width(low, high) == pytest.approx((1 + 1 + 2 + 8) / 4)
    assert band_pairs((0.1, 0.2, 0.5, 0.9)) == [(0, 3, 80)]


def test_scores_are_the_single_functions() -> None:
    y, y_hat, quantiles = forecasts(missing=0.2)
    scale = np.array([1.0, 2.0, 0.5])[:, None]
    found = scores(y, y_hat, quantiles, LEVELS, scale)
    outer = quantiles[..., 0, :], quantiles[..., 4, :]
    expected = {
        "mae": mae(y, y_hat), "rmse": rmse(y, y_hat), "mse": mse(y, y_hat), "smape": smape(y, y_hat),
        "mase": mase(y, y_hat, scale), "pinball": pinball(y, quantiles, LEVELS), "wql": wql(y, quantiles, LEVELS),
        "coverage_80": coverage(y, *outer), "width_80": width(*outer),
        "coverage_50": coverage(y, quantiles[..., 1, :], quantiles[..., 3, :]), "width_50": 2.0,
    }  # fmt: skip
    assert found == pytest.approx(expected)


def test_scores_of_each_step() -> None:
    y, y_hat, quantiles = forecasts(missing=0.2)
    scale = np.array([1.0, 2.0, 0.5])[:, None]
    steps = per_step(y, y_hat, quantiles, LEVELS, scale)
    for h in range(5):
        alone = scores(y[..., h : h + 1], y_hat[..., h : h + 1], quantiles[..., h : h + 1], LEVELS, scale)
        assert {name: values[h] for name, values in steps.items()} == pytest.approx(alone)
    assert all(values.shape == (5,) for values in steps.values())
    assert list(per_step(y, y_hat)) == ["mae", "rmse", "mse", "smape"]


def test_large_float32_sums_keep_their_digits() -> None:
    y = np.zeros((200_000, 2), dtype=np.float32)
    assert per_step(y, y + np.float32(0.1))["mae"] == pytest.approx([0.1, 0.1], rel=1e-7)


@pytest.mark.parametrize(("count", "horizon"), [(30, 1), (30, 4), (12, 11), (100, 24)])
def test_diebold_mariano_is_the_slow_one(count: int, horizon: int) -> None:
    random = np.random.default_rng(count + horizon)
    a = np.convolve(random.gamma(2, size=count + 5), np.ones(6) / 6, mode="valid")
    b = random.gamma(2.2, size=count)
    found = diebold_mariano(a, b, horizon=horizon)
    statistic, p_value = slow_dm(a, b, horizon)
    assert found.statistic == pytest.approx(statistic, rel=1e-9)
    assert found.p_value == pytest.approx(p_value, rel=1e-9)
    assert found.difference == pytest.approx((a - b).mean())
    swapped = diebold_mariano(b, a, horizon=horizon)
    assert (swapped.statistic, swapped.p_value) == pytest.approx((-statistic, p_value))


def test_diebold_mariano_of_one_step_is_a_paired_t_test() -> None:
    a, b = np.random.default_rng(2).gamma(2, size=(2, 40))
    found = diebold_mariano(a, b, horizon=1)
    paired = stats.ttest_rel(a, b)
    assert (found.statistic, found.p_value) == pytest.approx((paired.statistic, paired.pvalue))


def test_diebold_mariano_rejects_as_often_as_it_says() -> None:
    random = np.random.default_rng(3)
    shared = random.normal(size=(1000, 203))
    differences = (shared[:, :-3] + shared[:, 1:-2] + shared[:, 2:-1] + shared[:, 3:]) / 4  # overlap as of 4 steps
    p = np.array([diebold_mariano(row, np.zeros(200), horizon=8).p_value for row in differences])
    ignoring = np.array([diebold_mariano(row, np.zeros(200), horizon=1).p_value for row in differences])
    assert 0.03 < (p < 0.05).mean() < 0.11
    assert (ignoring < 0.05).mean() > 0.25  # what the lags are there for


def test_diebold_mariano_of_ties_constants_and_few() -> None:
    loss = np.linspace(0.1, 2, 20)
    same = diebold_mariano(loss, loss, horizon=3)
    assert (same.statistic, same.p_value) == (0.0, 1.0)
    worse = diebold_mariano(loss + 0.1, loss, horizon=3)
    assert (worse.statistic, worse.p_value) == (math.inf, 0.0)
    assert diebold_mariano(loss - 0.1, loss, horizon=3).statistic == -math.inf
    few = diebold_mariano(loss, loss[::-1], horizon=20)
    assert math.isnan(few.statistic)
    assert math.isnan(few.p_value)
    assert diebold_mariano(np.array([]), np.array([]), horizon=1).count == 0
    assert json.loads(json.dumps(worse.to_json(), allow_nan=False))["statistic"] is None


def test_diebold_mariano_leaves_unknown_origins_out() -> None:
    a, b = np.random.default_rng(4).gamma(2, size=(2, 40))
    gaps = np.insert(a, [3, 17], np.nan), np.insert(b, [3, 17], 1.0)
    assert diebold_mariano(*gaps, horizon=2) == diebold_mariano(a, b, horizon=2)
    with pytest.raises(ValueError, match="expected two losses"):
        diebold_mariano(a, b[1:], horizon=1)
    with pytest.raises(ValueError, match="at least 1"):
        diebold_mariano(a, b, horizon=0)


def test_quantiles_must_fit_levels() -> None:
    y, _, quantiles = forecasts()
    with pytest.raises(ValueError, match="5 quantiles do not fit 3 levels"):
        pinball(y, quantiles, (0.1, 0.5, 0.9))
