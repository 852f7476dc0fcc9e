"""What runs exported models here: ONNX Runtime by starting it, and what `--engine tensorrt` would find."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..jetson.packages import cautions, source
from ..jetson.system import System
from . import session
from .check import Check, notice

LIMIT = 120.0
"""Seconds that starting may take: TensorRT builds an engine first."""
_, CUDA, TENSORRT = session.TRIED


@dataclass(frozen=True, kw_only=True)
class Started:
    """How ONNX Runtime started. wrong: of each provider that was tried what went wrong ("": nothing). failure: why it
    did not start at all; "" where it did. installed: whether there is one."""

    installed: bool = True
    failure: str = ""
    version: str = ""
    providers: tuple[str, ...] = ()
    wrong: dict[str, str] = field(default_factory=dict)

    def runs(self, provider: str) -> bool:
        return self.wrong.get(provider) == ""


def start(python: str = sys.executable, limit: float = LIMIT) -> Started:
    """Start it in a process of its own, for at most `limit` seconds: a wrong build may abort, or hang."""
    if importlib.util.find_spec("onnxruntime") is None:
        return Started(installed=False)
    command = [python, str(Path(session.__file__))]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False, errors="replace")
    except subprocess.TimeoutExpired:
        return Started(failure=f"it has not started after {limit:.0f} s")
    except OSError as error:
        return Started(failure=str(error))
    try:
        told = json.loads(done.stdout.splitlines()[-1])
        return Started(version=told["version"], providers=tuple(told["providers"]), wrong=told["wrong"])
    except (ValueError, LookupError, TypeError):
        return Started(failure=_ending(done.returncode, done.stderr))


def _ending(code: int, said: str) -> str:
    """Why a program ended without its answer, by its exit code and its last line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if code < 0:
        return f"it ends the process that imports it ({signal.Signals(-code).name})"
    return (lines[-1] if lines else f"it ends with exit code {code}")[:300]


def onnxruntime(started: Started, system: System) -> Check:
    """Whether ONNX Runtime works, by which providers, and on a Jetson whether one of them is the GPU's."""
    name, hint = "ONNX Runtime", _source(system)
    if not started.installed:
        return notice(name, "not installed, and needed for exported models alone", ok=None)
    if started.failure:
        return Check(name=name, ok=False, detail=started.failure, level="optional", hint=hint)
    words = ", ".join(provider.removesuffix("ExecutionProvider") for provider in started.providers)
    detail = f"{started.version} starts; providers {words}"
    if broken := {provider: why for provider, why in started.wrong.items() if why}:
        detail += "; " + "; ".join(f"{provider}: {why}" for provider, why in broken.items())
        return Check(name=name, ok=False, detail=detail, level="optional", hint=hint)
    if system.is_jetson and not started.runs(CUDA):
        return notice(name, f"{detail}: exported models run on the CPU", ok=False, hint=hint)
    return Check(name=name, ok=True, detail=detail, level="optional")


def tensorrt(started: Started, system: System, gpu: bool) -> Check:
    """What `--engine tensorrt` would find. gpu: whether torch sees one."""
    name = "--engine tensorrt"
    lacks = [] if gpu else ["no GPU that torch sees"]
    if not started.installed:
        lacks.append("no onnxruntime")
    elif started.failure:
        lacks.append("an onnxruntime that does not start")
    elif TENSORRT not in started.providers:
        lacks.append("an onnxruntime without a provider for TensorRT")
    elif not started.runs(TENSORRT):
        lacks.append("a provider for TensorRT that does not run")
    if lacks:
        detail = f"would refuse, for here is {' and '.join(lacks)}"
        ok = False if system.is_jetson else None
        return notice(name, detail, ok=ok, hint=_source(system) if system.is_jetson else "")
    return notice(name, f"would run{_kept()}")


def _kept() -> str:
    """How many sets of engines are kept, and how many of them are of other GPUs or versions."""
    from ..engines import tensorrt

    ours, others = tensorrt.kept()
    more = f" ({others} of another GPU or version, which are left alone)" if others else ""
    return f"; engines are kept for {ours} exported model{'' if ours == 1 else 's'}{more}"


def checks(system: System, device: Any) -> tuple[Check, Check]:
    """Both. device: what is used, a torch.device."""
    started = start()
    return onnxruntime(started, system), tensorrt(started, system, gpu=device.type == "cuda")


def _source(system: System) -> str:
    """Where an onnxruntime for this machine comes from."""
    if not system.is_jetson:
        return "Take it anew from PyPI: pip install --force-reinstall onnxruntime (onnxruntime-gpu for an NVIDIA GPU)."
    part = "onnxruntime-gpu"
    return " ".join((source(system.release, part, board=system.board), *cautions(system.release, part)))
