"""What is asked of properties: words and numbers, targets, guidance, and the report of what came of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("rdkit")

from tsuite.core.errors import UserError
from tsuite.core.generate import generate
from tsuite.core.sampling import Sampling
from tsuite.domains.molecules.properties import properties
from tsuite.domains.molecules.smiles_gpt.asked import achieved
from tsuite.domains.molecules.smiles_gpt.asked.conditions import Learnt, read, wanted
from tsuite.domains.molecules.smiles_gpt.checkpoints import Around, DataFacts
from tsuite.domains.molecules.smiles_gpt.guidance import Guided
from tsuite.domains.molecules.smiles_gpt.options import EvaluateOptions, RunOptions
from tsuite.domains.molecules.smiles_gpt.sampling import Draw, DrawBatch, Drawn, draw, go_on
from tsuite.domains.molecules.tokenizer import SmilesTokenizer

from .gpt import MOLECULES, tiny_task

INF = float("inf")
BEGIN, END = SmilesTokenizer.begin, SmilesTokenizer.end


# -- words and numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [("2", 2, 2), ("-1.5", -1.5, -1.5), ("2..3", 2, 3), ("..3", -INF, 3), ("-1..", -1, INF), ("-2..-1", -2, -1),
     ("1e-1..2e0", 0.1, 2), ("2..2", 2, 2), (".5...7", 0.5, 0.7)],
)  # fmt: skip
def test_a_number_or_a_range(text: str, low: float, high: float) -> None:
    one = read("logp", text)
    assert (one.low, one.high, one.exact) == (low, high, low == high)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [("logp", "3..2", "--logp 3..2 is empty"), ("logp", "high", "a number or a range, not 'high'"),
     ("logp", "nan", "not 'nan'"), ("logp", "inf", "not 'inf'"), ("logp", "2-3", "not '2-3'"),
     ("logp", "..", "not '..'"),
     ("qed", "1.5", "QED is 0 to 1"), ("qed", "0.5..1.2", "QED is 0 to 1"), ("sa", "0", "SA is 1 to 10"),
     ("tpsa", "-5", "TPSA is 0 or more"), ("weight", "..0", "weight is 1 or more"), ("logp", "1e999", "not '1e999'"),
     ("logp", "2..1e999", "a number or a range")],
)  # fmt: skip
def test_what_cannot_be_asked_is_said_in_a_sentence(name: str, text: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        read(name, text)
    assert said in caught.value.what
    assert f"--{name}" in str(caught.value)


def test_numbers_are_taken_from_python_too() -> None:
    asked = wanted(RunOptions(logp=2.5, weight="..350"))  # type: ignore[arg-type]
    assert {name: (one.low, one.high) for name, one in asked.items()} == {"logp": (2.5, 2.5), "weight": (-INF, 350)}


def learnt() -> Learnt:
    spread = tuple(np.linspace(0, 4, 21).tolist())
    return Learnt(
        names=("logp", "qed"), quantiles={"logp": spread, "qed": spread}, deviations={"logp": 1.0, "qed": 0.1}
    )


def test_a_property_that_was_not_taught_is_named() -> None:
    with pytest.raises(UserError, match="cannot be told TPSA; it was taught logp, qed") as caught:
        learnt().check({"tpsa": read("tpsa", "60")})
    assert "--conditions logp,qed,tpsa" in caught.value.hint
    with pytest.raises(UserError, match="takes no conditions at all"):
        tiny_task(conditions=())(n=2, logp="2")


def test_what_lies_outside_of_the_training_is_said_and_not_refused() -> None:
    assert learnt().check({"logp": read("logp", "3..5")}) == []
    (said,) = learnt().check({"logp": read("logp", "8")})
    assert "logP 8 lies outside of all it learnt from (0.00 to 4.00)" in said


# -- targets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [("1..2", 1, 2), ("..2", 0.2, 2), ("2..", 2, 3.8), ("3.9..", 3.9, 4), ("..0.1", 0, 0.1), ("6..8", 6, 8)],
)
def test_targets_fill_the_range_as_far_as_there_is_training(text: str, low: float, high: float) -> None:
    rows = learnt().targets({"logp": read("logp", text)}, 400, 0)
    assert np.isnan(rows[:, 1]).all()
    assert rows[:, 0].min() >= low
    assert rows[:, 0].max() <= high
    assert np.ptp(rows[:, 0]) > 0.9 * (high - low)


def test_targets_are_denser_where_training_molecules_are() -> None:
    dense = Learnt(names=("logp",), quantiles={"logp": (0, *np.linspace(1, 2, 19), 10)}, deviations={"logp": 1.0})
    drawn = dense.targets({"logp": read("logp", "0..10")}, 1000, 0)
    assert 0.8 < ((drawn >= 1) & (drawn <= 2)).mean() < 1


def test_a_number_is_told_to_all_and_a_seed_gives_the_same() -> None:
    asked = {"logp": read("logp", "9"), "qed": read("qed", "0.1..0.9")}
    first, second, other = (learnt().targets(asked, 50, seed) for seed in (0, 0, 1))
    assert (first[:, 0] == 9).all()
    assert (first == second).all()
    assert (first[:, 1] != other[:, 1]).any()


def test_without_quantiles_a_bell_curve_serves() -> None:
    task = tiny_task()
    found = Learnt.of(task.network, task.around)
    assert found.quantiles["logp"][0] == pytest.approx(-3)
    assert found.quantiles["logp"][10] == 0
    assert len(found.quantiles["logp"]) == 21
    assert list(found.quantiles["logp"]) == sorted(found.quantiles["logp"])


# -- guidance ---------------------------------------------------------------------------------------------------------


def told(count: int) -> torch.Tensor:
    values = torch.linspace(-2, 2, 2 * count).reshape(count, 2)
    values[::3, 0] = torch.nan
    return values


@pytest.mark.parametrize("strength", [0.0, 1.0, 2.5])
@torch.inference_mode()
def test_guided_logits_are_those_of_the_formula(strength: float) -> None:
    network = tiny_task().network
    conditions, tokens = told(3), torch.tensor([[BEGIN, 5, 9], [BEGIN, 6, 6], [BEGIN, 8, 5]])
    guided = Guided(network, strength)
    cache = guided.new_cache(4)
    cache.copy(guided.told(conditions), rows=3)  # type: ignore[arg-type]
    steps = torch.cat([guided(tokens[:, :1], cache=cache), guided(tokens[:, 1:], cache=cache)], dim=1)
    free, full = network.logits(tokens), network.logits(tokens, conditions)
    assert torch.allclose(steps, free + strength * (full - free), atol=1e-5)


@torch.inference_mode()
def test_at_strength_1_it_draws_what_plain_drawing_draws_while_rows_end_early() -> None:
    network = tiny_task().network
    conditions, sampling = told(40), Sampling(temperature=1.0, seed=3, max_new=30)
    prompts = [[BEGIN, *([7] * (row % 3))] for row in range(40)]
    guided = Guided(network, 1.0)
    stop = frozenset({END})
    once = generate(network, prompts, sampling, stop_ids=stop, past=network.told(conditions))
    again = generate(guided, prompts, sampling, stop_ids=stop, past=guided.told(conditions))
    assert [one.ids for one in once] == [one.ids for one in again]
    assert len({len(one.ids) for one in once}) > 5  # rows left the batch one after the other
    assert np.allclose(np.concatenate([one.probabilities for one in once]),
                       np.concatenate([one.probabilities for one in again]), atol=1e-5)  # fmt: skip


@torch.inference_mode()
def test_each_guided_row_is_the_row_it_is_alone() -> None:
    """Partners stay together when others leave the batch."""
    network = tiny_task().network
    conditions, sampling = told(20), Sampling(temperature=0.0, max_new=30)
    network.head.projection.weight.mul_(20)  # so that rows differ and end
    together = draw(network, DrawBatch(conditions=conditions, seed=0), sampling, guidance=2.0)
    alone = [draw(network, DrawBatch(conditions=conditions[n : n + 1], seed=0), sampling, guidance=2.0)[0]
             for n in range(0, 20, 5)]  # fmt: skip
    assert [one.ids for one in alone] == [one.ids for one in together[::5]]


@torch.inference_mode()
def test_rows_that_are_told_the_same_are_drawn_as_those_that_are_not() -> None:
    """Alike rows share their computation while they agree; a last row that is told something else prevents that."""
    network = tiny_task().network
    conditions = torch.tensor([[1.0, 0.5]]).repeat(64, 1)
    other = torch.cat([conditions[:-1], torch.tensor([[1.0, 0.6]])])
    sampling = Sampling(temperature=1.0, seed=5, max_new=30)
    shared, alone = (draw(network, DrawBatch(conditions=one, seed=0), sampling, guidance=1.7)
                     for one in (conditions, other))  # fmt: skip
    assert [one.ids for one in shared[:-1]] == [one.ids for one in alone[:-1]]
    assert len({one.ids for one in shared}) > 20


def test_prompts_of_unequal_length_each_have_their_room() -> None:
    task = tiny_task()
    prompts = [[BEGIN, *([5] * length)] for length in (37, 1, 20, 2)]
    sampling = Sampling(temperature=1.0, seed=0, max_new=40)
    first = torch.zeros(task.network.vocabulary, dtype=torch.bool)
    first[9] = True
    drawn = go_on(task.network, told(4), prompts, sampling, first=first)
    for prompt, one in zip(prompts, drawn, strict=True):
        assert list(one.ids[: len(prompt)]) == [*prompt[1:], 9]
        assert one.ended or len(one.ids) >= task.network.config.length - 5


# -- what came of it --------------------------------------------------------------------------------------------------


def test_the_nearest_are_different_molecules_where_the_same_is_asked_for_again() -> None:
    known = np.asarray([[0.0, 0.0], [1.0, 10.0], [1.1, 10.0], [np.nan, 10.0], [3.0, 0.0]])
    targets = np.asarray([[1.0, 10.0], [3.0, 1.0], [1.0, 10.0]])
    assert achieved.nearest(targets, known, np.asarray([1.0, 10.0])).tolist() == [1, 4, 2]
    assert achieved.nearest(targets[:1].repeat(7, axis=0), known[:2], np.ones(2)).tolist() == [1, 0, 1, 0, 1, 0, 1]


def test_errors_are_those_a_hand_would_compute() -> None:
    asked = {"logp": read("logp", "1..2"), "qed": read("qed", "0.5")}
    values, free = np.asarray([[1.5, 0.5], [3.0, 0.7]]), np.asarray([[0.0, 0.0], [1.0, 1.0], [2.0, 0.5]])
    known = np.asarray([[1.4, 0.52], [9.0, 0.5]])
    targets = np.asarray([[1.2, 0.5], [1.9, 0.5]])
    told = achieved.compare(asked, learnt(), targets=targets, values=values, free=free, known=known)
    logp, qed = told["properties"]["logp"], told["properties"]["qed"]
    assert (logp["error"], logp["inside"]) == (0.5, 0.5)
    assert qed["error"] == pytest.approx(0.1)
    assert logp["unconditional"] == {"error": pytest.approx(1 / 3), "inside": pytest.approx(2 / 3)}
    assert qed["unconditional"]["error"] == pytest.approx(1 / 3)
    assert logp["retrieval"] == {"error": 0, "inside": 1}
    assert qed["retrieval"]["error"] == pytest.approx(0.02)
    assert told["retrieval"] == {"looked_at": 2, "different": 1, "meet_all": 1}


def test_one_is_one_and_hydrogen_is_no_molecule(capfd: pytest.CaptureFixture[str]) -> None:
    asked = {"logp": read("logp", "8")}
    known, free = np.asarray([[1.4], [9.0]]), np.zeros((1, 1))
    told = achieved.compare(asked, learnt(), targets=np.full((1, 1), 8.0), values=free, free=free, known=known)
    told |= {"guidance": 1.0, "validity": 1.0, "unconditional": {"drawn": 1, "validity": 1.0}}
    assert any("2 training molecules, 1 different one;" in str(line) for line in achieved.tables(told))
    task: Any = tiny_task()
    task.seen = set()
    tokens = SmilesTokenizer((*task.around.tokenizer.tokens, "[H]"))
    task.around = Around(tokenizer=tokens)
    ids = tuple(tokens.encode("[H]")[1:-1])
    (one,) = task.written([Drawn(ids=ids, nats=1.0, ended=True)], [Draw(id="1", number=0, conditions=(1.0, 1.0))])
    assert not one.smiles
    assert one.reason == "it holds nothing but hydrogen"
    assert "hydrogen" not in capfd.readouterr().err


def test_what_was_not_met_is_said() -> None:
    asked = {"logp": read("logp", "8"), "qed": read("qed", "0.2..0.3")}
    values = np.asarray([[3.0, 0.9], [2.0, 0.8]])
    told = achieved.compare(asked, learnt(), targets=values, values=values, free=values, known=None)
    assert [line.split(" was")[0] for line in told["notices"][1:]] == ["logP 8", "QED 0.2..0.3"]
    nothing = achieved.compare(asked, learnt(), targets=values[:0], values=values[:0], free=values[:0], known=None)
    assert nothing["properties"]["logp"]["error"] is None
    assert len(nothing["notices"]) == 3


@pytest.fixture(scope="module")
def task() -> Any:
    """With training molecules to look up: those of a list."""
    made = tiny_task()
    values = properties(MOLECULES)[:, :2]
    rows = np.quantile(values, np.linspace(0, 1, 21), axis=0).T.tolist()
    facts = DataFacts(name="moses", quantiles={"logp": tuple(rows[0]), "qed": tuple(rows[1])})
    made.around = Around(tokenizer=made.around.tokenizer, data=facts)
    return made


def test_a_run_with_conditions_reports_all_three(task: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    from tsuite.domains.molecules import data
    from tsuite.domains.molecules.smiles_gpt import task as task_module

    monkeypatch.setenv("TSUITE_CACHE", str(tmp_path))
    monkeypatch.setattr(
        task_module, "collect", lambda name: data.collect(MOLECULES, split="hash", shares=(0.8, 0.1, 0.1))
    )
    task.seen = set()
    results = task(n=30, logp="1..2", qed=0.4, guidance=2.0, workers=1)
    conduct = task.conduct["conditions"]
    assert len(results) == 30
    assert conduct["guidance"] == 2.0
    assert all(1 <= one.told["logp"] <= 2 and one.told["qed"] == pytest.approx(0.4) for one in results)
    valid = [one for one in results if one.smiles]
    errors = [max(1 - one.properties["logp"], one.properties["logp"] - 2, 0) for one in valid]
    assert valid
    assert conduct["properties"]["logp"]["error"] == pytest.approx(np.mean(errors))
    assert conduct["validity"] == len(valid) / 30
    assert conduct["unconditional"]["drawn"] == 30
    assert conduct["retrieval"]["looked_at"] == len(data.collect(MOLECULES, split="hash", shares=(0.8, 0.1, 0.1)).train)
    assert task.summarise(results).conduct["conditions"] is conduct
    _ = task(n=2)
    assert task.conduct == {}


def test_molecules_that_are_given_take_no_conditions(task: Any) -> None:
    with pytest.raises(UserError, match="--logp is for drawing"):
        task("CCO", logp="2")
    with pytest.raises(UserError, match="--similar-to is for drawing"):
        task("CCO", similar_to="CCO")


def test_an_evaluation_takes_no_scaffold() -> None:
    with pytest.raises(UserError, match="--similar-to is for tsuite run"):
        EvaluateOptions(similar_to="CCO")
