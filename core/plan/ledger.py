"""Counting the memory of work that is done without any: every living storage, its peak, and what it is for.

    with rehearsal("cpu", ledger.mark), ledger:
        loss = network(batch); loss.backward()
    ledger.peak  ->  {"weights": …, "gradients": …, "activations": …}

Tensors are on the meta device: torch computes their shapes, autograd keeps and frees them as it would for real, and a
storage counts from the operation that makes it until nothing refers to it any more.
"""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map_only

from .kernels import KERNELS, WITH_VALUES, shape_alone

FILE = "file"
"""Pages of a file that is being read: they are there, and give way where memory runs short."""


class Ledger(TorchDispatchMode):
    """Living bytes by kind, now and at the peak; a mode that runs everything on shapes alone.

    logits: the width of the last axis by which the logits are known (0: not told apart). The value of a number that is
    asked for is zero.
    """

    def __init__(self, *, logits: int = 0) -> None:
        super().__init__()
        self.logits = logits
        self.usual = "loading"
        """What memory is for where nobody says."""
        self.now: dict[str, int] = defaultdict(int)
        self.total = 0
        self.needed = self.resident = self.loaded = 0
        """The peak; the same with pages of files, which the system can drop; that of reading the checkpoint alone."""
        self.peak: dict[str, int] = {}
        self.operations = 0
        self._living: dict[int, tuple[str, int]] = {}  # by the storage's address: kind, bytes

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.operations += 1
        tensors = [item for item in tree_iter((args, kwargs)) if isinstance(item, Tensor)]
        if _is_composed(func) and func not in KERNELS:  # in inference mode they come whole
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        if any(item.is_meta for item in tensors):
            if func not in WITH_VALUES and not all(item.is_meta for item in tensors):
                args, kwargs = tree_map_only(Tensor, shape_alone, (args, kwargs))
            kernel = KERNELS.get(func)
            result = func(*args, **kwargs) if kernel is None else kernel(func, *args, **kwargs)
        else:
            result = func(*args, **kwargs)
        for item in tree_iter(result):
            if isinstance(item, Tensor):
                self._add(item)
        return result

    def mark(self, kind: str, tensors: Iterable[Tensor]) -> None:
        """Say what the memory of `tensors` is for; it counts from now on if it did not before."""
        for tensor in tensors:
            self._add(tensor, kind)

    def _add(self, tensor: Tensor, kind: str = "") -> None:
        if tensor.layout is not torch.strided:
            return
        storage = tensor.untyped_storage()
        place = storage._cdata
        known = self._living.get(place)
        if known is None:
            if not kind:
                wide = self.logits and tensor.ndim > 1 and tensor.shape[-1] == self.logits
                kind = "logits" if wide and tensor.is_floating_point() else self.usual
            size = storage.nbytes()
            weakref.finalize(storage, self._remove, place).atexit = False
        elif kind and kind != known[0]:
            size = known[1]
            self.now[known[0]] -= size
            self.total -= size
        else:
            return
        self._living[place] = kind, size
        self.now[kind] += size
        self.total += size
        self._see()

    def _remove(self, place: int) -> None:
        kind, size = self._living.pop(place)
        self.now[kind] -= size
        self.total -= size

    def _see(self) -> None:
        """Take note of a new peak."""
        self.resident = max(self.resident, self.total)
        if self.total - self.now[FILE] > self.needed:
            self.needed = self.total - self.now[FILE]
            self.peak = {kind: size for kind, size in self.now.items() if size and kind != FILE}


@cache
def _is_composed(func: Any) -> bool:
    """Whether an operation is made of others, which then count for themselves."""
    return torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")
