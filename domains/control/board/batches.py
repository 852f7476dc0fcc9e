"""Games as tensors: what the network reads, and what it is to say before each move.

Axes: B games, T moves of the longest game, A moves of one game, M moves of both games, P planes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ....core.task import Batch
from .data import GameExample
from .games import Game
from .model import ASKED, MOVES, NUMBERS, PLANES, Said, planes_of, stones_along, token


@dataclass(frozen=True, kw_only=True)
class MoveBatch(Batch):
    """tokens [B, T], planes [B, T, P]; allowed [B, T, M]: the moves that the rules allow; policy [B, T, M] and value
    [B, T, 3] what should be said, rows of zeros where nothing should."""

    tokens: Tensor
    planes: Tensor
    allowed: Tensor
    policy: Tensor
    value: Tensor


def batch_of(examples: Sequence[GameExample], told: str, *, training: bool, conditioned: float) -> MoveBatch:
    """Games before each of their moves. In training left and right change places at random, and `conditioned` of the
    games show the moves that led to their result, after a token that says which (Chen et al. 2021)."""
    length = max(len(one.moves) for one in examples)
    size = len(examples)
    tokens = np.zeros((size, length), dtype=np.int64)
    planes = np.zeros((size, length, PLANES[told]), dtype=np.float32)
    allowed, policy = np.zeros((size, length, MOVES), dtype=bool), np.zeros((size, length, MOVES), dtype=np.float32)
    value = np.zeros((size, length, 3), dtype=np.float32)
    draws = np.random.random((2, size)) if training else np.ones((2, size))  # noqa: NPY002 (seeded by the loop)
    for game in dict.fromkeys(one.game for one in examples):
        rows = [row for row, one in enumerate(examples) if one.game is game]
        games = [_mirrored(examples[row]) if draws[0, row] < 0.5 else examples[row] for row in rows]
        games, asked = zip(*[_asked(one, draws[1, row] < conditioned) for row, one in zip(rows, games, strict=True)],
                           strict=True)  # fmt: skip
        moves = np.full((len(rows), length), -1)
        own = slice(NUMBERS[game.name].moves, NUMBERS[game.name].moves + game.moves)
        for row, one, played in zip(rows, games, moves, strict=True):
            count = len(one.moves)
            played[:count] = one.moves
            policy[row, :count, own] = one.policy
            value[row, :count] = one.value
        first, second = stones_along(game, moves[:, :-1])
        tokens[rows] = _tokens(game, first, second, asked)
        if (found := planes_of(game, first, second, told)) is not None:
            planes[rows] = found
        allowed[rows, :, own] = _free(game, first, second)
    return MoveBatch(
        tokens=torch.from_numpy(tokens), planes=torch.from_numpy(planes), allowed=torch.from_numpy(allowed),
        policy=torch.from_numpy(policy) / 255, value=torch.from_numpy(value) / 255,
    )  # fmt: skip


def losses(said: Said, batch: MoveBatch) -> Tensor:
    """Cross-entropy to the distribution over moves and to the result, summed over the positions that have one."""
    keep = batch.policy.sum(dim=-1) > 0
    scores = said.moves[keep].masked_fill(~batch.allowed[keep], -1e9)
    moves = -(batch.policy[keep] * F.log_softmax(scores, dim=-1)).sum()
    ends = -(batch.value * F.log_softmax(said.value, dim=-1)).sum()
    return moves + ends


def positions(batch: MoveBatch) -> int:
    """How many positions of a batch say what should be done."""
    return int((batch.policy.sum(dim=-1) > 0).sum())


def _free(game: Game, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The cells that are free for each move [B, T, A]; after the end of a game they do not matter."""
    free = game.possible(first | second)
    return (free[..., None] & np.array(game.masks, dtype=np.uint64)) != 0


def _tokens(game: Game, first: np.ndarray, second: np.ndarray, asked: Sequence[str]) -> np.ndarray:
    """Token ids [B, T] from the stones after each of them; where no stone was put, that of an unspecific beginning."""
    start = NUMBERS[game.name].tokens
    found = np.full(first.shape, start, dtype=np.int64)
    found[:, 0] = start + np.array([ASKED.index(word) for word in asked])
    for player, side in enumerate((first, second)):
        put = side[:, 1:] ^ side[:, :-1]
        for cell, bit in enumerate(game.cell_bits):
            found[:, 1:][put == np.uint64(bit)] = token(game, cell, player)
    return found


def _mirrored(one: GameExample) -> GameExample:
    mirror = np.array(one.game.mirror)
    return replace(one, moves=mirror[one.moves], policy=one.policy[:, mirror])


def _asked(one: GameExample, conditioned: bool) -> tuple[GameExample, str]:
    """The game as it is learnt, and what its first token asks for."""
    if not conditioned or one.result is None:
        return one, ASKED[0]
    policy = np.zeros_like(one.policy)
    policy[np.arange(len(one.moves)), one.moves] = 255
    return replace(one, policy=policy), ASKED[1 + int(2 * one.result)]
