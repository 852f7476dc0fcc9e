"""Attention over long inputs, by the matrix product that suits this machine (see `linear.py`).

torch's fused kernel leaves float32 products to MKL on x86. On one core of a Zen 5 it takes 38 ms for six heads of width
64 over 1500 positions (Whisper's encoder); two oneDNN products with a softmax between take 22 ms, block by block of
queries so that the scores stay in the processor's cache. Below about 256 positions there is nothing to gain.

Axes: B batch, H heads, T query positions, S key positions, D width of one head.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .linear import onednn, onednn_suits

_LONG = 256
"""Queries, and keys, from which on this is the quicker way."""
_BLOCK = 384
"""Queries at a time: with 1500 keys their scores take 2 MB."""


def suits(query: Tensor, key: Tensor, value: Tensor) -> bool:
    """Whether `attend_long` is the quicker way, for [B, H, T, D] each, with no mask and no gradient."""
    if not onednn_suits(query, key) or value.dtype != key.dtype:  # first: an exporter must not see sizes compared
        return False
    learns = torch.is_grad_enabled() and any(t.requires_grad for t in (query, key, value))
    return not learns and query.shape[1] == key.shape[1] and min(query.shape[2], key.shape[2]) >= _LONG


def attend_long(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """softmax(query key^T scale) value: query [B, H, T, D], key and value [B, H, S, D] -> [B, H, T, D]."""
    batch, heads, steps, _ = query.shape
    mixed = query.new_empty(batch, steps, heads, value.shape[3])  # as the output projection reads it
    for row in range(batch):
        for head in range(heads):
            keys = key[row, head] * scale  # [S, D]
            values = value[row, head].t().contiguous()  # [D, S]
            for start in range(0, steps, _BLOCK):
                scores = onednn(query[row, head, start : start + _BLOCK], keys)
                mixed[row, start : start + _BLOCK, head] = onednn(scores.softmax(dim=-1), values)
    return mixed.transpose(1, 2)
