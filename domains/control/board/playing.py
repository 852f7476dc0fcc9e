"""The network at the board: many games side by side, the key/value cache growing by a token with each move.

    past  |  a  b  c  |  aa ab ...     `search`: every move, and every reply to it, as further tokens of one forward
    1 1 1 |  1  .  .  |                pass, each seeing the past and the moves that lead to it and nothing else;
    1 1 1 |  .  1  .  |                the cache then forgets them
    1 1 1 |  1  .  .  |  1  .

Axes: N games, A moves, S tokens so far, K nodes of a search tree, C width of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .games import Game
from .model import ASKED, NUMBERS, MoveModel, Said, moves_of, planes_of, stones_along, token, tokens_of

PRIOR = 0.3
"""How much of the policy's chance is added to a searched value (-1 to 1): what looks good to both is played. A win or
a loss that the search has seen counts before either."""


@dataclass(frozen=True)
class Thought:
    """About the next move of games [N]: chances [N, A] of each move, which add up to 1 over what is allowed; worth
    [N, A], the expected result of each (-1 to 1; NaN: not searched); ends [N, 3], chances of loss, draw, win."""

    chances: np.ndarray
    worth: np.ndarray
    ends: np.ndarray

    @property
    def moves(self) -> np.ndarray:
        """The best move of each game [N]: by worth where there was a search, else by chance."""
        worth = np.nan_to_num(self.worth)
        score = PRIOR * self.chances + worth + (worth == 1) - (worth == -1.0)
        return np.where(self.chances > 0, score, -np.inf).argmax(axis=1)

    def of(self, row: int) -> Thought:
        """About one of the games."""
        at = slice(row, row + 1)
        return Thought(self.chances[at], self.worth[at], self.ends[at])


class Seat:
    """The network's place at the boards of `count` games, all with the same number of stones.

    asked: what the first player is asked for, see ASKED. A game that is over takes any further move.
    """

    def __init__(self, network: MoveModel, game: Game, count: int, *, asked: str = "best") -> None:
        self.network, self.game = network, game
        self.device = next(network.parameters()).device
        deepest = game.cells + 1 + game.moves + game.moves**2
        self.cache = network.decoder.new_cache(deepest)
        self.mine, self.theirs = (np.zeros(count, dtype=np.uint64) for _ in range(2))
        self.stones = 0
        first = NUMBERS[game.name].tokens + ASKED.index(asked)
        self.unread = [(torch.full((count,), first, device=self.device), self._planes(self.mine, self.theirs, 0))]
        self.said: Said | None = None

    def put(self, moves: np.ndarray) -> None:
        """The next move of each game [N], whoever's. One that is not possible leaves a game that is over as it is."""
        game = self.game
        masks = np.array(game.masks, dtype=np.uint64)
        cell = game.possible(self.mine | self.theirs) & masks[moves]
        read = self._tokens(cell, self.stones % 2)
        self.mine, self.theirs = self.theirs, self.mine | cell
        self.stones += 1
        self.unread.append((read, self._planes(self.mine, self.theirs, self.stones)))

    @torch.inference_mode()
    def think(self, search: int = 0) -> Thought:
        """What to do now. search: moves ahead that are tried and judged by the value, 0 to 2."""
        self._read()
        assert self.said is not None
        game = self.game
        legal = game.legal(self.mine, self.theirs)
        scores = moves_of(self.said, game)[:, -1].float().cpu().numpy()
        chances = masked_softmax(scores, legal)
        worth = np.full_like(chances, np.nan)
        if search:
            worth = np.where(legal, self._tried(search), np.nan)
        return Thought(chances, worth, self.said.value[:, -1].float().softmax(-1).cpu().numpy())

    # -- reading ----------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        """Let the network read the tokens that it has not seen."""
        if self.unread:
            tokens, planes = zip(*self.unread, strict=True)
            self.said = self.network(torch.stack(tokens, 1), _stacked(planes), cache=self.cache)
            self.unread = []

    def _planes(self, mine: np.ndarray, theirs: np.ndarray, stones: int) -> Tensor | None:
        """What the network is told of boards [...] with so many stones: [..., P]."""
        first, second = (theirs, mine) if stones % 2 else (mine, theirs)
        planes = planes_of(self.game, first, second, self.network.config.told)
        return None if planes is None else torch.from_numpy(planes).to(self.device)

    def _tokens(self, cells: np.ndarray, player: int) -> Tensor:
        """Single cells [...] as tokens of that player [...]; a move that is not possible counts as the first cell."""
        numbers = np.zeros(cells.shape, dtype=np.int64)
        for number, bit in enumerate(self.game.cell_bits):
            numbers[cells == np.uint64(bit)] = number
        return torch.from_numpy(numbers + token(self.game, 0, player)).to(self.device)

    # -- searching --------------------------------------------------------------------------------------------------

    def _tried(self, depth: int) -> np.ndarray:
        """The worth of every move [N, A] for the mover, by a full tree of `depth` moves."""
        tree = _Tree(self.game, self.mine, self.theirs, depth)
        levels = list(enumerate(tree.levels))
        tokens = torch.cat([self._tokens(one.cells, (self.stones + n) % 2) for n, one in levels], dim=1)
        planes = [self._planes(one.mine, one.theirs, self.stones + n + 1) for n, one in levels]
        past = self.cache.length
        sees = _ancestry(self.game.moves, depth).to(self.device)
        mask = torch.cat([torch.ones(len(sees), past, dtype=torch.bool, device=self.device), sees], dim=1)
        joined = None if planes[0] is None else torch.cat([one for one in planes if one is not None], dim=1)
        said = self.network(tokens, joined, mask=mask, cache=self.cache)
        self.cache.truncate(past)
        ends = said.value.float().softmax(-1)
        worth = (ends[..., 2] - ends[..., 0]).cpu().numpy()
        return tree.backed_up(worth)


class _Level(NamedTuple):
    """The nodes of one level of a tree [N, A^level]: the bit that each fills (0: not possible), the stones then, and
    the result for whoever moves next where the game is over (NaN: it goes on)."""

    cells: np.ndarray
    mine: np.ndarray
    theirs: np.ndarray
    over: np.ndarray


class _Tree:
    """All moves, replies … from positions [N]."""

    def __init__(self, game: Game, mine: np.ndarray, theirs: np.ndarray, depth: int) -> None:
        self.game = game
        masks = np.array(game.masks, dtype=np.uint64)
        self.levels: list[_Level] = []
        mine, theirs = mine[:, None], theirs[:, None]
        for _ in range(depth):
            free = np.where(game.has_line(theirs), np.uint64(0), game.possible(mine | theirs))
            cells = (free[:, :, None] & masks).reshape(len(free), -1)
            mine, theirs = np.repeat(theirs, game.moves, axis=1), np.repeat(mine, game.moves, axis=1) | cells
            full = game.possible(mine | theirs) == 0
            over = np.where(game.has_line(theirs), -1.0, np.where(full, 0.0, np.nan))
            self.levels.append(_Level(cells, mine, theirs, over))

    def backed_up(self, worth: np.ndarray) -> np.ndarray:
        """worth [N, K] of all nodes for whoever moves there -> of the first moves [N, A] for the one who makes them."""
        parts = np.split(worth, np.cumsum([level.cells.shape[1] for level in self.levels])[:-1], axis=1)
        value = parts[-1]
        for number in reversed(range(len(self.levels))):
            level = self.levels[number]
            value = -np.where(np.isnan(level.over), value, level.over)
            value = np.where(level.cells == 0, -np.inf, value)
            if number:
                value = value.reshape(len(value), -1, self.game.moves).max(axis=2)
        return value


@lru_cache
def _ancestry(moves: int, depth: int) -> Tensor:
    """[K, K]: which nodes of a full tree lie on the way to each, itself included."""
    parents = [-1] * moves
    first = 0
    for level in range(1, depth):
        size = moves**level
        parents += [first + number // moves for number in range(size * moves)]
        first += size
    sees = torch.eye(len(parents), dtype=torch.bool)
    for node, parent in enumerate(parents):
        if parent >= 0:
            sees[node] |= sees[parent]
    return sees


def masked_softmax(scores: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Scores [N, A] as chances over what is allowed; all zero where nothing is."""
    best = scores.max(axis=1, keepdims=True, initial=-np.inf, where=allowed)
    raised = np.exp(np.where(allowed, scores - best, -np.inf))
    return raised / np.maximum(raised.sum(axis=1, keepdims=True), 1e-30)


def _stacked(planes: Sequence[Tensor | None]) -> Tensor | None:
    found = [one for one in planes if one is not None]
    return torch.stack(found, dim=1) if found else None


@torch.inference_mode()
def read_through(network: MoveModel, game: Game, games: Sequence[Sequence[int]], *, asked: str = "best") -> Thought:
    """About the next move of games [N] of one length, read at once and without a cache."""
    device = next(network.parameters()).device
    tokens = torch.tensor([tokens_of(game, moves, asked) for moves in games], device=device)
    first, second = stones_along(game, games)
    planes = planes_of(game, first, second, network.config.told)
    said = network(tokens, None if planes is None else torch.from_numpy(planes).to(device))
    scores = moves_of(said, game)[:, -1].float().cpu().numpy()
    mine, theirs = (second, first) if len(games[0]) % 2 else (first, second)
    chances = masked_softmax(scores, game.legal(mine[:, -1], theirs[:, -1]))
    return Thought(chances, np.full_like(chances, np.nan), said.value[:, -1].float().softmax(-1).cpu().numpy())
