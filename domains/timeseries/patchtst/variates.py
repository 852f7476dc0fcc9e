"""iTransformer: each series' whole look-back is one token, and attention runs across the series (Liu et al. 2024).

Axes: R rows (series of all windows), B windows, S series of the widest window, L look-back, H horizon, X covariates,
C width of the model, K numbers of a step.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from ....core.encoder import Encoder
from ....core.layers import MLP, Dropout
from ....core.linear import Linear
from ....core.masks import key_mask
from ..windows import WindowBatch
from .config import ITransformerConfig
from .forecaster import Forecaster, Normalised, ahead_of, channels, covariates, silent


class ITransformer(Forecaster):
    """A forecaster as `config` describes it; covariates are tokens beside the series."""

    config: ITransformerConfig

    def __init__(self, config: ITransformerConfig) -> None:
        super().__init__(config)
        told, told_ahead = channels(config)
        self.embed = Linear(config.lookback, config.dim)
        self.missing = Linear(config.lookback, config.dim, bias=False) if config.masked else None
        self.covariates = Linear(config.lookback, config.dim) if told else None
        self.ahead = Linear(config.horizon, config.dim) if told_ahead else None
        self.static = Linear(config.static, config.dim, bias=False) if config.static else None
        self.names = nn.Parameter(torch.randn(told + told_ahead, config.dim) * 0.02)
        self.dropout = Dropout(config.dropout)
        self.encoder = Encoder(
            dim=config.dim, depth=config.depth, heads=config.heads, mlp=partial(MLP, hidden=config.hidden),
            dropout=config.dropout, attention_dropout=config.attention_dropout,
        )  # fmt: skip
        self.out = silent(Linear(config.dim, config.horizon * self.numbers))

    def raw(self, batch: WindowBatch, rows: Normalised) -> Tensor:
        x = self.embed(rows.values)
        if self.missing is not None and (torch.compiler.is_compiling() or not bool(batch.observed.all())):
            x = x + self.missing((~batch.observed).to(x.dtype))
        if self.static is not None:
            x = x + self.static(batch.static)
        place, series, counts = _places(batch.window, len(batch.past))
        tokens = x.new_zeros(len(batch.past), series, x.shape[1])
        tokens[batch.window, place] = x
        real = torch.arange(series, device=x.device) < counts[:, None]
        told = self._told(batch)
        if told is not None:
            tokens = torch.cat([tokens, told], dim=1)
            real = torch.cat([real, real.new_ones(told.shape[:2])], dim=1)
        mask = None if not torch.compiler.is_compiling() and bool(real.all()) else key_mask(real)
        x = self.encoder(self.dropout(tokens), mask=mask)[batch.window, place]
        return self.out(x).unflatten(1, (self.config.horizon, self.numbers))

    def _told(self, batch: WindowBatch) -> Tensor | None:
        """Covariates as tokens [B, X, C]."""
        if self.covariates is None:
            return None
        told = self.covariates(covariates(batch, self.config))
        if self.ahead is not None:
            told = torch.cat([told, self.ahead(ahead_of(batch, self.config))], dim=1)
        return told + self.names


def _places(window: Tensor, windows: int) -> tuple[Tensor, int, Tensor]:
    """For rows that belong to window [R], in order: each row's place within its window, the most rows of a window, and
    how many each has [B]."""
    counts = torch.bincount(window, minlength=windows)
    starts = torch.cumsum(counts, 0) - counts
    return torch.arange(len(window), device=window.device) - starts[window], int(counts.max()), counts
