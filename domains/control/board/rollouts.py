"""Positions judged by how games go on from there at random, for many at once (Abramson 1990, expected outcome).

The players of these games win if they can, block if they must, put nothing below a cell where the other wins, and else
choose among the free cells alike.

Axes: N positions.
"""

from __future__ import annotations

import numpy as np

from .games import Game
from .solver import CHUNK, sensible


def play_out(
    game: Game, mine: np.ndarray, theirs: np.ndarray, stones: int, generator: np.random.Generator
) -> np.ndarray:
    """One game from each position [N], which has `stones` stones and is not over: 1, 0 or -1 for the mover [N]."""
    parts = [slice(start, start + CHUNK) for start in range(0, len(mine), CHUNK)]
    return np.concatenate([_play_out(game, mine[at], theirs[at], stones, generator) for at in parts])


def _play_out(
    game: Game, mine: np.ndarray, theirs: np.ndarray, stones: int, generator: np.random.Generator
) -> np.ndarray:
    result = np.zeros(len(mine), dtype=np.int8)
    rows, sign = np.arange(len(mine)), 1
    for _ in range(stones, game.cells):
        free = game.possible(mine | theirs)
        won = (game.completing(mine) & free) != 0
        result[rows[won]] = sign
        rows, mine, theirs, free = (values[~won] for values in (rows, mine, theirs, free))
        if not len(rows):
            break
        cell = one_of(worth_trying(game, free, theirs), generator)
        mine, theirs, sign = theirs, mine | cell, -sign
    return result


def worth_trying(game: Game, free: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """The free cells that do not lose at once; where all do, those that block; where none does that, all."""
    dangers = game.completing(theirs)
    moves = sensible(game, free, dangers)
    moves = np.where(moves == 0, free & dangers, moves)
    return np.where(moves == 0, free, moves)


def one_of(cells: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """One bit of each number [N], each of its bits as likely as another. None may be zero."""
    left, count = cells, np.zeros(len(cells), dtype=np.int64)
    while left.any():
        count += left != 0
        left = left & (left - (left != 0))
    skip = (generator.random(len(cells)) * count).astype(np.int64)
    for number in range(int(skip.max(initial=0))):
        cells = np.where(skip > number, cells & (cells - np.uint64(1)), cells)
    return cells & (~cells + np.uint64(1))
