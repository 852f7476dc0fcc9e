"""Pickles read without running them: plain data come out, and nothing else does."""

from __future__ import annotations

import collections
import io
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tsuite.core.errors import UserError
from tsuite.domains.molecules.metrics.plain_pickle import read_object_array, read_pickle, read_torch


def pickled(value: Any) -> io.BytesIO:
    return io.BytesIO(pickle.dumps(value, protocol=2))


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, -70000, 2.5, None, True, False], "b": (), "c": (1,), "d": (1, 2, 3, 4), "é": [[{}]]},
        [10**30, 300, "x" * 300, ["y"], ("a", "b"), ("a", "b", "c")],
        collections.Counter("banana"),
        collections.OrderedDict(a=1, b=2),
    ],
)
def test_plain_data(value: Any) -> None:
    assert read_pickle(pickled(value)) == value


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
        np.array([255, 128, 0], dtype=np.uint8),
        np.zeros((0, 3)),
    ],
)
def test_arrays(array: np.ndarray) -> None:
    found = read_pickle(pickled({"values": array}))["values"]
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype


def test_one_value_twice_is_one() -> None:
    inner = [1]
    first, second = read_pickle(pickled([inner, inner]))
    assert first == second == [1]


class Attack:
    """What a hostile file does: a call of any function there is, here one that leaves a trace."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> Any:
        return self.call, self.arguments


def test_nothing_is_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    attacks = [Attack(os.mkdir, str(trace)), Attack(eval, f"open({str(trace)!r}, 'w')"), Attack(Path, "x")]
    for attack in attacks:
        with pytest.raises(UserError, match="a call of"):
            read_pickle(pickled({"values": [attack]}))
    assert not trace.exists()
    pickle.loads(pickled(attacks[0]).getvalue())  # Python's own reader does it
    assert trace.exists()


@pytest.mark.parametrize("protocol", [0, 1, 4, 5])
def test_other_forms_are_refused(protocol: int) -> None:
    with pytest.raises(UserError, match="only plain data"):
        read_pickle(io.BytesIO(pickle.dumps({"a": np.zeros(2)}, protocol=protocol)))


@pytest.mark.parametrize("content", [b"", b"\x80\x02", b"\x80\x02}.", b"nonsense", b"\x80\x02cos\nmkdir\n."])
def test_broken_files(content: bytes) -> None:
    if content == b"\x80\x02}.":
        assert read_pickle(io.BytesIO(content)) == {}
        return
    with pytest.raises(UserError):
        read_pickle(io.BytesIO(content))


def test_every_cut_is_noticed() -> None:
    whole = pickled({"a": np.arange(3), "b": [1, 2]}).getvalue()
    for length in range(len(whole)):
        with pytest.raises(UserError):
            read_pickle(io.BytesIO(whole[:length]))


def test_an_object_of_numpy() -> None:
    """The form of MOSES' statistics: version 1.0, dtype object, no dimensions, a pickle of protocol 2."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
    value = np.array({"FCD": {"mu": np.ones(3)}}, dtype=object)
    file.write(pickled(value).getvalue())
    file.seek(0)
    found = read_object_array(file)
    assert list(found) == ["FCD"]
    np.testing.assert_array_equal(found["FCD"]["mu"], np.ones(3))


def test_a_numpy_file_of_numbers_is_none() -> None:
    file = io.BytesIO()
    np.save(file, np.ones(3))
    file.seek(0)
    with pytest.raises(UserError, match="no object"):
        read_object_array(file)


def test_tensors(tmp_path: Path) -> None:
    path = tmp_path / "old.pt"
    layer = torch.nn.Linear(3, 2)
    wide = torch.arange(12.0).reshape(3, 4)
    value = [("Linear", (layer.state_dict(), {"bias": True}, None)), wide[1:, ::2].T, torch.tensor(2.5)]
    torch.save(value, path, _use_new_zipfile_serialization=False)
    (kind, (state, options, _)), part, number = read_torch(path)
    assert (kind, options, number.shape, float(number)) == ("Linear", {"bias": True}, (), 2.5)
    assert list(state) == ["weight", "bias"]
    np.testing.assert_array_equal(state["weight"], layer.weight.detach().numpy())
    np.testing.assert_array_equal(part, [[4, 8], [6, 10]])


def test_torch_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "old.pt"
    torch.save({"a": torch.ones(5)}, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    with pytest.raises(UserError, match="an end before its last number"):
        read_torch(path)
    torch.save({"a": torch.ones(5)}, path)  # today's form is a zip
    with pytest.raises(UserError):
        read_torch(path)
    torch.save(torch.nn.ReLU(), path, _use_new_zipfile_serialization=False)
    with pytest.raises(UserError):
        read_torch(path)
