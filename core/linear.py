"""The matrix product of every layer, by the faster of two libraries.

On x86 torch gives float32 products to MKL, which on AMD's processors stays below half of what they can do. Measured on
two cores of a Zen 5: 17 of 46 GB/s for one row (a step of decoding), 12 of 26 for eight, 215 of 460 GFLOP/s for 1024,
and the same backwards. oneDNN, which is part of torch too, reaches the higher figures. So float32 products on x86 go
there where they are large enough; everything else is `F.linear`.

Axes: N rows of x in all, I inputs, O outputs.
"""

from __future__ import annotations

import platform
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .rehearsal import place

_HERE = (
    platform.machine().lower() in {"x86_64", "amd64"}
    and torch.backends.mkldnn.is_available()
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)
_MUCH, _MUCH_LEARNT, _LARGE = 1 << 20, 1 << 22, 1 << 17
"""From so many multiplications on (of a product; of one whose gradients follow), or so large a weight to be read, the
product saves more than preparing the call costs."""
_NARROW = 32
"""Gradients of narrower weights are torch's: oneDNN gains nothing on a thin matrix."""
_TALL, _PIECE, _FEW = 16384, 8192, 4
"""A taller matrix (a head over a vocabulary) is cut into pieces for a few rows: oneDNN reads it at half speed else."""


class Linear(nn.Linear):
    """`nn.Linear`, whose product is `product`."""

    def forward(self, input: Tensor) -> Tensor:
        """[..., I] -> [..., O]."""
        return product(input, self.weight, self.bias)


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x [..., I] times weight [O, I] transposed, plus bias [O]: equal to `F.linear` but for rounding."""
    learns = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, weight, bias))
    if torch.compiler.is_compiling() or not (_pays(x, weight, learns) and onednn_suits(x, weight)):
        return F.linear(x, weight, bias)  # an exporter must not see sizes compared
    return _Product.apply(x, weight, bias) if learns else onednn(x, weight, bias)


def _pays(x: Tensor, weight: Tensor, learns: bool) -> bool:
    """Whether the product is large enough for oneDNN."""
    work = x.numel() * weight.shape[0]
    if learns:
        return work >= _MUCH_LEARNT and min(weight.shape) >= _NARROW
    return work >= _MUCH or weight.numel() >= _LARGE


def onednn_suits(x: Tensor, weight: Tensor) -> bool:
    """Whether a product is one for `onednn`: in float32 on an x86 CPU, run rather than traced or cast."""
    return (
        _HERE
        and weight.dtype == x.dtype == torch.float32
        and place(x) == place(weight) == "cpu"
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and not torch._C._is_tracing()
        and x.numel() > 0
    )


def onednn(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`product` by oneDNN, where `onednn_suits`; no gradient passes through it."""
    if weight.shape[0] > _TALL and x.numel() <= _FEW * x.shape[-1]:
        biases = [None] * -(-weight.shape[0] // _PIECE) if bias is None else bias.split(_PIECE)
        pieces = zip(weight.split(_PIECE), biases, strict=True)
        return torch.cat([onednn(x, part, own) for part, own in pieces], dim=-1)
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


class _Product(torch.autograd.Function):
    """The product with its gradients: of y = x W^T + b they are g W, g^T x and the sum of g's rows."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return onednn(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor | None], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:  # type: ignore[override]
        x, weight = ctx.saved_tensors
        for_x, for_weight, for_bias = ctx.needs_input_grad
        found_x = onednn(gradient, weight.t()) if for_x else None
        rows = gradient.reshape(-1, gradient.shape[-1])  # [N, O]
        if not for_weight:
            return found_x, None, rows.sum(0) if for_bias else None
        seen = x.reshape(-1, x.shape[-1])  # [N, I]
        # oneDNN's own product for this gradient reads both as they lie; by rows.t() and seen.t() they would be copied.
        found, found_bias = torch.ops.aten.mkldnn_linear_backward_weights(
            rows.to_mkldnn(), seen.to_mkldnn(), weight, for_bias
        )
        return found_x, found.to_dense(), found_bias.to_dense() if for_bias else None
