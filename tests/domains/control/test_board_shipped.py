"""The player that ships: what it promises, proven or measured."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from tsuite.core import registry
from tsuite.core.pretrained import read_json
from tsuite.domains.control.board.games import CONNECT_FOUR, TIC_TAC_TOE
from tsuite.domains.control.board.matches import Played, Way, play, play_everything
from tsuite.domains.control.board.players import player_called
from tsuite.domains.control.board.playing import Seat


@cache
def network() -> Any:
    return registry.card("control.board").load_task().load("embedded").network.eval()


@pytest.mark.parametrize("first", [True, False])
def test_tic_tac_toe_is_never_lost(first: bool) -> None:
    """Every game that the opponent can choose, played out."""
    games = play_everything(network(), TIC_TAC_TOE, first=first)
    assert _is_complete(games, first)
    assert not [game for game in games if game.outcome == "loss"]
    assert sum(game.outcome == "win" for game in games) > 0.5 * len(games)


def _is_complete(games: list[Played], first: bool) -> bool:
    """Whether the opponent did everything it can wherever it had the move."""
    after: dict[tuple[int, ...], set[int]] = {}
    for game in games:
        for place, move in enumerate(game.moves):
            after.setdefault(game.moves[:place], set()).add(move)
    opponents = {before: moves for before, moves in after.items() if (len(before) % 2 == 0) != first}
    return all(moves == set(range(9)) - set(before) for before, moves in opponents.items())


def test_the_game_that_is_played_move_by_move_is_the_one_that_was_proven() -> None:
    """With the cache as without it."""
    proven = {game.moves for first in (True, False) for game in play_everything(network(), TIC_TAC_TOE, first=first)}
    for first in (True, False):
        games = play(network(), TIC_TAC_TOE, player_called("random"), first=first, seeds=list(range(20)), way=Way())
        assert {game.moves for game in games} <= proven


@pytest.mark.parametrize(("opponent", "share"), [("random", 0.9), ("one-ply", 0.5)])
def test_connect_four_is_won(opponent: str, share: float) -> None:
    games = [
        game
        for first in (True, False)
        for game in play(
            network(), CONNECT_FOUR, player_called(opponent), first=first, seeds=list(range(20)), way=Way()
        )
    ]
    assert np.mean([game.outcome == "win" for game in games]) >= share


def test_it_wins_and_blocks_where_it_can() -> None:
    for moves, wanted in (([3, 2, 3, 2, 3, 2], 3), ([3, 2, 3, 4, 3], 3)):
        seat = Seat(network(), CONNECT_FOUR, 1)
        for move in moves:
            seat.put(np.array([move]))
        assert seat.think().moves.tolist() == [wanted]


def test_its_card_says_how_it_was_made_and_what_it_scores() -> None:
    folder = registry.card("control.board").folder / "checkpoint"
    made = read_json(folder / "card.json")
    assert made["command"] == "tsuite finetune control.board"
    scores = made["test"]["metrics"]
    assert scores["tic_tac_toe_losses"] == 0
    assert scores["policy_against_random"] >= 0.9
    assert scores["policy_against_one_ply"] >= 0.5
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2e6
