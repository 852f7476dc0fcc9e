"""Recorded games and games that people wrote down."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tsuite.core.errors import UserError
from tsuite.domains.control.board.batches import batch_of, losses, positions
from tsuite.domains.control.board.data import parts_of, read_games, read_moves, unpacked
from tsuite.domains.control.board.games import CONNECT_FOUR, TIC_TAC_TOE, Game
from tsuite.domains.control.board.model import NUMBERS, tokens_of
from tsuite.domains.control.board.recording import record
from tsuite.domains.control.board.solver import solve

from .tinyboard import network


@pytest.mark.parametrize(("game", "exact"), [(CONNECT_FOUR, 28), (TIC_TAC_TOE, 0)])
def test_recorded_games_keep_to_the_rules_and_their_labels_are_true(game: Game, exact: int) -> None:
    made = record(game, 12, exact_from=exact, outcomes=2, seed=1)
    again = record(game, 12, exact_from=exact, outcomes=2, seed=1)
    assert (made.moves == again.moves).all()
    assert (made.policy == again.policy).all()
    truths = 0
    for one in unpacked(game, made):
        assert one.result is not None  # every game is played to its end; result raises for a move against the rules
        for place in range(len(one.moves)):
            mine, theirs = game.play(one.moves[:place].tolist())
            legal = game.legal(mine, theirs)
            assert abs(int(one.policy[place].sum()) - 255) < 5
            assert not one.policy[place][~legal].any()
            assert abs(int(one.value[place].sum()) - 255) < 3
            if place >= exact:
                bits = [np.array([side], dtype=np.uint64) for side in (mine, theirs)]
                scores = solve(game, bits[0], bits[1], place).moves(bits[0], bits[1], place)[0]
                best = np.sign(scores.max())
                assert one.value[place].argmax() == best + 1
                assert (np.sign(scores[one.policy[place] > 0]) == best).all()
                truths += 1
    assert truths > 15


def test_the_first_stone_belongs_into_the_middle() -> None:
    made = record(CONNECT_FOUR, 60, exact_from=42, outcomes=4)
    assert made.policy[:, 0].mean(axis=0).argmax() == 3
    assert made.value[:, 0, 2].mean() > made.value[:, 0, 0].mean()


def test_moves_as_people_write_them() -> None:
    assert (
        read_moves(CONNECT_FOUR, "4 4,3")
        == read_moves(CONNECT_FOUR, "443")
        == read_moves(CONNECT_FOUR, "d-d-C")
        == [3, 3, 2]
    )
    assert read_moves(TIC_TAC_TOE, "5;1;9") == [4, 0, 8]
    for typed, said in (("abc", "^'abc' is no move"), ("4 d9", "^'9' in 'd9' is no move")):
        with pytest.raises(UserError, match=said):
            read_moves(TIC_TAC_TOE if typed == "abc" else CONNECT_FOUR, typed)
    for game, wrong in ((CONNECT_FOUR, "4 8"), (CONNECT_FOUR, "4 0"), (TIC_TAC_TOE, "a"), (CONNECT_FOUR, "4 ²")):
        with pytest.raises(UserError, match=f"is no move of {game.name}, which are 1 to {game.moves}"):
            read_moves(game, wrong)


TEXT = """# games of Tuesday
1 2 1 2 1 2 1
4 4 3      # given up
tic-tac-toe: 1 4 2 5 9 6
"""


def test_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "games.txt").write_text(TEXT, encoding="utf-8")
    (tmp_path / "more.csv").write_text('game,moves\n,"7 6 7 6 7 6 7"\ntic-tac-toe,5 1\n', encoding="utf-8")
    found, sha256 = read_games(str(tmp_path / "games.txt"), CONNECT_FOUR)
    assert [(one.game.name, one.result) for one in found] == [
        ("connect-four", 1),
        ("connect-four", None),
        ("tic-tac-toe", 0),
    ]
    assert len(sha256) == 64
    won, open_, lost = found
    assert won.policy.sum(axis=1).tolist() == [255, 0, 255, 0, 255, 0, 255]  # what the winner did
    assert won.value[:2].tolist() == [[0, 0, 255], [255, 0, 0]]
    assert open_.policy.sum(axis=1).tolist() == [255, 255, 255]
    assert not open_.value.any()
    assert lost.policy.sum(axis=1).tolist() == [0, 255] * 3
    both, _ = read_games(str(tmp_path), CONNECT_FOUR)
    assert [one.game.name for one in both][-2:] == ["connect-four", "tic-tac-toe"] or len(both) == 5


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        (
            "4 4 3\n\n1 1 1 1 1 1 1\n",
            "games.txt",
            r"games\.txt, line 3: move 7, 1, is not possible: the column is full\.",
        ),
        ("1 2 1 2 1 2 1 3\n", "games.txt", r"games\.txt, line 1: the game is over after move 7, but goes on with 3\."),
        ("4 x 3\n", "games.txt", r"games\.txt, line 1: 'x' is no move of connect-four, which are 1 to 7\."),
        (
            "chess: 4 4\n",
            "games.txt",
            r"games\.txt, line 1: There is no game 'chess'\. Known are: connect-four, tic-tac-toe\.",
        ),
        (
            "game,moves\ntic-tac-toe,5 5\n",
            "games.csv",
            r"games\.csv, line 2: move 2, 5, is not possible: the cell is taken\.",
        ),
        ("a,b\n1,2\n", "games.csv", r"no column moves. It has: a, b"),
        ("", "games.txt", r"games\.txt holds no games"),
        ("# nothing\n\n", "games.txt", r"games\.txt holds no games"),
        ("", "games.csv", r"games\.csv holds no games"),
        ("connect-four:\n", "games.txt", r"line 1: there are no moves\."),
    ],
)
def test_bad_files_say_where(text: str, name: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=said):
        read_games(str(tmp_path / name), CONNECT_FOUR)


def test_what_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no games called 'gmaes\.txt'"):
        read_games("gmaes.txt", CONNECT_FOUR)
    with pytest.raises(UserError, match="holds no games"):
        read_games(str(tmp_path), CONNECT_FOUR)
    (tmp_path / "games.txt").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(UserError, match="is no text"):
        read_games(str(tmp_path), CONNECT_FOUR)


def test_equal_games_stay_together(tmp_path: Path) -> None:
    lines = [f"{a} {b} {c}" for a in range(1, 8) for b in range(1, 8) for c in (1, 2)] * 2
    (tmp_path / "games.txt").write_text("\n".join(lines), encoding="utf-8")
    found, sha256 = read_games(str(tmp_path / "games.txt"), CONNECT_FOUR)
    whole = parts_of("games", found, sha256)
    parts = [{one.id for one in getattr(whole, part)} for part in ("train", "validation", "test")]
    assert sum(map(len, parts)) == 98
    assert len(parts[0]) > 60
    assert not parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2]


@pytest.mark.parametrize("told", ["moves", "threats"])
def test_batches_hold_both_games(told: str, tmp_path: Path) -> None:
    (tmp_path / "games.txt").write_text(TEXT, encoding="utf-8")
    found, _ = read_games(str(tmp_path / "games.txt"), CONNECT_FOUR)
    batch = batch_of(found, told, training=False, conditioned=1.0)
    for row, one in enumerate(found):
        ids = tokens_of(one.game, one.moves.tolist())[:-1]
        assert batch.tokens[row, : len(ids)].tolist() == ids
        start = NUMBERS[one.game.name].moves
        for place in range(len(one.moves)):
            legal = one.game.legal(*one.game.play(one.moves[:place].tolist()))
            own = batch.allowed[row, place, start : start + one.game.moves]
            assert own.tolist() == legal.tolist()
            assert batch.allowed[row, place].sum() == legal.sum()
    assert positions(batch) == 4 + 3 + 3
    alone = [batch_of([one], told, training=False, conditioned=0.0) for one in found]
    say = network(told)
    whole, parts = (sum(losses(say(one.tokens, one.planes), one).item() for one in some) for some in ([batch], alone))
    assert whole == pytest.approx(parts, rel=1e-5)  # padding counts for nothing


def test_training_shows_mirrored_games_and_what_led_to_results(tmp_path: Path) -> None:
    (tmp_path / "games.txt").write_text("1 2 1 2 1 2 1\n", encoding="utf-8")
    found, _ = read_games(str(tmp_path / "games.txt"), CONNECT_FOUR)
    np.random.seed(0)  # noqa: NPY002 (as the training loop does)
    batch = batch_of(found * 40, "moves", training=True, conditioned=0.5)
    assert set(batch.tokens[:, 0].tolist()) == {0, 3}  # its best, or a win
    conditioned = batch.tokens[:, 0] == 3
    assert set(batch.policy[conditioned].sum(dim=(1, 2)).round().tolist()) == {7.0}
    assert set(batch.policy[~conditioned].sum(dim=(1, 2)).round().tolist()) == {4.0}
    left, right = tokens_of(CONNECT_FOUR, [0, 1])[1:], tokens_of(CONNECT_FOUR, [6, 5])[1:]
    assert {tuple(row) for row in batch.tokens[:, 1:3].tolist()} == {tuple(left), tuple(right)}
