"""Distances between sets, beside what they are defined as."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.linalg import sqrtm
from tsuite.domains.molecules.metrics.distances import cosine, diversity, frechet, moments, nearest, wasserstein

DICE = np.random.default_rng(0)


def prints(count: int) -> np.ndarray:
    """Random fingerprints of about 50 bits, as bytes [count, 128]."""
    return np.packbits(DICE.random((count, 1024)) < 0.05, axis=1)


def tanimoto(first: np.ndarray, second: np.ndarray) -> float:
    one, other = (np.unpackbits(value).astype(bool) for value in (first, second))
    return (one & other).sum() / max((one | other).sum(), 1)


def test_frechet_is_the_definition() -> None:
    first, second = (DICE.normal(size=(60, 8)) @ DICE.normal(size=(8, 8)) + shift for shift in (0, 0.5))
    (mean, covariance), (other_mean, other_covariance) = moments(first), moments(second)
    root = np.real(np.asarray(sqrtm(covariance @ other_covariance)))
    by_definition = ((mean - other_mean) ** 2).sum() + np.trace(covariance + other_covariance - 2 * root)
    assert frechet(mean, covariance, other_mean, other_covariance) == pytest.approx(by_definition, rel=1e-9)
    assert frechet(mean, covariance, mean, covariance) == pytest.approx(0, abs=1e-9)


def test_frechet_where_there_are_too_few() -> None:
    """Fewer molecules than activations: a covariance without full rank, whose root is real all the same."""
    mean, covariance = moments(DICE.normal(size=(5, 20)))
    assert frechet(mean, covariance, np.zeros(20), np.eye(20)) > 0
    normal = frechet(np.zeros(1), np.array([[4.0]]), np.ones(1), np.array([[9.0]]))
    assert normal == pytest.approx(1 + (2 - 3) ** 2)


def test_nearest_is_the_largest_of_all() -> None:
    own, others = prints(7), prints(9)
    others[4] = own[2]
    expected = [max(tanimoto(one, other) for other in others) for one in own]
    np.testing.assert_allclose(nearest(own, others), expected, atol=1e-6)
    assert nearest(own, others)[2] == 1
    assert nearest(own[:0], others).shape == (0,)


def test_nearest_in_blocks_tells_how_far_it_is() -> None:
    heard = []
    others = prints(5000)
    own = others[[4999, 0]]
    assert nearest(own, others, tick=lambda done, total: heard.append((done, total))).tolist() == [1, 1]
    assert heard == [(4096, 5000), (5000, 5000)]


def test_diversity_counts_repeated_molecules() -> None:
    own = prints(4)
    repeated = own[[0, 0, 0, 1, 2, 3]]
    for power in (1, 2):
        each = [np.mean([tanimoto(one, other) ** power for other in repeated]) ** (1 / power) for one in repeated]
        assert diversity(own, np.array([3, 1, 1, 1]), power=power) == pytest.approx(1 - np.mean(each), abs=1e-6)
    assert diversity(own[:1], np.array([5])) == pytest.approx(0)
    assert diversity(own[:0], np.zeros(0)) is None


def test_molecules_without_bits_are_alike() -> None:
    assert nearest(np.zeros((1, 128), dtype=np.uint8), np.zeros((2, 128), dtype=np.uint8)).tolist() == [1]


def test_cosine() -> None:
    assert cosine(Counter("aab"), Counter("aaaabb")) == pytest.approx(1)
    assert cosine(Counter("aab"), Counter("c")) == 0
    assert cosine({"a": 3, "b": 4}, {"a": 1}) == pytest.approx(0.6)
    assert cosine({}, {"a": 1}) is None


def test_wasserstein() -> None:
    assert wasserstein(np.array([0.0, 1.0]), np.array([2.0, 3.0])) == pytest.approx(2)
    assert wasserstein(np.zeros(0), np.ones(1)) is None
