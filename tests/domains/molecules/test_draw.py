"""The grid of molecules: what stands in it, in both formats."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

pytest.importorskip("rdkit")

from PIL import Image
from tsuite.core.errors import UserError
from tsuite.domains.molecules.draw import CELL, SCALE, grid, laid_out
from tsuite.domains.molecules.molecule import Molecule

SOME = [
    Molecule(id="aspirin <1>", smiles="CC(=O)Oc1ccccc1C(=O)O", properties={"logp": 1.31, "qed": 0.55, "SOL": -1.7}),
    Molecule(id="a name so long that it cannot stand below its molecule", smiles="CCO"),
    Molecule(id="broken", smiles="C1CC"),
]
SVG = "{http://www.w3.org/2000/svg}"


def texts(path: Path) -> list[str]:
    return ["".join(one.itertext()) for one in ET.parse(path).getroot().iter(f"{SVG}text")]


def test_an_svg_says_what_it_shows(tmp_path: Path) -> None:
    path = grid(SOME, tmp_path / "new" / "grid.svg", title="Three & more")
    found = texts(path)
    assert {"Three & more", "aspirin <1>", "logP 1.31   QED 0.55", "SOL -1.7", "broken", "no molecule"} <= set(found)
    assert "Computed properties only: not activity, not safety." in found
    (long,) = [one for one in found if one.startswith("a name")]
    assert long.endswith("…")
    root = ET.parse(path).getroot()
    assert len(list(root.iter(f"{SVG}g"))) == 2
    assert len(list(root.iter(f"{SVG}path"))) > 20


def test_a_png_has_ink_in_every_cell(tmp_path: Path) -> None:
    with Image.open(grid(SOME * 2, tmp_path / "grid.png", columns=3)) as image:
        grey = image.convert("L")
    assert grey.width == (3 * CELL + 44) * SCALE
    for column in range(3):
        left = (22 + column * CELL) * SCALE
        cell = grey.crop((left, 40, left + CELL * SCALE, 200 * SCALE))
        darkest, _ = cell.getextrema()  # type: ignore[misc]
        assert darkest < 130  # type: ignore[operator]


def test_a_marked_part_is_drawn_alike(tmp_path: Path) -> None:
    pyridines = [Molecule(id=one, smiles=one) for one in ("Cc1ccncc1", "CCCOc1ccncc1", "c1ccccc1")]
    plain = grid(pyridines, tmp_path / "plain.svg")
    marked = grid(pyridines, tmp_path / "marked.svg", highlight="*c1ccncc1")
    assert "#8CD8B7" not in plain.read_text()
    assert "#8CD8B7" in marked.read_text()
    with pytest.raises(UserError, match="neither SMILES nor SMARTS"):
        grid(pyridines, tmp_path / "a.svg", highlight="C((")


def test_too_many_are_counted(tmp_path: Path) -> None:
    many = [Molecule(id=str(number), smiles="C") for number in range(203)]
    assert any("The first 200 of 203." in one for one in texts(grid(many, tmp_path / "a.svg")))


def test_properties_that_are_asked_for(tmp_path: Path) -> None:
    assert "logP 1.31" in texts(grid(SOME, tmp_path / "a.svg", names=["logp", "sa"]))


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\.png or \.svg"):
        grid(SOME, tmp_path / "a.jpg")
    with pytest.raises(UserError, match="no molecules"):
        grid([], tmp_path / "a.png")
    with pytest.raises(UserError, match="no molecule"):
        laid_out("C1CC")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        grid(SOME[:1], tmp_path / "file" / "a.svg")
