"""Games to learn from: what our players recorded, or what people wrote down, one game a line.

    4 4 3 3 2 2 5           columns of Connect Four from 1 to 7 (or a to g)
    tic-tac-toe: 5 1 9      cells row by row from 1 to 9; the name where a file holds both

A CSV has a column `moves` and perhaps one called `game`. What follows # in a text file is not read.

Axes: G games, T moves of the longest game, A moves to choose from.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ....core.errors import UserError
from ....core.task import Collection, Example
from .games import Game, game_called
from .recording import Recorded

LETTERS = "abcdefg"
PARTS = {8: "validation", 9: "test"}
"""Of ten games of a file by their hash, which are held out."""


@dataclass(frozen=True, kw_only=True)
class GameExample(Example):
    """One game: its moves [T], and before each of them what should be done [T, A] and how it will end for the mover
    (loss, draw, win) [T, 3], rows of zeros where nobody knows. result: 1 where the first player wins, 0.5, 0; None: not
    over."""

    game: Game
    moves: np.ndarray
    policy: np.ndarray
    value: np.ndarray
    result: float | None


class Games(Sequence[GameExample]):
    """Games to learn from; `lengths` are their moves, by which batches are put together."""

    def __init__(self, examples: Sequence[GameExample]) -> None:
        self.examples = examples
        self.lengths = np.array([len(one.moves) for one in examples], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> GameExample:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.examples[index]


def unpacked(game: Game, recorded: Recorded) -> list[GameExample]:
    """The games of a recording."""
    lengths = (recorded.moves >= 0).sum(axis=1)
    stones = np.minimum(lengths, game.cells)
    found = []
    for number, length in enumerate(stones.tolist()):
        moves = recorded.moves[number, :length].astype(np.int64)
        found.append(
            GameExample(
                id=f"{game.name} {number}", game=game, moves=moves, policy=recorded.policy[number, :length],
                value=recorded.value[number, :length], result=game.result(moves.tolist()),
            )
        )  # fmt: skip
    return found


# -- what people wrote down -------------------------------------------------------------------------------------------


def read_moves(game: Game, text: str) -> list[int]:
    """Moves as people write them, from 0. UserError for what is no move."""
    found = []
    for word in text.replace(",", " ").replace(";", " ").replace("-", " ").split():
        moves = [_move(game, sign) for sign in word.lower()]
        if None in moves:
            wrong = word[moves.index(None)]
            shown = repr(word) if set(moves) == {None} else f"{wrong!r} in {word!r}"
            raise UserError(f"{shown} is no move of {game.name}, which are 1 to {game.moves}.")
        found += [move for move in moves if move is not None]
    return found


def _move(game: Game, sign: str) -> int | None:
    """The move that a letter or digit stands for."""
    if game.drops and sign in LETTERS:
        return LETTERS.index(sign)
    return int(sign) - 1 if sign.isascii() and sign.isdigit() and 1 <= int(sign) <= game.moves else None


def read_games(place: str, usual: Game) -> tuple[list[GameExample], str]:
    """The games of a file or of all .txt and .csv files in a folder, and the hash of what was read.

    Raises UserError that names file, line and move for a game against the rules, and for files without games.
    """
    path = Path(place).expanduser()
    if not path.exists():
        raise UserError(
            f"There are no games called {place!r}: no such file or folder.",
            "Give a .txt with one game a line, a .csv with a column moves, or leave --data out to record games.",
        )
    files = [path] if path.is_file() else sorted(file for ending in ("txt", "csv") for file in path.glob(f"*.{ending}"))
    digest, found = hashlib.sha256(), []
    for file in files:
        digest.update(file.read_bytes())
        found += [_played(*line, usual) for line in _lines(file)]
    if not found:
        raise UserError(f"{path} holds no games.", "Write one game a line, like: 4 4 3 3 2 2 5")
    return found, digest.hexdigest()


def _lines(file: Path) -> Iterator[tuple[str, str, str]]:
    """(where, name of the game or nothing, moves) of each game in a file."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{file} is no text.", "Games are read from .txt and .csv files.") from None
    lines = text.splitlines()
    if file.suffix == ".csv":
        rows = csv.DictReader(lines)
        if lines and "moves" not in (rows.fieldnames or ()):
            raise UserError(f"{file} has no column moves.", f"It has: {', '.join(rows.fieldnames or ())}.")
        for row in rows:
            yield f"{file}, line {rows.line_num}", (row.get("game") or "").strip(), row["moves"] or ""
        return
    for number, line in enumerate(lines, start=1):
        told = line.partition("#")[0].strip()
        if told:
            name, colon, moves = told.rpartition(":")
            yield f"{file}, line {number}", name.strip() if colon else "", moves


def is_file(given: str) -> bool:
    """Whether a person who gave this means a file of games rather than moves."""
    return Path(given).suffix.lower() in (".txt", ".csv")


def read_begun(place: str, usual: Game) -> list[tuple[str, Game, tuple[int, ...]]]:
    """(where, game, moves so far) of each game in a file. Raises UserError as `read_games` does."""
    file = Path(place).expanduser()
    if not file.is_file():
        raise UserError(
            f"There is no file {place}.", "Give moves (4 4 3), or a .txt with the moves of one game a line."
        )
    found = [(where, *_allowed(where, name, text, usual)[:2]) for where, name, text in _lines(file)]
    if not found:
        raise UserError(f"{place} holds no games.", "Write the moves of one game a line, like: 4 4 3")
    return [(where, game, tuple(moves)) for where, game, moves in found]


def _allowed(where: str, name: str, text: str, usual: Game) -> tuple[Game, list[int], float | None]:
    """The game, the moves and the result of a line. Raises UserError for what the rules forbid."""
    try:
        game = game_called(name) if name else usual
        moves = read_moves(game, text)
        if not moves:
            raise UserError("there are no moves")
        return game, moves, game.result(moves)
    except UserError as error:
        raise UserError(f"{where}: {error.what.rstrip('.')}.", error.hint) from None


def _played(where: str, name: str, text: str, usual: Game) -> GameExample:
    """A game that people played: the moves of whoever won are what should be done, of both where nobody did."""
    game, moves, result = _allowed(where, name, text, usual)
    count = len(moves)
    policy, value = np.zeros((count, game.moves), dtype=np.uint8), np.zeros((count, 3), dtype=np.uint8)
    policy[np.arange(count), moves] = 255
    if result is not None:
        mover = np.where(np.arange(count) % 2 == 0, result, 1 - result)
        value[np.arange(count), (2 * mover).astype(int)] = 255
        policy[mover == 0] = 0
    key = " ".join(game.move_name(move) for move in moves)
    return GameExample(
        id=f"{game.name}: {key}", game=game, moves=np.array(moves), policy=policy, value=value, result=result
    )


def parts_of(name: str, examples: Sequence[GameExample], sha256: str) -> Collection:
    """Eight games of ten to learn from, one each for validation and test, by the hash of their moves: equal games stay
    together."""
    parts: dict[str, list[GameExample]] = {"train": [], "validation": [], "test": []}
    for one in examples:
        text = f"{one.game.name} {one.moves.tolist()}"
        number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % 10
        parts[PARTS.get(number, "train")].append(one)
    return Collection(
        name=name, train=Games(parts["train"]), validation=Games(parts["validation"]), test=Games(parts["test"]),
        sha256=sha256,
    )  # fmt: skip
