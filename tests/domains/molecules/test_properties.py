"""Computed properties against rdkit's own, and the SA score without unpickling."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("rdkit")

from tsuite.core.errors import UserError
from tsuite.core.task import Split
from tsuite.domains.molecules import properties as computed
from tsuite.domains.molecules.properties import PROPERTIES, measured, properties
from tsuite.domains.molecules.sascore import fragment_scores, read_numbers
from tsuite.domains.molecules.smiles import parse

VARIED = [
    "CC(=O)Oc1ccccc1C(=O)O",
    "Cn1cnc2c1c(=O)n(C)c(=O)n2C",
    "C1CCCCCCCCCCC1",  # a large ring
    "C1C2CC3CC1CC(C2)C3",  # bridged, and of high symmetry
    "C1CCC2(CC1)CCCC2",  # spiro
    "CC(C)CCCC(C)C1CCC2C1(CCC3C2CC=C4C3(CCC(C4)O)C)C",  # centres nobody assigned
    "F[C@](Cl)(Br)I",
    "C",
    "OC[C@H]1O[C@@H](O[C@H]2[C@H](O)[C@@H](O)[C@H](O)O[C@@H]2CO)[C@H](O)[C@@H](O)[C@@H]1O",
]


def test_the_values_are_those_of_rdkit() -> None:
    from rdkit.Chem import QED, Crippen, Descriptors

    found = properties(["CC(=O)Oc1ccccc1C(=O)O", "C1CC"], ["logp", "qed", "tpsa", "weight"])
    aspirin = parse("CC(=O)Oc1ccccc1C(=O)O")
    expected = [Crippen.MolLogP(aspirin), QED.qed(aspirin), 63.6, Descriptors.MolWt(aspirin)]  # type: ignore[attr-defined]
    np.testing.assert_allclose(found[0], expected, atol=1e-9)
    assert np.isnan(found[1]).all()


def test_the_sa_score_is_that_of_rdkit() -> None:
    """rdkit's own module unpickles the table, which is why the product does not use it."""
    sascorer = pytest.importorskip("rdkit.Contrib.SA_Score.sascorer")
    expected = [sascorer.calculateScore(parse(one)) for one in VARIED]
    np.testing.assert_allclose(properties(VARIED, ["sa"])[:, 0], expected, rtol=1e-12)
    assert max(expected) > 4
    assert len(fragment_scores()) == 705_292


@pytest.mark.parametrize(
    "text",
    [
        "(lp0\n(lp1\nF-2.8\naI91\nacos\nsystem\np2\n.",
        "cbuiltins\neval\n.",
        "(lp0\n(lp1\nS'text'\na.",
        "(lp0\n(lp1\nFx\na.",
        "(lp0\n(lp1\nF-2.8\naI9x\na.",
        "",
    ],
)
def test_a_table_of_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"numbers|no scores"):
        read_numbers(text)


def test_a_table_of_numbers() -> None:
    assert read_numbers("(lp0\n(lp1\nF-2.8\naI91\naI7\naa(lp2\nF1e-1\naI3\naa.") == {91: -2.8, 7: -2.8, 3: 0.1}


def test_names() -> None:
    assert set(PROPERTIES) == {"logp", "qed", "sa", "tpsa", "weight"}
    assert properties([], ["qed", "sa"]).shape == (0, 2)
    assert properties(["C"], ["QED ", "qed"]).shape == (1, 1)
    with pytest.raises(UserError, match=r"no computed property 'wheight'.*weight"):
        properties(["C"], ["wheight"])
    assert PROPERTIES["weight"].text(305.44) == "weight 305.4 g/mol"
    assert PROPERTIES["logp"].text(math.nan) == "logP ?"
    for item in PROPERTIES.values():
        assert item.least <= item.low < item.high <= item.most
        assert len(item.words) > 20


def test_ticks() -> None:
    told: list[tuple[int, int]] = []
    properties(["C"] * 1100, ["weight"], tick=lambda done, total: told.append((done, total)))
    assert told == [(500, 1100), (1000, 1100), (1100, 1100)]


@pytest.mark.usefixtures("tmp_cache")
def test_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from tsuite.domains.molecules.molecule import Molecule

    part = Split(name="a", part="train", examples=[Molecule(id=one, smiles=one) for one in ("CCO", "CCC", "CCN")])
    first = measured(part, ["weight"], most=2)
    assert first.shape == (2, 1)
    monkeypatch.setattr(computed, "properties", None)
    assert measured(part, ["weight"], most=2).tolist() == first.tolist()
