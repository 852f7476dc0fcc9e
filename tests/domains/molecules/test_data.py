"""Collecting molecules: cleaned, each once, split for ever; and what is said of the rest."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rdkit")

from tsuite.core.errors import UserError
from tsuite.core.manifest import manifest
from tsuite.domains.molecules import believed, parallel
from tsuite.domains.molecules.cleaning import clean_entries
from tsuite.domains.molecules.data import collect
from tsuite.domains.molecules.files import Entry
from tsuite.domains.molecules.properties import properties
from tsuite.domains.molecules.splits import by_hash, by_scaffold, ranks, scaffolds
from tsuite.domains.molecules.tokenizer import SmilesTokenizer
from tsuite.domains.molecules.tokens import tokenise, vocabulary

MIXED = """CCO ethanol
OCC again
C1CC broken
[13CH3]O labelled
[Na+].CC(=O)[O-] sodium acetate
CC*
c1ccccc1 benzene
CCN
"""
pytestmark = pytest.mark.usefixtures("tmp_cache")


def chains(count: int) -> list[str]:
    """As many different molecules."""
    return ["C" * (1 + number // 4) + ["O", "N", "Cl", "Br"][number % 4] for number in range(count)]


def everything(collection: Any) -> list[Any]:
    return [*collection.train, *collection.validation, *collection.test]


def test_a_file_with_everything_in_it(tmp_path: Path) -> None:
    path = tmp_path / "mixed.smi"
    path.write_text(MIXED)
    found = collect(path)
    assert {one.id: one.smiles for one in everything(found)} == {
        "ethanol": "CCO", "labelled": "CO", "sodium acetate": "CC(=O)O", "benzene": "c1ccccc1", "mixed.smi:8": "CCN",
    }  # fmt: skip
    assert {one.id: one.given for one in everything(found)}["sodium acetate"] == "[Na+].CC(=O)[O-]"
    assert [(one.line, one.given) for one in found.rejected()] == [(2, "OCC"), (3, "C1CC"), (6, "CC*")]
    assert found.rejected()[0].reason == "the same molecule as mixed.smi:1"
    assert "mixed.smi: 5 different molecules in 8 entries." in found.notices
    assert any("Left out: 2, first mixed.smi, line 3, 'C1CC': the ring 1" in one for one in found.notices)
    saved = found.save_rejected(tmp_path / "rejected.csv")
    assert saved is not None
    assert "mixed.smi,3,C1CC,the ring 1 opened at character 2 is never closed" in saved.read_text()
    assert collect(["CCO", "CCC"]).save_rejected(tmp_path / "none.csv") is None


def test_the_split_does_not_depend_on_the_order() -> None:
    molecules = chains(60)
    one, other = collect(molecules), collect(molecules[::-1])
    assert [len(part) for part in (one.train, one.validation, one.test)] == [54, 3, 3]
    for part in ("train", "validation", "test"):
        assert list(getattr(one, part).smiles) == list(getattr(other, part).smiles)
    assert len({item.smiles for item in everything(one)}) == 60
    assert one.sha256 != other.sha256
    assert list(one.train.smiles) != sorted(one.train.smiles, key=molecules.index)  # shuffled


def test_files_that_name_their_part(tmp_path: Path) -> None:
    (tmp_path / "train.smi").write_text("".join(f"{one}\n" for one in chains(30)))
    (tmp_path / "test-00.csv.gz").write_bytes(gzip.compress(b"smiles\nCCCCCCCCCCI\n" + chains(1)[0].encode() + b"\n"))
    found = collect(tmp_path)
    assert sorted(found.test.smiles) == ["CCCCCCCCCCI", "CO"]  # what is tested on is not learnt from
    assert (len(found.train), len(found.validation)) == (28, 1)


def test_scaffolds_are_not_torn() -> None:
    rings = ["c1ccccc1", "c1ccncc1", "C1CCCCC1", "c1ccsc1", "C1CCNC1"]
    molecules = [f"{'C' * length}{ring}" for ring in rings for length in range(1, 9)]
    found = collect(molecules, split="scaffold", shares=(0.6, 0.2, 0.2))
    parts = [set(scaffolds(part.smiles.all())) for part in (found.train, found.validation, found.test)]
    assert [len(part) for part in parts] == [3, 1, 1]
    assert not parts[0] & parts[1]
    assert not (parts[0] | parts[1]) & parts[2]


def test_the_most_frequent_scaffold_is_learnt_from() -> None:
    molecules = ["CC1CC1", *(f"{'C' * n}c1ccccc1" for n in range(1, 9)), "CC1CCC1"]
    assert by_scaffold(molecules).tolist() == [1, *[0] * 8, 2]


def test_small_sets() -> None:
    assert by_hash(ranks(["a", "b", "c"]), (0.9, 0.05, 0.05)).tolist().count(0) == 1
    assert sorted(by_hash(ranks(["a", "b"]), (0.9, 0.05, 0.05)).tolist()) == [0, 1]
    assert by_hash(ranks(["a"]), (0.9, 0.05, 0.05)).tolist() == [0]
    with pytest.raises(UserError, match="do not add up to 1"):
        collect(["CCO"], shares=(0.5, 0.1, 0.1))


def test_numbers_come_along(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,smiles,solubility\na,CCO,1.5\nb,CCC,\nc,CCN,-2\n")
    found = collect(path)
    assert found.names == ("solubility",)
    assert {one.id: one.properties for one in everything(found)} == {
        "a": {"solubility": 1.5}, "b": {}, "c": {"solubility": -2.0}
    }  # fmt: skip
    assert found.train.values.shape == (len(found.train), 1)


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        ([], {}, "no molecules"),
        (["C("], {}, "Not one of the 1 entries .* is never closed"),
        ("nowhere.smi", {}, "no such file"),
        ("mose", {}, "Did you mean moses"),
        ("vic_elec", {}, "holds no molecules"),
        (["CCO"], {"split": "scafold"}, "Did you mean scaffold"),
    ],
)
def test_mistakes(data: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        collect(data, **options)


def test_a_folder_without_molecules(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no molecules"):
        collect(tmp_path)


def test_an_unknown_part() -> None:
    with pytest.raises(UserError, match="Did you mean test"):
        collect(["CCO", "CCC"]).split("tests")


# -- named sets -------------------------------------------------------------------------------------------------------

MANIFEST = """
name = "set"
summary = "s"
licence = "MIT"
licence_note = ""
redistributable = true
homepage = ""
citation = ""
format = { kind = "csv" }
columns = [{ name = "SMILES", about = "a", kind = "canonical SMILES" }]
split = { words = "By file.", rule = "source", test = ["test", "other"] }
"""


def a_set(folder: Path, **files: list[str]) -> Path:
    text = MANIFEST
    for name, lines in files.items():
        (folder / f"{name}.csv").write_text("\n".join(["SMILES", *lines, ""]))
        text += f'[sources.{name}]\nsource = "{folder / name}.csv"\nbytes = 1\n'
    path = folder / "dataset.toml"
    path.write_text(text)
    return path


def test_canonical_sets_are_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(believed, "VALIDATION", 3)
    found = collect(str(a_set(tmp_path, train=chains(40), test=["CCI", "CCCI"], other=["CI", "CO"])))
    assert "of 2 strings read in other, 2 are as rdkit writes them today" in found.notices[0]
    assert (len(found.train), len(found.validation), len(found.test)) == (37, 2, 2)  # CO is of `other`
    assert sorted(found.split("other").examples.smiles) == ["CI", "CO"]  # type: ignore[attr-defined]
    assert "CO" not in found.train.smiles.all()
    assert found.train[0].id == "train:0"


def test_and_read_where_they_should_not_be(tmp_path: Path) -> None:
    found = collect(str(a_set(tmp_path, train=["OCC", "OCCC", "C1C"], test=["CCI"], other=["CCBr"])))
    assert sorted(one.smiles for one in everything(found)) == ["CCCO", "CCI", "CCO"]
    assert list(found.more["other"].smiles) == ["CCBr"]
    assert [(one.file, one.line, one.given) for one in found.rejected()] == [("train", 4, "C1C")]
    assert "so all were read" in found.notices[0]
    assert "'C1C': the ring 1" in found.notices[0]


def test_what_the_shipped_manifests_say() -> None:
    moses = manifest("moses")
    assert [moses.part(key=name) for name in moses.sources] == ["train", "test", "test"]
    assert moses.columns[0].kind == believed.CANONICAL
    assert {manifest(name).with_role("target")[0].unit for name in ("solubility", "freesolv")} == {
        "log mol/L",
        "kcal/mol",
    }


# -- tokens -----------------------------------------------------------------------------------------------------------


def test_tokens_on_disk() -> None:
    part = collect(chains(60)).split("train")
    tokenizer = vocabulary(part)
    tokens = tokenise(part, tokenizer, length=20)
    assert [tokens[n].tolist() for n in range(len(tokens))] == [tokenizer.encode(one.smiles) for one in part.examples]
    assert tokens.which.tolist() == list(range(54))
    numbers = np.asarray([3, 0, 7])
    rows = tokens.rows(numbers, pad=tokenizer.pad)
    assert rows.shape == (3, tokens.lengths[numbers].max())
    for row, number in zip(rows, numbers, strict=True):
        length = tokens.lengths[number]
        assert row[:length].tolist() == tokens[number].tolist()
        assert (row[length:] == tokenizer.pad).all()


def test_what_cannot_be_learnt_from_is_named() -> None:
    part = collect(["CCO", "CCC", "C[Si](C)(C)C", "CCCCCCCCCCCC", "CCCC"], shares=(1.0, 0.0, 0.0)).split("train")
    tokens = tokenise(part, SmilesTokenizer.from_smiles(["C(C)O"]), length=8)
    assert sorted(part.examples[int(n)].smiles for n in tokens.which) == ["CCC", "CCCC", "CCO"]
    assert "[Si] in C[Si](C)(C)C" in tokens.notices[0]
    assert "more than 8 tokens" in tokens.notices[1]
    assert "CCCCCCCCCCCC" in tokens.notices[1]
    with pytest.raises(UserError, match=r"does not have .* in CC"):
        tokenise(part, SmilesTokenizer.from_smiles(["N"]), length=8)
    with pytest.raises(UserError, match="at most 4 tokens"):
        tokenise(part, vocabulary(part), length=4)


def test_random_spellings_of_each_molecule() -> None:
    from tsuite.domains.molecules.smiles import canonical

    part = collect(["CC(=O)Oc1ccccc1C(=O)O", "Cn1cnc2c1c(=O)n(C)c(=O)n2C"], shares=(1.0, 0.0, 0.0)).split("train")
    tokenizer = vocabulary(part, random=4, seed=1)
    tokens = tokenise(part, tokenizer, length=60, random=4, seed=1)
    assert tokens.which.tolist() == [0] * 4 + [1] * 4
    spelt = [tokenizer.decode(tokens[n]) for n in range(8)]
    assert len(set(spelt)) > 6
    assert [canonical(one) for one in spelt] == [part.examples[n].smiles for n in tokens.which.tolist()]
    other = tokenise(part, tokenizer, length=60, random=4, seed=2)
    assert [tokenizer.decode(other[n]) for n in range(8)] != spelt


def test_selfies_tokens() -> None:
    pytest.importorskip("selfies")
    from tsuite.domains.molecules.smiles import canonical

    part = collect(chains(20)).split("train")
    tokenizer = vocabulary(part, notation="selfies")
    tokens = tokenise(part, tokenizer, length=20)
    assert [canonical(tokenizer.decode(tokens[n])) for n in range(len(tokens))] == part.examples.smiles.all()  # type: ignore[attr-defined]


# -- processes --------------------------------------------------------------------------------------------------------


def test_few_molecules_start_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_in_processes", None)
    assert list(parallel.spread(len, range(1200), workers=8)) == [500, 500, 200]


@pytest.mark.slow
def test_processes_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    molecules = [*chains(60), "C(", "OCC"]
    entries = [(Entry(file="a", line=n, text=one), -1) for n, one in enumerate(molecules)]
    alone = clean_entries(entries, workers=1)
    monkeypatch.setattr(parallel, "WORTH", 10)
    assert clean_entries(entries, workers=2) == alone
    assert len(alone.rejected) == 2
    many = properties(molecules, ["weight"], workers=2)
    np.testing.assert_array_equal(many, properties(molecules, ["weight"], workers=1))
