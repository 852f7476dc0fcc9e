"""In which precision weights stand between a file and their use, so that no network is ever there twice in float32.

A loader widens what a file holds in half precision. Where the linear layers are narrowed right afterwards (int8, int4,
NF4), or go to bfloat16, that would ask for the whole network in float32 for a moment: inside `as_stored` a loader
leaves them as the file has them, and whoever opened the block brings them where they belong, one tensor at a time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import TypeVar

import torch
from torch import nn

from .adapters.apply import body
from .nf4 import NF4Linear
from .quantize import NONE, NarrowLinear, quantize
from .runtime import give_back

Network = TypeVar("Network", bound=nn.Module)

PACKED = ("codes", "scales")
"""Of layers with weights in few bits: what stays as it is."""
_stored: ContextVar[bool] = ContextVar("stored", default=False)


@contextmanager
def as_stored() -> Iterator[None]:
    """Loaders inside leave the weights of linear layers, but for the head's, in the precision of their file."""
    token = _stored.set(True)
    try:
        yield
    finally:
        _stored.reset(token)


@contextmanager
def narrowly(kind: str) -> Iterator[None]:
    """What is loaded inside will be narrowed to `kind` (`none`: stays wide)."""
    with nullcontext() if kind == NONE else as_stored():
        yield


def narrow(network: nn.Module, kind: str, *, device: str = "cpu") -> None:
    """The linear layers of what was loaded `narrowly` as `quantize` has them, all else in float32; in place."""
    if kind != NONE:
        quantize(network, kind, device=device)
        recast(network, torch.float32)
        give_back()


def settle(network: Network) -> Network:
    """What a loader does with a network whose weights are in the precision of their file: float32, but for the layers
    that `as_stored` leaves; in place."""
    return recast(network, torch.float32, but=body(network) if _stored.get() else ())


def recast(network: Network, dtype: torch.dtype, *, but: Collection[str] = (), frozen: bool = False) -> Network:
    """Weights and tables in `dtype`, in place, each former one given back before the next; weights in few bits stay.

    but: names of modules that are left out. frozen: weights that do not learn, alone.
    """
    left = set(but)
    for name, module in network.named_modules():
        if name in left:
            continue
        if isinstance(module, NF4Linear) and not frozen:
            module.dtype = dtype  # that it widens to
        packed = PACKED if isinstance(module, (NF4Linear, NarrowLinear)) else ()
        for key, value in module.named_parameters(recurse=False):
            learns = frozen and value.requires_grad
            if value.is_floating_point() and value.dtype != dtype and not learns and key not in packed:
                value.data = value.data.to(dtype)
        for key, value in module.named_buffers(recurse=False):
            if not frozen and value.is_floating_point() and value.dtype != dtype and key not in packed:
                module._buffers[key] = value.to(dtype)
    return network


WHOLE = ("full", "freeze")
"""Ways to learn that change the weights themselves, which then stay in float32."""


def before_method(network: nn.Module, kind: str, *, half: bool) -> None:
    """Weights that `as_stored` left, before a method of this kind is put on the network: float32, but where they go
    into 4 bits or bfloat16 next."""
    if kind != "qlora" and (not half or kind in WHOLE):
        recast(network, torch.float32)


def after_method(network: nn.Module, kind: str, *, half: bool) -> None:
    """The same with the method on: what does not learn in bfloat16 where `half` (half the memory, and products several
    times as fast), everything else in float32."""
    if kind == "qlora":
        recast(network, torch.float32)
    if half and kind not in WHOLE:
        recast(network, torch.bfloat16, frozen=True)
