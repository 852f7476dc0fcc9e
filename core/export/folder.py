"""The folder of an exported model: written by `export`, recognised and put to use by `engines`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .. import checkpoint, pretrained
from ..errors import UserError
from ..options import NONE
from ..task import Task
from . import graph as graphs

SMALL = 4096
"""Tensors of fewer numbers stay in the folder beside the graphs: statistics, scales, norms."""
FORMATS = {"onnx": ".onnx", "torch": ".pt2"}
READ = "torch.export.load(file).module(check_guards=False): its guards forbid sizes of 0 and 1, which are fine"


def write(task: Task, folder: Path, options: Any) -> list[str]:
    """Write the task into the empty `folder` as graphs in `options.format`; gives what to be aware of.

    Raises UserError where the model has none, or an operator that the format lacks.
    """
    made = list(task.graphs())
    if options.quantize != NONE and options.format != "onnx":
        raise UserError("Weights are narrowed for --format onnx.", "Or run it with: tsuite run NAME --quantize int8")
    need_room(folder, task.network, [one.module for one in made])
    task.save_plain(folder)
    _thin(folder / pretrained.WEIGHTS, keep=task.kept_beside_graphs)
    told: list[str] = []
    for one in made:
        path = folder / f"{one.name}{FORMATS[options.format]}"
        if options.format == "torch":
            graphs.write_torch(one, path)
            continue
        graphs.write_onnx(one, path, opset=options.opset)
        if options.quantize != NONE:
            from .narrow import narrow

            narrow(path, options.quantize, of=one.kind)
    facts = {
        "name": task.card.name, "format": options.format, "quantize": options.quantize, "opset": options.opset,
        "torch": torch.__version__,
        "graphs": [one.facts() for one in made if one.kind != graphs.WHOLE],
        "others": [one.facts() for one in made if one.kind == graphs.WHOLE],
        "use": {**task.use(), **({"read": READ} if options.format == "torch" else {})},
        "config": pretrained.read_config(folder), "parameters": task.origin.parameters,
    }  # fmt: skip
    (folder / checkpoint.MANIFEST).write_text(json.dumps({"exported": facts}), encoding="utf-8")
    return told


def need_room(folder: Path, network: nn.Module, graphs: Sequence[nn.Module]) -> None:
    """UserError where the disk has no room for the weights and for each graph's own copy of what it needs of them; the
    largest twice, which is narrowed into another file."""
    sizes = [sum(value.nbytes for value in one.state_dict().values()) for one in graphs]
    needed = sum(value.nbytes for value in network.state_dict().values()) + sum(sizes) + max(sizes, default=0)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"The export takes up to {needed / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free at {folder.parent}.",
            "Free some space, or give --output a folder on another disk.",
        )


def _thin(path: Path, *, keep: tuple[str, ...]) -> None:
    """Leave of the weights only what no graph holds: small tensors and those whose names begin with one of `keep`; of
    the others the shapes."""
    tensors = checkpoint.load_tensors(path)
    kept = {name: value for name, value in tensors.items() if value.numel() < SMALL or name.startswith(keep)}
    left = {name: list(value.shape) for name, value in tensors.items() if name not in kept}
    checkpoint.save_tensors(path, kept, {checkpoint.HOLLOW: json.dumps(left)})


def exported(folder: str | Path | None) -> dict[str, Any] | None:
    """What the manifest of an exported folder says; None for anything else."""
    path = Path(folder or "").expanduser() / checkpoint.MANIFEST
    if not folder or not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8")).get("exported")
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError):
        return None  # reading it as a checkpoint says what is wrong
    return found if isinstance(found, dict) else None


Run = Callable[..., Any]
"""A graph as a function of its tensors, in order."""


class _OfBatch:
    """A graph of tensors that lie in a batch."""

    def __init__(self, names: Sequence[str], run: Run) -> None:
        self.names, self.run = names, run

    def __call__(self, batch: Any) -> Any:
        return self.run(*(getattr(batch, name) for name in self.names))


class _Rows:
    """A graph of rows [1, N, C] for tensors with any axes before the last."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def __call__(self, x: Tensor) -> Tensor:
        return self.run(x.reshape(1, -1, x.shape[-1]))[0].unflatten(0, x.shape[:-1])


def attach(task: Task, facts: Mapping[str, Any], runs: Mapping[str, Run]) -> None:
    """Put the graphs in the places of the methods they stand for."""
    from .steps import Decoding, Stepping

    for one in facts["graphs"]:
        owner: Any = task
        for name in filter(None, one["owner"].split(".")):
            owner = getattr(owner, name)
        names = [item["name"] for item in one["inputs"]]
        kinds = {
            "method": lambda run: run,
            "batch": partial(_OfBatch, names),
            "rows": _Rows,
            "decoder": partial(Decoding, owner),
            "step": partial(Stepping, owner, given=task.step_extras),
        }
        setattr(owner, one["method"], kinds[one["kind"]](runs[one["name"]]))
    task.is_exported = True
    task.exported()
