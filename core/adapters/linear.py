"""Adapters of one linear layer: LoRA, DoRA, IA3 and the bottleneck. Each wraps the layer, which stays frozen.

    LoRA  W x + s B A x         DoRA  m (W + s B A) x / |W + s B A|         IA3  v W x  or  W (v x)
    bottleneck  y + up(gelu(down(y))), y = W x

A [r, in] and B [out, r] learn, s is the scale; m, v are vectors that learn. B, up start at zero and v at one, so that
at first every adapter changes nothing.

Axes: B batch, T positions, N positions in all.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UserError
from ..layers import dropout
from ..linear import Linear
from ..nf4 import NF4Linear
from .method import Method

Base = nn.Linear | NF4Linear


class AdaptedLinear(nn.Module, ABC):
    """A frozen linear layer, `base`, and what learns beside it."""

    def __init__(self, base: Base) -> None:
        super().__init__()
        self.base = base
        self.in_features, self.out_features = base.in_features, base.out_features

    def merged(self) -> nn.Linear:
        """A plain layer that computes the same, its weights on the base's device and in its precision. Raises
        UserError where there is none."""
        with torch.no_grad():
            original = self.base.weight
            weight, bias = self._fold(original.float(), self.base.bias)
            weight = weight.to(original.dtype)
        plain = Linear(self.in_features, self.out_features, bias=bias is not None, device="meta")
        plain.weight = nn.Parameter(weight, requires_grad=False)
        if bias is not None:
            plain.bias = nn.Parameter(bias.to(weight.dtype), requires_grad=False)
        return plain.train(self.training)

    @abstractmethod
    def _fold(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Weight [out, in] and bias [out] with the adapter folded in."""


class LowRankLinear(AdaptedLinear):
    """LoRA, and DoRA where `magnitude`: the base may be kept in 4 bits (QLoRA)."""

    def __init__(self, base: Base, method: Method, *, rank: int | None = None) -> None:
        super().__init__(base)
        rank, place = method.rank if rank is None else rank, _place(base)
        self.scale, self.dropout = method.scale, method.dropout
        self.lora_a = nn.Parameter(torch.empty(rank, self.in_features, **place))
        self.lora_b = nn.Parameter(torch.zeros(self.out_features, rank, **place))
        nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5))
        self.magnitude: nn.Parameter | None = None
        if method.kind == "dora":
            self.squares: Tensor
            self.register_buffer("squares", _squares(base.weight), persistent=False)
            self.magnitude = nn.Parameter(self.squares.sqrt())

    def forward(self, x: Tensor) -> Tensor:
        """x [..., in] -> [..., out]."""
        y = self.base(x)
        thin = dropout(x, self.dropout) if self.training else x
        low = F.linear(thin.to(self.lora_a.dtype), self.lora_a)  # [..., r]
        # One product that adds: a second tensor as large as y, and two passes over it, are saved.
        whole = torch.addmm(
            y.flatten(0, -2), low.to(y.dtype).flatten(0, -2), self.lora_b.to(y.dtype).t(), alpha=self.scale
        )
        whole = whole.view_as(y)
        if self.magnitude is None:
            return whole
        share = (self.magnitude / self._norm()).to(y.dtype)
        bias = self.base.bias
        return whole * share if bias is None else whole * share + bias * (1 - share)

    def _norm(self) -> Tensor:
        """|W + s B A| of each row, [out]; a constant to the gradient, as the paper proposes (section 4.3).

        From |W|^2 + 2 s (W A^T) · B + s^2 (B A A^T) · B, which needs no second matrix as large as W.
        """
        with torch.no_grad():
            a, b = self.lora_a.float(), self.lora_b.float()
            cross = F.linear(self.base.weight.to(a.dtype), a)  # W A^T, [out, r]
            return (self.squares + ((2 * self.scale) * cross + self.scale**2 * (b @ (a @ a.t()))).mul(b).sum(1)).sqrt()

    def _fold(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        weight = torch.addmm(weight, self.lora_b.float(), self.lora_a.float(), alpha=self.scale)
        if self.magnitude is not None:
            weight = weight * (self.magnitude.float() / weight.norm(dim=1))[:, None]
        return weight, bias

    def extra_repr(self) -> str:
        return f"rank={self.lora_a.shape[0]}, scale={self.scale:g}"


class ScaledLinear(AdaptedLinear):
    """IA3: a factor for each input, or for each of the last `count` outputs."""

    def __init__(self, base: Base, *, inputs: bool, count: int | None = None) -> None:
        super().__init__(base)
        length = self.in_features if inputs else self.out_features if count is None else count
        factors = nn.Parameter(torch.ones(length, **_place(base)))
        self.input_factors = factors if inputs else None
        self.output_factors = None if inputs else factors

    def forward(self, x: Tensor) -> Tensor:
        """x [..., in] -> [..., out]."""
        if self.input_factors is not None:
            return self.base(x * self.input_factors.to(x.dtype))
        y = self.base(x)
        return y * self._of_outputs().to(y.dtype)

    def _of_outputs(self) -> Tensor:
        assert self.output_factors is not None
        return F.pad(self.output_factors, (self.out_features - len(self.output_factors), 0), value=1.0)

    def _fold(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if self.input_factors is not None:
            return weight * self.input_factors.float(), bias
        factors = self._of_outputs().float()
        return weight * factors[:, None], None if bias is None else bias * factors


class BottleneckLinear(AdaptedLinear):
    """A two-layer network with a residual around it, over what the layer gives."""

    def __init__(self, base: Base, *, width: int) -> None:
        super().__init__(base)
        self.down = nn.Linear(self.out_features, width, **_place(base))
        self.up = nn.Linear(width, self.out_features, **_place(base))
        nn.init.normal_(self.down.weight, std=0.02)
        for tensor in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(tensor)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., in] -> [..., out]."""
        y = self.base(x)
        return y + self.up(F.gelu(self.down(y.to(self.down.weight.dtype)))).to(y.dtype)

    def _fold(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        raise UserError(
            "Bottleneck adapters are layers of their own and cannot be merged into the weights.",
            "Keep them as an adapter, or use lora, dora or ia3.",
        )


def _place(base: Base) -> dict[str, Any]:
    """Where adapters live, and their precision: float32 at least, for small steps would be lost in 16 bits."""
    if isinstance(base, NF4Linear):  # whose `weight` would be widened to be asked
        device, dtype = base.codes.device, base.dtype
    else:
        device, dtype = base.weight.device, base.weight.dtype
    return {"device": device, "dtype": torch.promote_types(dtype, torch.float32)}


def _squares(weight: Tensor) -> Tensor:
    """|W|^2 of each row, [out]."""
    return weight.detach().float().square().sum(1)
