"""Layers over frames that arrive in time: run whole, or chunk by chunk as a stream with the same result.

    chunk=2, left=2          a frame sees its own chunk to the end, and `left` frames before it
    1 1 . . . .              (Zhang et al. 2020, arXiv 2012.05481; Shi et al. 2021, arXiv 2010.10759)
    1 1 . . . .
    1 1 1 1 . .              What a chunk needs of the past is kept by the stream: keys and values of `left` frames
    1 1 1 1 . .              and what the convolutions of a Conformer reach back to.
    . . 1 1 1 1
    . . 1 1 1 1

Axes: B batch, H heads, T frames, S frames of the past and these, C width of the model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .blocks import LayerOptions, View, build_blocks
from .cache import LayerCache
from .layers import LayerNorm
from .masks import combine_masks, key_mask
from .positions import Rotary, Turn

if TYPE_CHECKING:
    from typing_extensions import Unpack

After = Callable[[int, Tensor], Tensor]
"""Given the number of a layer and its result [B, T, C]: what the next layer reads."""


def chunk_mask(frames: int, *, chunk: int, left: int, device: torch.device | str | None = None) -> Tensor:
    """[T, T], True = may attend: each frame sees its own chunk and `left` frames before that chunk."""
    index = torch.arange(frames, device=device)
    start = index // chunk * chunk
    key = index[None, :]
    return (key >= start[:, None] - left) & (key < start[:, None] + chunk)


class LeftContext(LayerCache):
    """Keys and values of the last `left` frames, for one layer of a stream.

    Positions are counted from the beginning of the current chunk. So the keys that stay turn back by its length, a
    stream of any length keeps its precision, and no state grows.
    """

    def __init__(self, left: int, rotary: Rotary | None) -> None:
        super().__init__(left)
        self.rotary = rotary

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """The past and these, [B, K, S, D] each; only the last `left` frames are kept."""
        new = key.shape[2]
        if self.keys is not None and self.values is not None:
            key, value = torch.cat([self.keys, key], dim=2), torch.cat([self.values, value], dim=2)
        first = max(0, key.shape[2] - self.capacity)
        self.keys, self.values = key[:, :, first:], value[:, :, first:]
        self.length = key.shape[2] - first
        if self.rotary is not None and self.length:
            self.keys = self.rotary(self.keys, torch.full((self.length,), -new, device=key.device))
        return key, value


@dataclass(kw_only=True)
class LayerState:
    """What one layer of a stream remembers: its left context, and inputs of its convolution [B, kernel - 1, C]."""

    context: LeftContext
    convolution: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class FrameView(View):
    """A `View` over frames. real: boolean [B, T], False where a frame is padding; state: of the layer, in a stream."""

    real: Tensor | None = None
    state: LayerState | None = None


class ChunkedStack(nn.Module):
    """Layers that read a `FrameView`, run whole or chunk by chunk.

    chunk: frames in a chunk, None for attention over everything; left: frames before a chunk that it sees. Both are
    plain attributes and hold no weights: a network may be trained with several sizes and used with another.
    """

    def __init__(
        self, *, blocks: nn.ModuleList, norm: nn.Module | None, rotary: Rotary | None, chunk: int | None, left: int
    ) -> None:
        super().__init__()
        if chunk is not None and chunk < 1:
            raise ValueError(f"a chunk holds at least one frame, not {chunk}")
        if left < 0:
            raise ValueError(f"the left context cannot be negative, as {left} is")
        self.blocks, self.norm, self.rotary = blocks, norm, rotary
        self.chunk, self.left = chunk, left

    def forward(self, x: Tensor, *, real: Tensor | None = None, after: After | None = None) -> Tensor:
        """x [B, T, C] -> [B, T, C]; real [B, T], False where a frame is padding, which then never counts."""
        mask = None if real is None else key_mask(real)
        if self.chunk is not None:
            mask = combine_masks(mask, chunk_mask(x.shape[1], chunk=self.chunk, left=self.left, device=x.device))
        view = FrameView(mask=mask, positions=self._turn(x), real=real)
        return self._run(x, [view] * len(self.blocks), after)

    def new_state(self) -> list[LayerState]:
        """The memory of a stream at its beginning. Raises ValueError for a network without chunks."""
        if self.chunk is None:
            raise ValueError("a network that looks at everything cannot stream: give it a chunk")
        return [LayerState(context=LeftContext(self.left, self.rotary)) for _ in self.blocks]

    def step(self, x: Tensor, state: list[LayerState], *, after: After | None = None) -> Tensor:
        """The next chunk x [B, T, C] of a stream -> [B, T, C], equal to `forward` over the whole; changes `state`.

        Only the last chunk may be shorter. Raises ValueError for a longer one.
        """
        if self.chunk is None or x.shape[1] > self.chunk:
            raise ValueError(f"{x.shape[1]} frames are no chunk of {self.chunk}")
        view = FrameView(positions=self._turn(x))
        views = [dataclasses.replace(view, cache=layer.context, state=layer) for layer in state]
        return self._run(x, views, after)

    def _turn(self, x: Tensor) -> Turn | None:
        return None if self.rotary is None else self.rotary.turn(torch.arange(x.shape[1], device=x.device), x.dtype)

    def _run(self, x: Tensor, views: list[FrameView], after: After | None) -> Tensor:
        for number, (block, view) in enumerate(zip(self.blocks, views, strict=True)):
            x = block(x, view)
            if after is not None:
                x = after(number, x)
        return x if self.norm is None else self.norm(x)


class ChunkedEncoder(ChunkedStack):
    """The `Encoder` (same layers, same names of weights) with rotary positions, run whole or chunk by chunk."""

    def __init__(
        self,
        *,
        dim: int,
        depth: int,
        heads: int,
        chunk: int | None = None,
        left: int = 0,
        **options: Unpack[LayerOptions],
    ) -> None:
        rotary = options.get("rotary") or Rotary(head_dim=options.get("head_dim") or dim // heads)
        blocks = build_blocks(dim=dim, depth=depth, heads=heads, **{**options, "rotary": rotary})
        norm = options.get("norm", LayerNorm)(dim)
        super().__init__(blocks=blocks, norm=norm, rotary=rotary, chunk=chunk, left=left)
