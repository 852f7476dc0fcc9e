"""What runs an exported model in place of torch's eager mode."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UserError, near
from ..export.folder import attach, exported
from ..precision import narrow, narrowly
from ..quantize import NONE, check
from ..task import Task

GRAPHS = ("onnxruntime", "tensorrt")
"""Engines that run what was exported."""
ENGINES = ("auto", "torch", *GRAPHS)


def graphs_of(engine: str, checkpoint: str | None) -> Mapping[str, Any] | None:
    """What is exported at `checkpoint`, None for one that torch runs. UserError where the engine does not suit it."""
    if engine not in ENGINES:
        raise UserError(f"There is no engine {engine!r}.", near(engine, ENGINES))
    found = exported(checkpoint)
    if found is None:
        if engine in GRAPHS:
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


def load(
    kind: type[Task],
    checkpoint: str | None,
    *,
    settings: Mapping[str, Any] | None = None,
    engine: str = "auto",
    quantize: str = NONE,
    device: Any = "cpu",
    threads: int = 1,
) -> tuple[Task, list[str]]:
    """A task ready to predict, its network on the device or in the hands of an engine; and what to be aware of.

    quantize: `int8` or `int4` keeps the weights of linear layers narrow (`none`: leaves them as they are).
    """
    graphs = graphs_of(engine, checkpoint)
    check(quantize)
    if quantize != NONE and graphs is not None:
        said = "float32" if graphs["quantize"] == NONE else graphs["quantize"]
        raise UserError(
            f"--quantize {quantize} is for weights that torch runs; {checkpoint} holds graphs, in {said}.",
            f"Give what they were exported from, or: tsuite export NAME --quantize {quantize}",
        )
    if graphs is not None and settings:
        raise UserError(
            f"--set {next(iter(settings))} changes the network, and {checkpoint} holds graphs, which are as they are.",
            "Give what they were exported from.",
        )
    with narrowly(quantize):
        task = kind.load(checkpoint, settings=settings)
    narrow(task.network, quantize, device=str(device).partition(":")[0])
    told: list[str] = []
    if graphs is None:
        task.network.to(device)
    else:
        told = use(task, str(checkpoint), graphs, engine, device=str(device), threads=threads)
    task.network.eval()
    return task, told


def need_weights(checkpoint: str | None) -> None:
    """UserError where `checkpoint` is an exported model, which nothing can be learnt or exported from."""
    if exported(checkpoint) is not None:
        raise UserError(f"{checkpoint} is an exported model: graphs, not weights.", "Give what it was exported from.")


def need(engine: str) -> None:
    """UserError where what the engine needs is not on this machine."""
    if engine == "tensorrt":
        from . import tensorrt

        tensorrt.need()
    elif engine == "onnxruntime":
        from . import onnxruntime

        onnxruntime.need()


def use(task: Task, folder: str, facts: Mapping[str, Any], engine: str, *, device: str, threads: int) -> list[str]:
    """Give a task that was loaded from an exported folder its graphs; gives what to be aware of."""
    from . import onnxruntime, tensorrt

    start = tensorrt.start if engine == "tensorrt" else onnxruntime.start
    runs, told = start(Path(folder).expanduser(), facts, device=device, threads=threads)
    attach(task, facts, runs)
    return told
