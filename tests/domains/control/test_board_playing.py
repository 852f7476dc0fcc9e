"""The network at the board: the cache equals reading anew, the tree in one pass equals reading every line, the rules
hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tsuite.core.errors import UserError
from tsuite.domains.control.board.config import BoardConfig
from tsuite.domains.control.board.games import CONNECT_FOUR, TIC_TAC_TOE, Game
from tsuite.domains.control.board.matches import Way, play, play_everything
from tsuite.domains.control.board.model import MOVES, TOKENS, MoveModel, planes_of, stones_along, tokens_of
from tsuite.domains.control.board.players import player_called
from tsuite.domains.control.board.playing import Seat, masked_softmax, read_through

from .tinyboard import WON, network, random_games

BOTH = [(CONNECT_FOUR, 13), (TIC_TAC_TOE, 4)]


def seated(told: str, game: Game, games: list[list[int]], asked: str = "best") -> Seat:
    seat = Seat(network(told), game, len(games), asked=asked)
    for number, moves in enumerate(np.array(games).T):
        seat.put(moves)
        if number % 3 == 0:
            seat.think()  # reads some moves one by one, others together
    return seat


@pytest.mark.parametrize("told", ["moves", "threats"])
@pytest.mark.parametrize(("game", "length"), BOTH)
def test_the_cache_equals_reading_anew(game: Game, length: int, told: str) -> None:
    games = random_games(game, length, 3)
    cached = seated(told, game, games, "win").think()
    anew = read_through(network(told), game, games, asked="win")
    np.testing.assert_allclose(cached.chances, anew.chances, atol=1e-5)
    np.testing.assert_allclose(cached.ends, anew.ends, atol=1e-5)
    other = read_through(network(told), game, games)
    assert np.abs(anew.chances - other.chances).max() > 1e-3  # it matters what is asked


def searched(game: Game, moves: list[int], depth: int) -> float:
    """The worth for whoever moves, by reading every line of play from its beginning."""
    over = game.result(moves)
    if over is not None:
        return 0.0 if over == 0.5 else -1.0
    if not depth:
        ends = read_through(network(), game, [moves]).ends[0]
        return float(ends[2] - ends[0])
    return max(
        -searched(game, [*moves, int(move)], depth - 1) for move in np.flatnonzero(game.legal(*game.play(moves)))
    )


@pytest.mark.parametrize(
    ("game", "length", "depth"), [(CONNECT_FOUR, 13, 1), (CONNECT_FOUR, 20, 2), (TIC_TAC_TOE, 5, 2)]
)
def test_a_tree_in_one_pass_equals_reading_every_line(game: Game, length: int, depth: int) -> None:
    games = random_games(game, length, 2)
    seat = seated("threats", game, games)
    before = seat.think().chances
    worth = seat.think(depth).worth
    for moves, row in zip(games, worth, strict=True):
        legal = game.legal(*game.play(moves))
        assert (np.isnan(row) == ~legal).all()
        for move in np.flatnonzero(legal):
            assert row[move] == pytest.approx(-searched(game, [*moves, int(move)], depth - 1), abs=1e-5)
    np.testing.assert_array_equal(seat.think().chances, before)  # the tree left nothing behind


def test_a_search_takes_a_win_and_blocks_one() -> None:
    for moves, depth in (([0, 1, 0, 1, 0, 1], 1), ([0, 1, 0, 1, 0], 2)):
        assert seated("threats", CONNECT_FOUR, [moves]).think(depth).moves.tolist() == [0]


def test_only_what_the_rules_allow_has_a_chance() -> None:
    scores = np.array([[5.0, 900.0, 1.0], [1.0, 2.0, 3.0]])
    allowed = np.array([[True, False, True], [False, False, False]])
    chances = masked_softmax(scores, allowed)
    assert chances[0, 1] == 0
    assert chances.sum(axis=1).tolist() == pytest.approx([1, 0])
    for game in (CONNECT_FOUR, TIC_TAC_TOE):
        for length in range(0, game.cells - 4, 3):
            games = random_games(game, length, 2)
            thought = read_through(network(), game, games)
            for row, moves in zip(thought.chances, games, strict=True):
                assert ((row > 0) <= game.legal(*game.play(moves))).all()


@pytest.mark.parametrize("way", [Way(), Way("win"), Way(search=1)], ids=lambda way: way.words)
def test_matches_keep_to_the_rules_and_repeat(way: Way) -> None:
    opponent = player_called("random")
    for first in (True, False):
        games = play(network(), CONNECT_FOUR, opponent, first=first, seeds=[1, 2, 3], way=way)
        for game in games:
            result = CONNECT_FOUR.result(game.moves)  # raises for a move against the rules
            assert result is not None
            assert game.outcome == ("draw" if result == 0.5 else "win" if (result == 1) == first else "loss")
        alone = play(network(), CONNECT_FOUR, opponent, first=first, seeds=[2], way=way)
        assert alone[0].moves == games[1].moves


def test_every_game_is_played() -> None:
    """As second player every first move is met; the games are all different and all over."""
    games = play_everything(network(), TIC_TAC_TOE, first=False)
    assert {game.moves[0] for game in games} == set(range(9))
    assert len({game.moves for game in games}) == len(games) > 200
    assert all(TIC_TAC_TOE.result(game.moves) is not None for game in games)
    after: dict[tuple[int, ...], set[int]] = {}
    for game in games:
        for place, move in enumerate(game.moves):
            after.setdefault(game.moves[:place], set()).add(move)
    for before, moves in after.items():
        free = set(range(9)) - set(before)
        assert len(moves) == 1 if len(before) % 2 else moves == free


def test_tokens_and_planes() -> None:
    assert TOKENS == 2 * 4 + 2 * (42 + 9)
    assert MOVES == 16
    ids = tokens_of(CONNECT_FOUR, [3, 3, 0], "win")
    assert ids == [3, 4 + 3 * 6, 4 + 42 + 3 * 6 + 1, 4 + 0]
    assert len({*tokens_of(TIC_TAC_TOE, [0, 1]), *tokens_of(CONNECT_FOUR, [0, 1])}) == 6
    first, second = stones_along(CONNECT_FOUR, [WON[:6]])
    planes = planes_of(CONNECT_FOUR, first, second, "threats")
    assert planes is not None
    assert np.flatnonzero(planes[0, -1]).tolist() == [3, 42 + 6 + 3]  # both threaten on top of their column
    small = planes_of(TIC_TAC_TOE, *stones_along(TIC_TAC_TOE, [[0, 3, 1]]), "threats")
    assert small is not None
    assert np.flatnonzero(small[0, -1]).tolist() == [84 + 2]
    assert planes_of(CONNECT_FOUR, first, second, "moves") is None


def test_shapes_that_make_no_network() -> None:
    for wrong in ({"heads": 3}, {"dim": 0}, {"dropout": 1.0}, {"told": "all"}):
        with pytest.raises(UserError):
            BoardConfig(**wrong)  # pyright: ignore[reportArgumentType]
    assert MoveModel(BoardConfig(dim=16, depth=1, heads=2, told="moves")).planes is None
    assert torch.is_tensor(MoveModel(BoardConfig(dim=16, depth=1, heads=2)).next.weight)
