"""The Conformer: a Transformer layer that also convolves over time, between two feed-forward networks of half weight.

    x - (+ 1/2 mlp) - (+ attention) - (+ convolution) - (+ 1/2 mlp) - norm ->       each branch reads through a norm

    convolution:  norm - expand - GLU - mask - depthwise - norm - SiLU - project

Gulati et al. 2020 (arXiv 2005.08100). What is padding is masked before the depthwise convolution, so that an utterance
answers the same alone and in a batch of longer ones.

Axes: B batch, T frames, C width of the model, K kernel.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import MultiHeadAttention
from .chunks import ChunkedStack, FrameView, LayerState
from .layers import MLP, Branch, LayerNorm, Norm
from .linear import Linear
from .positions import Rotary


class ConvolutionModule(nn.Module):
    """Mixes neighbouring frames, each channel by its own kernel.

    causal: a frame sees the K - 1 frames before it, rather than as many on both sides (then K must be odd, ValueError
    else). norm: of the convolved frames. `LayerNorm` depends on no other frame and suits small batches and streams;
    `FrameBatchNorm` is the paper's, and learns from real frames only.
    """

    def __init__(
        self,
        *,
        dim: int,
        kernel: int,
        causal: bool = False,
        norm: Norm = LayerNorm,
        input_norm: Norm = LayerNorm,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if kernel < 1 or (not causal and kernel % 2 == 0):
            raise ValueError(f"a kernel that looks both ways must be odd and positive, not {kernel}")
        self.kernel, self.causal = kernel, causal
        self.input_norm = input_norm(dim)
        self.expand = Linear(dim, 2 * dim, bias=bias)
        self.depthwise = nn.Conv1d(dim, dim, kernel, groups=dim, bias=bias)
        self.norm = norm(dim)
        self.project = Linear(dim, dim, bias=bias)

    def forward(self, x: Tensor, real: Tensor | None = None, state: LayerState | None = None) -> Tensor:
        """x [B, T, C] -> [B, T, C]; real [B, T], False for padding; state: the frames before these, in a stream."""
        x = F.glu(self.expand(self.input_norm(x)), dim=-1)
        if real is not None:
            x = x.masked_fill(~real[..., None], 0.0)
        x = self._normed(self._convolved(x, state), real)
        return self.project(F.silu(x))

    def _convolved(self, x: Tensor, state: LayerState | None) -> Tensor:
        """[B, T, C] -> [B, T, C], zeros standing for what lies outside."""
        reach = self.kernel - 1
        if state is not None and not self.causal:
            raise ValueError("a convolution that looks both ways cannot stream: make the network with a chunk")
        if not self.causal:
            x = F.pad(x, (0, 0, reach // 2, reach // 2))
        elif state is None or state.convolution is None:
            x = F.pad(x, (0, 0, reach, 0))
        else:
            x = torch.cat([state.convolution, x], dim=1)
        if state is not None:
            state.convolution = x[:, x.shape[1] - reach :]
        # As a picture of one row this lies in memory with channels last, where oneDNN is ten times as fast.
        row = x.transpose(1, 2)[:, :, None]  # [B, C, 1, K - 1 + T]
        row = F.conv2d(row, self.depthwise.weight[:, :, None], self.depthwise.bias, groups=self.depthwise.groups)
        return row[:, :, 0].transpose(1, 2)

    def _normed(self, x: Tensor, real: Tensor | None) -> Tensor:
        if real is None or not self.training or not isinstance(self.norm, nn.BatchNorm1d):
            return self.norm(x)
        return torch.zeros_like(x).masked_scatter(real[..., None], self.norm(x[real]))


class ConformerBlock(nn.Module):
    """One layer. convolution_first: before the attention rather than after it."""

    def __init__(
        self,
        *,
        dim: int,
        attention: MultiHeadAttention,
        convolution: ConvolutionModule,
        hidden: int,
        norm: Norm = LayerNorm,
        dropout: float = 0.0,
        drop_path: float = 0.0,
        convolution_first: bool = False,
    ) -> None:
        super().__init__()
        mlp = partial(MLP, dim, hidden=hidden, activation=F.silu, dropout=dropout)
        branch = partial(Branch, dim, layer_scale=None, dropout=dropout, drop_path=drop_path)
        self.first_norm, self.first_mlp, self.first_branch = norm(dim), mlp(), branch()
        self.attention_norm, self.attention, self.attention_branch = norm(dim), attention, branch()
        self.convolution, self.convolution_branch = convolution, branch()
        self.second_norm, self.second_mlp, self.second_branch = norm(dim), mlp(), branch()
        self.norm = norm(dim)
        self.convolution_first = convolution_first

    def forward(self, x: Tensor, view: FrameView) -> Tensor:
        """x [B, T, C] -> [B, T, C]."""
        x = x + 0.5 * self.first_branch(self.first_mlp(self.first_norm(x)))
        mixers = (self._convolved, self._attended) if self.convolution_first else (self._attended, self._convolved)
        for mixer in mixers:
            x = mixer(x, view)
        x = x + 0.5 * self.second_branch(self.second_mlp(self.second_norm(x)))
        return self.norm(x)

    def _attended(self, x: Tensor, view: FrameView) -> Tensor:
        normed = self.attention_norm(x)
        mixed = self.attention(normed, mask=view.mask, positions=view.positions, cache=view.cache)
        return x + self.attention_branch(mixed)

    def _convolved(self, x: Tensor, view: FrameView) -> Tensor:
        return x + self.convolution_branch(self.convolution(x, view.real, view.state))


class Conformer(ChunkedStack):
    """`depth` layers over frames [B, T, C]; see `ChunkedStack` for how it is run whole and as a stream.

    hidden: width of the feed-forward networks, 4 dim by default. rotary: positions turn queries and keys; without them
    only the convolutions know of order (torchaudio's). chunk: attention by chunks; the convolutions are then causal,
    for what comes after a chunk is not there yet. convolution_norm: see `ConvolutionModule`.

    >>> conformer = Conformer(dim=144, depth=8, heads=4, kernel=15, chunk=16, left=64)
    >>> state = conformer.new_state()
    >>> conformer.step(torch.zeros(1, 16, 144), state).shape
    torch.Size([1, 16, 144])
    """

    def __init__(
        self,
        *,
        dim: int,
        depth: int,
        heads: int,
        kernel: int = 15,
        hidden: int | None = None,
        chunk: int | None = None,
        left: int = 0,
        rotary: bool = True,
        norm: Norm = LayerNorm,
        convolution_norm: Norm = LayerNorm,
        convolution_first: bool = False,
        bias: bool = True,
        dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        turning = Rotary(head_dim=dim // heads) if rotary else None
        drop_paths = torch.linspace(0, drop_path, depth, device="cpu").tolist()
        causal = chunk is not None
        blocks = nn.ModuleList(
            ConformerBlock(
                dim=dim,
                attention=MultiHeadAttention(dim=dim, heads=heads, bias=bias, rotary=turning, dropout=dropout),
                convolution=ConvolutionModule(
                    dim=dim, kernel=kernel, causal=causal, norm=convolution_norm, input_norm=norm, bias=bias
                ),
                hidden=4 * dim if hidden is None else hidden,
                norm=norm,
                dropout=dropout,
                drop_path=share,
                convolution_first=convolution_first,
            )
            for share in drop_paths
        )
        super().__init__(blocks=blocks, norm=None, rotary=turning, chunk=chunk, left=left)
        self.dim = dim
