"""What positions are worth: against a plain search, and against what is known of the games."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from tsuite.domains.control.board.games import CONNECT_FOUR, TIC_TAC_TOE, Game
from tsuite.domains.control.board.players import negamax
from tsuite.domains.control.board.recording import best_of
from tsuite.domains.control.board.rollouts import one_of, play_out
from tsuite.domains.control.board.solver import IMPOSSIBLE, solve

from .tinyboard import bits_of, random_games

NOTHING = np.zeros(1, dtype=np.uint64)


@cache
def worth(game: Game, mine: int, theirs: int, stones: int) -> int:
    """The score of a position by trying everything."""
    if game.has_line(theirs):
        return -(game.cells + 1 - stones)
    free = game.possible(mine | theirs)
    if not free:
        return 0
    cells = (free & mask for mask in game.masks)
    return max(-worth(game, theirs, mine | cell, stones + 1) for cell in cells if cell)


@pytest.mark.parametrize(("game", "stones", "count"), [(TIC_TAC_TOE, 5, 40), (CONNECT_FOUR, 34, 30)])
def test_scores_are_those_of_a_plain_search(game: Game, stones: int, count: int) -> None:
    games = random_games(game, stones, count)
    mine, theirs = bits_of(game, games)
    scores = solve(game, mine, theirs, stones).moves(mine, theirs, stones)
    found = set()
    for one, other, row in zip(mine.tolist(), theirs.tolist(), scores.tolist(), strict=True):
        free = game.possible(one | other)
        true = [
            -worth(game, other, one | (free & mask), stones + 1) if free & mask else IMPOSSIBLE for mask in game.masks
        ]
        assert max(row) == max(true)
        found.add(int(np.sign(max(row))))
        wins_at_once = max(true) == game.cells - stones
        for score, truth in zip(row, true, strict=True):
            assert score == truth or (wins_at_once and score == IMPOSSIBLE)
    assert found >= {-1, 1}


def test_tic_tac_toe_is_a_draw() -> None:
    solved = solve(TIC_TAC_TOE, NOTHING, NOTHING, 0)
    assert solved.moves(NOTHING, NOTHING, 0).tolist() == [[0] * 9]
    assert solved.levels[0].scores.tolist() == [0]


def test_a_short_search_sees_what_is_near() -> None:
    """1 1 1 against scattered stones: the mover must block in column 1, and three in a row open on both sides win."""
    must = CONNECT_FOUR.play([0, 3, 0, 5, 0])
    mine, theirs = (np.array([side], dtype=np.uint64) for side in must)
    scores = solve(CONNECT_FOUR, mine, theirs, 5, 4).moves(mine, theirs, 5)[0]
    assert scores[0] == 0
    assert (scores[1:] == -(43 - 7)).all()
    mine, theirs = (np.array([side], dtype=np.uint64) for side in CONNECT_FOUR.play([2, 2, 3, 3]))
    scores = solve(CONNECT_FOUR, mine, theirs, 4, 4).moves(mine, theirs, 4)[0]
    assert sorted(np.flatnonzero(scores == 43 - 7)) == [1, 4]
    assert best_of(scores[None])[0][[1, 4]] == pytest.approx([0.5, 0.5])


def test_alpha_beta_agrees_at_the_end() -> None:
    games = random_games(CONNECT_FOUR, 34, 25)
    mine, theirs = bits_of(CONNECT_FOUR, games)
    exact = solve(CONNECT_FOUR, mine, theirs, 34).moves(mine, theirs, 34).max(axis=1)
    window = (-(1 << 20), 1 << 20)
    pairs = zip(mine.tolist(), theirs.tolist(), strict=True)
    found = [negamax(CONNECT_FOUR, one, other, 8, window) for one, other in pairs]
    assert np.sign(found).tolist() == np.sign(exact).tolist()


def test_labels_prefer_what_comes_sooner() -> None:
    scores = np.array([[5, 9, 0, -3, IMPOSSIBLE], [-9, -3, -5, IMPOSSIBLE, IMPOSSIBLE], [0, 0, -1, 0, IMPOSSIBLE]])
    chances = best_of(scores)
    assert chances.sum(axis=1) == pytest.approx([1, 1, 1])
    assert chances[0, 1] > chances[0, 0] > 0 == chances[0, 2] == chances[0, 4]
    assert chances[1, 1] > chances[1, 2] > chances[1, 0] > 0 == chances[1, 3]
    assert chances[2].tolist() == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3, 0])


def test_random_games() -> None:
    generator = np.random.default_rng(0)
    cells = np.array([0b1011, 0b100, 0b1110000], dtype=np.uint64).repeat(3_000)
    drawn = one_of(cells, generator).reshape(3, -1)
    assert {int(bit): round(float((drawn[0] == bit).mean()), 1) for bit in np.unique(drawn[0])} == {
        1: 0.3,
        2: 0.3,
        8: 0.3,
    }
    assert set(drawn[1].tolist()) == {4}
    empty = NOTHING.repeat(2_000)
    begun = (empty | np.uint64(CONNECT_FOUR.bit(column, 0)) for column in (3, 0))
    middle, edge = (-play_out(CONNECT_FOUR, empty, one, 1, generator) for one in begun)
    assert middle.mean() > edge.mean() + 0.03
    won = play_out(CONNECT_FOUR, *bits_of(CONNECT_FOUR, [[0, 1, 0, 1, 0, 1]]), 6, generator)
    assert won.tolist() == [1]
