"""Learning towards a goal: what is remembered, what the agent becomes, what happens where it cannot go on."""

from __future__ import annotations

import csv
import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("rdkit")

from tsuite.core.errors import UserError
from tsuite.core.task import Origin
from tsuite.domains.molecules.guacamol import PUBLISHED, goals
from tsuite.domains.molecules.smiles_gpt import SmilesGPT, SmilesGPTConfig, SmilesTask
from tsuite.domains.molecules.smiles_gpt.checkpoints import Around
from tsuite.domains.molecules.smiles_gpt.optimising import pursuit
from tsuite.domains.molecules.smiles_gpt.optimising.counted import Counted
from tsuite.domains.molecules.smiles_gpt.optimising.memory import Kept, Replay, ScaffoldFilter, scaffold_of
from tsuite.domains.molecules.smiles_gpt.optimising.reinforce import WINDOW, AgentSettings, Learning, optimise
from tsuite.domains.molecules.smiles_gpt.options import RunOptions
from tsuite.domains.molecules.smiles_gpt.sampling import Drawn
from tsuite.domains.molecules.smiles_gpt.suites import guacamol as goals_suite
from tsuite.domains.molecules.tokenizer import SmilesTokenizer

from .gpt import MOLECULES, tiny_task


def short(smiles: str) -> float:
    """A goal that a random network can learn: few letters."""
    return max(0.0, 1 - len(smiles) / 10)


def oxygen(smiles: str) -> float:
    """A goal with many solutions: letters that are O."""
    return smiles.count("O") / len(smiles)


def easy_task() -> SmilesTask:
    """A random network over C, N and O: nearly all that it writes is a molecule."""
    torch.manual_seed(0)
    tokenizer = SmilesTokenizer.from_smiles(["CCO", "CCN"])
    config = SmilesGPTConfig(vocabulary=len(tokenizer), length=16, dim=32, depth=2, heads=2)
    return SmilesTask(SmilesGPT(config).eval(), Around(tokenizer=tokenizer), Origin())


def weights(task: SmilesTask) -> torch.Tensor:
    return torch.cat([value.flatten() for value in task.network.state_dict().values()]).clone()


# -- what is remembered -----------------------------------------------------------------------------------------------


def test_a_scaffold_pays_so_often() -> None:
    toluenes = ["Cc1ccccc1", "CCc1ccccc1", "CCCc1ccccc1"]
    filter = ScaffoldFilter(bucket=2, least=0.4)
    assert filter.reward("Oc1ccccc1", 0.3) == 0.3  # too poor to count
    assert [filter.reward(one, 0.9) for one in toluenes] == [0.9, 0.9, 0]
    assert filter.reward("CCCCc1ccccc1", 0.9) == 0  # the bucket stays full
    assert filter.reward("Cc1ccncc1", 0.9) == 0.9
    assert (filter.full, filter.counts) == (1, {"c1ccccc1": 4, "c1ccncc1": 1})
    free = ScaffoldFilter(bucket=0)
    assert [free.reward(one, 0.9) for one in toluenes] == [0.9] * 3


def test_a_molecule_pays_once() -> None:
    filter = ScaffoldFilter(bucket=2)
    assert [filter.reward("Cc1ccccc1", 0.9) for _ in range(3)] == [0.9, 0, 0]
    assert filter.counts["c1ccccc1"] == 1
    assert [filter.reward("Cc1ccncc1", 0.1) for _ in range(2)] == [0.1, 0]


def test_molecules_without_a_ring_go_by_their_skeleton() -> None:
    assert scaffold_of("CCO") == scaffold_of("C=CN") == "CCC"
    assert scaffold_of("CC(C)O") != scaffold_of("CCCO")
    assert scaffold_of("CCc1ccccc1") == "c1ccccc1"


def test_replay_keeps_the_best() -> None:
    replay = Replay(most=3)
    kept = [Kept(smiles="C" * n, ids=(1, 2), score=score, prior=1.0) for n, score in enumerate((0.1, 0.9, 0.5, 0, 0.7))]
    replay.add(kept)
    replay.add(kept)
    assert {one.score for one in replay.sample(10)} == {0.9, 0.7, 0.5}
    assert len(replay.sample(2)) == 2


# -- learning ---------------------------------------------------------------------------------------------------------


def test_the_agent_learns_and_the_model_stays() -> None:
    task = easy_task()
    before = weights(task)
    found = optimise(task, oxygen, oracle_calls=100, settings=AgentSettings(batch=32, lr=1e-2, bucket=0))
    assert torch.equal(weights(task), before)
    assert found.after > found.before + 0.05
    assert len(found.judged) == len({one.smiles for one in found.judged}) <= 100
    assert [one.call for one in found.judged] == list(range(1, len(found.judged) + 1))
    assert sum(found.drawn.values()) <= found.steps * 32
    assert found.drawn["new"] == len(found.judged)
    drawn = [which.drawn(RunOptions(n=60)) for which in (task, found.agent)]
    mean = [sum(oxygen(one.smiles) for one in part if one.smiles) for part in drawn]
    assert mean[1] > mean[0]


def test_the_seed_decides_all() -> None:
    task = easy_task()
    runs = [optimise(task, short, oracle_calls=6, settings=AgentSettings(batch=32, seed=seed)) for seed in (1, 1, 2)]
    first, again, other = ([(one.smiles, one.score) for one in run.judged] for run in runs)
    assert first == again != other
    assert torch.equal(weights(runs[0].agent), weights(runs[1].agent))


def test_the_loss_is_that_of_reinvent() -> None:
    task = easy_task()
    learning = Learning(task, Counted(short, 10), AgentSettings(sigma=100.0, replay=0))
    ids = (1, *task.around.tokenizer.encode("CCO")[1:])
    kept = Kept(smiles="CCO", ids=ids, score=0.5, prior=math.nan)
    nats = float(task.network.nats(learning._batch([kept]))[0].detach())
    learning._learn([kept])
    slope = [parameter.grad for parameter in learning.agent.parameters() if parameter.grad is not None]
    # d/dw (log p_prior + 100 * 0.5 - log p_agent)^2 at equal weights is 2 * 50 * d(nats)/dw
    task.network.zero_grad()
    task.network.nats(learning._batch([kept]))[0].backward()
    plain = [parameter.grad for parameter in task.network.parameters() if parameter.grad is not None]
    assert nats > 0
    for own, expected in zip(slope, plain, strict=True):
        assert torch.allclose(own, 100 * expected, rtol=1e-3, atol=1e-4)


def test_it_runs_where_nothing_is_differentiated() -> None:
    with torch.inference_mode():  # as within Task.infer
        found = optimise(easy_task(), short, oracle_calls=30, settings=AgentSettings(batch=32))
    assert not torch.equal(weights(found.agent), weights(easy_task()))


def test_no_more_calls_than_there_are() -> None:
    asked: list[str] = []
    told: list[tuple[int, int]] = []
    found = optimise(
        easy_task(), lambda smiles: float(bool(asked.append(smiles))), oracle_calls=7, screen=MOLECULES,
        tick=lambda done, total: told.append((done, total)), settings=AgentSettings(batch=64),
    )  # fmt: skip
    assert len(asked) == 14  # 7 of its own, 7 of screening
    assert (len(found.judged), told[-1]) == (7, (14, 14))
    assert found.screening is not None
    assert (found.screening.scores, found.screening.auc) == ((0.0,) * 7, 0.0)


def test_an_oracle_may_fail_now_and_then() -> None:
    answers = itertools.cycle([0.5, math.nan, 0.5, None])

    def moody(smiles: str) -> float:
        if (answer := next(answers)) is None:
            raise RuntimeError("not this one")
        return answer

    found = optimise(easy_task(), moody, oracle_calls=12)
    assert [one.failed for one in found.failures] == ["it gave nan", "RuntimeError: not this one"] * 3
    assert len(found.judged) == 12
    assert {one.score for one in found.judged} == {0.0, 0.5}
    with pytest.raises(UserError, match="failed at 10 of the first 10"):
        optimise(easy_task(), lambda smiles: 1 / 0, oracle_calls=10)
    with pytest.raises(UserError, match="at least one oracle call"):
        optimise(easy_task(), short, oracle_calls=0)


def test_where_nothing_new_comes_it_stops_and_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    task = easy_task()
    learning = Learning(task, Counted(short, 100), AgentSettings(batch=4, lr=0.1))
    ethanol = Drawn(ids=tuple(task.around.tokenizer.encode("CCO")[1:-1]), nats=1.0, ended=True)
    monkeypatch.setattr(learning, "_draw", lambda: [ethanol] * 4)
    while not learning.stopped:
        learning.step()
    found = learning.result()
    assert "collapsed after 1 calls" in found.stopped
    assert "0%" in found.stopped or "3%" in found.stopped or "2%" in found.stopped
    assert len(learning.means) >= WINDOW
    assert torch.equal(weights(found.agent), weights(task))  # nothing was good before
    assert [one.smiles for one in found.best] == ["CCO"]


# -- as a command -----------------------------------------------------------------------------------------------------


def run(task: SmilesTask, folder: Path, **options: Any) -> tuple[list[Any], Any, list[Path], str]:
    from rich.console import Console

    told = RunOptions(workers=1, **options)
    results = list(task.infer(task.read(task.inputs([], told), told), told))
    summary = task.summarise(results)
    console = Console(width=160, record=True, quiet=True)
    with console.capture() as capture:
        console.quiet = False
        console.print(task.table(results, summary))
    return results, summary, task.render(results, folder, told), capture.get()


def test_run_tells_everything(tmp_path: Path) -> None:
    task = tiny_task()
    kept = tmp_path / "agent"
    results, summary, files, shown = run(
        task, tmp_path, optimise="qed*2,weight:..120", oracle_calls=6, agent_batch=32, save_agent=str(kept), show=4
    )
    assert [path.name for path in files] == ["molecules.csv", "molecules.sdf", "molecules.png", "progress.png"]
    with files[0].open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(results) == 6
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    parts = [float(rows[0][name]) for name in ("score_qed", "score_weight")]
    assert scores[0] == pytest.approx((parts[0] ** 2 * parts[1]) ** (1 / 3), rel=1e-4)
    told = json.loads(json.dumps(summary.conduct["optimisation"]))
    assert (told["optimise"], told["budget"], told["oracle_calls"]) == ("qed x 2, weight:..120", 6, 6)
    assert told["curve"][-1]["top10"] == pytest.approx(summary.metrics["top10"])
    assert "It is not known what the model learnt from" in shown
    assert "not activity" in shown
    again = SmilesTask.load(str(kept))
    assert isinstance(again, SmilesTask)
    assert len(again.drawn(RunOptions(n=2))) == 2
    assert again.origin.source == str(kept)


def test_what_does_not_go_together_is_said_before(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    task = tiny_task()
    with pytest.raises(UserError, match="cannot be given beside"):
        task.inputs(["CCO"], RunOptions(optimise="qed"))
    with pytest.raises(UserError, match="something else already"):
        task.inputs([], RunOptions(optimise="qed", save_agent=str(tmp_path)))


def test_all_goals_in_one_table(monkeypatch: pytest.MonkeyPatch) -> None:
    cheap = {name: goals()[name] for name in ("c11h24", "median_1")}
    monkeypatch.setattr(goals_suite, "goals", lambda: cheap)
    monkeypatch.setattr(goals_suite, "training_molecules", lambda task, count: (MOLECULES[:count], []))
    told: list[tuple[int, int]] = []
    found = goals_suite.guacamol(
        easy_task(), ["CCO", "OCC", "nonsense", "CCCCCCCCCCC"], oracle_calls=5,
        tick=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    row = found["rows"][0]
    assert row["drawn"] == pytest.approx((1 + goals()["c11h24"].score("CCO")) / 159)  # the same molecule counts once
    assert row["SMILES LSTM"] == PUBLISHED["c11h24"][0]
    assert set(row) >= {"drawn", "training", "optimised"}
    assert found["rows"][-1]["drawn"] == pytest.approx(row["drawn"] + found["rows"][1]["drawn"])
    assert told[-1] == (18, 18)
    assert goals_suite.guacamol_table(found).renderables


def test_every_goal_is_scored() -> None:
    scores = goals_suite.scores_of(MOLECULES[:2])
    assert {name: list(values) for name, values in scores.items()} == {
        name: [goal.score(one) for one in MOLECULES[:2]] for name, goal in goals().items()
    }


def test_training_molecules_are_those_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    molecules, notes = pursuit.training_molecules(tiny_task(), 5)
    assert molecules == []
    assert "not known what the model learnt from" in notes[0]
