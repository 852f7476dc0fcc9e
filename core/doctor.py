"""What this machine can do, found out by doing it: version strings and architecture lists are not trusted."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from . import runtime

PACKAGES = ("tsuite", "torch", "numpy", "safetensors", "accelerate", "huggingface_hub", "torchvision", "kornia", "peft",
            "transformers", "datasets", "onnx", "onnxruntime")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was tried. ok None: not needed here, for the reason in `detail`."""

    name: str
    ok: bool | None
    detail: str
    milliseconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Examination:
    """The machine's facts and the checks that were run on `device`."""

    device: str
    facts: dict[str, Any]
    checks: tuple[Check, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing failed that the models need."""
        return all(check.ok is not False for check in self.checks if not check.name.startswith("half"))

    def to_json(self) -> dict[str, Any]:
        checks = [{"name": c.name, "ok": c.ok, "detail": c.detail, "milliseconds": c.milliseconds} for c in self.checks]
        return {"command": "doctor", "device": self.device, "healthy": self.healthy, **self.facts, "checks": checks}

    def table(self) -> Any:
        """For the terminal."""
        from rich.table import Table

        table = Table(show_header=False, box=None, pad_edge=False)
        for column in (4, None, None):
            table.add_column(width=column, overflow="fold")
        for name, value in self.facts.items():
            words = ", ".join(f"{key} {item}" for key, item in value.items()) if isinstance(value, dict) else value
            table.add_row("", name.replace("_", " "), str(words))
        marks = {True: "[green]ok[/]", False: "[red]no[/]", None: "[dim]--[/]"}
        for check in self.checks:
            took = "" if check.milliseconds is None else f"  ({check.milliseconds:.1f} ms)"
            table.add_row(marks[check.ok], check.name, check.detail + took)
        return table


def examine(device: str = "auto") -> Examination:
    """Look at the machine and run one kernel of each kind that the models need, on `device`."""
    import psutil
    import torch

    from .sources import cache_folder

    chosen = runtime.pick_device(device)
    memory = psutil.virtual_memory()
    threads = runtime.set_threads(None, None)
    facts = {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}, Python {platform.python_version()}",
        "processor": f"{runtime.cpu_name()}, {runtime.available_cores()} cores, {threads} threads are fastest now",
        "memory_gb": {"total": round(memory.total / 1e9, 1), "available": round(memory.available / 1e9, 1)},
        "gpu": _gpu(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }
    checks = [
        _try("matrix product, float32", lambda: _product(chosen, torch.float32, 1e-3)),
        _try("attention, fused against written out", lambda: _attention(chosen)),
        _try("half precision bfloat16: matrix product", lambda: _product(chosen, torch.bfloat16, 0.2)),
        _try("half precision float16: matrix product", lambda: _product(chosen, torch.float16, 0.05)),
        _try("gradient of a Transformer layer", lambda: _gradient(chosen)),
        _try("cache folder can be written", lambda: _writable(cache_folder())),
    ]
    if chosen.type == "cpu" and torch.version.cuda:
        built = f"this torch is built for CUDA {torch.version.cuda}, and no GPU runs a kernel here: the CPU is used"
        checks.append(Check(name="GPU", ok=None, detail=built))
    return Examination(device=str(chosen), facts=facts, checks=tuple(checks))


def _try(name: str, work: Callable[[], str]) -> Check:
    """Run `work`, which tells what it found; whatever it raises becomes a failed check."""
    start = time.perf_counter()
    try:
        detail, ok = work(), True
    except Exception as error:  # a missing kernel shows itself in many ways
        detail, ok = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}", False
    return Check(name=name, ok=ok, detail=detail, milliseconds=round(1e3 * (time.perf_counter() - start), 2))


def _product(device: Any, dtype: Any, tolerance: float) -> str:
    import torch

    left, right = torch.randn(256, 256, generator=torch.Generator().manual_seed(0)), torch.eye(256) * 2
    found = (left.to(device, dtype) @ right.to(device, dtype)).float().cpu()
    difference = float((found - left * 2).abs().max())
    if not difference < tolerance:
        raise ArithmeticError(f"the product is off by {difference:.3g}")
    return f"off by at most {difference:.1e}"


def _attention(device: Any) -> str:
    import torch

    from .attention import attend, attend_reference

    query, key, value = (torch.randn(1, 4, 64, 32, device=device) for _ in range(3))
    difference = float(
        (attend(query, key, value, causal=True) - attend_reference(query, key, value, causal=True)[0]).abs().max()
    )
    if not difference < 1e-3:
        raise ArithmeticError(f"the fused kernel is off by {difference:.3g}")
    return f"differ by {difference:.1e}"


def _gradient(device: Any) -> str:
    import torch

    from .encoder import Encoder

    encoder = Encoder(dim=64, depth=1, heads=2).to(device)
    encoder(torch.randn(2, 16, 64, device=device)).square().mean().backward()
    norm = sum(float(value.grad.norm()) for value in encoder.parameters() if value.grad is not None)
    if not 0 < norm < float("inf"):
        raise ArithmeticError(f"the gradient's norm is {norm}")
    return f"norm {norm:.3g}"


def _writable(folder: Any) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder} cannot be written; set TSUITE_CACHE to another folder")
    return f"{folder}, {shutil.disk_usage(folder).free / 1e9:.1f} GB free"


def _gpu() -> str:
    import torch

    if not torch.cuda.is_available():
        return "none"
    capability = ".".join(map(str, torch.cuda.get_device_capability()))
    return (
        f"{torch.cuda.get_device_name()}, compute capability {capability}, torch built for {torch.cuda.get_arch_list()}"
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
