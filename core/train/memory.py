"""When a step does not fit into memory: how it is told, and what is put back before it is done again in more parts."""

from __future__ import annotations

import gc

import torch
from torch import Tensor, nn

SAID = ("out of memory", "can't allocate memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED", "NvMapMemAlloc")
"""What errors of torch say that have no type of their own, on the CPU, older versions and Jetson's shared memory."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory did not suffice, for which smaller parts are the remedy."""
    named = getattr(torch, "OutOfMemoryError", MemoryError)  # since 2.5
    return isinstance(error, (MemoryError, named)) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in SAID)
    )


def buffers_of(network: nn.Module) -> list[Tensor]:
    """Copies of what forward passes may change beside the weights (running means), to begin a step again from."""
    return [buffer.clone() for buffer in network.buffers()]


def put_back(network: nn.Module, buffers: list[Tensor]) -> None:
    """Undo what a step that failed did to the buffers, and give its memory back."""
    with torch.no_grad():
        for buffer, former in zip(network.buffers(), buffers, strict=True):
            buffer.copy_(former)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
