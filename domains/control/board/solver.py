"""What positions are worth, found for many at once: level by level down to the ends, and back up.

A score says who wins and how soon: 0 a draw, above 0 the mover wins, below 0 the mover loses; its size is one more than
the cells that are then still free. Where the search is cut off (`depth`), 0 also means undecided.

Positions of one level are merged where they are equal. Forced replies are not searched beside: a player who can win
does, one who must block does, and a stone below a cell where the other then wins is never put (it loses at once).

Axes: N positions, A moves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .games import Game

IMPOSSIBLE = -127
"""Stands for the score of a move that the rules do not allow, or that nobody makes since another one wins at once."""
CHUNK = 1 << 14
"""Positions that are worked on at once: what the processor's cache holds."""


@dataclass(frozen=True)
class Level:
    """Positions with the same number of stones: sorted keys [N] and their scores [N]."""

    keys: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class Solved:
    """Scores of all positions that matter below some first ones, by the number of stones."""

    game: Game
    levels: dict[int, Level]

    def moves(self, mine: np.ndarray, theirs: np.ndarray, stones: int) -> np.ndarray:
        """The score of every move [N, A] for the mover, of positions that were searched and are not over."""
        game, most = self.game, self.game.cells + 1
        free = game.possible(mine | theirs)
        wins = game.completing(mine) & free
        at_once = np.int8(most - stones - 1)
        scores = np.full((len(mine), game.moves), IMPOSSIBLE, dtype=np.int8)
        level = self.levels.get(stones + 1)
        for move, mask in enumerate(game.masks):
            cell = free & mask
            found = np.full(len(mine), -(most - stones - 2), dtype=np.int8)  # left out of the search: it loses at once
            if stones + 1 == game.cells:
                found[:] = 0
            elif level is not None and len(level.keys):
                keys = game.key(theirs, mine | cell)
                place = np.minimum(np.searchsorted(level.keys, keys), len(level.keys) - 1)
                there = level.keys[place] == keys
                found[there] = -level.scores[place[there]]
            found[wins != 0] = IMPOSSIBLE
            found[(wins & cell) != 0] = at_once
            found[cell == 0] = IMPOSSIBLE
            scores[:, move] = found
        return scores


def solve(game: Game, mine: np.ndarray, theirs: np.ndarray, stones: int, depth: int | None = None) -> Solved:
    """Search below positions [N] with `stones` stones each, none of them over, `depth` moves deep (None: to the end).

    The first level is kept in the order of keys like the others.
    """
    steps: list[_Step] = []
    keys, place = np.unique(game.key(mine, theirs), return_index=True)
    mine, theirs = mine[place], theirs[place]
    last = game.cells if depth is None else min(game.cells, stones + depth)
    for number in range(stones, last):
        step = _expand(game, keys, mine, theirs, number)
        steps.append(step)
        if not len(step.next_keys):
            break
        keys, mine, theirs = step.next_keys, step.next_mine, step.next_theirs
    levels: dict[int, Level] = {}
    below = np.zeros(len(steps[-1].next_keys), dtype=np.int8)
    if len(below):
        levels[stones + len(steps)] = Level(steps[-1].next_keys, below)
    for number in reversed(range(len(steps))):
        below = steps[number].scores_from(below)
        levels[stones + number] = Level(steps[number].keys, below)
    return Solved(game, levels)


@dataclass(frozen=True)
class _Step:
    """From one level to the next: scores of what is decided, and for each move which of the others lead where."""

    keys: np.ndarray
    scores: np.ndarray
    undecided: np.ndarray
    edges: list[tuple[np.ndarray, np.ndarray]]  # for each move: rows of this level, rows of the next
    next_keys: np.ndarray
    next_mine: np.ndarray
    next_theirs: np.ndarray

    def scores_from(self, below: np.ndarray) -> np.ndarray:
        """The scores of this level, from those of the next."""
        best = np.where(self.undecided, np.int8(IMPOSSIBLE), self.scores)
        for rows, children in self.edges:
            best[rows] = np.maximum(best[rows], -below[children])
        return best


def _expand(game: Game, keys: np.ndarray, mine: np.ndarray, theirs: np.ndarray, stones: int) -> _Step:
    most = game.cells + 1
    parts = [_look(game, mine[at], theirs[at]) for at in _chunks(len(mine))]
    wins, lost, moves = (np.concatenate(column) for column in zip(*parts, strict=True))
    scores = np.zeros(len(mine), dtype=np.int8)
    scores[lost] = -(most - stones - 2)
    scores[wins] = most - stones - 1
    undecided = ~(wins | lost)
    if stones + 1 == game.cells:  # the last stone, which wins nothing
        undecided[:] = False
        scores[lost & ~wins] = 0
    open_rows = np.flatnonzero(undecided).astype(np.int32)
    rows, next_mine, next_theirs = [], [], []
    for mask in game.masks:
        cell = moves[open_rows] & mask
        able = np.flatnonzero(cell)
        rows.append(open_rows[able])
        next_mine.append(theirs[rows[-1]])
        next_theirs.append(mine[rows[-1]] | cell[able])
    all_mine, all_theirs = np.concatenate(next_mine), np.concatenate(next_theirs)
    found, first, inverse = np.unique(game.key(all_mine, all_theirs), return_index=True, return_inverse=True)
    ends = np.cumsum([0, *(len(part) for part in rows)])
    inverse = inverse.astype(np.int32)
    edges = [(part, inverse[ends[number] : ends[number + 1]]) for number, part in enumerate(rows)]
    return _Step(keys, scores, undecided, edges, found, all_mine[first], all_theirs[first])


def _look(game: Game, mine: np.ndarray, theirs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of positions [N]: where the mover wins at once, where the other does next whatever is tried, and the cells that
    are worth trying."""
    free = game.possible(mine | theirs)
    wins = (game.completing(mine) & free) != 0
    moves = sensible(game, free, game.completing(theirs))
    return wins, moves == 0, moves


def sensible(game: Game, free: np.ndarray, dangers: np.ndarray) -> np.ndarray:
    """Of the free cells those that do not lose at once; `dangers` are the cells where the other would win."""
    threats = dangers & free
    moves = np.where(threats != 0, threats, free)
    if game.drops:
        moves = moves & ~(dangers >> 1)  # not below such a cell
    return np.where((threats & (threats - (threats != 0))) != 0, np.uint64(0), moves)


def _chunks(count: int) -> Iterator[slice]:
    return (slice(start, start + CHUNK) for start in range(0, max(count, 1), CHUNK))
