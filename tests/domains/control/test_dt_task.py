"""control.decision_transformer through the flow of the commands: CartPole, by a policy that learnt for a moment."""

from __future__ import annotations

import functools
import io
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tsuite
from rich.console import Console
from tsuite.core import flow, registry
from tsuite.core.errors import UserError
from tsuite.core.flow import Request
from tsuite.core.train import fit
from tsuite.domains.control.data import write_episodes
from tsuite.domains.control.decision_transformer.options import EvaluateOptions, FinetuneOptions, RunOptions

pytest.importorskip("gymnasium")

NAME = "control.decision_transformer"


@functools.cache
def recorded() -> Path:
    """A few short episodes."""
    from tsuite.domains.control.record import record

    folder = Path(tempfile.mkdtemp()) / "recorded"
    record("CartPole-v1", "mix:0.3*scripted+0.7*against", folder, episodes=12, max_steps=30)
    return folder


@functools.cache
def trained() -> Path:
    """A policy that has seen them once or twice."""
    task = registry.card(NAME).load_task()
    asked = FinetuneOptions(max_steps=12, batch_size=32, lr=3e-3, episodes=2, baselines=True)
    settings = {"dim": "16", "depth": "1", "heads": "1", "hidden": "16", "context": "4"}
    ready = task.for_training(asked, data=str(recorded()), checkpoint=None, settings=settings)
    return fit(ready.task, ready.splits, ready.options, Path(tempfile.mkdtemp()) / "run").best


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def request(output: Path | None = None, **changed: Any) -> Request:
    return Request(**{"name": NAME, "checkpoint": str(trained()), "output": output, **changed})


def text(shown: Any) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(shown)
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


# -- run --------------------------------------------------------------------------------------------------------------


def test_run_plays_and_films(tmp_path: Path) -> None:
    report = flow.run(request(tmp_path / "out"), [], RunOptions(episodes=2))
    plain = json.loads(json.dumps(report.to_json()))
    assert [item["seed"] for item in plain["results"]] == [1_000_000, 1_000_001]
    assert plain["metrics"]["return_mean"] == pytest.approx(np.mean([item["return"] for item in plain["results"]]))
    assert {"return_std", "target_return", "act_ms_p50", "act_ms_p99"} <= set(plain["metrics"])
    assert {"episode.gif", "episodes.csv", "returns.png"} <= {Path(path).name for path in plain["artifacts"]}
    assert (tmp_path / "out" / "episode.gif").read_bytes()[:4] == b"GIF8"
    assert "return" in text(report.shown)
    assert "act(): p50" in text(report.shown)


def test_a_number_is_a_return_to_ask_for() -> None:
    policy = tsuite.load(NAME, checkpoint=str(trained()))
    played = policy(20, episodes=1)
    assert (played.asked, played.seed) == (20, 1_000_000)
    assert played.achieved == played.steps
    assert not played.notices
    assert "lie between" in policy(9_000, episodes=1).notices[0]


def test_episodes_do_not_depend_on_their_neighbours() -> None:
    policy = tsuite.load(NAME, checkpoint=str(trained()))
    together, alone = (policy(9, 30, episodes=3, batch=batch) for batch in (6, 1))
    assert [item.to_json() for item in together] == [item.to_json() for item in alone]


def test_safely_and_at_a_fixed_rate() -> None:
    report = flow.run(request(), [], RunOptions(episodes=1, film=False, safe=True, hz=200.0))
    plain = report.to_json()
    steps = plain["results"][0]["steps"]
    assert (plain["guard"]["actions"], plain["guard"]["clipped"]) == (steps, 0)
    assert (plain["watchdog"]["hz"], plain["watchdog"]["ticks"]) == (200, steps)
    assert f"Nothing had to be changed in {steps} actions." in text(report.shown)
    assert "200 Hz " in text(report.shown)
    assert "guard" in flow.evaluate(request(), EvaluateOptions(episodes=1, returns="9", safe=True)).to_json()
    with pytest.raises(UserError, match="rate limit is for numbers"):
        flow.run(request(), [], RunOptions(episodes=1, film=False, safe=True, rate_limit=0.1))
    with pytest.raises(UserError, match="more than this policy says ahead, 1"):
        flow.run(request(), [], RunOptions(episodes=1, film=False, execute=2))


def test_what_it_would_do_at_the_end_of_recorded_episodes(tmp_path: Path) -> None:
    from tsuite.domains.control.data import load_episodes

    path = tmp_path / "mine.csv"
    write_episodes(load_episodes(recorded()).take(range(3)), path, "csv")
    report = flow.run(request(), [str(path)], RunOptions())
    assert len(report.results) == 3
    assert report.results[0].action[0] in (0, 1)
    assert "the policy's action" in text(report.shown)


# -- evaluate ---------------------------------------------------------------------------------------------------------


def test_evaluate_asks_for_several_returns_beside_the_baselines(tmp_path: Path) -> None:
    report = flow.evaluate(request(tmp_path / "out"), EvaluateOptions(episodes=3, returns="9,30"))
    plain = report.to_json()
    chosen = plain["metrics"]["target_return"]
    assert {9, 30, chosen} == {line["asked"] for line in plain["targets"]}
    assert all(line["n"] == 3 for line in plain["targets"])
    assert list(plain["baselines"]) == ["random", "the data's own policy", "cloning", "10 % cloning"]
    assert plain["baselines"]["cloning"]["n"] == 100
    assert "spearman" in plain["metrics"]
    shown = text(report.shown)
    for said in ("(chosen)", "10 % cloning", "the threshold of CartPole-v1, 475"):
        assert said in shown
    assert (tmp_path / "out" / "returns.png").stat().st_size > 5_000
    assert len((tmp_path / "out" / "episodes.csv").read_text().splitlines()) == 1 + len({9, 30, chosen}) * 3


def test_evaluate_scores_held_out_actions() -> None:
    report = flow.evaluate(request(data=str(recorded())), EvaluateOptions())
    assert 0 < report.metrics["accuracy"] <= 1
    held = tsuite.load(NAME, checkpoint=str(trained())).held_out(str(recorded()))
    assert report.data is not None
    assert report.data["n"] == len(held.examples)


def test_the_return_was_chosen_on_validation_seeds() -> None:
    around = registry.card(NAME).load_task().load(str(trained())).around
    assert around.target in [line["asked"] for line in around.tried]
    best = max(line["mean"] for line in around.tried)
    assert next(line["mean"] for line in around.tried if line["asked"] == around.target) == best


# -- an environment that is not there ---------------------------------------------------------------------------------


def test_without_the_environment_actions_are_scored(tmp_path: Path) -> None:
    import shutil

    from tsuite.core import checkpoint

    def fill(folder: Path) -> None:
        for name in ("model.safetensors", "config.json"):
            shutil.copy(trained() / name, folder / name)
        config = json.loads((folder / "config.json").read_text())
        config["setting"]["env"] = "Nowhere-v3"
        (folder / "config.json").write_text(json.dumps(config))

    checkpoint.write(tmp_path / "there", fill)
    there = request(checkpoint=str(tmp_path / "there"))
    with pytest.raises(UserError, match=r"No episode can be played: There is no environment 'Nowhere-v3'"):
        flow.run(there, [], RunOptions())
    report = flow.evaluate(request(checkpoint=str(tmp_path / "there"), data=str(recorded())), EvaluateOptions())
    assert "accuracy" in report.metrics


def test_another_environment_is_played_in_where_it_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_poles.py").write_text(
        "import gymnasium\n"
        "gymnasium.register('ShortPole-v0', 'gymnasium.envs.classic_control:CartPoleEnv', max_episode_steps=7)\n",
        encoding="utf-8",
    )
    said = flow.run(request(), [], RunOptions(episodes=2, returns="500", film=False, env="my_poles:ShortPole-v0"))
    assert [item["steps"] for item in said.to_json()["results"]] == [7, 7]
    with pytest.raises(UserError, match="The observations do not fit: Acrobot-v1"):
        flow.run(request(), [], RunOptions(env="Acrobot-v1"))


def test_the_environment_of_the_data_stays_what_it_was_recorded_with() -> None:
    task = registry.card(NAME).load_task().load(None)
    task.around = replace(
        task.around, setting=replace(task.setting, env_options={"sutton_barto_reward": True}, max_steps=50)
    )
    task.play_in("CartPole-v1")
    assert task.setting.max_steps == 50
    assert task.setting.env_options["sutton_barto_reward"] is True
    task.play_in("CartPole-v1", "max_episode_steps=9, sutton_barto_reward=false")
    assert task.setting.max_steps == 9
    assert task.setting.env_options["sutton_barto_reward"] is False
    with pytest.raises(UserError, match="--env-options is part of --env"):
        RunOptions(env_options="a=1")


def test_data_without_an_environment_are_told_one(tmp_path: Path) -> None:
    from tsuite.domains.control.data import load_episodes

    table = write_episodes(load_episodes(str(recorded())), tmp_path / "log.csv", "csv")
    kind = registry.card(NAME).load_task()
    settings = {"dim": "16", "depth": "1", "heads": "1", "hidden": "16", "context": "4"}
    ready = kind.for_training(
        FinetuneOptions(max_steps=1, env="CartPole-v1"), data=str(table), checkpoint=None, settings=settings
    )
    assert ready.task.around.setting.env == "CartPole-v1"
    assert ready.splits.test is not None
    assert ready.splits.test.part == "fresh seeds"
