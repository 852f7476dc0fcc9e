"""One function of tensors, as a file that another runtime reads.

A `Graph` names a method of a module of the task. It is written as ONNX or as torch's exported program; an engine later
takes the method's place.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError, missing_extra
from .quiet import quietly

OPSET = 20
"""Of ONNX, where nobody asks for another: what the runtimes of 2024 and later know."""
OPSETS = range(18, 24)
"""Those that torch's exporter writes."""
LOGGERS = ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")
"""Where torch's exporters talk."""
WHOLE = "whole"
"""The kind of a graph that no engine puts in place: for other programs, which have the graphs alone."""


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A function of tensors.

    name: of its file. owner, method: whose place it takes, an attribute path from the task and a method of the module
    there. module: whose forward is the function. inputs: examples, by name in the order of the arguments; free: of each
    the axes whose size is not fixed. outputs: names, in order. kind: how an engine puts it in place. about: what each
    input and output means, for people who have nothing but the file.
    """

    name: str
    owner: str
    method: str
    module: nn.Module
    inputs: Mapping[str, Tensor]
    outputs: tuple[str, ...]
    free: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    kind: str = "method"
    about: Mapping[str, str] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """What an engine has to know of it, as plain data."""
        inputs = [
            {"name": name, "dtype": str(value.dtype).removeprefix("torch."),
             "shape": [None if axis in self.free.get(name, ()) else size for axis, size in enumerate(value.shape)]}
            for name, value in self.inputs.items()
        ]  # fmt: skip
        return {"name": self.name, "owner": self.owner, "method": self.method, "kind": self.kind,
                "inputs": inputs, "outputs": list(self.outputs), "about": dict(self.about)}  # fmt: skip


class Method(nn.Module):
    """A method of a module as the forward pass of another."""

    def __init__(self, owner: nn.Module, method: str) -> None:
        super().__init__()
        self.owner, self.method = owner, method

    def forward(self, *tensors: Tensor) -> Any:
        return getattr(self.owner, self.method)(*tensors)


class OfBatch(nn.Module):
    """`network(batch)` as a function of some tensors of the batch (`names`); the others stay what they are in `batch`.
    What it gives in place of tensors (None) is left out."""

    def __init__(self, network: nn.Module, batch: Any, names: Sequence[str]) -> None:
        super().__init__()
        self.network, self.batch, self.names = network, batch, tuple(names)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        found = self.network(dataclasses.replace(self.batch, **dict(zip(self.names, tensors, strict=True))))
        return tuple(one for one in found if one is not None)


@torch.no_grad()
def write_onnx(graph: Graph, path: Path, *, opset: int = OPSET) -> None:
    """The graph as ONNX. UserError for an operator that ONNX does not have, named, and for a missing exporter."""
    if opset not in OPSETS:
        raise UserError(
            f"--opset goes from {OPSETS[0]} to {OPSETS[-1]}, not {opset}.", "The default suits most runtimes."
        )
    try:
        import onnxscript  # noqa: F401
    except ModuleNotFoundError:
        raise missing_extra("onnxscript", "export") from None
    from .spelling import apart, translations

    own: dict[str, Any] = {}
    if "custom_translation_table" in inspect.signature(torch.onnx.export).parameters:
        own["custom_translation_table"] = translations(opset)
    with quietly(*LOGGERS), _said(graph), apart(graph.module):
        torch.onnx.export(
            graph.module.eval(), tuple(graph.inputs.values()), str(path), input_names=list(graph.inputs),
            output_names=list(graph.outputs), dynamic_shapes=_shapes(graph),
            opset_version=opset, dynamo=True, external_data=False, verbose=False, **own,
        )  # fmt: skip


@torch.no_grad()
def write_torch(graph: Graph, path: Path) -> None:
    """The graph as torch's exported program (`torch.export.load` reads it)."""
    with quietly(*LOGGERS), _said(graph):
        program = torch.export.export(
            graph.module.eval(), tuple(graph.inputs.values()), dynamic_shapes=_shapes(graph), strict=False
        )
        torch.export.save(program, str(path))


def _shapes(graph: Graph) -> tuple[Any, ...]:
    """The free axes of each argument; those that the forward pass takes as `*more` together."""
    free = [dict.fromkeys(graph.free.get(name, ()), torch.export.Dim.AUTO) for name in graph.inputs]
    kinds = [argument.kind for argument in inspect.signature(graph.module.forward).parameters.values()]
    named = kinds.index(inspect.Parameter.VAR_POSITIONAL) if inspect.Parameter.VAR_POSITIONAL in kinds else len(free)
    return (*free[:named], *([tuple(free[named:])] if free[named:] else []))


@contextmanager
def _said(graph: Graph) -> Iterator[None]:
    """The exporter's errors as a sentence with what to try."""
    try:
        yield
    except (UserError, OSError):  # the disk's fault is told by who writes the folder
        raise
    except Exception as error:  # the exporter has many, and none of its own
        deepest: BaseException = error
        while deepest.__cause__ is not None:
            deepest = deepest.__cause__
        reason = next((line.strip() for line in str(deepest).splitlines() if line.strip()), "")
        raise UserError(
            f"{graph.name} ({graph.owner}.{graph.method}) cannot be exported: {type(deepest).__name__}: {reason[:300]}",
            _to_try(),
        ) from error


def _to_try() -> str:
    """What to do about a model that cannot be exported. torch 2.5, as JetPack 6 has it, was tried and exports few."""
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 8):
        return (
            f"torch {torch.__version__} is old for this: export on any machine with torch 2.8 or later and copy the "
            "folder; to run it, this torch is enough."
        )
    return "Try another --opset, --format torch, or report it with the model's name; --debug shows the whole error."


def differences(graph: Graph, run: Callable[[Mapping[str, Tensor]], tuple[Tensor, ...]]) -> dict[str, float]:
    """How far `run` (an engine) is from the module, by output: the largest difference on the example inputs."""
    with torch.no_grad():
        own = graph.module.eval()(*graph.inputs.values())
    own = (own,) if isinstance(own, Tensor) else tuple(own)
    found = run(graph.inputs)
    return {
        name: float((one.float() - other.float()).abs().max())
        for name, one, other in zip(graph.outputs, own, found, strict=True)
    }
