"""The MOSES suite: values of the reference implementation, and what it makes of few, invalid or repeated molecules.

The molecules lie in moses_1000.smi: from MOSES' training set (MIT, Insilico Medicine), most of them with one character
changed, some invalid, some twice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("rdkit")

from tsuite.core.errors import UserError
from tsuite.domains.molecules.metrics import chemnet, suite
from tsuite.domains.molecules.metrics.floors import floor, shipped
from tsuite.domains.molecules.metrics.published import PUBLISHED, rows
from tsuite.domains.molecules.metrics.suite import describe, moses, read_sample
from tsuite.domains.molecules.metrics.traits import Filters, Traits, traits

SMILES = Path(__file__).with_name("moses_1000.smi").read_text(encoding="utf-8").split()

REFERENCE = {
    "valid": 0.843, "unique@100": 1.0, "unique@1000": 0.960854, "FCD/Test": 2.516508, "SNN/Test": 0.590544,
    "Frag/Test": 0.995709, "Scaf/Test": 0.385946, "FCD/TestSF": 2.900717, "SNN/TestSF": 0.542816,
    "Frag/TestSF": 0.995177, "Scaf/TestSF": 0.000345, "IntDiv": 0.862977, "IntDiv2": 0.852383, "Filters": 0.931198,
    "logP": 0.130809, "SA": 0.240848, "QED": 0.040605, "weight": 5.637402,
}  # fmt: skip
"""What molsets 0.3.1 with fcd_torch 1.0.7 and rdkit 2026.9 gives for all of them against its own statistics."""

SMALL = {
    "valid": 0.8, "unique@30": 1, "SNN/Test": 0.23435, "Frag/Test": 0.870027, "Scaf/Test": 0, "SNN/TestSF": 0.219148,
    "Frag/TestSF": 0.872191, "Scaf/TestSF": 0.031311, "IntDiv": 0.856923, "IntDiv2": 0.783973, "logP": 0.398603,
    "SA": 0.261027, "QED": 0.036768, "weight": 18.171535, "Novelty": 0.59375,
}  # fmt: skip
"""And for the first 40 against the valid ones of 100 to 140 and of 140 to 180, with the first 20 as training set."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Filters:
    """Filters of two patterns and a ChemNet with random weights, so that nothing is fetched."""
    (tmp_path / "mcf.csv").write_text("names,smarts\nMCF1,[#6]=[#16]\n")
    (tmp_path / "pains.csv").write_text('"[N;R0]=[N;R0]   ","<regId=azo>"\n')
    filters = Filters(mcf=tmp_path / "mcf.csv", pains=tmp_path / "pains.csv")
    torch.manual_seed(0)
    network = chemnet.ChemNet().eval().requires_grad_(False)
    monkeypatch.setattr(chemnet, "chemnet", lambda: network)
    monkeypatch.setattr(suite, "official_filters", lambda: filters)
    return filters


def test_a_small_sample_beside_the_reference(here: Filters) -> None:
    parts = {"Test": SMILES[100:140], "TestSF": SMILES[140:180]}
    held_out = {name: describe(read_sample(part)) for name, part in parts.items()}
    # As the reference does, the training set is taken as it is written
    result = moses(SMILES[:40], train=SMILES[:20], held_out=held_out, unique_at=(30,))
    assert (result["n"], result["valid"]) == (40, 32)
    assert {name: result["values"][name] for name in SMALL} == pytest.approx(SMALL, abs=1e-5)
    assert set(result["values"]) == {*SMALL, "FCD/Test", "FCD/TestSF", "Filters"}
    assert "floor" not in result


def test_a_set_beside_itself(here: Filters) -> None:
    smiles = SMILES[:40] * 2
    values = moses(smiles, held_out={"Test": describe(read_sample(smiles))}, train=set())["values"]
    assert values["FCD/Test"] == pytest.approx(0, abs=1e-6)
    assert [values[name] for name in ("SNN/Test", "Frag/Test", "Scaf/Test", "Novelty")] == pytest.approx([1] * 4)
    assert [values[name] for name in ("logP", "SA", "QED", "weight")] == [0] * 4
    assert values["unique@1000"] == pytest.approx(0.5)


def test_the_order_does_not_count(here: Filters) -> None:
    held_out = {"Test": describe(read_sample(SMILES[100:130]))}
    first = moses(SMILES[:30], held_out=held_out)["values"]
    assert moses(SMILES[:30][::-1], held_out=held_out)["values"] == pytest.approx(first, abs=1e-6)


@pytest.mark.parametrize(("smiles", "valid"), [(["C("], 0), (["", "x", "C("], 0), (["CCO"], 1), (["C(", "CCO"], 1)])
def test_too_few_to_say(here: Filters, smiles: list[str], valid: int) -> None:
    held_out = {"Test": describe(read_sample(SMILES[100:130]))}
    result = moses(smiles, held_out=held_out, train=SMILES)
    assert result["valid"] == valid
    values: dict[str, Any] = result["values"]
    assert values["valid"] == valid / len(smiles)
    assert values["FCD/Test"] is None  # which needs two molecules
    assert values["Scaf/Test"] is None  # ethanol has no rings
    assert (values["SNN/Test"] is None) == (values["Novelty"] is None) == (valid == 0)
    assert any("fewer than 1,000" in note for note in result["notes"])


def test_nothing_to_measure() -> None:
    with pytest.raises(UserError, match="no molecules to measure"):
        moses([])


def test_only_the_first(here: Filters) -> None:
    held_out = {"Test": describe(read_sample(SMILES[100:130]))}
    assert moses(SMILES, n=20, held_out=held_out) == moses(SMILES[:20], held_out=held_out)


def test_every_output_says_what_it_is_not(here: Filters) -> None:
    held_out = {"Test": describe(read_sample(SMILES[100:110]))}
    assert "active, safe" in moses(SMILES[:5], held_out=held_out)["notes"][-1]


def test_ticks(here: Filters) -> None:
    heard: list[tuple[str, int, int]] = []
    held_out = {"Test": describe(read_sample(SMILES[100:110]))}
    moses(SMILES[:5], held_out=held_out, tick=lambda what, done, total: heard.append((what, done, total)))
    assert [what for what, done, total in heard if done == total] == ["molecules", "ChemNet", "nearest of Test"]


@pytest.mark.parametrize(
    ("smiles", "passes"),
    [
        ("CCO", True), ("CC(=S)N", False), ("CN=NC", False), ("C1CCCCCC1", True), ("C1CCCCCCC1", False),
        ("C[N+](C)(C)C", False), ("CP", False), ("CCBr", True),
    ],
)  # fmt: skip
def test_filters(here: Filters, smiles: str, passes: bool) -> None:
    found = traits(smiles, here)
    assert isinstance(found, Traits)
    assert found.passes == passes


def test_a_molecule(here: Filters) -> None:
    found = traits("OCCc1ccc(-c2ccccc2)cc1", here)
    assert isinstance(found, Traits)
    assert found.smiles == "OCCc1ccc(-c2ccccc2)cc1"
    assert found.scaffold == "c1ccc(-c2ccccc2)cc1"
    assert sorted(found.fragments) == ["[16*]c1ccc([16*])cc1", "[16*]c1ccccc1", "[8*]CCO"]
    assert found.properties[3] == pytest.approx(198.265, abs=1e-3)
    assert traits("Cc1ccccc1", here).scaffold is None  # pyright: ignore[reportOptionalMemberAccess]
    assert traits("c1ccccc", here) is None


def test_filters_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        Filters(mcf=tmp_path / "mcf.csv", pains=tmp_path / "pains.csv").smarts()


def test_what_was_published() -> None:
    assert PUBLISHED["CharRNN"]["FCD/Test"] == 0.0732
    for row in PUBLISHED.values():
        assert all(0 <= value <= (30 if name.startswith("FCD") else 1) for name, value in row.items())


def test_the_table() -> None:
    result = {"n": 10, "values": {"valid": 0.5, "logP": 0.1}, "floor": {"valid": 1.0}, "published": PUBLISHED}
    first, second = rows(result, ["VAE"])
    assert first == {"metric": "valid", "value": 0.5, "real, n=10": 1.0, "VAE": 0.9767}
    assert second == {"metric": "logP", "value": 0.1, "real, n=10": None, "VAE": None}


def test_the_floor_falls_with_n() -> None:
    known = shipped()
    assert {1_000, 10_000} <= set(known)
    falling = [known[n]["FCD/Test"] for n in sorted(known)]
    assert falling == sorted(falling, reverse=True)
    assert known[10_000]["FCD/Test"] == pytest.approx(0.14, abs=0.01)
    assert all(values["valid"] == values["Filters"] == 1 for values in known.values())


@pytest.mark.slow
def test_a_thousand_beside_the_reference() -> None:
    """Against the official statistics, with two processes."""
    result = moses(SMILES, floor=False, workers=2, unique_at=(100, 1000))
    assert result["values"] == pytest.approx(REFERENCE, abs=1e-5)


@pytest.mark.slow
def test_a_floor_that_is_not_shipped() -> None:
    values = floor(30)
    assert values == floor(30)
    assert "Novelty" not in values
    assert values["valid"] == values["Filters"] == 1
    assert (values["FCD/Test"] or 0) > max(known["FCD/Test"] for known in shipped().values())
