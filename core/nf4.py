"""Weights in 4 bits, for QLoRA: NormalFloat (Dettmers et al. 2023, arXiv 2305.14314).

Each run of 64 weights is divided by its largest magnitude, and each weight becomes the nearest of 16 values, which are
quantiles of a normal distribution. Two of them share a byte:

    weight [out, in] -> codes [out in / 2] uint8 and scales [out in / 64] float16: 4.25 bits a weight

Plain torch, so that it runs on every device: no kernel has to be there, and none is trusted.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .linear import Linear, product
from .rehearsal import arithmetic

BLOCK = 64
SLICE = 1 << 20
"""Weights that are quantised at once, whole blocks."""

# The paper's table (its appendix E); zero is exact.
VALUES = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip


def quantise(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Any tensor as codes [ceil(numel / 64) * 32] uint8 and scales [ceil(numel / 64)] float16."""
    parts = [_quantise(some) for some in weight.detach().flatten().split(SLICE)]
    return torch.cat([codes for codes, _ in parts]), torch.cat([scales for _, scales in parts])


def _quantise(flat: Tensor) -> tuple[Tensor, Tensor]:
    """The same for a run of weights, which takes ten times the weights' own memory for a moment."""
    blocks = F.pad(flat.float(), (0, -len(flat) % BLOCK)).view(-1, BLOCK)
    scales = blocks.abs().amax(1).clamp(min=2.0**-24).half()  # float16's least positive number
    values = torch.tensor(VALUES, device=flat.device)
    codes = torch.bucketize(blocks / scales.float()[:, None], (values[1:] + values[:-1]) / 2)
    pairs = codes.to(torch.uint8).view(-1, 2)
    return pairs[:, 0] << 4 | pairs[:, 1], scales


def widen(codes: Tensor, scales: Tensor, shape: torch.Size, dtype: torch.dtype = torch.float32) -> Tensor:
    """The tensor of `shape` that `quantise` gave these for, up to its error."""
    values = torch.tensor(VALUES, device=codes.device, dtype=dtype)
    pairs = torch.cartesian_prod(values, values)  # [256, 2]: both values of every byte
    blocks = F.embedding(codes.int(), pairs).view(-1, BLOCK).mul_(scales.to(dtype)[:, None])
    return blocks.flatten()[: shape.numel()].view(shape)


class NF4Linear(nn.Module):
    """A frozen linear layer whose weight [out, in] is kept in 4 bits and widened each time that it is used.

    Codes and scales are parameters that do not learn, so that saved training states leave them out.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features, self.dtype = linear.in_features, linear.out_features, linear.weight.dtype
        codes, scales = quantise(linear.weight)
        self.codes = nn.Parameter(codes, requires_grad=False)
        self.scales = nn.Parameter(scales, requires_grad=False)
        self.bias = None if linear.bias is None else nn.Parameter(linear.bias.detach(), requires_grad=False)

    @property
    def weight(self) -> Tensor:
        """The widened weight [out, in], made anew."""
        return widen(self.codes, self.scales, torch.Size((self.out_features, self.in_features)), self.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., in] -> [..., out]; the gradient reaches x alone."""
        device = arithmetic(x.device.type)
        if torch.is_autocast_enabled(device):
            x = x.to(torch.get_autocast_dtype(device))
        with torch.autocast(device, enabled=False):
            y: Any = _Product.apply(x, self)
        return y

    def widened(self) -> nn.Linear:
        """The plain layer, frozen."""
        plain = Linear(self.in_features, self.out_features, bias=self.bias is not None, device="meta")
        plain.weight = nn.Parameter(self.weight, requires_grad=False)
        if self.bias is not None:
            plain.bias = nn.Parameter(self.bias.detach(), requires_grad=False)
        return plain.train(self.training)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class _Product(torch.autograd.Function):
    """x W^T + b, which widens W again in the backward pass instead of keeping it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: NF4Linear) -> Tensor:
        ctx.layer = layer
        return product(x, layer.weight.to(x.dtype), None if layer.bias is None else layer.bias.to(x.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return product(upstream[0], ctx.layer.weight.to(upstream[0].dtype).t()), None
