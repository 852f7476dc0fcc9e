"""Fewer frames before the encoder: strided convolutions over time and frequency.

    frames    z 0 1 2 3 4 5 6 7        z: a zero before the first
              [---]   [---]            output j of a layer sees inputs 2j - 1, 2j, 2j + 1
                  [---]   [---]

Two layers make one frame of four, and no output waits for more than its own four: a stream gives the same.

Axes: B batch, F frames in, T frames out, M mel bands, C width of the model, K channels.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....core.linear import Linear
from ....core.masks import padding_mask


class Subsampling(nn.Module):
    """log2(factor) convolutions of kernel 3 and stride 2, and a projection: [B, F, M] -> [B, T, C], T = F / factor
    rounded up."""

    def __init__(self, *, mels: int, dim: int, factor: int, channels: int) -> None:
        super().__init__()
        widths = [1, *[channels] * (factor.bit_length() - 1)]
        self.factor = factor
        self.layers = nn.ModuleList(nn.Conv2d(into, out, 3, stride=2, padding=(0, 1)) for into, out in pairwise(widths))
        self.project = Linear(channels * -(-mels // factor), dim)

    def forward(self, mel: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """mel [B, F, M], lengths [B] in frames -> [B, T, C], lengths [B]; what is padding never counts."""
        x = mel[:, None]  # [B, 1, F, M]
        for layer in self.layers:
            x = x.masked_fill(~padding_mask(lengths, x.shape[2])[:, None, :, None], 0.0)
            x = F.relu(layer(F.pad(x, (0, 0, 1, x.shape[2] % 2))))
            lengths = (lengths + 1) // 2
        return self._projected(x), lengths

    def step(self, mel: Tensor, state: list[Tensor | None]) -> Tensor:
        """The next frames mel [B, f, M] of a stream -> [B, t, C]; all but the last f divide by the factor.

        state: the frame before these, for each layer; `[None] * len(layers)` at the beginning. It is changed.
        """
        x = mel[:, None]
        for number, layer in enumerate(self.layers):
            before = state[number]
            before = x.new_zeros(*x.shape[:2], 1, x.shape[3]) if before is None else before
            state[number] = x[:, :, -1:]
            x = F.relu(layer(F.pad(torch.cat([before, x], dim=2), (0, 0, 0, x.shape[2] % 2))))
        return self._projected(x)

    def _projected(self, x: Tensor) -> Tensor:
        """[B, K, T, M / factor] -> [B, T, C]."""
        return self.project(x.transpose(1, 2).flatten(2))
