"""How strong players are, from games between them: Elo's scale by the model of Bradley and Terry.

A difference of 400 points means ten wins for each loss; a draw counts as half a win for both (Elo 1978).

Axes: P players.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

PRIOR = 0.5
"""Draws that every two players that met are thought to have made besides: without any, who never loses has no
rating."""
DRAWN_AGAIN = 300


class Rating(NamedTuple):
    """Points, and the range that holds them with 95 % confidence."""

    elo: float
    low: float
    high: float


Score = tuple[int, int, int]
"""Wins, draws, losses of the first of two players against the second."""


def ratings(scores: Mapping[tuple[str, str], Score], *, zero: str, seed: int = 0) -> dict[str, Rating]:
    """The rating of everyone who played, where the player `zero` has 0.

    The range is that of games drawn again from each pair's own results (Efron 1979, bootstrap). Raises ValueError where
    somebody never met anyone whom games connect with `zero`.
    """
    names = list(dict.fromkeys([zero, *(name for pair in scores for name in pair)]))
    _require_connected(names, scores)
    generator = np.random.default_rng(seed)
    best = _fitted(names, scores)
    again = np.array([_fitted(names, _drawn(scores, generator)) for _ in range(DRAWN_AGAIN)])
    low, high = np.quantile(again, [0.025, 0.975], axis=0)
    return {name: Rating(*map(float, (best[i], low[i], high[i]))) for i, name in enumerate(names)}


def _fitted(names: list[str], scores: Mapping[tuple[str, str], Score]) -> np.ndarray:
    """Ratings [P] of greatest likelihood, by Newton's method; the first is 0."""
    size = len(names)
    games, won = np.zeros((size, size)), np.zeros((size, size))
    for (one, other), (wins, draws, losses) in scores.items():
        i, j = names.index(one), names.index(other)
        points, count = wins + (draws + PRIOR) / 2, wins + draws + losses + PRIOR
        games[i, j] += count
        games[j, i] += count
        won[i, j] += points
        won[j, i] += count - points
    strength = np.zeros(size)
    for _ in range(100):
        expected = 1 / (1 + np.exp(strength[None, :] - strength[:, None]))
        slope = (won - games * expected).sum(axis=1)[1:]
        spread = games * expected * (1 - expected)
        curve = (np.diag(spread.sum(axis=1)) - spread)[1:, 1:]
        step = np.linalg.solve(curve, slope).clip(-1, 1)
        strength[1:] += step
        if np.abs(step).max(initial=0) < 1e-9:
            break
    return strength * 400 / np.log(10)


def _drawn(scores: Mapping[tuple[str, str], Score], generator: np.random.Generator) -> dict[tuple[str, str], Score]:
    found = {}
    for pair, score in scores.items():
        total = sum(score)
        wins, draws, losses = generator.multinomial(total, np.array(score) / total) if total else score
        found[pair] = (int(wins), int(draws), int(losses))
    return found


def _require_connected(names: list[str], scores: Mapping[tuple[str, str], Score]) -> None:
    reached, last = {names[0]}, 0
    while len(reached) > last:
        last = len(reached)
        reached |= {name for pair in scores if reached & set(pair) for name in pair}
    if left := set(names) - reached:
        raise ValueError(f"no games connect {', '.join(sorted(left))} with {names[0]}")
