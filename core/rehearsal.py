"""Work that is done without memory, so that `plan` can count what it would take: what the code at work has to know.

A rehearsal runs the real forward pass or training step on the meta device, where tensors have shapes and no numbers.
Code that chooses by device or allocates on someone's behalf asks here, so that it does as it would for real. Outside of
a rehearsal nothing here does anything. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

_device: str | None = None
_listener: Callable[[str, tuple[Any, ...]], None] | None = None
_mode: Callable[[], Any] = nullcontext


def rehearsing() -> bool:
    """Whether this is a rehearsal: checkpoints are then read as shapes, and no weights are fetched."""
    return _device is not None


def rehearsed_device() -> str | None:
    """The type of device that is rehearsed for, None outside of a rehearsal."""
    return _device


def place(tensor: Any) -> str:
    """The type of device that `tensor` is on ("cpu", "cuda" …); in a rehearsal the one that is rehearsed for."""
    kind = tensor.device.type
    return _device if kind == "meta" and _device is not None else kind


def arithmetic(device: str) -> str:
    """The type of device under which torch keeps its autocast state for tensors on `device`: meta has none."""
    return "cpu" if device == "meta" else device


def note(kind: str, *tensors: Any) -> None:
    """Say what the memory of `tensors` is for ("cache", "batch" …)."""
    if _listener is not None:
        _listener(kind, tensors)


def again() -> tuple[Any, Any]:
    """What surrounds work that is done again in the backward pass (`checkpoint`'s `context_fn`), where torch leaves out
    the modes that surround everything else."""
    return nullcontext(), _mode()


@contextmanager
def rehearsal(
    device: str = "cpu",
    listener: Callable[[str, tuple[Any, ...]], None] | None = None,
    mode: Callable[[], Any] = nullcontext,
) -> Iterator[None]:
    """A block whose work is rehearsed for a device of this type; `listener` is told what `note` says, and `mode` makes
    what surrounds work that is done again."""
    global _device, _listener, _mode
    before = _device, _listener, _mode
    _device, _listener, _mode = device, listener, mode
    try:
        yield
    finally:
        _device, _listener, _mode = before
