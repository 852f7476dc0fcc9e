"""The rules, against boards written out cell by cell."""

from __future__ import annotations

import numpy as np
import pytest
from tsuite.core.errors import UserError
from tsuite.domains.control.board.games import CONNECT_FOUR, GAMES, TIC_TAC_TOE, Game, game_called

from .tinyboard import FULL_COLUMN, WON, bits_of, random_games

BOTH = [CONNECT_FOUR, TIC_TAC_TOE]


def grid(game: Game, stones: int) -> np.ndarray:
    """[columns, rows] of truth values."""
    return np.array([[bool(stones & game.bit(c, r)) for r in range(game.rows)] for c in range(game.columns)])


def lines(game: Game) -> list[list[tuple[int, int]]]:
    """Every line of cells, found by walking."""
    found = []
    for column in range(game.columns):
        for row in range(game.rows):
            for right, up in ((1, 0), (0, 1), (1, 1), (1, -1)):
                cells = [(column + n * right, row + n * up) for n in range(game.line)]
                if all(0 <= c < game.columns and 0 <= r < game.rows for c, r in cells):
                    found.append(cells)
    return found


@pytest.mark.parametrize("game", BOTH, ids=lambda game: game.name)
def test_lines_are_those_of_the_board(game: Game) -> None:
    every = lines(game)
    assert len(every) == {"connect-four": 69, "tic-tac-toe": 8}[game.name]
    generator = np.random.default_rng(0)
    bits = np.array(game.cell_bits, dtype=np.uint64)
    stones = np.array([bits[generator.random(len(bits)) < 0.5].sum() for _ in range(300)], dtype=np.uint64)
    has, completing = game.has_line(stones), game.completing(stones)
    assert 0 < has.sum() < 300
    for number, one in enumerate(stones.tolist()):
        board = grid(game, one)
        assert has[number] == any(all(board[cell] for cell in line) for line in every) == game.has_line(one)
        expected = np.zeros_like(board)
        for line in every:
            for cell in line:
                expected[cell] |= all(board[other] for other in line if other != cell)
        assert (grid(game, int(completing[number])) == expected).all()
        assert int(completing[number]) == game.completing(one)


@pytest.mark.parametrize("game", BOTH, ids=lambda game: game.name)
def test_whole_numbers_and_arrays_agree(game: Game) -> None:
    games = random_games(game, 4, 20)
    mine, theirs = bits_of(game, games)
    assert len(set(game.key(mine, theirs).tolist())) == len(set(zip(mine.tolist(), theirs.tolist(), strict=True)))
    for number, moves in enumerate(games):
        one = game.play(moves)
        assert (game.legal(mine, theirs)[number] == game.legal(*one)).all()
        assert game.possible(mine | theirs)[number] == game.possible(one[0] | one[1])
    assert (game.mirrored(game.mirrored(mine)) == mine).all()
    assert [game.mirror[game.mirror[move]] for move in range(game.moves)] == list(range(game.moves))
    flipped = bits_of(game, [[game.mirror[move] for move in moves] for moves in games])
    assert (flipped[0] == game.mirrored(mine)).all()


def test_results() -> None:
    assert CONNECT_FOUR.result(WON) == 1
    assert CONNECT_FOUR.result([6, *WON[:6], 1]) is None
    assert CONNECT_FOUR.result([6, *WON[:6], 3, *WON[6:]]) is None
    assert TIC_TAC_TOE.result([0, 3, 1, 4, 8, 5]) == 0
    assert TIC_TAC_TOE.result([0, 1, 2, 4, 3, 5, 7, 6, 8]) == 0.5
    assert not CONNECT_FOUR.legal(*CONNECT_FOUR.play(WON)).any()
    assert CONNECT_FOUR.legal(*CONNECT_FOUR.play(FULL_COLUMN)).tolist() == [True] * 3 + [False] + [True] * 3


@pytest.mark.parametrize(
    ("game", "moves", "said"),
    [
        (CONNECT_FOUR, [*FULL_COLUMN, 3], r"move 7, 4, is not possible: the column is full"),
        (CONNECT_FOUR, [*WON, 3], r"the game is over after move 7, but goes on with 4"),
        (CONNECT_FOUR, [7], r"move 1 is 8: connect-four has moves from 1 to 7"),
        (TIC_TAC_TOE, [4, 4], r"move 2, 5, is not possible: the cell is taken"),
        (TIC_TAC_TOE, [-1], r"move 1 is 0"),
    ],
)
def test_moves_against_the_rules_are_named(game: Game, moves: list[int], said: str) -> None:
    with pytest.raises(UserError, match=said):
        game.play(moves)


def test_games_by_name() -> None:
    assert set(GAMES) == {"connect-four", "tic-tac-toe"}
    with pytest.raises(UserError, match=r"no game 'conect-four'.*Did you mean connect-four"):
        game_called("conect-four")
