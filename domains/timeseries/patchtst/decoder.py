"""A plain decoder: patches from left to right, each telling the next (as in Das et al. 2024, TimesFM).

    patch 1   patch 2   patch 3  |  what the network said     each is told what is known ahead of the next patch
       |         |         |     |      |
    patch 2   patch 3   patch 4     patch 5                   one forward pass learns all of them

Axes: R rows (series of all windows), B windows, L look-back, H horizon, N patches, P steps of a patch, X covariates,
C width of the model, K numbers of a step.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from ....core.blocks import View, build_blocks
from ....core.layers import MLP, Dropout, LayerNorm
from ....core.linear import Linear
from ....core.positions import Rotary
from ..windows import WindowBatch
from .config import DecoderConfig
from .forecaster import Forecaster, Normalised, silent


class DecoderForecaster(Forecaster):
    """A forecaster as `config` describes it. Patches are counted back from the origin; what does not fill one at the
    beginning is left out. Beyond the first patch it reads its own medians."""

    config: DecoderConfig

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__(config)
        patch, told = config.patch, config.past + config.ahead
        self.embed = Linear(2 * patch, config.dim)  # values, and what is missing
        self.covariates = Linear(told * patch, config.dim, bias=False) if told else None
        self.next = Linear(config.ahead * patch, config.dim, bias=False) if config.ahead else None
        self.static = Linear(config.static, config.dim, bias=False) if config.static else None
        self.dropout = Dropout(config.dropout)
        self.blocks = build_blocks(
            dim=config.dim, depth=config.depth, heads=config.heads, mlp=partial(MLP, hidden=config.hidden),
            rotary=Rotary(head_dim=config.dim // config.heads), dropout=config.dropout,
            attention_dropout=config.attention_dropout,
        )  # fmt: skip
        self.norm = LayerNorm(config.dim)
        self.out = silent(Linear(config.dim, patch * self.numbers))

    @property
    def patches(self) -> tuple[int, int]:
        """Patches of the look-back and of the horizon."""
        return self.config.lookback // self.config.patch, -(-self.config.horizon // self.config.patch)

    def raw(self, batch: WindowBatch, rows: Normalised) -> Tensor:
        behind, ahead = self.patches
        values, observed = self._whole(rows.values, batch.observed)
        found = []
        for step in range(ahead):
            said = self._say(batch, values, observed, behind + step)[:, -1]  # [R, P, K]
            found.append(said)
            level, _ = self.head.predict(said)
            values = torch.cat([values, level], dim=1)
            observed = torch.cat([observed, torch.ones_like(level, dtype=torch.bool)], dim=1)
        return torch.cat(found, dim=1)[:, : self.config.horizon]

    def loss(self, batch: WindowBatch) -> Tensor:
        """Every patch but the first is forecast from those before it: of each row the mean over their steps, counted as
        often as it has steps to forecast."""
        rows = self.normalise(batch.values, batch.observed)
        target = (batch.target - rows.location) / rows.scale * batch.target_observed
        values, observed = self._whole(rows.values, batch.observed)
        behind, ahead = self.patches
        short = ahead * self.config.patch - self.config.horizon
        values = torch.cat([values, F.pad(target, (0, short))], dim=1)
        observed = torch.cat([observed, F.pad(batch.target_observed, (0, short))], dim=1)
        patch = self.config.patch
        said = self._say(batch, values[:, :-patch], observed[:, :-patch], behind + ahead - 1)
        truth, known = values[:, patch:], observed[:, patch:]
        share = batch.target_observed.sum(1, keepdim=True) / known.sum(1, keepdim=True).clamp_min(1)
        return self.head.loss(said.flatten(1, 2), truth, known, weight=self.weight(rows) * share)

    def _whole(self, values: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        """The last whole patches of values, observed [R, L]."""
        first = self.config.lookback - self.patches[0] * self.config.patch
        return values[:, first:], observed[:, first:]

    def _say(self, batch: WindowBatch, values: Tensor, observed: Tensor, count: int) -> Tensor:
        """values, observed [R, count P] -> what each patch says of the next: [R, count, P, K]."""
        patch = self.config.patch
        cut = [part.unflatten(1, (count, patch)) for part in (values, (~observed).to(values.dtype))]
        x = self.embed(torch.cat(cut, dim=-1))
        first = self.config.lookback - self.patches[0] * patch
        if self.covariates is not None:
            past = F.pad(batch.past, (0, self.config.horizon))  # after the origin nothing is known of it
            x = x + self.covariates(self._cut(torch.cat([past, batch.ahead], dim=1), first, count))[batch.window]
        if self.next is not None:
            x = x + self.next(self._cut(batch.ahead, first + patch, count))[batch.window]
        if self.static is not None:
            x = x + self.static(batch.static)[:, None]
        x, view = self.dropout(x), View(causal=True)
        for block in self.blocks:
            x = block(x, view)
        return self.out(self.norm(x)).unflatten(2, (patch, self.numbers))

    def _cut(self, told: Tensor, first: int, count: int) -> Tensor:
        """`count` patches of told [B, X, L + H] from step `first` on: [B, count, X P]."""
        stop = first + count * self.config.patch
        told = F.pad(told, (0, max(0, stop - told.shape[2])))[..., first:stop]
        return told.unflatten(2, (count, self.config.patch)).transpose(1, 2).flatten(2)
