"""Attention masks under one convention: boolean, True = may attend, broadcastable to [B, H, T, S].

    causal_mask(4, 4)        sliding_window_mask(5, 5, window=2)      padding_mask([2, 4])
    1 . . .                  1 . . . .                                1 1 . .
    1 1 . .                  1 1 . . .                                1 1 1 1
    1 1 1 .                  . 1 1 . .
    1 1 1 1                  . . 1 1 .
                             . . . 1 1

Axes: B batch, H heads, T query positions, S key positions. Queries are the last T of the S positions, so that the same
function serves a whole sequence (T = S) and the step after a cache (T < S).
"""

from __future__ import annotations

import torch
from torch import Tensor


def causal_mask(queries: int, keys: int, *, device: torch.device | str | None = None) -> Tensor:
    """[T, S]: each position sees itself and what came before."""
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)


def sliding_window_mask(
    queries: int, keys: int, *, window: int, causal: bool = True, device: torch.device | str | None = None
) -> Tensor:
    """[T, S]: each position sees `window` positions ending with itself (causal), or those nearer than `window` on both
    sides. Raises ValueError for a window below 1."""
    if window < 1:
        raise ValueError(f"a sliding window needs at least one position, not {window}")
    query = torch.arange(keys - queries, keys, device=device)[:, None]
    key = torch.arange(keys, device=device)[None, :]
    distance = query - key
    return (distance >= 0) & (distance < window) if causal else distance.abs() < window


def padding_mask(lengths: Tensor | list[int], size: int | None = None, *, left: bool = False) -> Tensor:
    """[B, S] from lengths [B]: True where a key is real; `left` says that the padding comes first."""
    lengths = torch.as_tensor(lengths)
    width = int(lengths.max()) if size is None else size
    index = torch.arange(width, device=lengths.device)[None, :]
    return index >= width - lengths[:, None] if left else index < lengths[:, None]


def key_mask(keep: Tensor) -> Tensor:
    """[B, S] of real keys as [B, 1, 1, S], ready to combine with masks over queries."""
    return keep[:, None, None, :]


def combine_masks(*masks: Tensor | None) -> Tensor | None:
    """May attend only where all masks allow it; None allows everything. Shapes broadcast."""
    combined: Tensor | None = None
    for mask in masks:
        if mask is not None:
            combined = mask if combined is None else combined & mask
    return combined
