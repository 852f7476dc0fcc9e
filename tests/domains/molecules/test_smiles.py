"""Reading one molecule: canonical forms, salts, labels, keys, and reasons in words."""

from __future__ import annotations

import importlib
import sys

import pytest

pytest.importorskip("rdkit")

from tsuite.core.errors import UserError
from tsuite.domains.molecules import smiles as reading
from tsuite.domains.molecules.smiles import Chem, canonical, clean_block, clean_smiles, parse, randomised, why_not


def test_every_spelling_has_one_canonical_form(capfd: pytest.CaptureFixture[str]) -> None:
    assert canonical("OCC") == canonical("C(O)C") == "CCO"
    assert canonical("C[C@H](F)Cl") != canonical("C[C@@H](F)Cl")
    assert canonical("C[C@H](F)Cl", keep_stereo=False) == canonical("CC(F)Cl")
    assert canonical("[13CH4]") == "[13CH4]"
    assert canonical("C1CC") is None
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("text", ["", " ", "CC O", "CC name", "CCé", "C\nC"])
def test_what_rdkit_would_read_in_part_is_no_molecule(text: str) -> None:
    assert canonical(text) is None
    assert why_not(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is empty"),
        ("C1CC", "the ring 1 opened at character 2 is never closed"),
        ("CC%10C", "the ring 10 opened at character 3 is never closed"),
        ("C(C", "the parenthesis opened at character 2 is never closed"),
        ("CC)", "the parenthesis at character 3 closes none"),
        ("C[Zz]", "[Zz] at character 2: there is no element Zz"),
        ("C[nonsense]", "[nonsense] at character 2 is no atom"),
        ("Cl[", "the bracket opened at character 3 is never closed"),
        ("CX", "'X' at character 2 is no atom, bond or ring"),
        ("CCé", "'é' at character 3"),
        ("C==C", "two bonds follow each other at character 3"),
        ("C#", "it ends with a bond"),
        ("C>>O", "it is a reaction, not a molecule"),
        ("CC O", "a space parts it at character 3"),
        ("CN(C)(C)C", "atom 2, N, has 4 bonds, which is more than it can have"),
        ("c1cccc1", "no single and double bonds can be found for its aromatic atoms (1 2 3 4 5)"),
        ("C11", "ring closure 1"),
        ("=C", "syntax error, around character 1"),
    ],
)
def test_reasons_are_words(text: str, words: str) -> None:
    assert words in why_not(text)


def test_a_molecule_has_no_reason() -> None:
    assert why_not("CC(=O)Oc1ccccc1C(=O)O") == ""


@pytest.mark.parametrize(
    ("given", "smiles", "taken"),
    [
        ("[Na+].CC(=O)[O-]", "CC(=O)O", ("fragments",)),
        ("C[NH3+].[Cl-]", "CN", ("fragments",)),
        ("C[N+](C)(C)C.[Br-]", "C[N+](C)(C)C", ("fragments",)),  # no proton to take away
        ("[NH3+]CC(=O)[O-]", "[NH3+]CC(=O)[O-]", ()),  # nothing was stripped, nothing is changed
        ("O.CCO.Cl", "CCO", ("fragments",)),
        ("[2H]C([2H])([2H])O", "CO", ("isotopes",)),
        ("C[C@H](F)[13CH3]", "CC(C)F", ("isotopes",)),  # a centre no more, once the label is gone
        ("[CH3:1][OH:2]", "CO", ("atom numbers",)),
    ],
)
def test_cleaning(given: str, smiles: str, taken: tuple[str, ...]) -> None:
    cleaned = clean_smiles(given)
    assert (cleaned.smiles, cleaned.taken, cleaned.reason) == (smiles, taken, "")


@pytest.mark.parametrize(
    ("given", "reason"),
    [("CC*", "dummy atom"), ("[Na+].[Cl-]", "none of which holds carbon"), ("[H][H]", "nothing but hydrogen")],
)
def test_what_is_not_learnt_from(given: str, reason: str) -> None:
    assert reason in clean_smiles(given).reason


def test_the_kept_fragment_does_not_depend_on_the_order() -> None:
    """Two of equal size and weight: one of them, always the same."""
    assert clean_smiles("CCO.COC").smiles == clean_smiles("COC.CCO").smiles


def test_keys_are_those_of_inchi() -> None:
    assert clean_smiles("OCC").key == "LFQSCWFLJHTTHZ-UHFFFAOYSA-N"
    assert clean_smiles("Oc1ccccn1").key == clean_smiles("O=c1cccc[nH]1").key  # tautomers
    assert reading.inchikey(parse("C*")) == ""


def test_random_spellings() -> None:
    aspirin = "CC(=O)Oc1ccccc1C(=O)O"
    spelt = {randomised(aspirin, seed) for seed in range(20)}
    assert len(spelt) > 10
    assert {canonical(one) for one in spelt} == {aspirin}
    assert randomised(aspirin, 3) == randomised(aspirin, 3)
    assert randomised("C1CC", 3) == "C1CC"


def block_of(smiles: str) -> str:
    return Chem.MolToMolBlock(Chem.MolFromSmiles(smiles))


def test_a_block_keeps_its_stereo_centre() -> None:
    from tsuite.domains.molecules.draw import laid_out

    assert clean_block(Chem.MolToMolBlock(laid_out("C[C@H](F)Cl"))).smiles == canonical("C[C@H](F)Cl")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("  3  2  0", "  4  2  0", "4 atoms are announced, but the block holds 3"),
        ("  3  2  0", "  3  5  0", "5 bonds are announced, but the block holds 2"),
        ("  3  2  0", "  x  2  0", "line 4 of the block should count atoms and bonds"),
        ("  3  2  0", "  0  0  0", "it has no atoms"),
        (" O   0", " Zz  0", "line 7 of the block: there is no element 'Zz'"),
        ("  2  3  1", "  2  9  1", "line 9 of the block: the bond joins '2' and '9', but there are atoms 1 to 3"),
        ("M  END", "", "cut short"),
        ("    0.0000    0.0000    0.0000 C", "    0.x000    0.0000    0.0000 C", "three coordinates are expected"),
        ("  2  3  1", "  2  3  3", "has 3 bonds, which is more than it can have"),
    ],
)
def test_broken_blocks(old: str, new: str, words: str, capfd: pytest.CaptureFixture[str]) -> None:
    block = block_of("CCO")
    assert old in block
    assert words in clean_block(block.replace(old, new)).reason
    assert capfd.readouterr().err == ""


def test_an_extended_block() -> None:
    block = Chem.MolToV3KMolBlock(Chem.MolFromSmiles("CCO"))
    assert clean_block(block).smiles == "CCO"
    assert clean_block(block.replace("BEGIN ATOM", "BEGIN")).reason == "rdkit cannot read this V3000 block"


def test_without_rdkit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tsuite.domains.molecules.chem")
    monkeypatch.setitem(sys.modules, "rdkit", None)
    with pytest.raises(UserError, match=r"rdkit, which is not installed.*tsuite\[molecules\]"):
        importlib.import_module("tsuite.domains.molecules.chem")
