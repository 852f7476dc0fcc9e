"""Attention: two pure functions that agree, and a thin module over them.

    multi-head            grouped-query         multi-query
    q q q q q q q q       q q q q q q q q       q q q q q q q q
    | | | | | | | |        \\/  \\/  \\/  \\/         \\_\\_\\ | /_/_/
    k k k k k k k k        k   k   k   k               k

Axes: B batch, T query positions, S key positions, H query heads, K key/value heads (H is a multiple of K),
D width of one head, C width of the model.

Vaswani et al. 2017 (arXiv 1706.03762); multi-query: Shazeer 2019 (1911.02150); grouped-query: Ainslie et al. 2023
(2305.13245).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import layers, long_attention
from .cache import LayerCache
from .linear import Linear
from .masks import causal_mask, combine_masks
from .positions import Rotary, Turn
from .rehearsal import place

# Before 2.5 the fused kernel answered NaN for a query that may attend nowhere; since then it answers zero, as we do.
_EMPTY_ROWS_ARE_NAN = torch.__version__.startswith("2.4")


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Attention by the fused kernel: softmax(query key^T scale + bias) value, [B, H, T, D].

    query [B, H, T, D], key [B, K, S, D], value [B, K, S, E]; mask boolean, True = may attend, and bias float are
    broadcastable to [B, H, T, S]; `causal` aligns the last query with the last key; scale defaults to D^-1/2.
    A query that may attend nowhere gets zeros. Equal to `attend_reference`, without the weights.
    """
    if causal and torch.compiler.is_compiling():  # an exporter must not see sizes compared
        mask, causal = combine_masks(mask, causal_mask(query.shape[2], key.shape[2], device=query.device)), False
    causal = causal and query.shape[2] > 1  # the last query alone sees every key
    if _written_out_is_quicker(query, key, dropout):
        return attend_reference(query, key, value, mask=mask, bias=bias, causal=causal, scale=scale, dropout=dropout)[0]
    heads, groups, steps = query.shape[1], key.shape[1], query.shape[2]
    if causal and (mask is not None or bias is not None or steps != key.shape[2]):
        mask, causal = combine_masks(mask, causal_mask(steps, key.shape[2], device=query.device)), False
    if mask is None and bias is None and not causal and not dropout and long_attention.suits(query, key, value):
        return long_attention.attend_long(query, key, value, query.shape[3] ** -0.5 if scale is None else scale)
    one_mask = bias is None and (mask is None or mask.ndim < 3 or mask.shape[-3] == 1)
    if heads != groups and one_mask and (steps == 1 or torch.compiler.is_compiling()):
        # A step of decoding, and graphs: heads that share keys can stand in line as queries, and nothing is copied.
        grouped = query.reshape(query.shape[0], groups, heads // groups * steps, query.shape[3])
        if mask is not None and mask.ndim > 1 and mask.shape[-2] != 1:
            mask = mask.repeat(*[1] * (mask.ndim - 2), heads // groups, 1)
        return attend(grouped, key, value, mask=mask, scale=scale, dropout=dropout).reshape(*query.shape[:3], -1)
    if heads != groups:
        key, value = _repeat_heads(key, heads), _repeat_heads(value, heads)
    if bias is not None:
        mask = bias.to(query.dtype) if mask is None else bias.to(query.dtype).masked_fill(~mask, float("-inf"))
    out = F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=causal, scale=scale
    )
    return out.nan_to_num(0.0) if _EMPTY_ROWS_ARE_NAN and mask is not None else out


def _written_out_is_quicker(query: Tensor, key: Tensor, dropout: float) -> bool:
    """Where a CPU is faster by the written-out form.

    Learning: with dropout, which its fused kernel does not know; for short sequences; and in bfloat16, whose fused
    gradient takes two to three times as long. Not for long texts without dropout, whose weights [B, H, T, S] would have
    to be kept. Decoding many rows, a step at a time: the products of one query each are 1.1 to 2 times as fast.
    """
    if place(query) != "cpu" or torch.compiler.is_compiling():
        return False
    if not query.requires_grad:
        rows, alike = query.shape[0] * query.shape[1], query.shape[1] == key.shape[1]
        return query.shape[2] == 1 and alike and rows >= 64 and key.shape[2] >= 16 and query.dtype == torch.float32
    most = 512 if query.dtype == torch.bfloat16 else 64
    return bool(dropout) or query.shape[2] * key.shape[2] <= most**2


def attend_reference(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """The same, written out: returns the result [B, H, T, D] and the weights [B, H, T, S].

    For reading, for pictures of attention, and to hold `attend` to.
    """
    scores = _scores(query, key, scale)
    if bias is not None:
        scores = scores + bias
    if causal:
        mask = combine_masks(mask, causal_mask(query.shape[2], key.shape[2], device=query.device))
    return _mixed(scores, value, mask, dropout)


def _scores(query: Tensor, key: Tensor, scale: float | None) -> Tensor:
    """How well each query fits each key: [B, H, T, S]."""
    factor = query.shape[3] ** -0.5 if scale is None else scale
    return (query * factor) @ _repeat_heads(key, query.shape[1]).transpose(-2, -1)


def _mixed(scores: Tensor, value: Tensor, mask: Tensor | None, dropout: float) -> tuple[Tensor, Tensor]:
    """The values mixed by the scores [B, H, T, S]: the result [B, H, T, D] and the weights [B, H, T, S]."""
    if mask is not None:
        # The lowest finite number rather than -inf keeps gradients finite; the product clears rows that see nothing.
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = scores.softmax(dim=-1)
    if mask is not None:
        weights = weights * mask
    return layers.dropout(weights, dropout) @ _repeat_heads(value, scores.shape[1]), weights


def _repeat_heads(tensor: Tensor, heads: int) -> Tensor:
    """[B, K, S, D] -> [B, H, S, D]: each key/value head stands for H / K query heads."""
    batch, groups, steps, width = tensor.shape
    if groups == heads:
        return tensor
    if heads % groups:
        raise ValueError(f"{heads} query heads cannot share {groups} key/value heads evenly")
    shared = tensor[:, :, None].expand(batch, groups, heads // groups, steps, width)
    return shared.reshape(batch, heads, steps, width)


class ScoreCarry:
    """Attention scores [B, H, T, S] on their way through the layers, each of which adds its own to them (RealFormer: He
    et al. 2020, arXiv 2012.11747). One carry serves one pass."""

    def __init__(self) -> None:
        self.scores: Tensor | None = None

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, *, mask: Tensor | None, scale: float | None, dropout: float
    ) -> Tensor:
        """Attention by the scores of this layer and those before it; shapes as in `attend`."""
        scores = _scores(query, key, scale)
        self.scores = scores = scores if self.scores is None else scores + self.scores[:, :, : scores.shape[2]]
        return _mixed(scores, value, mask, dropout)[0]


class MultiHeadAttention(nn.Module):
    """Multi-head attention over x [B, T, C]: self-attention, or cross-attention where `context_dim` is given.

    Self-attention projects with one matrix, `qkv`, whose rows are [query; key; value]; cross-attention with `query`
    (from x) and `key_value` (from the context). `out` projects back to C.

    kv_heads: fewer than `heads` for grouped-query, 1 for multi-query attention.
    rotary: a `Rotary` that turns queries and keys by their positions (self-attention only).
    qk_norm: makes a norm over the head width, applied to queries and keys before the rotation.
    scale: of the scores; None is head_dim^-1/2.
    """

    def __init__(
        self,
        *,
        dim: int,
        heads: int,
        kv_heads: int | None = None,
        head_dim: int | None = None,
        context_dim: int | None = None,
        bias: bool = True,
        out_bias: bool | None = None,
        rotary: Rotary | None = None,
        qk_norm: Callable[[int], nn.Module] | None = None,
        scale: float | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        kv_heads = heads if kv_heads is None else kv_heads
        if head_dim is None and dim % heads:
            raise ValueError(f"width {dim} does not divide into {heads} heads; give head_dim")
        if heads % kv_heads:
            raise ValueError(f"{heads} query heads cannot share {kv_heads} key/value heads evenly")
        self.dim, self.heads, self.kv_heads = dim, heads, kv_heads
        self.head_dim = dim // heads if head_dim is None else head_dim
        self.context_dim, self.rotary, self.scale, self.dropout = context_dim, rotary, scale, dropout
        width, kv_width = heads * self.head_dim, kv_heads * self.head_dim
        if context_dim is None:
            self.qkv = Linear(dim, width + 2 * kv_width, bias=bias)
        else:
            self.query = Linear(dim, width, bias=bias)
            self.key_value = Linear(context_dim, 2 * kv_width, bias=bias)
        self.query_norm = qk_norm(self.head_dim) if qk_norm else None
        self.key_norm = qk_norm(self.head_dim) if qk_norm else None
        self.out = Linear(width, dim, bias=bias if out_bias is None else out_bias)

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        bias: Tensor | None = None,
        causal: bool = False,
        positions: Tensor | Turn | None = None,
        cache: LayerCache | None = None,
        keep: int | None = None,
        carry: ScoreCarry | None = None,
    ) -> Tensor:
        """x [B, T, C] -> [B, T, C].

        context [B, S, context_dim] for cross-attention (not needed where the cache remembers it); mask and bias as in
        `attend`; positions [T] or [B, T] for the rotation, or the `Turn` made of them (default 0..T-1 after what the
        cache holds); cache: keys and values of earlier steps are read and new ones appended; keep: only the first
        `keep` positions ask, all of them answer -> [B, keep, C]; carry: the scores of the layers before.
        """
        if causal and keep is not None:
            raise ValueError("the causal mask takes the queries for the last positions, `keep` asks for the first")
        query, key, value = self.project(x, context, positions=positions, cache=cache, keep=keep)
        dropout = self.dropout if self.training else 0.0
        if carry is not None and (causal or bias is not None):
            raise ValueError("scores that are handed on take no bias and no causal mask")
        if carry is None:
            mixed = attend(query, key, value, mask=mask, bias=bias, causal=causal, scale=self.scale, dropout=dropout)
        else:
            mixed = carry.attend(query, key, value, mask=mask, scale=self.scale, dropout=dropout)
        return self.out(mixed.transpose(1, 2).flatten(2))  # [B, H, T, D] -> [B, T, HD] -> [B, T, C]

    def weights(
        self,
        x: Tensor,
        context: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        bias: Tensor | None = None,
        causal: bool = False,
        positions: Tensor | Turn | None = None,
    ) -> Tensor:
        """The attention weights [B, H, T, S] that `forward` uses and does not show."""
        query, key, value = self.project(x, context, positions=positions)
        return attend_reference(query, key, value, mask=mask, bias=bias, causal=causal, scale=self.scale)[1]

    def project(
        self,
        x: Tensor,
        context: Tensor | None = None,
        *,
        positions: Tensor | Turn | None = None,
        cache: LayerCache | None = None,
        keep: int | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Query [B, H, T, D], key and value [B, K, S, D], normed, turned and joined with the cache."""
        if self.context_dim is not None:
            return self._project_cross(x, context, cache)
        if context is not None:
            raise ValueError("cross-attention needs a context, self-attention takes none")
        batch, steps, _ = x.shape
        qkv = self.qkv(x).view(batch, steps, self.heads + 2 * self.kv_heads, self.head_dim)
        # query and key stand side by side: where no norm tells them apart they turn as one
        asking, value = qkv.transpose(1, 2).split([self.heads + self.kv_heads, self.kv_heads], dim=1)
        if self.query_norm is not None:
            asking = torch.cat(self._norm(*asking.split([self.heads, self.kv_heads], dim=1)), dim=1)
        if self.rotary is not None:
            if positions is None:
                start = 0 if cache is None else cache.length
                positions = torch.arange(start, start + steps, device=x.device)
            asking = self.rotary(asking, positions)
        query, key = asking.split([self.heads, self.kv_heads], dim=1)
        if cache is not None:
            key, value = cache.append(key, value)
        return (query if keep is None else query[:, :, :keep]), key, value

    def remember(self, context: Tensor, cache: LayerCache) -> None:
        """Put keys and values of the context [B, S, context_dim] into the empty cache; no call then needs it."""
        cache.append(*self._key_value(context))

    def _project_cross(
        self, x: Tensor, context: Tensor | None, cache: LayerCache | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        query = self.query(x).unflatten(-1, (self.heads, self.head_dim)).transpose(1, 2)
        query = query if self.query_norm is None else self.query_norm(query)
        if cache is not None and cache.length:  # the context does not change between steps: project it once
            return query, *cache.read()
        if context is None:
            raise ValueError("cross-attention needs a context, self-attention takes none")
        key, value = self._key_value(context)
        if cache is not None:
            key, value = cache.append(key, value)
        return query, key, value

    def _key_value(self, context: Tensor) -> tuple[Tensor, Tensor]:
        both = self.key_value(context).unflatten(-1, (2 * self.kv_heads, self.head_dim)).transpose(1, 2)
        key, value = both.split(self.kv_heads, dim=1)
        return key if self.key_norm is None else self.key_norm(key), value

    def _norm(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        if self.query_norm is None or self.key_norm is None:
            return query, key
        return self.query_norm(query), self.key_norm(key)

    def extra_repr(self) -> str:
        return f"heads={self.heads}, kv_heads={self.kv_heads}, head_dim={self.head_dim}"
