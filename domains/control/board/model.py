"""A language model of moves: which move comes next, and how the game will end.

    asked  move 1  move 2  move 3 ...      one token each: "play the best" or the result asked for, then who put a
      |      |       |       |             stone where, and which cells now threaten to win
      +------+--- decoder ---+------
      |      |       |       |
    move 1  move 2  move 3  move 4         scores of the next move, and of loss, draw, win for whoever makes it

Both games live in one network: their tokens and moves are numbered one after the other. A move that the rules do not
allow is never played, whatever its score (see `playing`).

Axes: B batch, T tokens of this call, M moves of both games, P planes, C width of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from torch import Tensor, nn

from ....core.cache import Cache
from ....core.decoder import Decoder
from ....core.embed import TokenEmbedding
from ....core.layers import MLP
from ....core.linear import Linear
from .config import BoardConfig
from .games import GAMES, Game

ASKED = ("best", "loss", "draw", "win")
"""What the first token asks of the first player: to play its best, or the result its game is to have."""


class Numbers(NamedTuple):
    """Where the tokens and the moves of a game begin among those of all games."""

    tokens: int
    moves: int


def _numbered() -> tuple[dict[str, Numbers], int, int]:
    found, tokens, moves = {}, 0, 0
    for game in GAMES.values():
        found[game.name] = Numbers(tokens, moves)
        tokens, moves = tokens + len(ASKED) + 2 * game.cells, moves + game.moves
    return found, tokens, moves


NUMBERS, TOKENS, MOVES = _numbered()


def tokens_of(game: Game, moves: Sequence[int], asked: str = "best") -> list[int]:
    """The token ids of a game so far. UserError for a move against the rules."""
    game.play(moves)
    start = NUMBERS[game.name].tokens
    ids, taken = [start + ASKED.index(asked)], 0
    for number, move in enumerate(moves):
        cell = game.cell_of(taken, move)
        ids.append(token(game, game.cell_bits.index(cell), number % 2))
        taken |= cell
    return ids


def token(game: Game, cell: int, player: int) -> int:
    """The id of "that player puts a stone into that cell"."""
    return NUMBERS[game.name].tokens + len(ASKED) + player * game.cells + cell


def stones_along(game: Game, games: Sequence[Sequence[int]] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The stones of the first and the second player before each move and after the last, of N games of T moves: two
    arrays [N, T + 1]. A move of -1 changes nothing."""
    moves = np.array(games, dtype=np.int64).reshape(len(games), -1)
    sides = [np.zeros((len(moves), moves.shape[1] + 1), dtype=np.uint64) for _ in range(2)]
    masks = np.array([*game.masks, 0], dtype=np.uint64)  # the last one stands for -1
    for number, move in enumerate(moves.T):
        cell = game.possible(sides[0][:, number] | sides[1][:, number]) & masks[move]
        for player, side in enumerate(sides):
            side[:, number + 1] = side[:, number] | (cell if number % 2 == player else np.uint64(0))
    return sides[0], sides[1]


def planes_of(game: Game, first: np.ndarray, second: np.ndarray, told: str) -> np.ndarray | None:
    """What the network is told beside the moves, of boards [...] with these stones of the first and the second player:
    [..., P] zeros and ones. "threats": which free cells would complete a line of whom; "moves": nothing."""
    if told == "moves":
        return None
    found = np.zeros((*first.shape, PLANES[told]), dtype=np.float32)
    place = 2 * sum(other.cells for other in GAMES.values() if NUMBERS[other.name] < NUMBERS[game.name])
    bits = np.array(game.cell_bits, dtype=np.uint64)
    for side in (first, second):
        threats = game.completing(side) & ~(first | second)
        found[..., place : place + game.cells] = (threats[..., None] & bits) != 0
        place += game.cells
    return found


PLANES = {"moves": 0, "threats": 2 * sum(game.cells for game in GAMES.values())}


class Said(NamedTuple):
    """What the network says at each token: moves [B, T, M] and value [B, T, 3] (loss, draw, win), before softmax."""

    moves: Tensor
    value: Tensor


def moves_of(said: Said, game: Game) -> Tensor:
    """The scores of one game's moves, [B, T, A]."""
    start = NUMBERS[game.name].moves
    return said.moves[..., start : start + game.moves]


class MoveModel(nn.Module):
    """The network that `config` describes."""

    def __init__(self, config: BoardConfig) -> None:
        super().__init__()
        self.config = config
        self.tokens = TokenEmbedding(TOKENS, config.dim)
        planes = PLANES[config.told]
        self.planes = Linear(planes, config.dim, bias=False) if planes else None
        if self.planes is not None:
            nn.init.normal_(self.planes.weight, std=0.02)
        self.decoder = Decoder(
            dim=config.dim, depth=config.depth, heads=config.heads, mlp=partial(MLP, hidden=config.hidden),
            dropout=config.dropout,
        )  # fmt: skip
        self.next = Linear(config.dim, MOVES)
        self.value = Linear(config.dim, 3)

    def forward(
        self, tokens: Tensor, planes: Tensor | None, *, mask: Tensor | None = None, cache: Cache | None = None
    ) -> Said:
        """Ids [B, T] that go on from what the cache holds, with the planes [B, T, P] of the boards that they lead to
        (see `planes_of`) -> what is said after each. mask: as `Decoder`'s."""
        x = self.tokens(tokens)
        if self.planes is not None and planes is not None:
            x = x + self.planes(planes)
        hidden = self.decoder(x, mask=mask, cache=cache)
        return Said(self.next(hidden), self.value(hidden))
