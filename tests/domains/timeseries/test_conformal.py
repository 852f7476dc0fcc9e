"""Split-conformal bands: coverage within the finite-sample bound, quantiles in order, few windows, round trip."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tsuite.domains.timeseries.conformal import Conformal, flat
from tsuite.domains.timeseries.metrics import coverage

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def world(random: np.random.Generator, windows: int, horizon: int, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Skewed truths y [M, H] whose spread depends on the window, and quantiles [M, 9, H] `factor` times too wide."""
    spread = random.uniform(0.5, 2, size=(windows, 1)) * np.arange(1, horizon + 1)
    y = spread * (random.exponential(size=(windows, horizon)) - 0.7)
    unit = factor * np.linspace(-1, 1, 9)[:, None]  # [Q, 1]
    return y, unit * spread[:, None, :]


@pytest.mark.parametrize("windows", [19, 60])
@pytest.mark.parametrize("factor", [0.2, 1.0, 5.0], ids=["too narrow", "about right", "too wide"])
def test_coverage_lies_within_the_finite_sample_bound(factor: float, windows: int) -> None:
    random = np.random.default_rng(5)
    trials, fresh = 400, 200
    covered = []
    for _ in range(trials):
        y, quantiles = world(random, windows + fresh, 2, factor)
        bands = Conformal.fit(y[:windows], quantiles[:windows], LEVELS).apply(quantiles[windows:])
        covered.append(coverage(y[windows:], bands[:, 0], bands[:, 8]))
    # Given the calibration windows, coverage is Beta distributed: its standard error over the trials is known.
    slack = 4 * np.sqrt(0.8 * 0.2 * (1 / (windows + 2) + 1 / fresh) / trials)
    assert 0.8 - slack <= np.mean(covered) <= 0.8 + 1 / (windows + 1) + slack


@pytest.mark.parametrize("factor", [0.0, 0.2, 1.0, 20.0])
@pytest.mark.parametrize("levels", [LEVELS, (0.05, 0.25, 0.75, 0.95), (0.1, 0.5, 0.9)])
def test_quantiles_stay_in_order(levels: tuple[float, ...], factor: float) -> None:
    random = np.random.default_rng(6)
    y, _ = world(random, 40, 5, 1.0)
    quantiles = np.sort(factor * random.normal(size=(40, len(levels), 5)), axis=1).astype(np.float32)
    conformal = Conformal.fit(y.astype(np.float32), quantiles, levels)
    fresh = np.sort(random.normal(size=(3, 40, len(levels), 7)) * random.choice([1e-6, 1, 1e6], 7), axis=2)
    for given in (quantiles, fresh.astype(np.float32)):
        bands = conformal.apply(given)
        assert bands.shape == given.shape
        assert bands.dtype == np.float32
        assert bool((np.diff(bands, axis=-2) >= 0).all())
        if len(levels) % 2:
            np.testing.assert_array_equal(bands[..., len(levels) // 2, :], given[..., len(levels) // 2, :])


def test_widening_by_hand() -> None:
    y = np.array([[1.0, 10.0], [2.0, -10.0], [3.0, 0.0], [-4.0, 0.0]])
    quantiles = np.tile(np.array([[-2.0], [0.0], [2.0]]), (4, 1, 2))
    conformal = Conformal.fit(y, quantiles, (0.25, 0.5, 0.75))  # the 3rd smallest of 4: ceil(5 * 0.5)
    np.testing.assert_array_equal(conformal.widening, [[1, 8]])  # scores -1, 0, 1, 2 and -2, -2, 8, 8
    np.testing.assert_array_equal(conformal.apply(quantiles[0]), [[-3, -10], [0, 0], [3, 10]])
    assert not conformal.short.any()
    assert conformal.notices == ()


def test_narrowing_stops_at_the_median() -> None:
    quantiles = np.tile(np.array([[-2.0], [1.9], [2.0]]), (9, 1, 1))
    conformal = Conformal.fit(np.zeros((9, 1)), quantiles, (0.1, 0.5, 0.9))
    np.testing.assert_array_equal(conformal.widening, [[-2]])
    np.testing.assert_array_equal(conformal.apply(quantiles[0])[:, 0], [0, 1.9, 1.9])


def test_few_windows_give_the_largest_score_and_say_so() -> None:
    random = np.random.default_rng(7)
    y = random.normal(size=(3, 2))
    conformal = Conformal.fit(y, flat(np.zeros((3, 2)), LEVELS), LEVELS)
    np.testing.assert_allclose(conformal.widening[0], np.abs(y).max(axis=0))
    np.testing.assert_array_equal(conformal.short[:, 0], [True, False, False, False])  # 80 % takes 4 windows, 60 % 2
    assert conformal.notices[0].startswith("The 80% band was calibrated on 3 windows, fewer than the 4 it takes")
    four = Conformal.fit(random.normal(size=(4, 2)), flat(np.zeros((4, 2)), LEVELS), LEVELS)
    assert not four.short.any()


def test_unobserved_steps() -> None:
    y = np.array([[1.0, np.nan, 5.0], [2.0, np.nan, np.nan], [np.nan, np.nan, 7.0], [3.0, np.nan, 6.0]])
    quantiles = flat(np.zeros((4, 3)), (0.25, 0.5, 0.75))
    quantiles[2, :, 2] = np.nan  # nothing was forecast: nothing is learnt
    conformal = Conformal.fit(y, quantiles, (0.25, 0.5, 0.75))
    np.testing.assert_array_equal(conformal.counts, [3, 0, 2])
    np.testing.assert_array_equal(conformal.widening, [[2, 0, 6]])
    np.testing.assert_array_equal(conformal.short, [[False, True, False]])


def test_steps_beyond_those_calibrated_take_the_last_widening() -> None:
    y = np.tile([[1.0, 2.0]], (20, 1))
    conformal = Conformal.fit(y, flat(np.zeros((20, 2)), LEVELS), LEVELS)
    bands = conformal.apply(np.zeros((9, 4)))
    np.testing.assert_array_equal(bands[0], [-1, -2, -2, -2])
    np.testing.assert_array_equal(conformal.apply(np.zeros((9, 1)))[8], [1])


def test_plain_data_round_trip() -> None:
    y, quantiles = world(np.random.default_rng(8), 30, 3, 1.0)
    conformal = Conformal.fit(y, quantiles, LEVELS)
    again = Conformal.from_dict(json.loads(json.dumps(conformal.to_dict())))
    np.testing.assert_array_equal(again.apply(quantiles), conformal.apply(quantiles))
    np.testing.assert_array_equal(again.short, conformal.short)


@pytest.mark.parametrize("levels", [(0.5,), (0.1, 0.5, 0.8), (0.1, 0.4, 0.9), (0.9, 0.5, 0.1), ()])
def test_levels_must_be_symmetric(levels: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="symmetric"):
        Conformal.fit(np.zeros((4, 2)), np.zeros((4, len(levels), 2)), levels)


def test_shapes_must_fit() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        Conformal.fit(np.zeros((4, 2)), np.zeros((4, 3, 5)), (0.1, 0.5, 0.9))
    conformal = Conformal.fit(np.zeros((4, 2)), np.zeros((4, 3, 2)), (0.1, 0.5, 0.9))
    with pytest.raises(ValueError, match="9 quantiles do not fit 3 levels"):
        conformal.apply(np.zeros((9, 2)))
