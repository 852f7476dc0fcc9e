"""How a network is written in ONNX so that ONNX Runtime is quick with it: the same sums in standard operators, which
any other runtime reads too.

Measured with ONNX Runtime 1.32 on a CPU, against what torch's exporter writes by itself: query, key and value from a
product each (one product's result has to be cut up, which copies it); scores scaled once, and no search for NaN in
rows that may attend nowhere; a root mean square norm as the runtime knows it.

Axes: B batch, T query positions, S key positions, H query heads, K key/value heads, D width of one head, C width of the
model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..attention import MultiHeadAttention
from ..cache import LayerCache
from ..linear import Linear
from ..positions import Turn

FUSED = 23
"""The opset from which on attention is an operator of its own."""


@contextmanager
def apart(module: nn.Module) -> Iterator[None]:
    """Inside the block the self-attentions of `module` project with a matrix for each of what they make, rather than
    with one for all. Where queries and keys are turned as one they stay together."""
    changed: list[Any] = []
    for attention in module.modules():
        if type(attention) is MultiHeadAttention and type(getattr(attention, "qkv", None)) is Linear:
            together = attention.rotary is not None and attention.query_norm is None
            heads = [attention.heads, attention.kv_heads, attention.kv_heads]
            heads = [heads[0] + heads[1], heads[2]] if together else heads
            attention.pieces = nn.ModuleList(_cut(attention.qkv, [count * attention.head_dim for count in heads]))
            attention.project = partial(_project, attention)
            changed.append(attention)
    try:
        yield
    finally:
        for attention in changed:
            del attention.pieces, attention.project


def _cut(linear: nn.Linear, widths: list[int]) -> Iterator[nn.Linear]:
    """The rows of a linear map [sum of widths, C] as several, in matrices of their own."""
    weights = linear.weight.detach().split(widths)
    biases = [None] * len(widths) if linear.bias is None else linear.bias.detach().split(widths)
    for weight, bias in zip(weights, biases, strict=True):
        piece = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
        piece.weight = nn.Parameter(weight.clone(), requires_grad=False)
        if bias is not None:
            piece.bias = nn.Parameter(bias.clone(), requires_grad=False)
        yield piece.train(linear.training)


def _project(
    attention: Any,
    x: Tensor,
    context: Tensor | None = None,
    *,
    positions: Tensor | Turn | None = None,
    cache: LayerCache | None = None,
    keep: int | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """As `MultiHeadAttention.project`, of self-attention."""
    if context is not None:
        raise ValueError("cross-attention needs a context, self-attention takes none")
    rotary: Any = attention.rotary
    if rotary is not None and positions is None:
        start = 0 if cache is None else cache.length
        positions = torch.arange(start, start + x.shape[1], device=x.device)
    if len(attention.pieces) == 2:
        asking, value = (piece(x).unflatten(-1, (-1, attention.head_dim)).transpose(1, 2) for piece in attention.pieces)
        assert rotary is not None  # queries and keys stand together where they are turned so
        query, key = rotary(asking, positions).split([attention.heads, attention.kv_heads], dim=1)
        query = query if keep is None else query[:, :, :keep]
    else:
        first = x if keep is None or rotary is not None else x[:, :keep]
        of = zip(attention.pieces, (first, x, x), strict=True)
        query, key, value = (piece(some).unflatten(-1, (-1, attention.head_dim)).transpose(1, 2) for piece, some in of)
        query, key = attention._norm(query, key)
        if rotary is not None:
            query, key = rotary(query, positions), rotary(key, positions)
            query = query if keep is None else query[:, :, :keep]
    if cache is not None:
        key, value = cache.append(key, value)
    return query, key, value


def translations(opset: int) -> dict[Callable[..., Any], Callable[..., Any]]:
    """Operators of torch that are written in a way of our own, for torch's exporter."""
    if opset >= FUSED:
        return {}
    return {
        torch.ops.aten.rms_norm.default: _rms_norm,
        torch.ops.aten.scaled_dot_product_attention.default: _attention,
    }


def _operators() -> Any:
    """ONNX's, whose annotations know of no numbers and lists, which the exporter takes."""
    from onnxscript import opset18

    return opset18


def _attention(  # noqa: PLR0917 (torch's own order)
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """query [B, H, T, D], key, value [B, H, S, D], mask boolean or float, broadcastable to [B, H, T, S] ->
    [B, H, T, D]. A query that may attend nowhere gets zeros."""
    op = _operators()
    if is_causal or enable_gqa:
        raise NotImplementedError("attention is exported with a mask, and heads that are repeated")
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    scores = op.MatMul(op.Mul(query, op.CastLike(scale, query)), op.Transpose(key, perm=[0, 1, 3, 2]))
    if attn_mask is None:
        return op.MatMul(op.Softmax(scores, axis=-1), value)
    if attn_mask.dtype.is_floating_point():
        return op.MatMul(op.Softmax(op.Add(scores, attn_mask), axis=-1), value)
    real = op.CastLike(attn_mask, query)
    # The lowest finite number keeps rows that see nothing finite, and the product clears them.
    lowest = torch.finfo(NARROW.get(query.dtype.name, torch.float32)).min
    bias = op.Where(attn_mask, op.CastLike(0.0, query), op.CastLike(lowest, query))
    mixed = op.MatMul(op.Softmax(op.Add(scores, bias), axis=-1), value)
    return op.Mul(mixed, op.ReduceMax(real, [-1], keepdims=1))


NARROW = {"FLOAT16": torch.float16, "BFLOAT16": torch.bfloat16}


def _rms_norm(input: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> Any:
    """input [..., C] by its root mean square, over the last axis."""
    op = _operators()
    if len(normalized_shape) != 1:
        raise NotImplementedError("a root mean square norm is exported over one axis")
    eps = torch.finfo(torch.float32).eps if eps is None else eps
    mean = op.ReduceMean(op.Pow(input, op.CastLike(2.0, input)), [-1], keepdims=1)
    normed = op.Div(input, op.Sqrt(op.Add(mean, op.CastLike(eps, input))))
    return normed if weight is None else op.Mul(normed, weight)
