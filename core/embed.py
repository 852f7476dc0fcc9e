"""Where raw input becomes vectors: tokens, patches of pictures, frames of sound.

Axes: B batch, T positions, C width of the model, N patches.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import Activation, gelu


class TokenEmbedding(nn.Embedding):
    """A vector for each token id, times `scale` (the original Transformer and Gemma use the root of the width)."""

    def __init__(self, vocabulary: int, dim: int, *, scale: float = 1.0) -> None:
        super().__init__(vocabulary, dim)
        self.scale = scale
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, input: Tensor) -> Tensor:
        """Token ids [B, T] -> [B, T, C]."""
        vectors = super().forward(input)
        return vectors if self.scale == 1.0 else vectors * self.scale


class PatchEmbedding(nn.Module):
    """Cut a picture into squares and project each: [B, channels, rows*P, columns*P] -> [B, rows*columns, C].

    Patches are read row by row. Raises ValueError for a picture that does not divide into patches.
    """

    def __init__(self, *, patch: int, channels: int, dim: int, bias: bool = True) -> None:
        super().__init__()
        self.patch = patch
        self.projection = nn.Conv2d(channels, dim, kernel_size=patch, stride=patch, bias=bias)

    def forward(self, pixels: Tensor) -> Tensor:
        rows, columns = self.grid(pixels.shape[-2], pixels.shape[-1])
        if torch.compiler.is_compiling():  # an exporter keeps the convolution, which runtimes know best
            return self.projection(pixels).flatten(2).transpose(1, 2)
        # One matrix product over cut-out patches: the same sums, without the convolution's reordering of memory.
        cut = pixels.unflatten(2, (rows, self.patch)).unflatten(4, (columns, self.patch))  # [B, ch, r, P, c, P]
        cut = cut.permute(0, 2, 4, 1, 3, 5).reshape(pixels.shape[0], rows * columns, -1)
        return F.linear(cut, self.projection.weight.flatten(1), self.projection.bias)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patches in a picture of this size, in pixels."""
        if height % self.patch or width % self.patch:
            raise ValueError(f"a picture of {height} x {width} does not divide into patches of {self.patch}")
        return height // self.patch, width // self.patch


class FrameEmbedding(nn.Module):
    """Convolutions over time that turn spectral frames into vectors: [B, frames, features] -> [B, T, C].

    One layer for each stride, kernel 3 with the same padding on both sides; strides (1, 2) halve the frame rate as in
    Whisper (Radford et al. 2022, arXiv 2212.04356). A series of values is cut into patches by kernel = stride.
    """

    def __init__(
        self,
        *,
        features: int,
        dim: int,
        strides: Sequence[int] = (1, 2),
        kernel: int = 3,
        padding: int | None = None,
        activation: Activation = gelu,
    ) -> None:
        super().__init__()
        padding = kernel // 2 if padding is None else padding
        widths = [features, *[dim] * len(strides)]
        self.layers = nn.ModuleList(
            nn.Conv1d(into, out, kernel, stride=stride, padding=padding)
            for into, out, stride in zip(widths, widths[1:], strides, strict=False)
        )
        self.activation = activation

    def forward(self, frames: Tensor) -> Tensor:
        x = frames.transpose(1, 2)  # convolutions want time last
        for layer in self.layers:
            x = self.activation(layer(x))
        return x.transpose(1, 2)
