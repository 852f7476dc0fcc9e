"""Games of the network against other players, and tic-tac-toe against everything that can be played.

Axes: N games side by side, A moves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .games import Game
from .model import MoveModel
from .players import Player
from .playing import Seat, Thought, read_through


@dataclass(frozen=True)
class Way:
    """How the network plays: what it asks of its own tokens ("best", or "win": the result it wants) and how many moves
    it searches."""

    asked: str = "best"
    search: int = 0

    @property
    def words(self) -> str:
        if self.search:
            return f"search {self.search}"
        return "policy" if self.asked == "best" else f"asked for a {self.asked}"

    def token(self, first: bool) -> str:
        """What stands first in the sequence: results are those of the first player."""
        if self.asked in ("best", "draw") or first:
            return self.asked
        return {"win": "loss", "loss": "win"}[self.asked]


@dataclass(frozen=True)
class Played:
    """One game: its moves, how it ended for the network, and what that thought before its last move."""

    moves: tuple[int, ...]
    outcome: str
    thought: Thought | None = None


def play(network: MoveModel, game: Game, opponent: Player, *, first: bool, seeds: list[int], way: Way) -> list[Played]:
    """A game for each seed, in which the network has the first move or the second. The seed is all that the opponent's
    choices hang on, so that a game is the same whatever is played beside it."""
    count = len(seeds)
    seat = Seat(network, game, count, asked=way.token(first))
    generators = [np.random.default_rng(seed) for seed in seeds]
    made: list[list[int]] = [[] for _ in seeds]
    outcomes = ["draw"] * count
    live = list(range(count))
    thoughts: list[Thought | None] = [None] * count
    for stones in range(game.cells):
        own = (stones % 2 == 0) == first
        moves = np.zeros(count, dtype=np.int64)
        if own:
            thought = seat.think(way.search)
            moves[live] = thought.moves[live]
            for row in live:
                thoughts[row] = thought.of(row)
        else:
            for row in live:
                at = slice(row, row + 1)
                moves[row] = opponent(game, seat.mine[at], seat.theirs[at], generators[row])[0]
        seat.put(moves)
        over = game.has_line(seat.theirs)
        for row in live:
            made[row].append(int(moves[row]))
            if over[row]:
                outcomes[row] = "win" if own else "loss"
        live = [row for row in live if not over[row]]
        if not live:
            break
    ends = zip(made, outcomes, thoughts, strict=True)
    return [Played(tuple(moves), outcome, thought) for moves, outcome, thought in ends]


def play_against(game: Game, player: Player, opponent: Player, *, first: bool, seeds: list[int]) -> list[Played]:
    """The same between two players without a network."""
    found = []
    for seed in seeds:
        generator = np.random.default_rng(seed)
        mine, theirs = (np.zeros(1, dtype=np.uint64) for _ in range(2))
        masks, moves, outcome = np.array(game.masks, dtype=np.uint64), [], "draw"
        for stones in range(game.cells):
            own = (stones % 2 == 0) == first
            move = (player if own else opponent)(game, mine, theirs, generator)
            moves.append(int(move[0]))
            mine, theirs = theirs, mine | (game.possible(mine | theirs) & masks[move])
            if game.has_line(theirs)[0]:
                outcome = "win" if own else "loss"
                break
        found.append(Played(tuple(moves), outcome))
    return found


def play_everything(network: MoveModel, game: Game, *, first: bool, asked: str = "best") -> list[Played]:
    """Every game that can come about when the network plays its best move and the opponent any move at all."""
    way = Way(asked)
    games: list[tuple[int, ...]] = [()]
    finished: list[Played] = []
    for stones in range(game.cells):
        own = (stones % 2 == 0) == first
        if not games:
            break
        if own:
            best = read_through(network, game, games, asked=way.token(first)).moves
            games = [(*moves, int(move)) for moves, move in zip(games, best, strict=True)]
        else:
            mine, theirs = (np.array(side, dtype=np.uint64) for side in zip(*map(game.play, games), strict=True))
            legal = game.legal(mine, theirs)
            games = [
                (*moves, int(move)) for moves, row in zip(games, legal, strict=True) for move in np.flatnonzero(row)
            ]
        over = [game.has_line(game.play(moves)[1]) for moves in games]
        for moves, won in zip(games, over, strict=True):
            if won or stones + 1 == game.cells:
                finished.append(Played(moves, ("win" if own else "loss") if won else "draw"))
        games = [moves for moves, won in zip(games, over, strict=True) if not won]
    return finished
