"""PatchTST: a series cut into patches, each a token of a Transformer; every series for itself (Nie et al. 2023).

    look-back  [patch][patch] ... [patch]   horizon  [patch][patch]        decode="tokens": what is known ahead is read
                  |      |           |                  |      |           by the tokens of the horizon, which answer
               ---- Transformer: each token sees all ----------

Beside the reference: covariates (past, known ahead, fixed), missing values as a masked input, quantiles, and a linear
map solved in closed form that the Transformer starts from.

Axes: R rows (series of all windows), B windows, L look-back, H horizon, N patches of the look-back, M of the horizon,
P steps of a patch, X covariates, C width of the model, K numbers of a step.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....core.blocks import PostNormBlock, PreNormBlock
from ....core.encoder import Encoder
from ....core.layers import ACTIVATIONS, MLP, Dropout, FrameBatchNorm, LayerNorm
from ....core.linear import Linear
from ..windows import WindowBatch
from .config import PatchTSTConfig
from .forecaster import Forecaster, Normalised, ahead_of, channels, covariates, silent


class PatchTST(Forecaster):
    """A forecaster as `config` describes it.

    >>> model = PatchTST(PatchTSTConfig(lookback=336, horizon=96))
    >>> y_hat, quantiles = model(batch_of(windows, lookback=336, horizon=96))  # doctest: +SKIP
    """

    config: PatchTSTConfig

    def __init__(self, config: PatchTSTConfig) -> None:
        super().__init__(config)
        dim, patch = config.dim, config.patch
        told, told_ahead = channels(config)
        self.embed = Linear(patch, dim)
        self.missing = Linear(patch, dim, bias=False) if config.masked else None
        self.covariates = Linear(told * patch, dim, bias=False) if told else None
        self.static = Linear(config.static, dim, bias=False) if config.static else None
        self.first = nn.Parameter(torch.zeros(1, 1, 1, dim)) if config.decode == "first" else None
        tokens = config.patches + {"tokens": config.patches_ahead, "first": 1}.get(config.decode, 0)
        self.positions = nn.Parameter(torch.empty(tokens, dim).uniform_(-0.02, 0.02))
        self.dropout = Dropout(config.dropout)
        self.encoder = Encoder(
            dim=dim,
            depth=config.depth,
            heads=config.heads,
            block=PostNormBlock if config.post_norm else PreNormBlock,
            norm=partial(FrameBatchNorm if config.norm == "batch" else LayerNorm, eps=config.norm_epsilon),
            mlp=partial(MLP, hidden=config.hidden, activation=ACTIVATIONS[config.activation], dropout=config.dropout),
            dropout=config.dropout,
            attention_dropout=config.attention_dropout,
            residual_attention=config.residual_attention,
            final_norm=not config.post_norm and config.decode == "tokens",
        )
        self.head_dropout = Dropout(config.head_dropout)
        if config.decode == "tokens":
            self.ahead = Linear(max(1, told_ahead) * patch, dim)
            self.out = silent(Linear(dim, patch * self.numbers))
        else:
            self.ahead = None
            width = dim * (config.patches if config.decode == "flatten" else 1)
            self.out = silent(Linear(width, config.horizon * self.numbers))

    def raw(self, batch: WindowBatch, rows: Normalised) -> Tensor:
        tokens = self._tokens(batch, rows)
        if self.ahead is not None:
            tokens = torch.cat([tokens, self._tokens_ahead(batch)], dim=1)
        if self.first is not None:
            tokens = torch.cat([self.first[0].expand(len(tokens), 1, -1), tokens], dim=1)
        x = self.encoder(self.dropout(tokens + self.positions))
        if self.ahead is None:
            x = {"flatten": x.flatten(1), "mean": x.mean(1), "first": x[:, 0]}[self.config.decode]
            return self.out(self.head_dropout(x)).unflatten(1, (self.config.horizon, self.numbers))
        x = self.out(self.head_dropout(x[:, self.config.patches :]))  # [R, M, P K]
        return x.unflatten(2, (self.config.patch, self.numbers)).flatten(1, 2)[:, : self.config.horizon]

    def patches(self, x: Tensor) -> Tensor:
        """x [..., L] -> [..., N, P]."""
        if self.config.pad:
            x = torch.cat([x, x[..., -1:].expand(*x.shape[:-1], self.config.stride)], dim=-1)
        whole = self.config.patch + self.config.stride * (self.config.patches - 1)
        return x[..., x.shape[-1] - whole :].unfold(-1, self.config.patch, self.config.stride)

    def _tokens(self, batch: WindowBatch, rows: Normalised) -> Tensor:
        """The look-back as tokens [R, N, C]."""
        x = self.embed(self.patches(rows.values))
        if self.missing is not None and (torch.compiler.is_compiling() or not bool(batch.observed.all())):
            x = x + self.missing(self.patches((~batch.observed).to(x.dtype)))
        if self.covariates is not None:
            told = self.patches(covariates(batch, self.config))  # [B, X, N, P]
            x = x + self.covariates(told.transpose(1, 2).flatten(2))[batch.window]
        if self.static is not None:
            x = x + self.static(batch.static)[:, None]
        return x

    def _tokens_ahead(self, batch: WindowBatch) -> Tensor:
        """The horizon as tokens [R, M, C]: what is known of it."""
        assert self.ahead is not None
        patch, count = self.config.patch, self.config.patches_ahead
        known = ahead_of(batch, self.config)
        if not known.shape[1]:
            known = known.new_zeros(len(known), 1, known.shape[2])
        known = F.pad(known, (0, count * patch - known.shape[2])).unflatten(2, (count, patch))  # [B, X, M, P]
        return self.ahead(known.transpose(1, 2).flatten(2))[batch.window]
