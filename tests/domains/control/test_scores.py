"""Returns in figures."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr
from tsuite.domains.control.scores import normalised, reference, spearman, summary_of


def test_rank_correlation_is_that_of_scipy_ties_included() -> None:
    random = np.random.default_rng(0)
    for _ in range(5):
        asked, achieved = random.integers(0, 6, 40), random.integers(0, 9, 40)
        theirs: Any = spearmanr(asked, achieved)
        assert spearman(asked, achieved) == pytest.approx(theirs.statistic)
    assert spearman([1, 2, 3], [10, 20, 20.5]) == pytest.approx(1)
    assert spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert math.isnan(spearman([1, 1], [2, 3]))
    assert math.isnan(spearman([1], [2]))
    with pytest.raises(ValueError, match="2 returns were asked and 1 achieved"):
        spearman([1, 2], [1])


def test_d4rl_scale() -> None:
    assert reference("CartPole-v1") is None
    low, high = reference("Hopper-v5") or (0, 0)
    setting = SimpleNamespace(reference=(low, high))
    assert normalised([low, high], setting) == pytest.approx(50)
    assert normalised([], setting) is None
    assert normalised([1.0], SimpleNamespace(reference=None)) is None


def test_summary() -> None:
    assert summary_of([1.0, 2.0, 6.0]) == {
        "n": 3, "mean": 3.0, "std": pytest.approx(math.sqrt(7)), "median": 2.0, "min": 1.0, "max": 6.0,
    }  # fmt: skip
    assert summary_of([4.0])["std"] == 0
    assert summary_of([])["n"] == 0
    assert math.isnan(summary_of([])["mean"])
