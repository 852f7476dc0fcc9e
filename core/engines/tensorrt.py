"""TensorRT, by ONNX Runtime's provider for it: engines are built once for this GPU and version, and kept.

The cache's folder names what an engine is good for: the graphs, the GPU's architecture and TensorRT's version. One that
was built for another GPU is therefore never loaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..options import NONE
from ..sources import cache_folder
from . import onnxruntime


def need() -> None:
    """UserError where TensorRT is missing."""
    import torch

    try:
        import onnxruntime as package

        there = onnxruntime.PROVIDERS["tensorrt"] in package.get_available_providers()
    except ModuleNotFoundError:
        there = False
    if not (there and torch.cuda.is_available()):
        raise UserError(
            "TensorRT is not here: it needs an NVIDIA GPU, JetPack's TensorRT and an onnxruntime built for it.",
            "Leave out --engine tensorrt, and see: tsuite doctor",
        )


def start(
    folder: Path, facts: Mapping[str, Any], *, device: str, threads: int
) -> tuple[dict[str, Callable[..., Any]], list[str]]:
    """As `onnxruntime.start`. UserError where TensorRT is missing."""
    need()
    place = built_for(folder, facts)
    place.mkdir(parents=True, exist_ok=True)
    return onnxruntime.start(
        folder, facts, device="cuda", threads=threads, wanted=("tensorrt",),
        settings={"tensorrt": {"trt_engine_cache_enable": True, "trt_engine_cache_path": str(place),
                               "trt_timing_cache_enable": True, "trt_fp16_enable": facts["quantize"] == NONE}},
    )  # fmt: skip


def built_for(folder: Path, facts: Mapping[str, Any]) -> Path:
    """Where the engines of these graphs for this GPU are kept."""
    from ..checkpoint import digest

    graphs = "".join(digest(folder / f"{one['name']}.onnx") for one in facts["graphs"])
    return _cache() / f"{hashlib.sha256(graphs.encode()).hexdigest()[:16]}{_suits()}"


def kept() -> tuple[int, int]:
    """For how many exported models engines are kept that suit this GPU and version, and how many that do not."""
    names = [path.name for path in _cache().glob("*-sm*") if path.is_dir()]
    ours = sum(name.endswith(_suits()) for name in names)
    return ours, len(names) - ours


def _cache() -> Path:
    return cache_folder() / "tensorrt"


def _suits() -> str:
    """How the name of a folder ends whose engines suit this GPU and version."""
    import torch

    return f"-sm{''.join(map(str, torch.cuda.get_device_capability()))}-{_version()}"


def _version() -> str:
    try:
        return version("tensorrt")
    except PackageNotFoundError:
        return "unknown"
