"""The small parts between attentions: norms, feed-forward networks, residual regularisers.

Axes: B batch, T positions, C width of the model, F width of the feed-forward network.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .linear import Linear
from .rehearsal import place

Norm = Callable[[int], nn.Module]
"""Makes a norm for a width; `partial(nn.LayerNorm, eps=1e-6)` is one."""

Activation = Callable[[Tensor], Tensor]

LayerNorm = nn.LayerNorm
gelu = F.gelu
gelu_tanh = partial(F.gelu, approximate="tanh")


def quick_gelu(x: Tensor) -> Tensor:
    """x sigmoid(1.702 x), the GELU of OpenAI's CLIP; another function than `gelu`, and not to be mixed up with it."""
    return x * torch.sigmoid(1.702 * x)


ACTIVATIONS: dict[str, Activation] = {
    "gelu": gelu,
    "gelu_new": gelu_tanh,
    "gelu_fast": gelu_tanh,
    "gelu_pytorch_tanh": gelu_tanh,
    "quick_gelu": quick_gelu,
    "relu": F.relu,
    "silu": F.silu,
    "swish": F.silu,
}
"""Activations by the names that checkpoints' config files use."""


def dropout(x: Tensor, share: float) -> Tensor:
    """x with that share of its numbers cleared at random and the others scaled up; for training.

    On a CPU torch draws the lots one by one, which takes longer than most of what stands around a dropout. Sixteen
    random bits decide as well, and one draw gives four of them: five times as fast. The share is kept to 1 in 65,536.
    """
    if not share:
        return x
    if place(x) != "cpu":
        return F.dropout(x, share)
    clear = round(share * 2**16)
    words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    lots = words.view(torch.int16)[: x.numel()].view(x.shape)
    return x * (lots >= clear - 2**15).to(x.dtype).mul_(2**16 / (2**16 - clear))


class Dropout(nn.Dropout):
    """`dropout` while training."""

    def forward(self, input: Tensor) -> Tensor:
        return dropout(input, self.p) if self.training else input


class RMSNorm(nn.Module):
    """Scale by the root mean square, no mean, no bias (Zhang and Sennrich 2019, arXiv 1910.07467)."""

    def __init__(self, dim: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """x [..., C] normed in float32, whatever its own precision."""
        return F.rms_norm(x.float(), self.weight.shape, eps=self.eps).to(x.dtype) * self.weight


class FrameBatchNorm(nn.BatchNorm1d):
    """Batch norm of x [..., C] over everything but its channels (Ioffe and Szegedy 2015, arXiv 1502.03167)."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.flatten(0, -2)).view_as(input)


class MLP(nn.Module):
    """down(activation(up(x))): the feed-forward network of the original Transformer; `hidden` defaults to 4 dim."""

    def __init__(
        self,
        dim: int,
        *,
        hidden: int | None = None,
        activation: Activation = gelu,
        bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        hidden = 4 * dim if hidden is None else hidden
        self.up = Linear(dim, hidden, bias=bias)
        self.down = Linear(hidden, dim, bias=bias)
        self.activation, self.dropout = activation, dropout

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, C] -> [B, T, C]."""
        hidden = self.activation(self.up(x))
        if self.training:
            hidden = dropout(hidden, self.dropout)
        return self.down(hidden)


class GatedMLP(nn.Module):
    """down(activation(gate) * up) with [gate; up] from one matrix, `gate_up`; with SiLU it is SwiGLU (Shazeer 2020,
    arXiv 2002.05202)."""

    def __init__(self, dim: int, *, hidden: int, activation: Activation = F.silu, bias: bool = False) -> None:
        super().__init__()
        self.gate_up = Linear(dim, 2 * hidden, bias=bias)
        self.down = Linear(hidden, dim, bias=bias)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, C] -> [B, T, C]."""
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(self.activation(gate) * up)


class LayerScale(nn.Module):
    """A learned factor for each channel of a residual branch (Touvron et al. 2021, arXiv 2103.17239)."""

    def __init__(self, dim: int, initial: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), initial))

    def forward(self, x: Tensor) -> Tensor:
        """x [..., C] -> [..., C]."""
        return x * self.gamma


class DropPath(nn.Module):
    """Stochastic depth (Huang et al. 2016, arXiv 1603.09382): while training, a share of samples skips the branch, and
    the others are scaled up so that the expected sum stays."""

    def __init__(self, share: float) -> None:
        super().__init__()
        if not 0 <= share < 1:
            raise ValueError(f"the share of dropped paths lies in [0, 1), not at {share}")
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """x [B, ...] -> [B, ...]."""
        if not self.training or not self.share:
            return x
        keep = torch.rand(x.shape[0], *[1] * (x.ndim - 1), device=x.device) >= self.share
        return x * (keep / (1 - self.share)).to(x.dtype)

    def extra_repr(self) -> str:
        return f"share={self.share}"


class Branch(nn.Module):
    """What a residual branch's result passes before it is added: layer scale, dropout, stochastic depth.

    Holds only what is switched on; with nothing switched on it is the identity.
    """

    def __init__(self, dim: int, *, layer_scale: float | None, dropout: float, drop_path: float) -> None:
        super().__init__()
        self.scale = LayerScale(dim, layer_scale) if layer_scale is not None else None
        self.dropout = dropout
        self.drop_path = DropPath(drop_path) if drop_path else None

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, C] -> [B, T, C]."""
        if self.scale is not None:
            x = self.scale(x)
        if self.training:
            x = dropout(x, self.dropout)
            if self.drop_path is not None:
                x = self.drop_path(x)
        return x
