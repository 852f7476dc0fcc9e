"""A game against the network in the terminal.

 1 2 3 4 5 6 7
 . . . . . . .
 . . . o . . .
 . . . x . . .      x: who began, o: the other
Your move (1 to 7): 4
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import numpy as np

from ....core.errors import UserError
from .data import read_moves
from .games import Game, game_called
from .matches import Way
from .model import MoveModel
from .options import RunOptions
from .playing import Seat, Thought

SIGNS = "xo"
HELP = "A move is its number. Also: hint, undo, new, quit."


class Leave(Exception):
    """The person wants to go."""


class Sitting:
    """Games with a person, one after the other."""

    def __init__(self, network: MoveModel, options: RunOptions, *, console: Any) -> None:
        self.network, self.options, self.console = network, options, console
        self.game = game_called(options.game)
        self.first = options.first
        self.moves: list[int] = []

    def play(self) -> None:
        """Play until the person leaves: by quit, Ctrl-C or the end of the input."""
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 (gives input() line editing and the arrow keys)
        self.say(f"{self.game.name}: {self.game.line} in a row win. You are {SIGNS[not self.first]}. {HELP}")
        try:
            while True:
                self.one_game()
                if not self.asked_again():
                    return
        except (Leave, EOFError, KeyboardInterrupt):
            self.say("\nGoodbye.")

    def one_game(self) -> None:
        """From the empty board to the end."""
        self.moves = []
        while self.game.result(self.moves) is None:
            if (len(self.moves) % 2 == 0) == self.first:
                self.show()
                self.persons_move()
            else:
                move = int(self.thought().moves[0])
                self.moves.append(move)
                self.say(f"I play {self.game.move_name(move)}.")
        self.show()
        result = self.game.result(self.moves)
        self.say("A draw." if result == 0.5 else "You win!" if (result == 1) == self.first else "I win.")

    def asked_again(self) -> bool:
        """Whether there is to be another game; the other one begins it."""
        answer = self.ask("Another game? (yes or no): ").lower()
        if answer not in ("y", "yes"):
            return False
        self.first = not self.first
        return True

    def persons_move(self) -> None:
        """Ask until there is a move that the rules allow, and make it."""
        if self.options.hints:
            self.hint()
        while True:
            line = self.ask(f"Your move (1 to {self.game.moves}): ")
            if not line:
                continue
            try:
                if not self.obeyed(line.lower()):
                    self.moves = self.with_move(line)
                return
            except UserError as error:
                self.say(" ".join(filter(None, (f"{error.what.rstrip('.')}.", error.hint, HELP))))

    def with_move(self, line: str) -> list[int]:
        """The game with the move that was typed. Raises UserError for anything else."""
        typed = read_moves(self.game, line)
        if len(typed) != 1:
            raise UserError("One move at a time, please.")
        taken, _ = self.game.play(self.moves), None
        if not self.game.cell_of(taken[0] | taken[1], typed[0]):
            full = "That column is full." if self.game.drops else "That cell is taken."
            raise UserError(full, "Choose another one.")
        return [*self.moves, typed[0]]

    def obeyed(self, word: str) -> bool:
        """Whether the line was a command, which is then done."""
        if word in ("quit", "exit", "q"):
            raise Leave
        if word == "hint":
            self.hint()
        elif word == "new":
            self.moves = []
        elif word == "undo":
            if len(self.moves) < 2:
                raise UserError("There is no move of yours to take back.")
            self.moves = self.moves[:-2]
        else:
            return False
        return True

    def hint(self) -> None:
        """What the network would do in the person's place."""
        thought = self.thought()
        order = [move for move in np.argsort(-thought.chances[0]) if thought.chances[0, move] > 0]
        shown = "  ".join(f"{self.game.move_name(int(move))}: {thought.chances[0, move]:.0%}" for move in order)
        loss, draw, win = thought.ends[0]
        self.say(f"I would play {self.game.move_name(int(thought.moves[0]))}.  {shown}")
        self.say(f"For you: win {win:.0%}, draw {draw:.0%}, loss {loss:.0%}.")

    def thought(self) -> Thought:
        """What the network makes of the game so far."""
        way = Way(self.options.asked, self.options.search)
        seat = Seat(self.network, self.game, 1, asked=way.token(len(self.moves) % 2 == 0))
        for move in self.moves:
            seat.put(np.array([move]))
        return seat.think(self.options.search)

    # -- the screen -------------------------------------------------------------------------------------------------

    def ask(self, prompt: str) -> str:
        """A line from the person."""
        return input(prompt if sys.stdin.isatty() else "").strip()

    def show(self) -> None:
        for line in board_lines(self.game, self.moves):
            self.say(line)

    def say(self, text: str) -> None:
        if self.console is not None:
            self.console.print(text, highlight=False, markup=False)


def board_lines(game: Game, moves: list[int]) -> list[str]:
    """The board in letters; free cells of tic-tac-toe show their number, the last stone is a capital."""
    mine, theirs = game.play(moves)
    stones = (mine, theirs) if len(moves) % 2 == 0 else (theirs, mine)
    before = game.play(moves[:-1]) if moves else (0, 0)
    newest = (mine | theirs) & ~(before[0] | before[1])
    lines = [" " + " ".join(str(column + 1) for column in range(game.columns))] if game.drops else []
    for row in reversed(range(game.rows)):
        signs = []
        for column in range(game.columns):
            bit = game.bit(column, row)
            player = next((number for number, side in enumerate(stones) if side & bit), None)
            free = "." if game.drops else str(game.masks.index(bit) + 1)
            sign = free if player is None else SIGNS[player]
            signs.append(sign.upper() if newest & bit else sign)
        lines.append(" " + " ".join(signs))
    return lines
