"""Molecules in files: which column, which line, what is broken, and what is written."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest

pytest.importorskip("rdkit")

from tsuite.core.errors import UserError
from tsuite.domains.molecules.files import (
    Entry,
    Rejected,
    form_of,
    read_file,
    read_rejected,
    write_csv,
    write_rejected,
    write_sdf,
)
from tsuite.domains.molecules.molecule import Molecule

LIST = "SMILES name\nCCO ethanol\n\n# a remark\nCCC,propane\nc1ccccc1 |c:0| benzene ring\n"


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def read(folder: Path, name: str, text: str, column: str = "") -> list[Entry]:
    return list(read_file(written(folder, name, text), column=column))


@pytest.mark.parametrize("name", ["my.smi", "my.smi.gz", "my.txt"])
def test_a_list(tmp_path: Path, name: str) -> None:
    text = LIST if name != "my.txt" else LIST.replace(",", " ")
    found = [(one.line, one.text, one.name) for one in read(tmp_path, name, text)]
    assert found == [(2, "CCO", "ethanol"), (5, "CCC", "propane"), (6, "c1ccccc1", "benzene ring")]


@pytest.mark.parametrize(
    "text",
    [
        "Name,SMILES,pIC50\nA,CCO,7.5\nB,CCN,\n",
        "Name;Smiles;pIC50\nA;CCO;7,5\nB;CCN;\n",
        "name\tstructure\tpIC50\nA\tCCO\t7.5\nB\tCCN\tnan\n",
        "Name,drawn as,pIC50\nA,CCO,7.5\nB,CCN,NA\n",  # found by what is in it
        "\ufeffName,canonical_smiles,pIC50\r\nA,CCO,7.5\r\nB,CCN,\r\n",
    ],
)
def test_the_column_is_found(tmp_path: Path, text: str) -> None:
    first, second = read(tmp_path, "my.csv.gz", text)
    assert (first.line, first.text, first.name, first.values) == (2, "CCO", "A", {"pIC50": 7.5})
    assert second.text == "CCN"
    assert second.values == {}


def test_a_table_without_names(tmp_path: Path) -> None:
    first, second = read(tmp_path, "my.csv", "CCO,1.5\nCCN,2\n")
    assert (first.line, first.text, first.values) == (1, "CCO", {"column 2": 1.5})
    assert second.where == "my.csv:2"


def test_the_column_said(tmp_path: Path) -> None:
    text = "smiles,product\nCCO,CC=O\nCCC,CC=C\n"
    assert [one.text for one in read(tmp_path, "a.csv", text, column="product")] == ["CC=O", "CC=C"]
    with pytest.raises(UserError, match=r"no column 'produkt'.*Did you mean product"):
        read(tmp_path, "a.csv", text, column="produkt")


def test_rows_that_lack_the_cell(tmp_path: Path) -> None:
    found = read(tmp_path, "a.csv", 'id,smiles\n1,CCO\n2,\n3\n"4\nb",CCN\n5,CCC\n')
    assert [(one.line, one.text, one.error) for one in found] == [
        (2, "CCO", ""),
        (3, "", "the cell smiles is empty"),
        (4, "", "the cell smiles is missing: there are 1 cells"),
        (5, "CCN", ""),
        (7, "CCC", ""),
    ]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.smi", b"", "is empty"),
        ("a.smi", b"\n\n", "is empty"),
        ("a.csv", b"smiles\n", "is empty"),
        ("a.sdf", b"\n", "is empty"),
        ("a.csv", b"a,b\n1,2\n", "No column of .* holds SMILES: a, b"),
        ("a.smi", b"\x00\x01\x02", "holds no text"),
        ("a.smi.gz", gzip.compress(b"CCO\n" * 999, mtime=0)[:30], "cut short or damaged"),
        ("a.csv", b'smiles\n"' + b"C" * 200_000 + b"\n", "line 2, cannot be read"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=words):
        list(read_file(path))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    written(tmp_path, "actives.smi", "C")
    with pytest.raises(UserError, match=r"Did you mean actives\.smi"):
        list(read_file(tmp_path / "active.smi"))


def test_other_encodings(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("smiles,name\nCCO,Äthanol\n".encode("utf-16"))
    assert next(iter(read_file(path))).name == "Äthanol"
    path.write_bytes("smiles,name\nCCO,Äthanol\n".encode("cp1252"))
    assert next(iter(read_file(path))).text == "CCO"


MOLECULES = [
    Molecule(id="ethanol", smiles="CCO", properties={"qed": 0.4, "SOL": -1.25}),
    Molecule(id="(R)", smiles="C[C@@H](F)Cl", properties={"qed": float("nan")}),
]


@pytest.mark.parametrize("name", ["out.sdf", "out.sdf.gz"])
def test_sdf_there_and_back(tmp_path: Path, name: str) -> None:
    from tsuite.domains.molecules.smiles import clean_block

    path = write_sdf(tmp_path / name, MOLECULES)
    assert form_of(path) == "sdf"
    found = list(read_file(path))
    assert [one.name for one in found] == ["ethanol", "(R)"]
    assert [clean_block(one.text).smiles for one in found] == [one.smiles for one in MOLECULES]
    assert [dict(one.values) for one in found] == [{"qed": 0.4, "SOL": -1.25}, {}]
    assert found[0].line == 1
    assert not [other for other in tmp_path.iterdir() if other != path]


def test_a_block_without_its_end_mark(tmp_path: Path) -> None:
    """The last $$$$ is often forgotten; text behind it is no block."""
    text = write_sdf(tmp_path / "a.sdf", MOLECULES).read_text()
    assert len(read(tmp_path, "b.sdf", text.rstrip().removesuffix("$$$$"))) == 2
    assert len(read(tmp_path, "c.sdf", text + "\n\n")) == 2


def test_csv_there_and_back(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "deep" / "out.csv", MOLECULES)
    assert path.read_text().splitlines() == ["id,smiles,qed,SOL", "ethanol,CCO,0.4,-1.25", "(R),C[C@@H](F)Cl,,"]
    assert [one.name for one in read_file(path)] == ["ethanol", "(R)"]


def test_rejected_lines(tmp_path: Path) -> None:
    rejected = [Rejected(file="a.smi", line=3, given='C("', reason="it is, in a word, wrong")]
    path = write_rejected(tmp_path / "rejected.csv", rejected)
    assert read_rejected(path) == rejected
    with open(path, newline="") as file:
        assert next(csv.reader(file)) == ["file", "line", "given", "reason"]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_csv(tmp_path / "file" / "out.csv", MOLECULES)
