"""Learning a property, asking for it, and what goes wrong with files on the way."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rdkit")

from tsuite.core import checkpoint, registry
from tsuite.core.errors import UserError
from tsuite.core.task import Failure
from tsuite.core.train import fit
from tsuite.domains.molecules.smiles_gpt.options import EvaluateOptions, FinetuneOptions, RunOptions
from tsuite.domains.molecules.smiles_gpt.predicting import task as predict_task
from tsuite.domains.molecules.smiles_gpt.predicting.oracle import oracle
from tsuite.domains.molecules.smiles_gpt.predicting.task import PropertyTask

from .gpt import tiny_task

pytestmark = pytest.mark.usefixtures("tmp_cache")
ENDS = ("O", "N", "Cl", "C(=O)O", "c1ccccc1", "C#N", "C1CC1")


def write_table(path: Path, more: str = "") -> Path:
    """Chains of carbon with different ends, and how many atoms they have."""
    rows = [f"{'C' * n}{end},{n + len(end) / 2},{n}" for n in range(1, 9) for end in ENDS]
    path.write_text("smiles,length [nm],n\n" + "\n".join(rows) + "\n" + more)
    return path


def prepare(tmp_path: Path, options: FinetuneOptions, **more: Any) -> Any:
    """What a training on the table starts from, on a tiny language model."""
    folder = tmp_path / "language"
    if not folder.exists():
        checkpoint.write(folder, tiny_task().save)
    data = more.pop("data", None) or write_table(tmp_path / "chains.csv")
    kind = registry.card("molecules.smiles_gpt").load_task()
    return kind.for_training(options, data=str(data), checkpoint=str(folder), settings=more)


def saved(task: PropertyTask, folder: Path) -> str:
    """The checkpoint of a task as it stands."""
    task.learning = False
    checkpoint.write(folder, task.save)
    return str(folder)


def test_a_column_is_learnt(tmp_path: Path):
    options = FinetuneOptions(target="length [nm]", split="hash", epochs=12, batch_size=16, lr=5e-3, dropout=0.0)
    prepared = prepare(tmp_path, options)
    task, splits = prepared.task, prepared.splits
    assert task.targets[0].unit == ""  # it stands in the name
    trained = fit(task, splits, prepared.options, tmp_path / "run")
    assert trained.metrics["r2"] > 0.3
    again = PropertyTask.load(str(trained.best))
    one, other = again("CCCCCO"), again("CCCCCO")
    assert one.values == other.values
    assert again.targets[0].widen > 0
    assert (tmp_path / "run" / "plots" / "validation.png").is_file()


def test_what_is_loaded_predicts_the_same_and_more_spellings_are_averaged(tmp_path: Path):
    task = prepare(tmp_path, FinetuneOptions(target="n", split="hash")).task
    task.network.head[-1].weight.data.normal_(std=0.3)
    task.network.eval()
    loaded = registry.card("molecules.smiles_gpt").load_task().load(saved(task, tmp_path / "best"))
    assert isinstance(loaded, PropertyTask)
    assert loaded("CCC(=O)O") == task("CCC(=O)O")
    once, often = loaded("CCC(=O)O", spellings=1), loaded("CCC(=O)O", spellings=8)
    assert once.values != often.values
    together = loaded("c1ccccc1", "CCC(=O)O")[1]  # beside a longer one: the same
    np.testing.assert_allclose(together.values["n"], often.values["n"], rtol=1e-5)


def test_holes_texts_and_repeated_measurements_are_named(tmp_path: Path):
    bad = "CCBr,<5,1\nCCF,,2\nCCI,n/a,3\nC1CC,3.1,4\nOC,9.5,5\nCC(C)N\n[Na+].CC(C)C(=O)[O-],4.5,6\n"
    table = write_table(tmp_path / "chains.csv", bad)
    prepared = prepare(tmp_path, FinetuneOptions(target="length [nm]", split="hash"), data=table)
    (written,) = prepared.files(tmp_path)
    assert written.name == "rejected.csv"
    with written.open() as file:
        reasons = {row["given"]: row["reason"] for row in csv.DictReader(file)}
    assert reasons["CCBr"] == "its length [nm] is '<5', which is no number"
    assert reasons["CCF"] == "it has no length [nm]"
    assert reasons["CCI"] == "its length [nm] is 'n/a', which is no number"
    assert "ring 1" in reasons["C1CC"]
    assert reasons["OC"].startswith("the same molecule as chains.csv:")
    told = " ".join(prepared.chosen)
    assert "Measured more than once: 1, of which the mean is taken, at most 8 apart (length [nm] of CO)" in told
    assert "Of several fragments (salts, solvents, mixtures), of which the largest was kept, uncharged: 1." in told
    every = [*prepared.splits.train.examples, *prepared.splits.validation.examples, *prepared.splits.test.examples]
    values = {one.smiles: one.properties for one in every}
    assert values["CO"] == {"length [nm]": 5.5}
    assert "CC(C)C(=O)O" in values


def test_several_targets_may_have_holes(tmp_path: Path):
    table = write_table(tmp_path / "chains.csv", "CC(C)N,,7\n")
    prepared = prepare(tmp_path, FinetuneOptions(target="length [nm], n", split="hash"), data=table)
    task, train = prepared.task, prepared.splits.train.examples
    batch = task.preprocess([one for one in train if one.smiles in ("CC(C)N", "CO")], training=True)
    assert batch.known.shape[1] == 2
    results = list(task.infer([*train][:8], RunOptions()))
    assert {"rmse_n", "rmse_length [nm]", "relative_rmse"} <= set(task.summarise(results).metrics)
    assert task.monitor == ("relative_rmse", "min")


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"target": "lenght [nm]"}, r"no column 'lenght \[nm\]'.*Did you mean length \[nm\]"),
        ({"target": "n", "conditions": "qed"}, "--conditions is for learning to draw"),
        ({"target": "n", "size": "small"}, "--size follows from the checkpoint.*--checkpoint none"),
    ],
)
def test_what_cannot_be_learnt_is_said(tmp_path: Path, options: dict[str, str], what: str):
    with pytest.raises(UserError, match=what):
        prepare(tmp_path, FinetuneOptions(**options))  # type: ignore[arg-type]


def test_a_target_that_never_changes_is_refused(tmp_path: Path):
    table = tmp_path / "flat.csv"
    table.write_text("smiles,y\n" + "".join(f"{'C' * n}O,1\n" for n in range(1, 30)))
    with pytest.raises(UserError, match="always the same"):
        prepare(tmp_path, FinetuneOptions(target="y"), data=table)


def test_molecules_of_one_scaffold_are_split_by_hash_and_it_is_said(tmp_path: Path):
    table = tmp_path / "chains.csv"
    table.write_text("smiles,y\n" + "".join(f"{'C' * n}O,{n}\n" for n in range(1, 30)))
    prepared = prepare(tmp_path, FinetuneOptions(target="y"), data=table)
    assert len(prepared.splits.validation.examples)
    assert any("by their hash" in line for line in prepared.chosen)
    assert prepared.task.around.learnt.split == "hash"


def test_options_without_a_target_are_refused():
    with pytest.raises(UserError, match="--unit belongs to --target"):
        FinetuneOptions(unit="nm")


def test_bad_inputs_are_named_and_the_rest_goes_on(tmp_path: Path):
    task = prepare(tmp_path, FinetuneOptions(target="n", split="hash")).task
    loaded = PropertyTask.load(saved(task, tmp_path / "best"))
    (tmp_path / "some.smi").write_text("CCO one\nC1CC two\n\n[2H]CCO three\n")
    (tmp_path / "empty.csv").write_text("")
    block = "\n  x\n\n  1  0\n    0.0       0.0       0.0 C\nM  END\n$$$$\nbroken\n"
    (tmp_path / "two.sdf").write_text(block)
    names = [str(tmp_path / name) for name in ("some.smi", "empty.csv", "two.sdf", "gone.sdf")]
    failures: list[Failure] = []
    options = RunOptions()
    rows = list(
        loaded.infer(loaded.read(["CCN.Cl", "CC[Si]", "nonsense", *names], options), options, failures=failures)
    )
    told = {one.id: " ".join(one.notices) for one in rows}
    assert "of several fragments, of which the largest is meant, uncharged: CCN" in told["CCN.Cl"]
    assert "it holds [Si]" in told["CC[Si]"]
    assert "isotope" in told["some.smi:4 three"]
    assert "some.smi:1 one" in told
    wrong = " | ".join(one.error for one in failures)
    for part in (
        "nonsense:",
        "some.smi:2 two: the ring 1",
        "empty.csv: it is empty",
        "two.sdf:8 broken",
        "There is no file",
    ):
        assert part in wrong


def test_options_for_drawing_are_refused_and_the_other_way_round(tmp_path: Path):
    task = prepare(tmp_path, FinetuneOptions(target="n", split="hash")).task
    for options in (RunOptions(n=5), RunOptions(optimise="qed"), RunOptions(scaffold="c1ccc(*)cc1")):
        with pytest.raises(UserError, match="draws molecules; this checkpoint predicts n"):
            task.inputs([], options)
    with pytest.raises(UserError, match="--suite is for"):
        task.to_score(None, EvaluateOptions(suite="moses"))
    with pytest.raises(UserError, match="--spellings is for"):
        tiny_task().inputs([], RunOptions(spellings=3))
    kind = registry.card("molecules.smiles_gpt").load_task()
    with pytest.raises(UserError, match="predicts a property; it does not draw"):
        kind.for_training(FinetuneOptions(), data=str(write_table(tmp_path / "t.csv")),
                          checkpoint=saved(task, tmp_path / "best"), settings={})  # fmt: skip


def test_the_held_out_part_is_scored_beside_forests_and_the_mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tsuite.domains.molecules.fingerprints.TREES", 5)
    task = prepare(tmp_path, FinetuneOptions(target="n", split="hash", unit="atoms")).task
    loaded = PropertyTask.load(saved(task, tmp_path / "best"))
    split = loaded.to_score(None, EvaluateOptions())
    results, summary = loaded.assess(split, EvaluateOptions())
    assert [*summary.baselines] == [
        "forest on fingerprints", "forest on fingerprints and computed properties", "the mean",
    ]  # fmt: skip
    assert summary.baselines["the mean"]["rmse"] > 0
    assert len(summary.details["worst"]) == min(10, len(results))
    assert json.loads(json.dumps(summary.details))["n"]["outside"]["n"] >= 0
    files = {path.name for path in loaded.render(results, tmp_path, EvaluateOptions())}
    assert files == {"predictions.csv", "scatter.png", "worst.png"}
    (tmp_path / "chains.csv").unlink()  # on another machine
    other = loaded.assess(split, EvaluateOptions())[1]
    assert (other.metrics, other.baselines) == (summary.metrics, {})
    assert "chains.csv" in other.details["no_baselines"]
    head = (tmp_path / "predictions.csv").read_text().splitlines()[0]
    assert head.startswith("id,smiles,given,n (atoms),n deviation,n measured,similarity")


def test_a_checkpoint_is_an_oracle(tmp_path: Path):
    task = prepare(tmp_path, FinetuneOptions(target="n", split="hash")).task
    task.network.head[-1].weight.data.normal_(std=0.3)
    task.network.eval()
    folder = saved(task, tmp_path / "best")
    values = oracle(folder)(["CCO", "no molecule", "", "CCN"])
    assert np.isnan(values).tolist() == [False, True, True, False]
    assert values[0] == pytest.approx(task("CCO", spellings=4).values["n"], rel=1e-5)
    with pytest.raises(UserError, match="does not predict 'logS'"):
        oracle(folder, "logS")


def test_deviations_widen_until_two_thirds_lie_within(tmp_path: Path):
    prepared = prepare(tmp_path, FinetuneOptions(target="n", split="hash"))
    task, validation = prepared.task, prepared.splits.validation
    task.network.eval()
    task.around = replace(task.around, targets=(replace(task.targets[0], widen=0.01),))
    task.finish(prepared.splits)
    results = list(task.infer(validation.examples, RunOptions()))
    values, deviations, truths = predict_task.show.columns(results, task.targets[0])
    assert (np.abs(values - truths) <= deviations + 1e-9).mean() >= 0.6


def test_numbers_of_an_sdf_that_are_none_are_named(tmp_path: Path):
    from rdkit import Chem

    blocks = []
    for number in range(1, 25):
        mol = Chem.MolFromSmiles("C" * number + "O")
        item = f"> <logS>\n{'n/a' if number == 3 else number}\n\n" if number != 4 else ""
        blocks.append(f"{Chem.MolToMolBlock(mol)}{item}$$$$\n")
    cut = "".join(blocks[-1].splitlines(keepends=True)[:6]) + "$$$$\n"  # a block that ends in its atoms
    path = tmp_path / "chains.sdf"
    path.write_text("".join([*blocks, cut]))
    prepared = prepare(tmp_path, FinetuneOptions(target="logS"), data=path)
    (written,) = prepared.files(tmp_path)
    with written.open() as file:
        reasons = [row["reason"] for row in csv.DictReader(file)]
    assert reasons[0] == "its logS is 'n/a', which is no number"
    assert reasons[1] == "it has no logS"
    assert len(reasons) == 3
    with pytest.raises(UserError, match=r"No block of .* has an item 'logs'.*logS"):
        prepare(tmp_path, FinetuneOptions(target="logs"), data=path)
