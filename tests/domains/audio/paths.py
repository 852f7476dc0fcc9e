"""CTC the slow way: every path, every prefix, every score by hand."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable

import numpy as np


def random_rows(frames: int, labels: int, seed: int, *, sharp: float = 1.5) -> np.ndarray:
    """Log-probabilities [frames, labels]."""
    rows = sharp * np.random.default_rng(seed).standard_normal((frames, labels))
    return rows - np.logaddexp.reduce(rows, axis=1, keepdims=True)


def collapse(path: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(label for label, _ in itertools.groupby(path) if label)


def every_reading(rows: np.ndarray) -> dict[tuple[int, ...], float]:
    """Log-probability of every row of labels, summed over all paths."""
    found: dict[tuple[int, ...], float] = defaultdict(lambda: -math.inf)
    for path in itertools.product(range(rows.shape[1]), repeat=len(rows)):
        ids = collapse(path)
        found[ids] = float(np.logaddexp(found[ids], sum(rows[frame, label] for frame, label in enumerate(path))))
    return found


def best_path(rows: np.ndarray, ids: list[int]) -> tuple[int, ...]:
    """The likeliest path that spells `ids`."""
    paths = (path for path in itertools.product(range(rows.shape[1]), repeat=len(rows)) if collapse(path) == tuple(ids))
    return max(paths, key=lambda path: sum(rows[frame, label] for frame, label in enumerate(path)))


def plain_beam(
    rows: np.ndarray, width: int, fused: Callable[[tuple[int, ...]], float], done: Callable[[tuple[int, ...]], float]
) -> list[tuple[tuple[int, ...], float]]:
    """Prefix beam search with dictionaries, every prefix asked for its score: `fused` while it grows, `done` at the
    end. (ids, score), best first."""
    none = -math.inf
    beam: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, none)}
    for row in rows.tolist():
        after: dict[tuple[int, ...], list[float]] = defaultdict(lambda: [none, none])
        for prefix, (blank, label) in beam.items():
            total = np.logaddexp(blank, label)
            after[prefix][0] = np.logaddexp(after[prefix][0], total + row[0])
            if prefix:
                after[prefix][1] = np.logaddexp(after[prefix][1], label + row[prefix[-1]])
            for new in range(1, len(row)):
                came = blank if prefix and prefix[-1] == new else total
                grown = (*prefix, new)
                after[grown][1] = np.logaddexp(after[grown][1], came + row[new])
        score = {prefix: np.logaddexp(both[0], both[1]) + fused(prefix) for prefix, both in after.items()}
        kept = sorted(score, key=lambda prefix: -score[prefix])[:width]
        beam = {prefix: (float(after[prefix][0]), float(after[prefix][1])) for prefix in kept if score[prefix] > none}
    found = [(prefix, float(np.logaddexp(both[0], both[1])) + done(prefix)) for prefix, both in beam.items()]
    return sorted(found, key=lambda one: -one[1])
