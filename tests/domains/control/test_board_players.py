"""Opponents, and Elo."""

from __future__ import annotations

import numpy as np
import pytest
from tsuite.core.errors import UserError
from tsuite.domains.control.board.elo import ratings
from tsuite.domains.control.board.games import CONNECT_FOUR, TIC_TAC_TOE
from tsuite.domains.control.board.matches import play_against
from tsuite.domains.control.board.players import PLAYERS, best_moves, player_called

from .tinyboard import bits_of, random_games


@pytest.mark.parametrize("name", [*PLAYERS, "alpha-beta-2"])
def test_every_player_keeps_to_the_rules_and_sees_a_win(name: str) -> None:
    player, generator = player_called(name), np.random.default_rng(0)
    for game, length in ((CONNECT_FOUR, 20), (TIC_TAC_TOE, 5)):
        mine, theirs = bits_of(game, random_games(game, length, 8))
        moves = player(game, mine, theirs, generator)
        assert game.legal(mine, theirs)[np.arange(8), moves].all()
    if name != "random":
        win, block = ([0, 1, 0, 1, 0, 1], [0, 1, 0, 1, 0])
        assert player(CONNECT_FOUR, *bits_of(CONNECT_FOUR, [win]), generator).tolist() == [0]
        assert player(CONNECT_FOUR, *bits_of(CONNECT_FOUR, [block]), generator).tolist() == [0]


def test_alpha_beta_never_loses_tic_tac_toe_and_looks_ahead() -> None:
    perfect, random = player_called("alpha-beta-9"), player_called("random")
    for first in (True, False):
        games = play_against(TIC_TAC_TOE, perfect, random, first=first, seeds=list(range(15)))
        assert {game.outcome for game in games} <= {"win", "draw"}
    assert set(best_moves(CONNECT_FOUR, *CONNECT_FOUR.play([2, 2, 3, 3]), 3)) == {1, 4}  # three, open on both sides


def test_unknown_players_are_named() -> None:
    with pytest.raises(UserError, match=r"no player 'onepl'.*one-ply"):
        player_called("onepl")
    with pytest.raises(UserError, match="no player 'alpha-beta-99'"):
        player_called("alpha-beta-99")


def test_elo_of_known_odds() -> None:
    """Ten wins for each loss are 400 points, and points add up."""
    found = ratings({("b", "a"): (1000, 0, 100), ("c", "b"): (500, 1000, 500)}, zero="a")
    assert found["a"] == (0, 0, 0)
    assert found["b"].elo == pytest.approx(400, abs=2)
    assert found["c"].elo == pytest.approx(found["b"].elo, abs=2)
    assert found["b"].low < 400 < found["b"].high < found["b"].low + 90
    few = ratings({("b", "a"): (10, 0, 1)}, zero="a")["b"]
    assert few.high - few.low > found["b"].high - found["b"].low


def test_elo_of_who_never_loses_is_finite() -> None:
    found = ratings({("strong", "random"): (200, 0, 0)}, zero="random")["strong"]
    assert 800 < found.elo < 2_000
    with pytest.raises(ValueError, match="no games connect x, y"):
        ratings({("x", "y"): (1, 0, 0), ("b", "a"): (1, 0, 1)}, zero="a")
