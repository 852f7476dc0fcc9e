"""Molecules like a given one: beginnings of its spellings, ranked by similarity, itself left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("rdkit")

from rdkit import Chem
from tsuite.core.errors import UserError
from tsuite.domains.molecules.smiles_gpt.asked.similar import LONGEST, SHORTEST, Likeness, beginnings, read, spellings
from tsuite.domains.molecules.smiles_gpt.asked.tables import tables
from tsuite.domains.molecules.tokenizer import SmilesTokenizer

from .gpt import MOLECULES, tiny_task

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


def test_similarity_is_that_of_morgan_fingerprints() -> None:
    found = Likeness(ASPIRIN).of([ASPIRIN, "O=C(O)c1ccccc1O", "C1CCNCC1", "c1cc"])
    assert found[0] == 1
    assert found[1] == pytest.approx(0.448, abs=0.02)
    assert found[2] < 0.1
    assert found[3] == 0


def test_spellings_are_of_the_molecule_and_the_likeliest_come_first() -> None:
    task = tiny_task()
    tokenizer = task.around.tokenizer
    ways = spellings(task.network, tokenizer, ASPIRIN)
    texts = [tokenizer.decode(way) for way in ways]
    assert len(set(texts)) == len(texts) > 5
    assert {Chem.CanonSmiles(text) for text in texts} == {ASPIRIN}
    with torch.inference_mode():
        logs = [task.network.logits(torch.tensor([way])).log_softmax(-1)[0] for way in ways]
    nats = [-sum(log[place, token].item() for place, token in enumerate(way[1:]))
            for log, way in zip(logs, ways, strict=True)]  # fmt: skip
    assert nats == sorted(nats)


def test_beginnings_are_of_all_lengths() -> None:
    way = [1, *range(10, 50), 2]
    found = beginnings([way], 300, np.random.default_rng(0))
    assert all(one == way[: len(one)] for one in found)
    lengths = [len(one) - 1 for one in found]
    assert min(lengths) == pytest.approx(40 * SHORTEST, abs=1)
    assert max(lengths) == pytest.approx(40 * LONGEST, abs=1)
    assert beginnings([[1, 9, 2]], 3, np.random.default_rng(0)) == [[1, 9]] * 3  # a molecule of one atom


def test_what_comes_back_is_ranked_different_and_not_the_molecule_itself() -> None:
    task: Any = tiny_task(seed=5)
    task.seen = set()
    results = task(n=5, similar_to="OCC", batch=64, compared=0)
    facts = task.conduct["similar_to"]
    likeness = [one.properties["similarity"] for one in results]
    assert likeness == sorted(likeness, reverse=True)
    assert [one.id for one in results] == ["1", "2", "3", "4", "5"]
    smiles = [one.smiles for one in results]
    assert len(set(smiles)) == 5
    assert "CCO" not in smiles
    assert facts["smiles"] == "CCO"
    assert likeness == pytest.approx(Likeness("CCO").of(smiles), abs=1e-3)
    assert facts["drawn"] == facts["different"] + sum(facts["rejected"].values())
    assert facts["similarity"]["mean_of_kept"] == pytest.approx(np.mean(likeness), abs=1e-3)
    assert facts["unconditional"]["looked_at"] == 5
    assert "training" not in facts
    summary = task.summarise(results)
    assert summary.metrics["similarity"] == facts["similarity"]["mean_of_kept"]
    assert "validity" not in summary.metrics


def test_those_that_have_the_properties_asked_for_come_first() -> None:
    task: Any = tiny_task(seed=5)
    task.seen = set()
    results = task(n=8, similar_to="OCC", batch=64, compared=0, logp="..0")
    met = [one.away <= 0.25 for one in results]
    similar = [one.properties["similarity"] for one in results]
    assert met == sorted(met, reverse=True)
    assert similar == sorted(similar[: sum(met)], reverse=True) + sorted(similar[sum(met) :], reverse=True)
    assert task.conduct["conditions"]["properties"]["logp"]["asked"] == "..0"


@pytest.mark.parametrize(
    ("text", "said"),
    [("xyz", "is no molecule: 'x' at character 1"), ("c1ccc(*)cc1", "attachment"),
     ("[Na+].[Cl-]", "cannot be used: it is of several"),
     ("C[Si](C)C", r"C holds \[Si\], which"), ("C" * 60, "takes 60 tokens; this model's molecules have 38"),
     ("CN(=O)=O", r"holds \[N\+\], \[O-\] \(it is read as C\[N\+\]\(=O\)\[O-\]\), which"),
     ("[H]", "is no molecule: it holds nothing but hydrogen")],
)  # fmt: skip
def test_what_it_cannot_be_like_is_named(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read(text, tiny_task().around.tokenizer, 40)


def test_a_text_is_read_however_it_is_written() -> None:
    assert read("OC(=O)C1=CC=CC=C1OC(C)=O", tiny_task().around.tokenizer, 40) == (ASPIRIN, [])
    assert MOLECULES  # the vocabulary is theirs


@pytest.mark.parametrize(
    ("text", "smiles", "taken"),
    [("CC(C)Cc1ccc(cc1)[C@@H](C)C(=O)O", "CC(C)Cc1ccc(C(C)C(=O)O)cc1", "the stereo of its centres (@),"),
     ("OC/C=C/C", "CC=CCO", "the stereo of its double bonds (/ and \\),"), ("[13CH3][CH2:2]O", "CCO",
     "its isotope labels and its atom numbers,"), ("CC(=O)[O-].[Na+]", "CC(=O)O", "all fragments but the largest,")],
)  # fmt: skip
def test_it_is_cleaned_as_the_training_molecules_were_and_told(text: str, smiles: str, taken: str) -> None:
    found, notices = read(text, tiny_task().around.tokenizer, 40)
    assert found == smiles
    assert notices == [f"--similar-to is taken without {taken} as the model learnt: {smiles}."]


def test_stereo_stays_where_the_vocabulary_has_it() -> None:
    both = SmilesTokenizer.from_smiles([*MOLECULES, "C[C@H](N)O", "C/C=C/C", "C[C@@H](N)O"])
    assert read("C[C@@H](O)/C=C/C", both, 40) == (Chem.CanonSmiles("C[C@@H](O)/C=C/C"), [])
    bonds = SmilesTokenizer.from_smiles([*MOLECULES, "C/C=C/C"])
    found, notices = read("C[C@@H](O)/C=C/C", bonds, 40)
    assert found == Chem.CanonSmiles("CC(O)/C=C/C")
    assert "centres" in notices[0]
    assert "double" not in notices[0]


def test_what_was_taken_off_is_in_the_report_and_on_the_terminal() -> None:
    task: Any = tiny_task(seed=5)
    task.seen = set()
    _ = task(n=2, similar_to="CC[18OH]", batch=64, compared=0)
    facts = task.conduct["similar_to"]
    assert facts["smiles"] == "CCO"
    shown = [str(one) for one in tables({"similar_to": facts})]
    assert facts["notices"][0] in shown
    assert any("SMILES that rdkit cannot read as a molecule" in one for one in shown)
    (line,) = [str(one) for one in tables({"similar_to": {**facts, "different": 1}}) if "kept of" in str(one)]
    assert "1 different one;" in line
