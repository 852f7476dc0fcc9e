"""The network that predicts properties: the language model of SMILES reads a molecule, a head says what it is like.

    <begin> C C O <end>  -> SmilesGPT -> hidden [B, T, C] -> mean over tokens, and the end's own vector -> [B, 2C]
    computed properties [B, D], in deviations --------------------------------------------------------> [B, D]
                                                                                  head: mean and deviation, [B, K] each

Axes: B molecules, T tokens, C width of the language model, D computed properties, K targets.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .....core.errors import UserError
from .....core.linear import Linear
from .....core.options import build
from .....core.task import Batch
from ..model import PAD, SmilesGPT

NARROWEST = 0.05
"""The least deviation that is believed, in deviations of the training molecules."""


@dataclass(frozen=True, kw_only=True)
class PredictorConfig:
    """The head on the language model.

    targets: K, what it predicts. described: D, computed properties beside what the language model says. hidden: width
    of the head (0: it is linear). dropout: in the head. language: how much the likelihood of the molecules themselves,
    in nats a token, counts beside the loss (Radford et al. 2018: 0.5); it keeps what was learnt before.

    Raises UserError for values that make no network.
    """

    targets: int = 1
    described: int = 0
    hidden: int = 128
    dropout: float = 0.1
    language: float = 0.1

    def __post_init__(self) -> None:
        for name, least in (("targets", 1), ("described", 0), ("hidden", 0), ("language", 0)):
            if getattr(self, name) < least:
                raise UserError(f"{name} must be at least {least}, not {getattr(self, name)}.")
        if not 0 <= self.dropout < 1:
            raise UserError(f"dropout is a share from 0 to 1, not {self.dropout}.")

    def to_json(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> PredictorConfig:
        """What `to_json` gave."""
        return build(cls, plain)


@dataclass(frozen=True, kw_only=True)
class PropertyBatch(Batch):
    """Molecules as ids [B, T] with begin and end, filled up with padding; their computed properties [B, D] and what is
    true of them [B, K], nan where it is not known, all in deviations of the training molecules."""

    tokens: Tensor
    described: Tensor
    truths: Tensor

    @property
    def known(self) -> Tensor:
        """Which truths are known, [B, K] bool."""
        return ~self.truths.isnan()


class Predictor(nn.Module):
    """A language model and a head on it.

    >>> trunk = SmilesGPT(SmilesGPTConfig(vocabulary=28))  # doctest: +SKIP
    >>> Predictor(trunk, PredictorConfig())(batch)[0].shape  # doctest: +SKIP
    torch.Size([1, 1])
    """

    def __init__(self, trunk: SmilesGPT, config: PredictorConfig) -> None:
        super().__init__()
        self.trunk, self.config = trunk, config
        wide = 2 * trunk.config.dim + config.described
        last = Linear(config.hidden or wide, 2 * config.targets)
        nn.init.zeros_(last.weight)  # it begins with the mean of all, whatever it reads
        nn.init.zeros_(last.bias)
        self.head = nn.Sequential(
            nn.Dropout(config.dropout),
            *([Linear(wide, config.hidden), nn.GELU(), nn.Dropout(config.dropout)] if config.hidden else []),
            last,
        )

    def forward(self, batch: PropertyBatch) -> tuple[Tensor, Tensor]:
        """Mean and deviation of each target, [B, K] each, in deviations of the training molecules."""
        return self._head(self.trunk.read(batch.tokens), batch)

    def loss(self, batch: PropertyBatch) -> Tensor:
        """Half the squared error summed over what is known, and what teaches the deviation without bending the mean
        (Seitzer et al. 2022, arXiv 2203.09168, at beta = 1); to this the language's own loss as `config` says."""
        hidden = self.trunk.read(batch.tokens)
        mean, deviation = self._head(hidden, batch)
        known, truths = batch.known, batch.truths.nan_to_num(0.0)
        error = (mean - truths) * known
        unsure = (deviation.log() + 0.5 * (error.detach() / deviation) ** 2) * known
        loss = (0.5 * error**2 + 0.1 * unsure).sum()
        if self.config.language:
            logits = self.trunk.head(hidden[:, :-1]).float().transpose(1, 2)
            nats = F.cross_entropy(logits, batch.tokens[:, 1:], ignore_index=PAD)
            loss = loss + self.config.language * nats * known.sum()
        return loss

    def _head(self, hidden: Tensor, batch: PropertyBatch) -> tuple[Tensor, Tensor]:
        real = (batch.tokens != PAD)[..., None]
        mean = (hidden * real).sum(dim=1) / real.sum(dim=1)
        ends = real.sum(dim=1).squeeze(-1) - 1
        last = hidden[torch.arange(len(hidden), device=hidden.device), ends]
        read = torch.cat([mean, last, batch.described.to(mean.dtype)], dim=-1)
        means, logs = self.head(read).float().chunk(2, dim=-1)
        return means, NARROWEST + F.softplus(logs + 0.5)
