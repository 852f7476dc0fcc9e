"""MOSES' official statistics: out of a small file of the same form, and (slow) out of the real ones."""

from __future__ import annotations

import collections
import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tsuite.core.errors import UserError
from tsuite.domains.molecules.metrics import statistics as module
from tsuite.domains.molecules.metrics.statistics import PROPERTIES, statistics


def official(path: Path, change: dict[str, Any]) -> np.ndarray:
    """A file in the form of MOSES' (three molecules, four activations); returns the fingerprints in it."""
    bits = (np.random.default_rng(0).random((3, 1024)) < 0.1).astype(np.uint8)
    value: dict[str, Any] = {
        "FCD": {"mu": np.arange(4, dtype=np.float32), "sigma": np.asfortranarray(np.arange(16.0).reshape(4, 4))},
        "SNN": {"fps": bits},
        "Frag": {"frag": collections.Counter({"[1*]C": 2})},
        "Scaf": {"scaf": collections.Counter({"c1ccccc1": 3})},
        **{name: {"values": [0.5, 1.0, 2.0]} for name in PROPERTIES},
        **change,
    }
    array = np.array(value, dtype=object)
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
    file.write(pickle.dumps(array, protocol=2))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("stats.npy", file.getvalue())
    return bits


def test_unpacking(tmp_path: Path) -> None:
    bits = official(tmp_path / "stats.npz", {})
    module._unpack(tmp_path / "stats.npz", tmp_path)
    found = module._kept(tmp_path)
    np.testing.assert_array_equal(np.unpackbits(found.prints, axis=1), bits)
    np.testing.assert_array_equal(found.mean, np.arange(4))
    np.testing.assert_array_equal(found.covariance, np.arange(16).reshape(4, 4))
    assert (found.fragments, found.scaffolds) == ({"[1*]C": 2}, {"c1ccccc1": 3})
    assert [found.properties[name].tolist() for name in PROPERTIES] == [[0.5, 1, 2]] * 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"SNN": {"fps": np.zeros((3, 100), dtype=np.uint8)}}, "another form"),
        ({"SNN": {"fps": np.full((3, 1024), 2, dtype=np.uint8)}}, "another form"),
        ({"logP": {}}, "does not hold MOSES' statistics"),
        ({"Frag": Path}, "only plain data"),
    ],
)
def test_other_files(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    official(tmp_path / "stats.npz", change)
    with pytest.raises(UserError, match=words):
        module._unpack(tmp_path / "stats.npz", tmp_path)


def test_what_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "stats.npz").write_bytes(b"nothing")
    with pytest.raises(UserError, match="does not hold MOSES' statistics"):
        module._unpack(tmp_path / "stats.npz", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "rows", "scaffolds"), [("Test", 176_074, 77_114), ("TestSF", 176_225, None)])
def test_the_official_ones(name: str, rows: int, scaffolds: int | None) -> None:
    found = statistics(name)
    assert found.prints.shape == (rows, 128)
    assert found.covariance.shape == (512, 512)
    assert {len(values) for values in found.properties.values()} == {rows}
    assert scaffolds is None or len(found.scaffolds) == scaffolds
    assert 20 < np.unpackbits(found.prints[:1000], axis=1).sum(1).mean() < 80
