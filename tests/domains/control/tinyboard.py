"""A small untrained player, and positions to try things on."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from tsuite.domains.control.board.config import BoardConfig
from tsuite.domains.control.board.games import CONNECT_FOUR, Game
from tsuite.domains.control.board.model import MoveModel

NAME = "control.board"
SHAPE = {"dim": "16", "depth": "1", "heads": "2", "hidden": "32"}


@cache
def network(told: str = "threats") -> MoveModel:
    """Weights that are random, and large enough to have opinions."""
    torch.manual_seed(0)
    made = MoveModel(BoardConfig(dim=16, depth=2, heads=2, hidden=32, told=told)).eval()  # pyright: ignore[reportArgumentType]
    with torch.no_grad():
        for value in made.parameters():
            value.normal_(std=0.4)
    return made


def random_game(game: Game, length: int, seed: int = 0) -> list[int]:
    """The first moves of a game at random that is then not over."""
    generator = np.random.default_rng(seed)
    moves: list[int] = []
    while len(moves) < length:
        legal = np.flatnonzero(game.legal(*game.play(moves))).tolist()
        lasting = [move for move in legal if game.result([*moves, move]) is None]
        moves = [*moves, int(generator.choice(lasting))] if lasting else []
    return moves


def random_games(game: Game, length: int, count: int) -> list[list[int]]:
    return [random_game(game, length, seed) for seed in range(count)]


def bits_of(game: Game, games: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """mine and theirs after these games [N]."""
    mine, theirs = zip(*map(game.play, games), strict=True)
    return np.array(mine, dtype=np.uint64), np.array(theirs, dtype=np.uint64)


FULL_COLUMN = [3, 3, 3, 3, 3, 3]
WON = [0, 1, 0, 1, 0, 1, 0]
assert CONNECT_FOUR.result(WON) == 1
