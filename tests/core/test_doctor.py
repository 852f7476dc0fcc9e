"""The examination of the machine: real work, and what it says when that fails."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from rich.console import Console
from tsuite.core import attention, doctor
from tsuite.core.doctor import kernels
from tsuite.core.errors import UserError


def test_a_healthy_machine(tmp_cache: Path) -> None:
    found = doctor.examine("cpu")
    assert found.healthy
    assert {check.name.split(",")[0] for check in found.checks} >= {"matrix product", "attention"}
    value = found.to_json()
    assert torch.__version__.startswith(value["packages"]["torch"])
    assert value["memory_gb"]["total"] > 0.5
    assert set(value) == {
        "command", "device", "healthy", "system", "processor", "memory_gb", "gpu", "packages", "checks",
    }  # fmt: skip
    assert all(set(check) == {"name", "ok", "detail", "milliseconds"} for check in value["checks"])
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(found.table())
    text = console.export_text()
    assert "memory gb" in text
    assert "in short" not in text
    assert tmp_cache.is_dir()


def test_a_wrong_kernel_is_found(tmp_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = attention.attend
    monkeypatch.setattr(attention, "attend", lambda *values, **options: right(*values, **options) + 0.1)
    found = doctor.examine("cpu")
    failed = [check for check in found.checks if check.ok is False]
    assert [check.name for check in failed] == ["attention, fused against written out"]
    assert "off by 0.1" in failed[0].detail
    assert not found.healthy


def test_half_precision_may_be_missing(tmp_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = kernels.product

    def without(device: torch.device, dtype: torch.dtype, tolerance: float) -> str:
        if dtype == torch.float16:
            raise RuntimeError('"addmm" not implemented for [Half]')
        return right(device, dtype, tolerance)

    monkeypatch.setattr(kernels, "product", without)
    found = doctor.examine("cpu")
    assert found.healthy
    assert [check.detail for check in found.checks if check.ok is False] == [
        'RuntimeError: "addmm" not implemented for [Half]'
    ]


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TSUITE_CACHE", str(tmp_path / "file" / "cache"))
    found = doctor.examine("cpu")
    assert [check.name for check in found.checks if check.ok is False] == ["cache folder can be written"]


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(UserError, match="no device"):
        doctor.examine("gpu")


def test_a_torch_of_another_numpy_is_found(tmp_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(array: object) -> None:
        raise RuntimeError("Numpy is not available")

    monkeypatch.setattr(torch, "from_numpy", refuses)
    found = doctor.examine("cpu")
    failed = [check for check in found.checks if check.failed]
    assert [check.detail for check in failed] == ["RuntimeError: Numpy is not available"]
    assert "numpy<2" in failed[0].to_json()["hint"]
