"""Int8 weights for fast decoding: one step reads every weight once, so a quarter of the bytes is nearly four times the
speed (and double that where torch's float32 product does not reach the memory's bandwidth).

Each output channel has a scale, and its weights are whole numbers from -127 to 127 of it: w ≈ scale · code. Activations
stay floating; they enter the product in bfloat16 and are summed in float32.

The kernel is torch's own `_weight_int8pack_mm`. torchao reaches such kernels through torch's compiler; without it, its
int8 weights are widened at every step, which measured ten times slower than float32 for one row.

Axes: N rows, I inputs, O outputs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .errors import UserError, near
from .rehearsal import place

_MANY = 32
"""Above so many rows widening the weights once and a bfloat16 product are the faster way (reading a prompt)."""
_LANES = 16
"""The kernel reads beyond the end of rows whose inputs are no multiple of this, and does not say so."""


class Int8Linear(nn.Module):
    """A linear layer for inference whose weight [O, I] is kept as int8 codes with a scale for each output."""

    codes: Tensor
    scales: Tensor
    bias: Tensor | None

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight = linear.weight.detach().float()
        # The kernel reads scales in bfloat16. Rounded before the codes are made, they cost no systematic error.
        scales = (weight.abs().amax(dim=1).clamp(min=1e-12) / 127).bfloat16()
        codes = (weight / scales.float()[:, None]).round().clamp(-127, 127).to(torch.int8)
        self.register_buffer("codes", codes)
        self.register_buffer("scales", scales)
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().clone())

    @property
    def weight(self) -> Tensor:
        """The widened weight [O, I], float32, made anew."""
        return self.codes.float() * self.scales.float()[:, None]

    def forward(self, x: Tensor) -> Tensor:
        """[..., I] -> [..., O] in x's own precision. Carries no gradients."""
        rows = x.reshape(-1, self.in_features).bfloat16()  # [N, I]
        if place(x) == "cpu" and rows.shape[0] <= _MANY and not self.in_features % _LANES:
            y = torch.ops.aten._weight_int8pack_mm(rows, self.codes, self.scales)
        else:
            y = F.linear(rows, self.codes.bfloat16() * self.scales[:, None])
        y = y.to(x.dtype).view(*x.shape[:-1], self.out_features)
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, int8"


def quantize(network: nn.Module, kind: str = "int8") -> nn.Module:
    """Every linear layer of the network, its head included, replaced in place by one with narrow weights; returns it.

    A head tied to the embedding gets its own int8 copy, and the embedding stays as it is. For inference only: merge
    adapters first. Raises UserError for another kind.
    """
    if kind != "int8":
        raise UserError(f"Weights cannot be kept as {kind!r} for decoding.", near(kind, ["int8"]))
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, Int8Linear(child).train(child.training))
    return network
