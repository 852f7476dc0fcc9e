"""Static key/value cache: memory for all steps is taken once, each step writes its own place.

Axes: B batch, K key/value heads, S positions so far, D width of one head.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .rehearsal import note

_FEW = 4
"""Where less than one row in so many changes its place, the others stay in memory where they are."""


class LayerCache:
    """Keys and values of one attention layer, [B, K, capacity, D] each, of which the first `length` are filled.

    The memory is taken at the first append, when batch, heads, dtype and device are known.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.length = 0
        self.keys: Tensor | None = None
        self.values: Tensor | None = None

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Add key and value [B, K, T, D]; returns views of all so far [B, K, S, D].

        Raises ValueError when the capacity would be exceeded.
        """
        end = self.length + key.shape[2]
        if end > self.capacity:
            raise ValueError(f"the cache holds {self.capacity} positions, {end} are needed")
        if self.keys is None or self.values is None:
            self.keys = key.new_empty(*key.shape[:2], self.capacity, key.shape[3])
            self.values = value.new_empty(*value.shape[:2], self.capacity, value.shape[3])
            note("cache", self.keys, self.values)
        self.keys[:, :, self.length : end] = key
        self.values[:, :, self.length : end] = value
        self.length = end
        return self.read()

    def read(self) -> tuple[Tensor, Tensor]:
        """Views of the keys and values so far. Raises ValueError while empty."""
        if self.keys is None or self.values is None:
            raise ValueError("the cache is empty")
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]

    def truncate(self, length: int) -> None:
        """Forget everything from position `length` on (a rejected draft, a new turn)."""
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot cut a cache of {self.length} positions to {length}")
        self.length = length

    def reorder(self, rows: Tensor, *, moving: Tensor | None = None) -> None:
        """Row i of the batch continues what was row rows[i] (beam search); rows that are not named are forgotten.

        moving: the places i where rows[i] is not i, where they are few: then nothing else is copied."""
        self.keys, self.values = self._moved(self.keys, rows, moving), self._moved(self.values, rows, moving)

    def copy(self, other: LayerCache, *, rows: int) -> None:
        """Begin with what `other` holds; its batch of one serves `rows` rows."""
        if other.length:
            self.length = 0
            self.append(*(tensor.expand(rows, -1, -1, -1) for tensor in other.read()))

    def _moved(self, tensor: Tensor | None, rows: Tensor, moving: Tensor | None) -> Tensor | None:
        """The filled part of these rows: where few change their place in the same memory, else in memory of its own."""
        if tensor is None:
            return None
        if moving is not None:
            tensor[moving, :, : self.length] = tensor[rows[moving], :, : self.length]
            return tensor[: len(rows)]
        moved = tensor.new_empty(len(rows), *tensor.shape[1:])
        note("cache", moved)
        torch.index_select(tensor[:, :, : self.length], 0, rows, out=moved[:, :, : self.length])  # copied only once
        return moved


class Cache:
    """The caches of a decoder: one for self-attention and one for cross-attention in each layer."""

    def __init__(self, layers: int, capacity: int, *, context_capacity: int = 0) -> None:
        self.own = [LayerCache(capacity) for _ in range(layers)]
        self.cross = [LayerCache(context_capacity) for _ in range(layers)]

    @property
    def length(self) -> int:
        """Positions that every layer holds."""
        return self.own[0].length

    @property
    def batch(self) -> int:
        """Rows of the batch that it holds; 0 while it is empty."""
        keys = self.own[0].keys
        return 0 if keys is None else keys.shape[0]

    @property
    def bytes(self) -> int:
        """Memory taken so far."""
        layers = [layer for layer in (*self.own, *self.cross) if layer.keys is not None and layer.values is not None]
        return sum(
            t.numel() * t.element_size() for layer in layers for t in (layer.keys, layer.values) if t is not None
        )

    def truncate(self, length: int) -> None:
        """Forget the decoder's own positions from `length` on; the context stays."""
        for layer in self.own:
            layer.truncate(length)

    def copy(self, other: Cache, *, rows: int) -> None:
        """Begin with what `other` holds, for `rows` rows; `other` may hold one for all of them and is not changed."""
        for mine, theirs in zip((*self.own, *self.cross), (*other.own, *other.cross), strict=True):
            mine.copy(theirs, rows=rows)

    def reorder(self, rows: Tensor | list[int]) -> None:
        """Row i of every layer's batch continues what was row rows[i]; rows that are not named are forgotten."""
        index = torch.as_tensor(rows)
        few = None
        if len(index) <= self.batch:
            moving = (index != torch.arange(len(index), device=index.device)).nonzero()[:, 0]
            few = moving if _FEW * len(moving) <= len(index) else None
        for layer in (*self.own, *self.cross):
            layer.reorder(index, moving=few)
