"""Which groups of atoms a molecule holds, as counts: how near two molecules are, and the forest to beat.

Morgan's circles of radius 2 (Rogers and Hahn 2010, doi 10.1021/ci100050t), folded to 2,048 places.

Axes: N molecules asked about, M molecules learnt from, D computed properties.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...core.sources.derived import derived
from .chem import rdBase
from .smiles import parse

BITS, RADIUS = 2048, 2
TREES = 500
KEPT = 10_000
"""Fingerprints that a checkpoint keeps, at most: 256 bytes each."""
VERSION = 1


def fingerprints(smiles: Sequence[str], *, counts: bool = False) -> np.ndarray:
    """[N, BITS] uint8: whether each group is there, or how often (up to 255); zeros for what is no molecule."""
    from rdkit.Chem import rdFingerprintGenerator

    maker = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=BITS)
    make = maker.GetCountFingerprintAsNumPy if counts else maker.GetFingerprintAsNumPy
    found = np.zeros((len(smiles), BITS), dtype=np.uint8)
    for row, one in enumerate(smiles):
        if (mol := parse(one)) is not None:
            with rdBase.BlockLogs():
                found[row] = make(mol).clip(max=255)
    return found


def packed(smiles: Sequence[str]) -> np.ndarray:
    """[N, BITS / 8] uint8, as `nearest` takes them."""
    return np.packbits(fingerprints(smiles), axis=1)


def nearest(asked: np.ndarray, known: np.ndarray, *, itself: bool = True) -> np.ndarray:
    """Packed fingerprints asked [N, 256] and known [M, 256] -> [N] Tanimoto's similarity to the most similar, 0 to 1.
    itself: a molecule may be its own; without, `asked` is `known` and each is compared with the others."""
    right = np.unpackbits(known, axis=1).astype(np.float32)
    sizes = right.sum(axis=1)
    best = np.zeros(len(asked))
    for start in range(0, len(asked), 500):
        left = np.unpackbits(asked[start : start + 500], axis=1).astype(np.float32)
        both = left @ right.T
        alike = both / np.maximum(left.sum(axis=1)[:, None] + sizes - both, 1)
        if not itself:
            rows = np.arange(len(left))
            alike[rows, start + rows] = -1
        best[start : start + 500] = alike.max(axis=1, initial=0)
    return best


def forest(
    smiles: Sequence[str], values: np.ndarray, asked: Sequence[str], *, described: np.ndarray | None = None,
    asked_described: np.ndarray | None = None, seed: int = 0,
) -> np.ndarray:  # fmt: skip
    """What a random forest (Breiman 2001) on counts of groups, learnt from `smiles` with `values` [M], predicts of
    `asked`, [N]; described [M, D] and asked_described [N, D] are computed properties it reads beside them. Kept in the
    cache. Some seconds for a thousand molecules."""
    facts = [VERSION, TREES, list(smiles), values.tolist(), list(asked), described is not None, seed]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def produce(folder: Path) -> None:
        from sklearn.ensemble import RandomForestRegressor

        left, right = fingerprints(smiles, counts=True), fingerprints(asked, counts=True)
        if described is not None and asked_described is not None:
            left = np.concatenate([left, described.astype(np.float32)], axis=1)
            right = np.concatenate([right, asked_described.astype(np.float32)], axis=1)
        found = RandomForestRegressor(TREES, max_features=1 / 3, random_state=seed, n_jobs=1).fit(left, values)
        np.save(folder / "values.npy", found.predict(right))

    return np.load(derived("molecule-forest", key, produce) / "values.npy")
