"""The two games as bits: tic-tac-toe and Connect Four, one position or millions at once.

    Connect Four, number of each bit      tic-tac-toe
     6 13 20 27 34 41 48  always empty     3  7 11  always empty
     5 12 19 26 33 40 47                   2  6 10
     …                                     1  5  9
     0  7 14 21 28 35 42                   0  4  8

Stones are whole numbers, one bit a cell; the empty row on top keeps lines from running on in the next column (Tromp).
Everything here takes Python integers and uint64 arrays [N] alike. `mine` are the stones of whoever moves next.

Axes: N positions, A moves (7 columns, or 9 cells).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ....core.errors import UserError, near

Stones = Any
"""An int, or an array of uint64."""


@dataclass(frozen=True)
class Game:
    """The rules of one game: `line` stones in a row win; `drops`: a stone falls to the lowest free cell."""

    name: str
    columns: int
    rows: int
    line: int
    drops: bool

    # -- the board --------------------------------------------------------------------------------------------------

    @property
    def cells(self) -> int:
        return self.columns * self.rows

    @property
    def moves(self) -> int:
        """How many moves there are to choose from at most, A."""
        return self.columns if self.drops else self.cells

    @cached_property
    def board(self) -> int:
        """Every cell."""
        return sum(self.bit(column, row) for column in range(self.columns) for row in range(self.rows))

    @cached_property
    def bottom(self) -> int:
        return sum(self.bit(column, 0) for column in range(self.columns))

    @cached_property
    def masks(self) -> tuple[int, ...]:
        """For each move the cells it may fill: a column, or a single cell (numbered row by row from the top left)."""
        if self.drops:
            return tuple(sum(self.bit(column, row) for row in range(self.rows)) for column in range(self.columns))
        return tuple(self.bit(column, row) for row in reversed(range(self.rows)) for column in range(self.columns))

    @cached_property
    def cell_bits(self) -> tuple[int, ...]:
        """The bit of each cell, in the order in which the network numbers them."""
        if not self.drops:
            return self.masks
        return tuple(self.bit(column, row) for column in range(self.columns) for row in range(self.rows))

    def bit(self, column: int, row: int) -> int:
        """The cell in that column and row, both from 0, rows from below."""
        return 1 << (column * (self.rows + 1) + row)

    def mirrored(self, stones: Stones) -> Stones:
        """Left and right changed round."""
        height = self.rows + 1
        column = (1 << height) - 1
        found = stones & 0
        for number in range(self.columns):
            part = (stones >> (number * height)) & column
            found = found | (part << ((self.columns - 1 - number) * height))
        return found

    @cached_property
    def mirror(self) -> tuple[int, ...]:
        """What becomes of each move when left and right are changed round."""
        return tuple(self.masks.index(self.mirrored(mask)) for mask in self.masks)

    # -- the rules --------------------------------------------------------------------------------------------------

    def possible(self, taken: Stones) -> Stones:
        """The cells that the next stone may fill."""
        return (taken + self.bottom) & self.board if self.drops else self.board & ~taken

    @cached_property
    def directions(self) -> tuple[int, ...]:
        """How many bits on the next cell of a line lies: upright, level, and the two diagonals."""
        height = self.rows + 1
        return (1, height, height - 1, height + 1)

    def has_line(self, stones: Stones) -> Stones:
        """Whether there is a line: a truth value, or an array of them."""
        found = stones & 0
        for step in self.directions:
            line = stones
            for number in range(1, self.line):
                line = line & (stones >> (number * step))
            found = found | line
        return found != 0

    def completing(self, stones: Stones) -> Stones:
        """The cells, free or not, that would complete a line of these stones."""
        found = stones & 0
        for step in self.directions:
            up, down = [stones << step], [stones >> step]  # stones that lie 1, 2 … cells along the line, all of them
            for number in range(2, self.line):
                up.append(up[-1] & (stones << (number * step)))
                down.append(down[-1] & (stones >> (number * step)))
            found = found | up[-1] | down[-1]
            for before in range(1, self.line - 1):
                found = found | (up[before - 1] & down[self.line - 2 - before])
        return found & self.board

    def key(self, mine: Stones, theirs: Stones) -> Stones:
        """A number that no other position has."""
        taken: Stones = mine | theirs
        return mine + taken if self.drops else mine | (taken << 24)

    # -- one game, move by move -------------------------------------------------------------------------------------

    def play(self, moves: Sequence[int]) -> tuple[int, int]:
        """(mine, theirs) after these moves, numbered from 0. UserError for one that is against the rules."""
        mine, theirs = 0, 0
        for number, move in enumerate(moves):
            if number and self.has_line(theirs):
                raise UserError(f"the game is over after move {number}, but goes on with {self.move_name(move)}")
            if not 0 <= move < self.moves:
                raise UserError(f"move {number + 1} is {move + 1}: {self.name} has moves from 1 to {self.moves}")
            cell = self.possible(mine | theirs) & self.masks[move]
            if not cell:
                full = "the column is full" if self.drops else "the cell is taken"
                raise UserError(f"move {number + 1}, {self.move_name(move)}, is not possible: {full}")
            mine, theirs = theirs, mine | cell
        return mine, theirs

    def result(self, moves: Sequence[int]) -> float | None:
        """1 where the first player has won, 0 the second, 0.5 a draw, None where the game is not over."""
        _, last = self.play(moves)
        if moves and self.has_line(last):
            return float(len(moves) % 2)
        return 0.5 if len(moves) == self.cells else None

    def legal(self, mine: Stones, theirs: Stones) -> np.ndarray:
        """Which moves the rules allow: [A], or [N, A] of arrays; none where the game is over."""
        free = self.possible(mine | theirs)
        over = self.has_line(theirs) | self.has_line(mine)
        allowed = [((free & mask) != 0) & np.logical_not(over) for mask in self.masks]
        return np.stack(allowed, axis=-1)

    def move_name(self, move: int) -> str:
        """As people say it: columns and cells count from 1."""
        return str(move + 1)

    def cell_of(self, taken: Stones, move: int) -> Stones:
        """The bit that a move fills where these cells are taken; 0 where it is not possible."""
        return self.possible(taken) & self.masks[move]


TIC_TAC_TOE = Game("tic-tac-toe", columns=3, rows=3, line=3, drops=False)
CONNECT_FOUR = Game("connect-four", columns=7, rows=6, line=4, drops=True)
GAMES = {game.name: game for game in (CONNECT_FOUR, TIC_TAC_TOE)}


def game_called(name: str) -> Game:
    """The game of that name. UserError for any other."""
    if name not in GAMES:
        raise UserError(f"There is no game {name!r}.", near(name, GAMES))
    return GAMES[name]
