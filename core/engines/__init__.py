"""What runs an exported model in place of torch's eager mode."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UserError, near
from ..export.folder import attach, exported
from ..task import Task

ENGINES = ("auto", "torch", "onnxruntime", "tensorrt")


def check(engine: str, checkpoint: str | None) -> Mapping[str, Any] | None:
    """What is exported at `checkpoint`, None for one that torch runs. UserError where the engine does not suit it."""
    if engine not in ENGINES:
        raise UserError(f"There is no engine {engine!r}.", near(engine, ENGINES))
    found = exported(checkpoint)
    if found is None:
        if engine in ("onnxruntime", "tensorrt"):
            raise UserError(
                f"--engine {engine} runs exported models, and {checkpoint or 'the default checkpoint'} is none.",
                "First: tsuite export NAME --output exported/   then: --checkpoint exported/",
            )
        return None
    if found["format"] != "onnx":
        raise UserError(f"{checkpoint} holds torch's exported programs, for torch.export.load.", "Try --format onnx.")
    if engine == "torch":
        raise UserError(f"{checkpoint} holds graphs, not weights that torch could run.", "Leave out --engine torch.")
    return found


def use(task: Task, folder: str, facts: Mapping[str, Any], engine: str, *, device: str, threads: int) -> list[str]:
    """Give a task that was loaded from an exported folder its graphs; gives what to be aware of."""
    from . import onnxruntime, tensorrt

    start = tensorrt.start if engine == "tensorrt" else onnxruntime.start
    runs, told = start(Path(folder).expanduser(), facts, device=device, threads=threads)
    attach(task, facts, runs)
    return told
