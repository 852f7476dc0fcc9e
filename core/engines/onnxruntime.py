"""ONNX Runtime: graphs on the CPU, or on a GPU where its build for one is installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError, missing_extra

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
SLOW = ("SkipLayerNormFusion",)
"""Optimisations of graphs that make a CPU slower: a sum and its norm as one operator take ten times as long as the norm
by itself (onnxruntime 1.32)."""


def need() -> Any:
    """The package. UserError where it is missing."""
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise missing_extra("onnxruntime", "export") from None
    return onnxruntime


def start(
    folder: Path,
    facts: Mapping[str, Any],
    *,
    device: str,
    threads: int,
    wanted: Sequence[str] = (),
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[dict[str, Callable[..., Any]], list[str]]:
    """Each graph of the folder as a function of tensors, by name; and what to be aware of.

    device: `cpu` or `cuda`; wanted: kinds of provider before these; settings: of a provider, by its kind. UserError
    where onnxruntime is missing or refuses.
    """
    onnxruntime = need()
    there = onnxruntime.get_available_providers()
    kinds = [*wanted, *(["cuda"] if device.startswith("cuda") else []), "cpu"]
    providers = [(PROVIDERS[kind], dict((settings or {}).get(kind, {}))) for kind in kinds if PROVIDERS[kind] in there]
    told = []
    if device.startswith("cuda") and PROVIDERS["cuda"] not in there:
        told.append("This onnxruntime has no CUDA provider: the CPU runs the graphs. See: tsuite doctor")
    if providers == [(PROVIDERS["cpu"], {})]:
        torch.set_num_threads(1)  # its own threads, which wait for work in a loop, would take the cores from the graphs
    runs = {}
    for one in facts["graphs"]:
        path = folder / f"{one['name']}.onnx"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        # Threads wait for work in a loop while their graph runs, and not on: they would take the cores from the next.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        try:
            session = onnxruntime.InferenceSession(
                str(path), options, providers=providers, disabled_optimizers=list(SLOW) if len(providers) == 1 else None
            )
        except Exception as error:  # onnxruntime's own errors have no common type
            reason = str(error).splitlines()[0][:300]
            raise UserError(
                f"onnxruntime cannot load {path}: {reason}", "Export it again, with another --opset."
            ) from error
        runs[one["name"]] = runner(session, one)
    return runs, told


def runner(session: Any, facts: Mapping[str, Any]) -> Callable[..., Any]:
    """A session as a function of tensors in the graph's order: a tensor, or a tuple of several."""
    names, kinds = [one["name"] for one in facts["inputs"]], [one["dtype"] for one in facts["inputs"]]
    taken = {one.name for one in session.get_inputs()}

    def run(*tensors: Tensor) -> Any:
        device = tensors[0].device
        given = {
            name: tensor.to("cpu", getattr(torch, kind)).contiguous().numpy()
            for name, kind, tensor in zip(names, kinds, tensors, strict=True)
            if name in taken  # what the graph does not need is left out of it
        }
        found = tuple(torch.from_numpy(value).to(device) for value in session.run(facts["outputs"], given))
        return found[0] if len(found) == 1 else found

    return run
