"""Static key/value cache: memory for all steps is taken once, each step writes its own place.

Axes: L layers, B batch, K key/value heads, S positions so far, D width of one head.
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
        self._block: tuple[Tensor, Tensor] | None = None

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

    def together(self) -> tuple[Tensor, Tensor]:
        """The decoder's own keys and values so far, of all layers [L, B, K, S, D]. Raises ValueError while empty."""
        keys, values = (block[:, :, :, : self.length] for block in self._one_block())
        return keys, values

    def extend(self, keys: Tensor, values: Tensor) -> None:
        """Add keys and values [L, B, K, T, D], as each layer's `append` would, at once. Raises ValueError beyond the
        capacity."""
        first, end = self.own[0], self.length + keys.shape[3]
        if first.keys is None:
            for layer, key, value in zip(self.own, keys, values, strict=True):
                layer.append(key, value)
            return
        if end > first.capacity:
            raise ValueError(f"the cache holds {first.capacity} positions, {end} are needed")
        for block, new in zip(self._one_block(), (keys, values), strict=True):
            block[:, :, :, self.length : end] = new
        for layer in self.own:
            layer.length = end

    def _one_block(self) -> tuple[Tensor, Tensor]:
        """The memory of all layers' keys and of their values, into which they are moved where they lie elsewhere."""
        ends = (self.own[0], self.own[-1])
        if self._block is None or any(
            layer.keys is None or layer.keys.data_ptr() != keys.data_ptr()
            for layer, keys in zip(ends, (self._block[0][0], self._block[0][-1]), strict=True)
        ):
            read = [(layer.keys, layer.values) for layer in self.own]
            if any(keys is None or values is None for keys, values in read):
                raise ValueError("the cache is empty")
            keys, values = (torch.stack(tensors) for tensors in zip(*read, strict=True))  # type: ignore[arg-type]
            for layer, own_keys, own_values in zip(self.own, keys, values, strict=True):
                layer.keys, layer.values = own_keys, own_values
            self._block = keys, values
        rows = 0 if ends[0].keys is None else len(ends[0].keys)  # of which some may have ended since
        return self._block[0][:, :rows], self._block[1][:, :rows]

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
