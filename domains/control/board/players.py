"""Opponents to be measured by: random, one-ply, and alpha-beta.

A player is given positions of many games at once and says a move for each.

Axes: N positions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from ....core.errors import UserError, near
from .games import Game
from .rollouts import one_of

Player = Callable[[Game, np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
"""(game, mine [N], theirs [N], generator) -> the number of a move for each position [N], none of which is over."""

INFINITE = 1 << 20
WON = 1 << 12


def random_player(game: Game, mine: np.ndarray, theirs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Any move, one as likely as another."""
    return _numbers(game, one_of(game.possible(mine | theirs), generator))


def one_ply(game: Game, mine: np.ndarray, theirs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Wins if it can, blocks if it must, else any move."""
    free = game.possible(mine | theirs)
    moves = free
    for urgent in (game.completing(theirs) & free, game.completing(mine) & free):
        moves = np.where(urgent != 0, urgent, moves)
    return _numbers(game, one_of(moves, generator))


def alpha_beta(depth: int) -> Player:
    """Looks `depth` moves ahead and counts, where nobody has won by then, stones in the middle and cells that would
    complete a line; among equally good moves any."""

    def player(game: Game, mine: np.ndarray, theirs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        pairs = zip(mine.tolist(), theirs.tolist(), strict=True)
        return np.array([generator.choice(best_moves(game, one, other, depth)) for one, other in pairs])

    return player


@lru_cache(maxsize=1 << 17)
def best_moves(game: Game, mine: int, theirs: int, depth: int) -> tuple[int, ...]:
    """Every move that a search of `depth` moves finds as good as the best."""
    best, found = -INFINITE, []
    free = game.possible(mine | theirs)
    if wins := free & game.completing(mine):
        return tuple(move for move, mask in enumerate(game.masks) if wins & mask)
    for move in _middle_first(game):
        if cell := free & game.masks[move]:
            score = -negamax(game, theirs, mine | cell, depth - 1, (-INFINITE, 1 - best))  # equal ones are told apart
            if score > best:
                best, found = score, []
            if score == best:
                found.append(move)
    return tuple(found)


def negamax(game: Game, mine: int, theirs: int, depth: int, window: tuple[int, int]) -> int:
    """The score for the mover of a game that is not won, exact within the window (Knuth and Moore 1975); a bound of it
    outside."""
    alpha, beta = window
    free = game.possible(mine | theirs)
    if not free:
        return 0
    own = game.completing(mine)
    if free & own:
        return WON + depth - 1
    if depth <= 0:
        return judged(game, mine, theirs, own)
    best = -INFINITE
    for move in _middle_first(game):
        if cell := free & game.masks[move]:
            best = max(best, -negamax(game, theirs, mine | cell, depth - 1, (-beta, -alpha)))
            alpha = max(alpha, best)
            if alpha >= beta:
                break
    return best


def judged(game: Game, mine: int, theirs: int, own: int) -> int:
    """What a position looks like without searching: cells that complete a line count 4, stones in the middle 1. own:
    the mover's completing cells."""
    left, middle = ~(mine | theirs), _middle(game)
    lines = (own & left).bit_count() - (game.completing(theirs) & left).bit_count()
    return 4 * lines + (mine & middle).bit_count() - (theirs & middle).bit_count()


@lru_cache
def _middle(game: Game) -> int:
    return sum(game.bit(game.columns // 2, row) for row in range(game.rows))


@lru_cache
def _middle_first(game: Game) -> tuple[int, ...]:
    middle = (game.columns - 1) / 2
    return tuple(sorted(range(game.moves), key=lambda move: abs(move % game.columns - middle)))


def _numbers(game: Game, cells: np.ndarray) -> np.ndarray:
    """Single cells [N] as numbers of moves."""
    found = np.zeros(len(cells), dtype=np.int64)
    for move, mask in enumerate(game.masks):
        found[(cells & mask) != 0] = move
    return found


PLAYERS: dict[str, Player] = {"random": random_player, "one-ply": one_ply, "alpha-beta": alpha_beta(4)}
"""Opponents by name; alpha-beta looks 4 moves ahead."""


def player_called(name: str) -> Player:
    """One of PLAYERS, or `alpha-beta-N` that looks N moves ahead. UserError for any other."""
    if name in PLAYERS:
        return PLAYERS[name]
    kind, _, depth = name.rpartition("-")
    if kind == "alpha-beta" and depth.isdigit() and 1 <= int(depth) <= 12:
        return alpha_beta(int(depth))
    raise UserError(f"There is no player {name!r}.", near(name, [*PLAYERS, "alpha-beta-6"]))
