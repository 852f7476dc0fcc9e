"""The examination of a machine: its facts, what was tried on it, and how that reads."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .. import runtime
from ..jetson.system import look_at
from . import engines, kernels
from .check import Check, attempt

PACKAGES = ("tsuite", "torch", "numpy", "safetensors", "accelerate", "huggingface_hub", "torchvision", "kornia", "peft",
            "transformers", "datasets", "onnx", "onnxruntime")  # fmt: skip

NUMPY = "This torch was built against another numpy: pip install 'numpy<2' (or '>=2' where it asks for that)."


@dataclass(frozen=True, kw_only=True)
class Examination:
    """The machine's facts and the checks that were run on `device`. rows: the facts of a Jetson, as a person reads
    them; empty elsewhere."""

    device: str
    facts: dict[str, Any]
    checks: tuple[Check, ...]
    rows: tuple[tuple[str, str], ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether nothing failed that the models need."""
        return not any(check.failed for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        checks = [check.to_json() for check in self.checks]
        return {"command": "doctor", "device": self.device, "healthy": self.healthy, **self.facts, "checks": checks}

    def table(self) -> Any:
        """For the terminal."""
        from rich.markup import escape
        from rich.table import Table

        table = Table(show_header=False, box=None, pad_edge=False)
        for column in (4, None, None):
            table.add_column(width=column, overflow="fold")
        said = {"jetson", "memory_gb"} if self.rows else set()  # the rows and checks of a Jetson say it better
        for name, value in (*self.rows, *((name, value) for name, value in self.facts.items() if name not in said)):
            words = ", ".join(f"{key} {item}" for key, item in value.items()) if isinstance(value, dict) else value
            table.add_row("", name.replace("_", " "), escape(str(words)))
        group, hints = "", {""}
        for check in self.checks:
            if check.group != group:
                group = check.group
                table.add_row("")
                table.add_row("", f"[bold]{group}[/]")
            took = "" if check.milliseconds is None else f"  ({check.milliseconds:.1f} ms)"
            table.add_row(check.mark, check.name, escape(check.detail) + took)
            if check.hint:
                words = "as above" if check.hint in hints else escape(check.hint)
                table.add_row("", "", f"[cyan]→[/] {words}")
            hints.add(check.hint)
        if self.rows:
            table.add_row("")
            table.add_row("", "[bold]in short[/]", self._in_short())
        return table

    def _in_short(self) -> str:
        failed = [check.name for check in self.checks if check.failed]
        better = [check.name for check in self.checks if check.ok is False and not check.failed]
        parts = [f"[red]fails: {', '.join(failed)}[/]" if failed else "[green]everything needed works[/]"]
        return "; ".join([*parts, *([f"could be better: {', '.join(better)}"] if better else [])])


def examine(device: str = "auto", root: Path = Path("/")) -> Examination:
    """Look at the machine and run one kernel of each kind that the models need, on `device`.

    root: where /proc, /sys and /etc are looked for, which say whether this is a Jetson; a Jetson is looked at further.
    Raises UserError for a device that is not there.
    """
    import torch

    chosen = runtime.pick_device(device)
    facts = _facts()
    system = look_at(root)
    if system.is_jetson:
        from . import board

        return board.examine(system, root=root, device=device, chosen=chosen, facts=facts)
    half = "half precision"
    checks = [
        attempt("matrix product, float32", lambda: kernels.product(chosen, torch.float32, 1e-3)),
        attempt("arrays of numpy", kernels.arrays, hint=NUMPY),
        attempt("attention, fused against written out", lambda: kernels.attention(chosen)),
        attempt(
            f"{half} bfloat16: matrix product",
            lambda: kernels.product(chosen, torch.bfloat16, 0.2),
            level="optional",
        ),
        attempt(
            f"{half} float16: matrix product", lambda: kernels.product(chosen, torch.float16, 0.05), level="optional"
        ),
        attempt("gradient of a Transformer layer", lambda: kernels.gradient(chosen)),
        *engines.checks(system, chosen),
        cache(),
    ]
    if chosen.type == "cpu" and torch.version.cuda:
        built = f"this torch is built for CUDA {torch.version.cuda}, and no GPU runs a kernel here: the CPU is used"
        checks.append(Check(name="GPU", ok=None, detail=built))
    return Examination(device=str(chosen), facts=facts, checks=tuple(checks))


def cache() -> Check:
    """Whether what is fetched can be kept."""
    from ..sources import cache_folder

    return attempt("cache folder can be written", lambda: kernels.writable(cache_folder()))


def versions(names: tuple[str, ...]) -> dict[str, str]:
    """Of those packages that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _facts() -> dict[str, Any]:
    import psutil

    memory = psutil.virtual_memory()
    threads = runtime.set_threads(None, None)
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}, Python {platform.python_version()}",
        "processor": f"{runtime.cpu_name()}, {runtime.available_cores()} cores, {threads} threads are fastest now",
        "memory_gb": {"total": round(memory.total / 1e9, 1), "available": round(memory.available / 1e9, 1)},
        "gpu": _gpu(),
        "packages": versions(PACKAGES),
    }


def _gpu() -> str:
    import torch

    if not torch.cuda.is_available():
        return "none"
    capability = ".".join(map(str, torch.cuda.get_device_capability()))
    return (
        f"{torch.cuda.get_device_name()}, compute capability {capability}, torch built for {torch.cuda.get_arch_list()}"
    )
