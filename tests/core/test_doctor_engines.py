"""ONNX Runtime is really started: by the one that is here, and by broken ones that end, hang or talk nonsense."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tsuite.core.doctor import engines, session
from tsuite.core.doctor.engines import Started
from tsuite.core.jetson.system import System, look_at

from . import trees

GOOD = Started(version="1.23.2", providers=("CPUExecutionProvider",), wrong={"CPUExecutionProvider": ""})


@pytest.fixture
def board(tmp_path: Path) -> System:
    return look_at(trees.tree(tmp_path, "6.2", "nano"))


def program(folder: Path, text: str) -> str:
    """A Python that does `text` (of sh) instead of starting anything."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def test_the_one_that_is_here_starts() -> None:
    pytest.importorskip("onnxruntime")
    found = engines.start()
    assert found.failure == ""
    assert found.runs("CPUExecutionProvider")
    check = engines.onnxruntime(found, System())
    assert check.ok
    assert "starts; providers" in check.detail


def test_the_graph_is_one_that_onnx_knows() -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(session.graph())
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["MatMul", "Relu", "Add"]


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("kill -ABRT $$", "it ends the process that imports it (SIGABRT)"),
        ("echo 'ImportError: libcudart.so.12: no such file' >&2; exit 1", "ImportError: libcudart.so.12: no such file"),
        ("exit 3", "it ends with exit code 3"),
        ("echo '[1, 2]'", "it ends with exit code 0"),
        ("exec sleep 9", "it has not started after 0 s"),
    ],
)
def test_a_broken_one_is_reported_with_where_to_take_it_from(tmp_path, board: System, does: str, said: str) -> None:
    pytest.importorskip("onnxruntime")
    found = engines.start(program(tmp_path, does), limit=0.3)
    assert found.failure == said
    check = engines.onnxruntime(found, board)
    assert (check.ok, check.level, check.detail) == (False, "optional", said)
    assert check.hint.startswith("Take onnxruntime-gpu from the jetson-ai-lab package index, jp6/cu126")
    assert "from PyPI" in engines.onnxruntime(found, System()).hint
    assert "does not start" in engines.tensorrt(found, board, gpu=True).detail


def test_a_module_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('built for another Python')\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert engines.start(sys.executable).failure == "ImportError: built for another Python"


def test_on_a_board_one_for_the_cpu_alone_could_be_better(board: System) -> None:
    check = engines.onnxruntime(GOOD, board)
    assert (check.ok, check.failed) == (False, False)
    assert "run on the CPU" in check.detail
    assert "jp6/cu126" in check.hint
    both = {"CPUExecutionProvider": "", "CUDAExecutionProvider": ""}
    assert engines.onnxruntime(Started(version="1", providers=tuple(both), wrong=both), board).ok
    both["CUDAExecutionProvider"] = "it does not start: its libraries are missing"
    half = engines.onnxruntime(Started(version="1", providers=tuple(both), wrong=both), board)
    assert half.ok is False
    assert "CUDAExecutionProvider: it does not start" in half.detail


def test_what_the_engine_for_tensorrt_would_find(board: System, monkeypatch, tmp_cache: Path) -> None:
    import torch

    assert engines.tensorrt(Started(installed=False), System(), gpu=False).ok is None
    found = engines.tensorrt(GOOD, board, gpu=False)
    assert found.ok is False
    assert found.detail == (
        "would refuse, for here is no GPU that torch sees and an onnxruntime without a provider for TensorRT"
    )
    providers = {"CPUExecutionProvider": "", "CUDAExecutionProvider": "", "TensorrtExecutionProvider": ""}
    full = Started(version="1.23.2", providers=tuple(providers), wrong=providers)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 7))
    for name in ("0a-sm87-unknown", "0b-sm87-10.3.0", "0c-sm110-unknown"):
        (tmp_cache / "tensorrt" / name).mkdir(parents=True)
    monkeypatch.setattr("tsuite.core.engines.tensorrt._version", lambda: "10.3.0")
    assert engines.tensorrt(full, board, gpu=True).detail == (
        "would run; engines are kept for 1 exported model (2 of another GPU or version, which are left alone)"
    )
    assert not engines.onnxruntime(Started(installed=False), board).failed
