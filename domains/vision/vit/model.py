"""The vision Transformer: patches in, a class token that has read them all out.

    picture -> patches -> + positions -> [class, registers, patches] -> encoder -> pooled features -> head -> logits

Axes: B batch, N patches, T tokens (class, registers, patches), C width, H heads.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from ....core.embed import PatchEmbedding
from ....core.encoder import Encoder
from ....core.heads import FirstAndMeanTokens, MeanTokens, first_token
from ....core.layers import ACTIVATIONS, MLP
from .config import ViTConfig


class ViT(nn.Module):
    """A vision Transformer as `config` describes it.

    >>> vit = ViT(ViTConfig(image_size=32, patch_size=8, classes=10))
    >>> vit(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        self.patches = PatchEmbedding(patch=config.patch_size, channels=config.channels, dim=config.dim)
        self.class_token = nn.Parameter(torch.zeros(1, 1, config.dim))
        self.positions = nn.Parameter(torch.empty(1, 1 + config.patches, config.dim))  # the first is the class token's
        self.registers = nn.Parameter(torch.empty(1, config.registers, config.dim)) if config.registers else None
        self.encoder = Encoder(
            dim=config.dim,
            depth=config.depth,
            heads=config.heads,
            bias=config.qkv_bias,
            out_bias=True,
            norm=partial(nn.LayerNorm, eps=config.eps),
            mlp=partial(MLP, hidden=config.mlp_dim, activation=ACTIVATIONS[config.activation], dropout=config.dropout),
            layer_scale=config.layer_scale,
            dropout=config.dropout,
            drop_path=config.drop_path,
        )
        poolings = {"mean": MeanTokens(config.prefix), "first+mean": FirstAndMeanTokens(config.prefix)}
        self.pool = poolings.get(config.pooling, first_token)
        self.head = nn.Linear(config.feature_dim, config.classes) if config.classes else nn.Identity()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights that keep the variance of what passes through (LeCun), a small head, a class token that starts empty.

        The usual fixed deviation of 0.02 suits widths near 768; a network of width 128 learns twice as fast with this.
        """
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=module.in_features**-0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for table in (self.positions, self.registers):
            if table is not None:
                nn.init.trunc_normal_(table, std=0.02)
        nn.init.normal_(self.class_token, std=1e-6)
        if isinstance(self.head, nn.Linear):
            nn.init.trunc_normal_(self.head.weight, std=0.02)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [B, channels, image_size, image_size], normalised -> logits [B, classes] (features without a head)."""
        return self.head(self.features(pixels))

    def look(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """In one pass: logits [B, classes], features [B, feature_dim], texture [B, 2 C]."""
        tokens = self.tokens(pixels)
        features = self.features_of(tokens)
        return self.head(features), features, self.texture(tokens)

    def features(self, pixels: Tensor) -> Tensor:
        """What the head sees: [B, feature_dim]."""
        return self.features_of(self.tokens(pixels))

    def features_of(self, tokens: Tensor) -> Tensor:
        """The same from the encoder's input [B, T, C]."""
        if self.config.layers > 1:
            found = self.encoder.last_layers(tokens, self.config.layers)
            return torch.cat([self.pool(layer) for layer in found], dim=-1)
        keep = 1 if self.config.pooling == "first" else None
        return self.pool(self.encoder(tokens, keep=keep))

    def texture(self, tokens: Tensor) -> Tensor:
        """Mean and deviation of the patches [B, 2 C] in the encoder's input: what a picture looks like before any
        layer has read it as something known."""
        patches = tokens[:, self.config.prefix :]
        deviation, mean = torch.std_mean(patches, dim=1, correction=0)
        return torch.cat([mean, deviation], dim=1)

    def tokens(self, pixels: Tensor) -> Tensor:
        """The encoder's input [B, T, C]: class token, registers, patches with their positions."""
        patches = self.patches(pixels) + self.positions[:, 1:]
        prefix = [self.class_token + self.positions[:, :1]]
        if self.registers is not None:
            prefix.append(self.registers)
        start = torch.cat(prefix, dim=1).expand(pixels.shape[0], -1, -1)
        return torch.cat([start, patches], dim=1)

    def attention(self, pixels: Tensor) -> Tensor:
        """Where the class token looks: [B, rows, columns], each map sums to 1.

        Attention rollout (Abnar and Zuidema 2020, arXiv 2005.00928): the layers' weights, averaged over heads and with
        half of each token kept by the residual stream, multiplied from the first layer to the last.
        """
        flow: Tensor | None = None
        for weights in self.encoder.attention_maps(self.tokens(pixels)):
            step = weights.mean(dim=1)  # [B, T, T]
            step = 0.5 * (step + torch.eye(step.shape[-1], device=step.device))
            flow = step if flow is None else step @ flow
        assert flow is not None
        seen = flow[:, 0, self.config.prefix :]  # what the class token took from each patch
        return (seen / seen.sum(dim=1, keepdim=True)).unflatten(1, self.config.grid)
