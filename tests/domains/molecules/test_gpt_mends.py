"""What people type first: files of all kinds, options that do not go together, stopping by hand."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tsuite.core import checkpoint
from tsuite.core.errors import UserError
from tsuite.core.task import Failure
from tsuite.domains.molecules.data import collect
from tsuite.domains.molecules.files import read_file
from tsuite.domains.molecules.smiles_gpt import SmilesTask, optimise
from tsuite.domains.molecules.smiles_gpt.checkpoints import DataFacts
from tsuite.domains.molecules.smiles_gpt.optimising.counted import Counted
from tsuite.domains.molecules.smiles_gpt.options import FinetuneOptions, RunOptions
from tsuite.domains.molecules.smiles_gpt.seen import Seen
from tsuite.domains.molecules.smiles_gpt.show import render

from .gpt import MOLECULES, tiny_task


def test_a_task_knows_its_card_however_it_is_imported() -> None:
    assert SmilesTask.card.name == "molecules.smiles_gpt"


def test_stopped_by_hand_it_gives_what_there_is() -> None:
    asked: list[str] = []

    def oracle(smiles: str) -> float:
        asked.append(smiles)
        if len(asked) > 5:
            raise KeyboardInterrupt
        return 0.5

    found = optimise(tiny_task(), oracle, oracle_calls=50, screen=["CCO"] * 50)
    assert found.stopped.startswith("It was stopped by hand after")
    assert len(found.judged) == 5
    assert found.screening is None


@pytest.mark.parametrize("oracle", [3, None, "qed"])
def test_what_is_no_function_is_no_oracle(oracle: Any) -> None:
    with pytest.raises(UserError, match="is a function of a SMILES"):
        optimise(tiny_task(), oracle, oracle_calls=5)


def test_a_batched_oracle_that_gives_too_few_is_told() -> None:
    (judged,) = Counted(lambda smiles: [0.5] * (len(smiles) - 1), 9, batched=True)(["CCO"])
    assert judged is not None
    assert judged.failed == "it gave 0 scores for 1 molecule"


def test_new_means_new_to_what_it_began_with_too() -> None:
    both = Seen(["CCO", "CCN"]).joined(Seen(["CCO", "CCC"]))
    assert len(both) == 3
    assert [smiles in both for smiles in ("CCO", "CCN", "CCC", "CCCl")] == [True, True, True, False]
    facts = DataFacts(name="mine.smi", before=("moses",))
    assert DataFacts.from_json({**facts.__dict__}) == facts
    assert DataFacts.from_json({"name": "old", "quantiles": {}}).before == ()


def test_folders_salts_labels_and_long_molecules(tmp_path: Path) -> None:
    (tmp_path / "b.smi").write_text("CCN.Cl\n", encoding="utf-8")
    (tmp_path / "notes.pdf").write_text("x", encoding="utf-8")
    (tmp_path / "none").mkdir()
    task, failures = tiny_task(), list[Failure]()
    options = RunOptions()
    given = [str(tmp_path), "[13CH3]CO", "CCO", str(tmp_path / "none"), "", "C" * 3000]
    found = list(task.infer(task.read(given, options), options, failures=failures))
    assert [one.smiles for one in found] == ["CCN", "CCO", "CCO"]
    assert "several fragments" in found[0].notices[0]
    assert "isotope" in found[1].notices[0]
    assert found[2].notices == ()
    told = [failure.error for failure in failures]
    assert "folder without a file of molecules" in told[0]
    assert told[1].startswith("'': ")
    assert len(told[2]) < 400


@pytest.mark.parametrize("given", [["CCO", 3], [["CCO", "CC"]], [None]])
def test_what_is_no_molecule_at_all_is_said(given: list[Any]) -> None:
    with pytest.raises(UserError, match="is no molecule"):
        tiny_task()(*given)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"n": 5}, "--n is for drawing"), ({"top_p": 0.9}, "--top-p is for drawing"), ({"temperature": 0.5}, "--temp")],
)
def test_options_for_drawing_are_refused_beside_molecules(options: dict[str, Any], said: str) -> None:
    task = tiny_task()
    with pytest.raises(UserError, match=said):
        task.inputs(["CCO"], RunOptions(**options))


def test_options_that_would_do_nothing_are_refused() -> None:
    with pytest.raises(UserError, match="--guidance is for properties"):
        RunOptions(guidance=3.0)
    with pytest.raises(UserError, match="--n is for drawing freely"):
        RunOptions(optimise="qed", n=10)
    RunOptions(guidance=3.0, qed="0.9")


def test_files_of_another_run_do_not_stay(tmp_path: Path) -> None:
    (tmp_path / "molecules.csv").write_text("old", encoding="utf-8")
    assert render([], tmp_path, show=5, picture="png") == []
    assert not (tmp_path / "molecules.csv").exists()


def test_two_columns_of_molecules_are_not_guessed_between(tmp_path: Path) -> None:
    path = tmp_path / "two.csv"
    rows = "\n".join(f"{n},{smiles},{smiles}C" for n, smiles in enumerate(MOLECULES[3:6]))
    path.write_text(f"name,reactant,product\n{rows}\n", encoding="utf-8")
    with pytest.raises(UserError, match="reactant, product"):
        list(read_file(path))
    assert [entry.text for entry in read_file(path, column="reactant")] == MOLECULES[3:6]


def test_a_quote_left_open_names_the_lines_it_swallows(tmp_path: Path) -> None:
    path = tmp_path / "open.csv"
    path.write_text('smiles,name\nCCO,a\nCCN,"b\nCCC,c\nCCCC,d\n', encoding="utf-8")
    entries = list(read_file(path))
    assert entries[0].text == "CCO"
    assert "lines 3 to 5 are one cell" in entries[1].text


def test_a_column_of_words_is_no_target(tmp_path: Path) -> None:
    path = tmp_path / "my.csv"
    path.write_text("smiles,note\nCCO,good\nCCN,bad\n", encoding="utf-8")
    with pytest.raises(UserError, match="has the number that is to be learnt"):
        collect(str(path), targets=("note",))


def test_molecules_outside_of_the_vocabulary_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSUITE_CACHE", str(tmp_path / "cache"))
    task = tiny_task()
    task.around = replace(task.around, data=DataFacts(name="old", before=("older",)))
    base = tmp_path / "base"
    checkpoint.write(base, task.save)
    path = tmp_path / "my.smi"
    lines = [*MOLECULES, "CC[Se]C", "C[Si](C)(C)C", *("C" * n + "O" for n in range(3, 20))]
    path.write_text("\n".join(lines), encoding="utf-8")
    prepared = SmilesTask.for_training(
        FinetuneOptions(split="hash", max_steps=1), data=str(path), checkpoint=str(base), settings={}
    )
    assert prepared.files is not None
    (written,) = prepared.files(tmp_path)
    reasons = [row["reason"] for row in csv.DictReader(written.read_text(encoding="utf-8").splitlines())]
    assert any("which the vocabulary does not" in reason for reason in reasons)
    assert prepared.task.around.data.before == ("older", "old")  # type: ignore[attr-defined]
