"""Distances and similarities between two sets of molecules, of numbers and counts alone: no chemistry here.

Axes: G generated molecules, N reference molecules, 128 bytes (1,024 bits) of a fingerprint, 512 activations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

Tick = Callable[[int, int], None]


def frechet(mean: np.ndarray, covariance: np.ndarray, other_mean: np.ndarray, other_covariance: np.ndarray) -> float:
    """The squared Fréchet distance of two normal distributions: |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)).

    The trace of the root comes from the eigenvalues of C1^(1/2) C2 C1^(1/2), which are those of C1 C2 and never
    negative or complex (Dowson and Landau 1982)."""
    values, vectors = np.linalg.eigh(np.asarray(covariance, dtype=np.float64))
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    inner = np.linalg.eigvalsh(root @ np.asarray(other_covariance, dtype=np.float64) @ root).clip(min=0)
    apart = np.asarray(mean, dtype=np.float64) - np.asarray(other_mean, dtype=np.float64)
    return float(apart @ apart + np.trace(covariance) + np.trace(other_covariance) - 2 * np.sqrt(inner).sum())


def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean [512] and covariance [512, 512] of activations [G, 512], G at least 2."""
    values = np.asarray(values, dtype=np.float64)
    return values.mean(0), np.cov(values.T)


def cosine(counts: Mapping[str, int], others: Mapping[str, int]) -> float | None:
    """The cosine of two counts as vectors over all names; None where one is empty."""
    if not counts or not others:
        return None
    product = sum(count * others.get(name, 0) for name, count in counts.items())
    lengths = (sum(value * value for value in both.values()) for both in (counts, others))
    first, second = (float(length) ** 0.5 for length in lengths)
    return product / (first * second)


def nearest(
    prints: np.ndarray, reference: np.ndarray, *, device: str | torch.device = "cpu", tick: Tick | None = None
) -> np.ndarray:
    """The Tanimoto similarity of each fingerprint ([G, 128] bytes) to its nearest in `reference` ([N, 128]): [G]."""
    best = torch.zeros(len(prints), device=device)
    own = _bits(prints, device)
    sizes = own.sum(1)
    step = 4096
    for start in range(0, len(reference), step):
        block = _bits(reference[start : start + step], device)
        for rows in range(0, len(own), 1024):
            found = _tanimoto(own[rows : rows + 1024], sizes[rows : rows + 1024], block)
            torch.maximum(best[rows : rows + 1024], found.amax(1), out=best[rows : rows + 1024])
        if tick:
            tick(min(start + step, len(reference)), len(reference))
    return best.cpu().numpy()


def diversity(
    prints: np.ndarray, weights: np.ndarray, *, power: int = 1, device: str | torch.device = "cpu"
) -> float | None:
    """Internal diversity (Benhenda 2017): 1 - mean over molecules of (mean over molecules of T^p)^(1/p).

    prints: [G, 128]. weights: [G], how often each molecule was generated. A molecule counts as its own neighbour too,
    as in MOSES. None where there is none."""
    if not len(prints):
        return None
    own, often = _bits(prints, device), torch.tensor(weights, dtype=torch.float64, device=device)
    sizes = own.sum(1)
    means = []
    for rows in range(0, len(own), 1024):
        found = _tanimoto(own[rows : rows + 1024], sizes[rows : rows + 1024], own).pow(power).double()
        means.append(found @ often / often.sum())
    return float(1 - torch.cat(means).pow(1 / power) @ often / often.sum())


def _bits(prints: np.ndarray, device: str | torch.device) -> Tensor:
    return torch.from_numpy(np.unpackbits(prints, axis=1)).to(device).float()


def _tanimoto(rows: Tensor, sizes: Tensor, block: Tensor) -> Tensor:
    """Shared bits over bits of either, [rows, block]; 1 where neither has any."""
    shared = rows @ block.T
    found = shared / (sizes[:, None] + block.sum(1)).sub_(shared)
    return found if sizes.all() else found.nan_to_num_(nan=1.0)


def wasserstein(values: np.ndarray, others: np.ndarray) -> float | None:
    """The first Wasserstein distance of two samples of numbers, in their unit; None where one is empty."""
    from scipy.stats import wasserstein_distance

    return float(wasserstein_distance(values, others)) if len(values) and len(others) else None
