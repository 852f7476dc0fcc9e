"""Planning through the flow of the commands, from a recording to a path, by a network that learnt for a moment."""

from __future__ import annotations

import functools
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import tsuite
from rich.console import Console
from tsuite.core import flow, registry
from tsuite.core.errors import UserError
from tsuite.core.flow import Request
from tsuite.core.train import fit
from tsuite.domains.control.decision_transformer.options import EvaluateOptions, FinetuneOptions, RunOptions
from tsuite.domains.control.plans import Plan

pytest.importorskip("gymnasium")

NAME = "control.decision_transformer"
HALL = "S...\n.##.\n...G\n"
SHUT = "S.#G\n..#.\n..#.\n"


@functools.cache
def recorded() -> Path:
    """Ways over small maps."""
    from tsuite.domains.control.record import record

    folder = Path(tempfile.mkdtemp()) / "recorded"
    record("tsuite/GridPath-v0", "scripted", folder, episodes=24, env_options={"size": 8})
    return folder


@functools.cache
def trained() -> Path:
    """A network that has seen them once or twice."""
    task = registry.card(NAME).load_task()
    settings = {"dim": "16", "heads": "2", "hidden": "32", "rounds": "4"}
    ready = task.for_training(FinetuneOptions(max_steps=6), data=str(recorded()), checkpoint=None, settings=settings)
    config = ready.task.network.config
    assert (config.context, config.condition, config.value, config.patch) == (1, "none", True, 2)
    assert ready.options.batch_size == 16
    return fit(ready.task, ready.splits, ready.options, Path(tempfile.mkdtemp()) / "run").best


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def request(output: Path | None = None) -> Request:
    return Request(name=NAME, checkpoint=str(trained()), output=output)


def text(shown: Any) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(shown)
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def test_run_plans_on_a_persons_map(tmp_path: Path) -> None:
    Path("hall.txt").write_text(HALL)
    report = flow.run(request(tmp_path / "out"), ["hall.txt"], RunOptions())
    plain = json.loads(json.dumps(report.to_json()))
    (told,) = plain["results"]
    assert told["found"]
    assert told["cells"][0] == [0, 0]
    assert told["cells"][-1] == [2, 3]
    assert told["a_star"]["cost"] == 5
    assert {Path(path).name for path in plain["artifacts"]} == {"plans.png", "plans.csv"}
    assert "cells expanded, A* expands" in text(report.shown)


def test_run_says_where_there_is_no_path_and_what_is_no_map(tmp_path: Path) -> None:
    Path("shut.txt").write_text(SHUT)
    report = flow.run(request(), ["shut.txt"], RunOptions(batch=2))
    assert not report.results[0].found
    assert "There is no path" in text(report.shown)
    assert "+ also expanded" in text(report.shown)
    Path("torn.txt").write_text("S.\n..G\n")
    with pytest.raises(UserError, match=r"Line 2 of torn\.txt"):
        flow.run(request(), ["torn.txt"], RunOptions())


def test_a_map_that_is_too_large_is_planned_without_the_network() -> None:
    Path("large.txt").write_text("S" + "." * 20 + "G")
    Path("hall.txt").write_text(HALL)
    report = flow.run(request(), ["large.txt", "hall.txt"], RunOptions(batch=2))
    large, small = report.results
    assert large.path == large.weighted
    assert (large.cost, small.found, small.notices) == (21, True, ())
    said = "large.txt: it has 1 x 22 cells; the network knows up to 8 x 8: planned by weighted A*"
    assert any(said in notice for notice in report.notices)


def test_options_and_returns_that_a_plan_has_no_use_for_are_refused() -> None:
    for options in (RunOptions(returns="5"), RunOptions(safe=True), RunOptions(hz=50.0), RunOptions(temperature=1.0)):
        with pytest.raises(UserError, match=r"does nothing here: on a map the whole path is planned at once"):
            flow.run(request(), [], options)
    with pytest.raises(UserError, match="This policy is told no return, so 50 cannot be asked for"):
        flow.run(request(), ["50"], RunOptions())
    with pytest.raises(UserError, match="--returns does nothing here"):
        flow.evaluate(request(), EvaluateOptions(returns="50"))
    with pytest.raises(UserError, match=r"There is no file none\.txt\. A map is lines"):
        flow.run(request(), ["none.txt"], RunOptions())


def test_run_without_a_map_takes_those_of_the_environment() -> None:
    report = flow.run(request(), [], RunOptions(episodes=3))
    plain = json.loads(json.dumps(report.to_json()))
    assert [item["id"] for item in plain["results"]] == ["seed 1000000", "seed 1000001", "seed 1000002"]
    assert all(item["found"] for item in plain["results"])


def test_evaluate_tells_the_other_searches_beside_it() -> None:
    report = flow.evaluate(request(), EvaluateOptions(episodes=20))
    plain = json.loads(json.dumps(report.to_json()))
    assert plain["metrics"]["solved"] == 1
    assert plain["metrics"]["n"] == 20
    assert plain["baselines"]["A*"]["expansions"] == 1
    assert plain["baselines"]["weighted A*"]["gap"] >= 0
    assert "20 maps with a path, weight 2" in text(report.shown)


def test_a_loaded_planner_takes_maps_and_weights() -> None:
    Path("hall.txt").write_text(HALL)
    planner = tsuite.load(NAME, checkpoint=str(trained()))
    one = planner("hall.txt", weight=1.0)
    assert isinstance(one, Plan)
    assert (one.weight, one.found) == (1.0, True)
    with pytest.raises(UserError, match="weight"):
        planner("hall.txt", weight=0.5)


def test_it_also_walks_the_environment_step_by_step() -> None:
    """The policy alone takes in each cell the action that is said for it when all cells are read at once."""
    from tsuite.domains.control.decision_transformer.planning import read
    from tsuite.domains.control.rollout import play

    task = registry.card(NAME).load_task().load(str(trained()))
    (episode,) = play("tsuite/GridPath-v0", task.actor(), seeds=[3], options={"size": 8}, max_steps=6)
    assert 1 <= len(episode) <= 6
    maps = (torch.from_numpy(np.array(episode.observations[:-1])) > 0).float()
    with torch.inference_mode():
        chances = task.network.answer(read(task.network, maps[:1], torch.arange(64)))
    places = maps[:, 1].flatten(1).argmax(1)
    assert chances[places].argmax(-1).tolist() == episode.actions.tolist()
