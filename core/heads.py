"""What turns a Transformer's vectors into an answer: pooling and projections.

Axes: B batch, T positions, C width of the model.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .linear import Linear

Pool = Callable[[Tensor], Tensor]
"""[B, T, C] -> [B, C'] ."""


def first_token(x: Tensor) -> Tensor:
    """The class token, [B, T, C] -> [B, C]."""
    return x[:, 0]


class MeanTokens(nn.Module):
    """The mean over all but the first `skip` positions, [B, T, C] -> [B, C]."""

    def __init__(self, skip: int = 0) -> None:
        super().__init__()
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        return x[:, self.skip :].mean(dim=1)


class FirstAndMeanTokens(nn.Module):
    """Class token and mean of the patches side by side, [B, T, C] -> [B, 2C]: DINOv2's linear probe."""

    def __init__(self, skip: int = 1) -> None:
        super().__init__()
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, 0], x[:, self.skip :].mean(dim=1)], dim=-1)


class LanguageHead(nn.Module):
    """Logits over the vocabulary for each position, [B, T, C] -> [B, T, V]; `embedding` ties the weights."""

    def __init__(self, *, dim: int, vocabulary: int, bias: bool = False, embedding: nn.Embedding | None = None) -> None:
        super().__init__()
        self.projection = Linear(dim, vocabulary, bias=bias)
        if embedding is not None:
            self.projection.weight = embedding.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.projection(x)
