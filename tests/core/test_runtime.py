"""Device, threads and memory of this machine."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
import torch
from tsuite.core import runtime
from tsuite.core.errors import UserError


@pytest.fixture(autouse=True)
def threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_devices() -> None:
    assert runtime.pick_device("cpu") == torch.device("cpu")
    assert runtime.pick_device("auto").type in ("cpu", "cuda")
    with pytest.raises(UserError, match=r"no device 'cpuu'.*Did you mean.*cpu"):
        runtime.pick_device("cpuu")
    with pytest.raises(UserError, match="No kernel runs on the device 'cuda:99'"):
        runtime.pick_device("cuda:99")
    with pytest.raises(UserError, match="No kernel runs on the device 'meta'"):
        runtime.pick_device("meta")


def test_threads_as_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert runtime.set_threads(2, tmp_path) == 2 == torch.get_num_threads()
    with pytest.raises(UserError, match="--threads must be at least 1, not 0"):
        runtime.set_threads(0)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert runtime.set_threads(None, tmp_path) == torch.get_num_threads()
    assert not list(tmp_path.iterdir())


def test_measured_threads_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(runtime, "available_cores", lambda: 2)
    start = time.monotonic()
    chosen = runtime.set_threads(None, tmp_path / "cache")
    assert time.monotonic() - start < 3
    assert chosen in (1, 2)
    kept = json.loads((tmp_path / "cache" / "threads.json").read_text())
    assert kept["threads"] == chosen
    monkeypatch.setattr(runtime, "calibrate_threads", lambda cache: pytest.fail("measured again"))
    kept["key"] = runtime._thread_key()
    (tmp_path / "cache" / "threads.json").write_text(json.dumps(kept))
    assert runtime.set_threads(None, tmp_path / "cache") == chosen


@pytest.mark.parametrize("change", [{"time": 0}, {"key": {}}, {"threads": None}, None])
def test_what_was_remembered_wrongly_is_measured_again(
    change: dict[str, object] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    kept = {"key": runtime._thread_key(), "time": time.time(), "threads": 7} | (change or {})
    (tmp_path / "threads.json").write_text("{" if change is None else json.dumps(kept))
    monkeypatch.setattr(runtime, "calibrate_threads", lambda cache: 1)
    assert runtime.set_threads(None, tmp_path) == 1


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(runtime, "available_cores", lambda: 2)
    assert runtime.set_threads(None, tmp_path / "file" / "cache") in (1, 2)


def test_one_core_needs_no_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "available_cores", lambda: 1)
    assert runtime.calibrate_threads() == 1


def test_two_threads_must_gain_a_tenth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "available_cores", lambda: 2)
    for second, best in ((0.95, 1), (0.5, 2), (15.0, 1)):
        seconds = iter([1.0, second])
        monkeypatch.setattr(runtime, "_best_time", lambda *_, seconds=seconds: next(seconds))
        assert runtime.calibrate_threads() == best


def test_facts() -> None:
    assert 1 <= runtime.available_cores() <= (os.cpu_count() or 1)
    assert 20 < runtime.peak_memory_mb() < 100_000
    assert 0 < runtime.seconds_since_start() < 100_000
    assert runtime.cpu_name()
