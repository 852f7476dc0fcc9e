"""The commands over control.board with a small player: finetune, run, evaluate, and what people are told."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
import tsuite as package
from tsuite.core import registry
from tsuite.core.errors import UserError
from tsuite.core.train import fit
from tsuite.domains.control.board.options import EvaluateOptions, FinetuneOptions

from ...commands import tsuite
from .tinyboard import NAME, SHAPE

SMALL = ("--games", 30, "--tic-tac-toe", 30, "--exact", 34, "--outcomes", 2, "--threads", 1, "--device", "cpu")
SETTINGS = [word for key, value in SHAPE.items() for word in ("--set", f"{key}={value}")]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_cache: Path) -> None:
    monkeypatch.chdir(tmp_path)


@cache
def checkpoint() -> str:
    """A player that learnt a little from written games."""
    folder = Path(mkdtemp())
    (folder / "games.txt").write_text("".join(f"{a} {b} {a} {b}\n" for a in range(1, 8) for b in range(1, 8)), "utf-8")
    kind = registry.card(NAME).load_task()
    options = FinetuneOptions(max_steps=2)
    prepared = kind.for_training(options, data=str(folder / "games.txt"), checkpoint=None, settings=SHAPE)
    fit(prepared.task, prepared.splits, prepared.options, folder / "run")
    return str(folder / "run")


def ask(verb: str, *words: Any, code: int = 0) -> Any:
    return tsuite(verb, NAME, *words, "--checkpoint", checkpoint(), "--threads", 1, code=code)


def test_finetune_records_learns_and_scores() -> None:
    said = tsuite("finetune", NAME, *SMALL, *SETTINGS, "--max-steps", 6, "--json").json
    assert said["metrics"]["tic_tac_toe_games"] > 100
    assert {"policy_against_random", "search_1_against_one_ply", "elo_policy"} <= set(said["metrics"])
    assert (Path(said["run"]) / "best" / "model.safetensors").is_file()
    again = tsuite("finetune", NAME, *SMALL, *SETTINGS, "--max-steps", 6, "--json").json
    assert again["validation"] == said["validation"]


def test_finetune_from_a_file_and_on() -> None:
    lines = [f"{a} {b} {a} {b} {a} {b} {a}" for a in range(1, 8) for b in range(1, 8) if a != b]
    Path("games.txt").write_text("\n".join(lines), encoding="utf-8")
    said = tsuite("finetune", NAME, "--data", "games.txt", "--max-steps", 3, *SETTINGS, "--threads", 1, "--json").json
    assert 0 <= said["metrics"]["good_moves"] <= 1
    more = tsuite(
        "finetune", NAME, "--data", "games.txt", "--max-steps", 2, "--checkpoint", said["run"], "--threads", 1
    )
    assert "42 games" in more.err or "games with" in more.err
    scored = ask("evaluate", "--data", "games.txt", "--json").json
    assert scored["data"]["split"] == "test"
    assert set(scored["metrics"]) == {"good_moves", "foreseen"}


def test_run_plays_examples() -> None:
    said = ask("run", "--json").json
    assert said["metrics"]["tic_tac_toe_games"] == sum(
        row[name] for row in said["results"][:2] for name in ("wins", "draws", "losses")
    )
    played = [row for row in said["results"] if row["moves"]]
    assert {row["opponent"] for row in played} == {"one-ply", "alpha-beta", "random"}
    assert all(re.fullmatch(r"\d( \d)+", row["moves"]) for row in played)
    assert all(sum(row["before_its_last_move"]["chances"].values()) == pytest.approx(1, abs=2e-3) for row in played)
    assert [Path(path).name for path in said["artifacts"]] == ["boards.png"]


def test_examples_are_played_as_asked() -> None:
    ways = {row["player"] for row in ask("run", "--json", "--search", 1, "--picture", "none").json["results"]}
    assert ways == {"policy", "search 1"}  # every game of tic-tac-toe is played by the policy
    asked = ask("run", "--json", "--asked", "win", "--picture", "none").json
    assert {row["player"] for row in asked["results"]} == {"asked for a win"}
    assert not asked["artifacts"]


@pytest.mark.parametrize("picture", ["png", "svg", "none"])
def test_run_advises(picture: str) -> None:
    words = ("run", "4 4 4 4 4 4", "1 2 1 2 1 2", "--search", 1, "--picture", picture, "--output", "out")
    said = ask(*words, "--json").json
    full, win = said["results"]
    assert full["chances"]["4"] == 0
    assert "4" not in full["expected"]
    assert win["best"] == "1"
    assert win["expected"]["1"] == 1
    files = [Path(path) for path in said["artifacts"]]
    assert [path.name for path in files] == ([] if picture == "none" else [f"boards.{picture}"])
    assert all(path.stat().st_size > 5_000 for path in files)
    shown = ask(*words).out
    assert "expected" in shown
    assert "for the mover, win" in " ".join(shown.split())


def test_evaluate_prints_the_table_and_a_picture() -> None:
    words = ("evaluate", "--games", 1, "--opponents", "random,alpha-beta-1", "--ways", "policy,search-1")
    said = ask(*words, "--json").json
    assert said["metrics"]["tic_tac_toe_losses"] >= 0
    rows = {(row["player"], row["opponent"]) for row in said["matches"]}
    assert {("policy", "everything"), ("policy", "alpha-beta-1"), ("search 1", "random")} <= rows
    low, elo, high = (said["elo"]["policy"][name] for name in ("low", "elo", "high"))
    assert low <= elo <= high
    assert [Path(path).name for path in said["artifacts"]] == ["matches.png"]
    shown = ask(*words).out
    for word in ("moving first", "alpha-beta-1", "Elo (random 0)", "95 % confidence"):
        assert word in shown


def test_from_python() -> None:
    board = package.load(NAME, checkpoint(), device="cpu")
    advice = board("44")
    assert sum(advice.chances) == pytest.approx(1)
    assert board("5", game="tic-tac-toe").chances[4] == 0
    one, other = board("4", asked="win"), board("4")
    assert one.chances != other.chances


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "4 9"), "4 9: '9' is no move of connect-four"),
        (("run", "1111111"), "1111111: move 7, 1, is not possible: the column is full"),
        (("run", "1212121"), "1212121: the game is over"),
        (("run", "none.txt"), "There is no file none.txt. Give moves (4 4 3), or a .txt"),
        (("run", "--game", "chess"), "--game cannot be 'chess'"),
        (("run", "--search", "9"), "--search takes 0, 1 or 2 moves"),
        (("run", "4", "--set", "dim=3"), "cannot be set"),
        (("evaluate", "--ways", "luck"), "does not play in the way 'luck'"),
        (("evaluate", "--opponents", "deep-blue"), "no player 'deep-blue'"),
        (("evaluate", "--data", "none.txt"), "no games called 'none.txt'"),
        (("finetune", "--data", "none.txt"), "no games called 'none.txt'"),
        (("finetune", "--games", 0, "--tic-tac-toe", 0), "nothing to learn from"),
        (("finetune", "--exact", 3), "--exact lies from 12 to 42"),
        (("evaluate", "--games", 0), "--games must be at least 1"),
    ],
)
def test_mistakes_are_one_sentence(words: tuple[Any, ...], said: str) -> None:
    verb, *rest = words
    assert said in " ".join(ask(verb, *rest, code=2).err.split())


def test_a_file_of_games_is_advised_line_by_line() -> None:
    Path("games.txt").write_text("4 4 3\n# a remark\ntic-tac-toe: 5 1\n")
    said = ask("run", "games.txt", "44", "--json").json
    assert [item["id"] for item in said["results"]] == ["games.txt, line 1", "games.txt, line 3", "44"]
    assert [len(item["chances"]) for item in said["results"]] == [7, 9, 7]
    Path("games.txt").write_text("4 4 3\n1212121\n")
    over = ask("run", "games.txt", "--json", code=2).json["results"][1]
    assert over["error"] == "games.txt, line 2: the game is over, there is nothing to advise."
    Path("games.txt").write_text("4 4 8\n")
    assert "games.txt, line 1: '8' is no move of connect-four" in ask("run", "games.txt", code=2).err


def test_the_same_match_whatever_is_played_beside_it() -> None:
    task = registry.card(NAME).load_task().load(checkpoint())
    split = task.to_score(None, EvaluateOptions(games=2, opponents="random", ways="policy"))
    results = [list(task.infer(split.examples, EvaluateOptions(batch=size))) for size in (1, 64)]
    assert [row.moves for row in results[0]] == [row.moves for row in results[1]]


def test_a_checkpoint_of_another_shape_is_refused(tmp_path: Path) -> None:
    task = registry.card(NAME).load_task()
    with pytest.raises(UserError, match="no such path"):
        task.load(str(tmp_path / "none"))
