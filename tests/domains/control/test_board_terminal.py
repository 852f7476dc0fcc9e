"""A game in the terminal: moves, commands, mistakes, and ways to leave."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from tsuite.domains.control.board.games import CONNECT_FOUR, TIC_TAC_TOE
from tsuite.domains.control.board.options import RunOptions
from tsuite.domains.control.board.terminal import Sitting, board_lines

from .tinyboard import WON, network


def sit(monkeypatch: pytest.MonkeyPatch, *lines: str, **options: object) -> tuple[Sitting, str]:
    said = io.StringIO()
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    sitting = Sitting(network(), RunOptions(**options), console=Console(file=said, width=200))  # pyright: ignore[reportArgumentType]
    sitting.play()
    return sitting, said.getvalue()


def test_moves_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    sitting, said = sit(monkeypatch, "4", "1")
    assert sitting.moves[0::2] == [3, 0]
    assert len(sitting.moves) == 4
    assert said.count("I play ") == 2
    assert "Goodbye" in said


def test_it_may_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    sitting, said = sit(monkeypatch, game="tic-tac-toe", first=False)
    assert len(sitting.moves) == 1
    assert "You are o" in said


def test_mistakes_are_answered_kindly(monkeypatch: pytest.MonkeyPatch) -> None:
    sitting, said = sit(monkeypatch, "five", "9", "1 2", "", "undo", "²", "4")
    assert len(sitting.moves) == 2
    for word in ("is no move of connect-four", "One move at a time", "no move of yours to take back", "quit"):
        assert word in said
    taken, said = sit(monkeypatch, "5", "5", game="tic-tac-toe")
    assert "That cell is taken. Choose another one." in said
    assert len(taken.moves) == 2


def test_hints_and_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    sitting, said = sit(monkeypatch, "hint", "4", "undo", "4", "new", "quit", "4")
    assert sitting.moves == []
    assert said.count("I would play") == 1
    assert "%" in said
    assert sit(monkeypatch, "4", hints=True)[1].count("For you: win") == 2


class _Fixed:
    def __init__(self, move: int) -> None:
        self.moves = [move]


def _first_free(sitting: Sitting) -> _Fixed:
    """The last free cell: an opponent that loses to the first row."""
    free = [cell for cell in range(8, -1, -1) if cell not in sitting.moves]
    return _Fixed(free[0])


def test_winning_losing_and_playing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sitting, "thought", _first_free)
    sitting, said = sit(monkeypatch, "1", "2", "3", "yes", "1", "2", "no", game="tic-tac-toe")
    assert "You win!" in said
    assert "I win." in said
    assert not sitting.first  # who lost begins
    assert "Goodbye" not in said


def test_ctrl_c_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", interrupted)
    _, said = sit(monkeypatch)
    assert said.rstrip().endswith("Goodbye.")


def test_boards_in_letters() -> None:
    assert board_lines(CONNECT_FOUR, WON)[-4:] == [
        " X . . . . . .",
        " x o . . . . .",
        " x o . . . . .",
        " x o . . . . .",
    ]
    assert board_lines(TIC_TAC_TOE, [4, 0]) == [" O 2 3", " 4 x 6", " 7 8 9"]
    assert board_lines(CONNECT_FOUR, [])[0] == " 1 2 3 4 5 6 7"
