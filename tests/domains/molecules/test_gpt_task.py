"""Drawing, likelihoods, checkpoints: the task as a person meets it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tsuite.core import checkpoint
from tsuite.core.errors import UserError
from tsuite.core.sampling import Sampling
from tsuite.domains.molecules.smiles_gpt import SmilesTask
from tsuite.domains.molecules.smiles_gpt.model import SmilesBatch
from tsuite.domains.molecules.smiles_gpt.options import RunOptions
from tsuite.domains.molecules.smiles_gpt.sampling import DrawBatch, draw
from tsuite.domains.molecules.smiles_gpt.seen import Seen
from tsuite.domains.molecules.smiles_gpt.show import Scored, Written, best, summarise

from .gpt import MOLECULES, tiny_task


def drawn(task: SmilesTask, **options) -> list[Written]:
    return task.drawn(RunOptions(**options))


def test_every_draw_is_told_of() -> None:
    task = tiny_task()
    results = drawn(task, n=70, batch=32)
    assert [one.id for one in results] == [str(number) for number in range(1, 71)]
    assert all(bool(one.smiles) != bool(one.reason) for one in results)  # a molecule, or why it is none
    every = {"logp", "qed", "sa", "tpsa", "weight"}
    assert all(set(one.properties) == (every if one.smiles else set()) for one in results)
    assert any(one.reason == "it has no end" for one in results)


def test_the_seed_says_what_is_drawn() -> None:
    task = tiny_task()
    first, again, other = (drawn(task, n=20, seed=seed) for seed in (1, 1, 2))
    assert [one.text for one in first] == [one.text for one in again]
    assert [one.text for one in first] != [one.text for one in other]


def test_the_nats_of_a_draw_are_those_of_the_network() -> None:
    task = tiny_task()
    batch = DrawBatch(conditions=torch.tensor([[1.5, float("nan")]] * 6), seed=3)
    for one in draw(task.network, batch, Sampling(temperature=1.0, seed=3, max_new=39)):
        end = [2] if one.ended else []
        whole = SmilesBatch(tokens=torch.tensor([[1, *one.ids, *end]]), conditions=batch.conditions[:1])
        assert one.nats == pytest.approx(float(task.network.nats(whole)[0].detach()), rel=1e-4)


def test_only_tokens_of_molecules_are_drawn() -> None:
    task = tiny_task()
    batch = DrawBatch(conditions=torch.full((200, 2), float("nan")), seed=0)
    found = {
        number for one in draw(task.network, batch, Sampling(temperature=2.0, seed=0, max_new=39)) for number in one.ids
    }
    assert found == set(range(4, len(task.around.tokenizer)))


def test_different_conditions_side_by_side_are_as_alone() -> None:
    task = tiny_task()
    told = torch.tensor([[1.5, float("nan")], [float("nan"), 0.2], [-1.0, 0.9]])
    greedy = Sampling(max_new=39)
    together = draw(task.network, DrawBatch(conditions=told, seed=0), greedy)
    alone = [draw(task.network, DrawBatch(conditions=told[row : row + 1], seed=0), greedy)[0] for row in range(3)]
    assert [one.ids for one in together] == [one.ids for one in alone]


def test_likelihood_of_given_molecules_by_any_spelling(tmp_path: Path) -> None:
    task = tiny_task()
    (tmp_path / "mine.smi").write_text("OCC ethanol\nC1CC broken\n")
    failures = []
    examples = task.read([tmp_path / "mine.smi", "CCO", "C[Se]C"], RunOptions())
    results = list(task.infer(examples, RunOptions(), failures=failures))
    assert [one.smiles for one in results] == ["CCO", "CCO"]
    assert results[0].nats == pytest.approx(results[1].nats)
    assert results[0].tokens == 4
    told = [failure.error for failure in failures]
    assert "mine.smi:2" in told[0]
    assert "never closed" in told[0]
    assert "[Se], which the model does not know" in told[1]


def test_a_molecule_too_long_for_the_model() -> None:
    with pytest.raises(UserError, match="has 62 tokens, the model was made for 40"):
        tiny_task().preprocess(tiny_task().read(["C" * 60], RunOptions()))


def test_scores() -> None:
    twice = [Written(id=f"{n}", text="OCC", smiles="CCO", novel=True, properties={"qed": 0.4}) for n in (1, 2)]
    learnt = Written(id="3", text="CC", smiles="CC", novel=False, properties={"qed": 0.9})
    made = [*twice, learnt, Written(id="4", text="C1", reason="the ring 1 is never closed")]
    metrics = summarise([*made, Scored(id="a", smiles="C", nats=3.0, tokens=2)]).metrics
    assert metrics["validity"] == 0.75
    assert metrics["uniqueness"] == pytest.approx(2 / 3)
    assert metrics["novelty"] == 0.5
    assert metrics["nats_per_token"] == 1.5
    assert [one.smiles for one in best(made, 5)] == ["CC", "CCO"]


def test_seen() -> None:
    seen = Seen(MOLECULES)
    assert all(one in seen for one in MOLECULES)
    assert "CCCCCC" not in seen
    assert len(seen) == len(MOLECULES)
    assert "C" not in Seen([])


@pytest.mark.parametrize("half", [False, True])
def test_a_checkpoint_draws_the_same(tmp_path: Path, half: bool) -> None:
    task = tiny_task()
    for weight in task.network.parameters() if half else ():
        weight.data = weight.data.half().float()
    task.half = half
    folder = tmp_path / "kept"
    checkpoint.write(folder, task.save)
    again = type(task).load(str(folder))
    assert again.around == task.around
    assert [one.text for one in drawn(again, n=30)] == [one.text for one in drawn(task, n=30)]


def test_a_checkpoint_whose_tokens_are_of_another(tmp_path: Path) -> None:
    task = tiny_task()
    folder = tmp_path / "kept"
    checkpoint.write(folder, task.save)
    config = json.loads((folder / "config.json").read_text())
    config["tokenizer"]["tokens"].append("[Se]")
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError):
        type(task).load(str(folder))
    with pytest.raises(UserError, match="cannot be set"):
        type(task).load(str(folder), settings={"dim": "8"})


def test_files_for_people(tmp_path: Path) -> None:
    task = tiny_task()
    results = [replace(one, smiles="CCO", reason="", properties={"qed": 0.4}) for one in drawn(task, n=3)]
    files = task.render(results, tmp_path, RunOptions(picture="svg"))
    assert sorted(path.name for path in files) == ["molecules.csv", "molecules.sdf", "molecules.svg"]
    picture = (tmp_path / "molecules.svg").read_text()
    assert "safety." in picture  # nothing of the caveat is lost where the picture is narrow
    assert "…" not in picture


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n": 0}, "--n must be"),
        ({"temperature": -1.0}, "--temperature"),
        ({"top_p": 0.0}, "--top-p"),
        ({"picture": "gif"}, "--picture"),
    ],
)
def test_options_that_make_no_sense(options: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        RunOptions(**options)
