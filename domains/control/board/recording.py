"""Games that our own players record, every position with what strong play makes of it.

    the first stones          from `exact_from` stones on
    judged by random games    solved to the end (tic-tac-toe: from the first stone on)

The players differ in how often they err, so that good play is shown against bad play too. Whatever they do, the label
of a position is what should be done: a distribution over moves, and how likely the mover is to lose, draw, win.

Axes: G games, T moves of the longest game, N positions, A moves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .games import Game
from .rollouts import play_out, worth_trying
from .solver import IMPOSSIBLE, solve

SHARP = 0.1
"""Difference in expected result (of -1 to 1) that makes a move e times as likely."""
SOONER = 2.0
"""Moves by which a win must come sooner to make it e times as likely."""
LOOKED_AHEAD = 4
"""Moves that are searched where positions are judged by random games."""
TOGETHER, SOLVED_TOGETHER = 1_000, 40
"""Games that are played side by side, and of which the ends are solved at once."""

Judge = Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]]
"""(mine [N], theirs [N], stones) -> what to do [N, A], and how it ends: loss, draw, win [N, 3]."""


@dataclass(frozen=True)
class Kind:
    """A player: the share of moves drawn from all moves, or from all that do not lose at once, instead of good ones."""

    errs: float
    wary: bool
    share: float


KINDS = (Kind(0.05, False, 0.5), Kind(0.25, True, 0.25), Kind(1.0, True, 0.15), Kind(1.0, False, 0.1))


@dataclass(frozen=True)
class Recorded:
    """moves [G, T] int8 (-1 after the end); policy [G, T, A] and value [G, T, 3] before each move, in 255ths."""

    moves: np.ndarray
    policy: np.ndarray
    value: np.ndarray

    @classmethod
    def empty(cls, game: Game, count: int) -> Recorded:
        return cls(
            np.full((count, game.cells), -1, dtype=np.int8),
            np.zeros((count, game.cells, game.moves), dtype=np.uint8),
            np.zeros((count, game.cells, 3), dtype=np.uint8),
        )

    @classmethod
    def joined(cls, parts: list[Recorded]) -> Recorded:
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("moves", "policy", "value")))


def record(
    game: Game,
    count: int,
    *,
    exact_from: int,
    outcomes: int = 8,
    seed: int = 0,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> Recorded:
    """`count` games; outcomes: random games for each move of a position that is not solved."""
    parts = []
    for start in range(0, count, TOGETHER):
        size = min(TOGETHER, count - start)
        parts.append(_Table(game, size, np.random.default_rng((seed, start))).played(exact_from, outcomes))
        tick(start + size, count)
    return Recorded.joined(parts)


class _Table:
    """Games that are played side by side."""

    def __init__(self, game: Game, count: int, generator: np.random.Generator) -> None:
        self.game, self.generator = game, generator
        self.made = Recorded.empty(game, count)
        self.mine, self.theirs = (np.zeros(count, dtype=np.uint64) for _ in range(2))
        shares = [kind.share for kind in KINDS]
        self.kinds = generator.choice(len(KINDS), size=(count, 2), p=shares)
        self.live = np.ones(count, dtype=bool)

    def played(self, exact_from: int, outcomes: int) -> Recorded:
        chance = by_chance(self.game, outcomes, self.generator)
        everything = np.arange(len(self.mine))
        self.go_on(everything, 0, exact_from, chance)
        rest = np.flatnonzero(self.live)
        for start in range(0, len(rest), SOLVED_TOGETHER):
            rows = rest[start : start + SOLVED_TOGETHER]
            exact = by_solving(self.game, self.mine[rows], self.theirs[rows], exact_from)
            self.go_on(rows, exact_from, self.game.cells, exact)
        self._foresee(rest, exact_from)
        return self.made

    def go_on(self, rows: np.ndarray, start: int, end: int, judge: Judge) -> None:
        """Play the games `rows` from `start` stones to `end`."""
        for stones in range(start, end):
            rows = rows[self.live[rows]]
            if not len(rows):
                return
            mine, theirs = self.mine[rows], self.theirs[rows]
            policy, value = judge(mine, theirs, stones)
            moves = self._choose(rows, mine, theirs, policy, stones % 2)
            self.made.policy[rows, stones] = _in_255ths(policy)
            self.made.value[rows, stones] = _in_255ths(value)
            self.made.moves[rows, stones] = moves
            taken, masks = mine | theirs, np.array(self.game.masks, dtype=np.uint64)
            cell = self.game.possible(taken) & masks[moves]
            self.mine[rows], self.theirs[rows] = theirs, mine | cell
            self.live[rows] = ~self.game.has_line(mine | cell) & (stones + 1 < self.game.cells)

    def _choose(
        self, rows: np.ndarray, mine: np.ndarray, theirs: np.ndarray, policy: np.ndarray, side: int
    ) -> np.ndarray:
        """A move for each position, as the player of that game's side would."""
        game = self.game
        free = game.possible(mine | theirs)
        wins = game.completing(mine) & free
        wary = np.where(wins != 0, wins, worth_trying(game, free, theirs))
        kinds = self.kinds[rows, side]
        cells = np.where(np.array([kind.wary for kind in KINDS])[kinds], wary, free)
        spread = np.stack([(cells & mask) != 0 for mask in game.masks], axis=1).astype(np.float64)
        spread /= spread.sum(axis=1, keepdims=True)
        errs = np.array([kind.errs for kind in KINDS])[kinds, None]
        return _drawn((1 - errs) * policy + errs * spread, self.generator)

    def _foresee(self, rest: np.ndarray, exact_from: int) -> None:
        """Where both players are good, what they came to says as much of an early position as random games do."""
        if not exact_from or not len(rest):
            return
        rows = rest[(self.kinds[rest] < 2).all(axis=1)]
        truth = self.made.value[rows, exact_from].astype(np.float32)
        for stones in range(exact_from):
            seen = truth if (exact_from - stones) % 2 == 0 else truth[:, ::-1]
            self.made.value[rows, stones] = (self.made.value[rows, stones] + seen) / 2


# -- what should be done ----------------------------------------------------------------------------------------------


def by_solving(game: Game, mine: np.ndarray, theirs: np.ndarray, stones: int) -> Judge:
    """The truth about everything that can come of these positions [N]."""
    solved = solve(game, mine, theirs, stones)

    def judge(mine: np.ndarray, theirs: np.ndarray, stones: int) -> tuple[np.ndarray, np.ndarray]:
        scores = solved.moves(mine, theirs, stones)
        return best_of(scores), np.eye(3)[np.sign(scores.max(axis=1)).astype(int) + 1]

    return judge


def best_of(scores: np.ndarray) -> np.ndarray:
    """Scores of moves [N, A] as a distribution over the best: a sooner win, a later loss is more likely."""
    best = scores.max(axis=1, keepdims=True)
    among = (np.sign(scores) == np.sign(best)) & (scores != IMPOSSIBLE)
    return softmax(np.where(among, scores / SOONER, -np.inf))


def by_chance(game: Game, outcomes: int, generator: np.random.Generator) -> Judge:
    """A short search, and where it decides nothing, `outcomes` random games after each move. Equal positions share
    theirs. Half of the games choose the moves that the other half judges the position by, so that luck is not taken for
    worth (van Hasselt 2010, double estimation)."""

    def judge(mine: np.ndarray, theirs: np.ndarray, stones: int) -> tuple[np.ndarray, np.ndarray]:
        keys = game.key(mine, theirs)
        _, first, back = np.unique(keys, return_index=True, return_inverse=True)
        scores = solve(game, mine[first], theirs[first], stones, LOOKED_AHEAD).moves(mine[first], theirs[first], stones)
        policy, best = best_of(scores), scores.max(axis=1)
        value = np.eye(3)[np.sign(best).astype(int) + 1]
        open_rows = np.flatnonzero(best == 0)
        asked = np.flatnonzero((best == 0)[back])
        if len(asked):
            pairs = scores[back[asked]] == 0
            counts = _count(game, (mine[asked], theirs[asked], stones), (back[asked], pairs), outcomes, generator)
            one, other = (half[open_rows] for half in _grown(counts, len(first)))
            able = scores[open_rows] == 0
            policy[open_rows] = softmax(np.where(able, _mean(one + other) / SHARP, -np.inf))
            trusted = softmax(np.where(able, _mean(one) / SHARP, -np.inf))[:, :, None]
            value[open_rows] = (trusted * other / other.sum(axis=2, keepdims=True).clip(1)).sum(axis=1)
        return policy[back], value[back]

    return judge


def _count(
    game: Game,
    positions: tuple[np.ndarray, np.ndarray, int],
    asked: tuple[np.ndarray, np.ndarray],
    outcomes: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """How the random games end, by position, move, half and result: [positions, A, 2, 3]. asked: for each row of mine
    and theirs the number of its position, and which moves to try [N, A]."""
    (mine, theirs, stones), (numbers, pairs) = positions, asked
    rows, moves = np.nonzero(pairs)
    masks = np.array(game.masks, dtype=np.uint64)[moves]
    after = mine[rows] | (game.possible(mine[rows] | theirs[rows]) & masks)
    ends = -play_out(game, np.repeat(theirs[rows], outcomes), np.repeat(after, outcomes), stones + 1, generator)
    half = np.arange(len(ends)) % 2
    place = np.repeat(numbers[rows] * game.moves + moves, outcomes)
    counted = np.bincount((place * 2 + half) * 3 + ends + 1, minlength=(numbers.max() + 1) * game.moves * 6)
    return counted.reshape(-1, game.moves, 2, 3).astype(np.float64)


def _grown(counts: np.ndarray, positions: int) -> tuple[np.ndarray, np.ndarray]:
    """Both halves [positions, A, 3], zero where nothing was asked."""
    whole = np.zeros((positions, *counts.shape[1:]))
    whole[: len(counts)] = counts
    return whole[:, :, 0], whole[:, :, 1]


def _mean(counts: np.ndarray) -> np.ndarray:
    """Counts of losses, draws, wins [N, A, 3] as the mean result [N, A], from -1 to 1."""
    return (counts[..., 2] - counts[..., 0]) / counts.sum(axis=-1).clip(1)


def softmax(values: np.ndarray) -> np.ndarray:
    """Over the last axis; at least one value is finite."""
    raised = np.exp(values - values.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def _drawn(chances: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """One move for each row of chances [N, A]."""
    edges = chances.cumsum(axis=1)
    return (edges < generator.random(len(edges))[:, None] * edges[:, -1:]).sum(axis=1)


def _in_255ths(chances: np.ndarray) -> np.ndarray:
    return np.rint(chances * 255).astype(np.uint8)
