"""The machines that work is planned for: how much memory programs can share there, and what a process takes before it
does anything."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Any

from ..jetson.boards import MIB, board
from ..jetson.system import look_at
from ..runtime import pick_device

HERE = "here"
CUDA = 700 * MIB
"""What a CUDA context and its libraries (cuBLAS, cuDNN, kernels) take of a board's memory once they are used: assumed.
Nobody's figures were at hand that tell it apart from the rest, and it differs between releases."""
HEAP = 0.5
"""What glibc's heap keeps beyond what lives, as a share of all but the weights, in a training on a CPU, which asks it
to give nothing back (`runtime.reuse_memory`): a freed block is a little too small for an aligned one of the same size.
Measured with ViTs of 22 and 86 million parameters and batches of 8 to 32, where it lay between 0.43 and 0.6
(benchmarks/plan_memory.py). CUDA's allocator is another."""
SHARE, LEAST = 0.05, 256 * MIB
"""Headroom: this share of what is usable, and at least so much; for blocks that the allocator cannot use again, and for
what else runs."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where work is to be done. memory, usable, runtime and headroom in bytes; device: the type of torch device.

    runtime: Python and torch with what a command imports, as this process holds it, and on a board CUDA's part;
    heap: see `HEAP`; assumed: sentences on what was not measured."""

    name: str
    label: str
    memory: int
    usable: int
    device: str
    runtime: int
    heap: float = 0.0
    assumed: tuple[str, ...] = ()

    @property
    def headroom(self) -> int:
        return max(LEAST, round(SHARE * self.usable))

    @property
    def room(self) -> int:
        """Bytes for the work itself."""
        return self.usable - self.headroom - self.runtime

    def to_json(self) -> dict[str, Any]:
        names = ("name", "label", "memory", "usable", "device")
        return {name: getattr(self, name) for name in names} | {"assumed": list(self.assumed)}


def machine_called(name: str) -> Machine:
    """The board called `name`, or for "" and "here" this machine. Ask once all is imported that the work will import.

    Raises UserError for an unknown name: all boards are listed.
    """
    import psutil

    resident = psutil.Process().memory_info().rss
    if name not in ("", HERE):
        found = board(name)
        assumed = (
            f"of {found.label} {found.usable / 1e9:.1f} GB are taken to be free for programs; a desktop takes some "
            "0.8 GB of them",
            f"Python and torch are taken to be as large there as here, and CUDA's context and libraries to need "
            f"{CUDA / 1e9:.1f} GB more; no board was at hand to measure it",
        )
        return Machine(
            name=found.name, label=found.label, memory=found.memory, usable=found.usable, device="cuda",
            runtime=resident + CUDA, assumed=assumed,
        )  # fmt: skip
    memory = psutil.virtual_memory()
    device = pick_device().type
    total, usable, runtime = memory.total, memory.available + resident, resident
    if device == "cuda":
        import torch

        runtime += CUDA
        if not look_at().is_jetson:  # a graphics card has memory of its own, and this process stays outside of it
            free, total = torch.cuda.mem_get_info()
            usable, runtime = free, CUDA
    return Machine(
        name=HERE, label="this machine", memory=total, usable=usable, device=device, runtime=runtime, heap=_heap(device)
    )  # fmt: skip


def _heap(device: str) -> float:
    """`HEAP` where it applies."""
    return HEAP if device == "cpu" and platform.libc_ver()[0] == "glibc" else 0.0
