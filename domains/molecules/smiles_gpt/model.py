"""The language model of SMILES: the shared decoder, and a vector in front that says what the molecule should be like.

    [condition] <begin> C C ( = O ) ...   reads
        .          C    C ( = O ) ... <end>   is learnt to be next

MolGPT (Bagal et al. 2022, doi 10.1021/acs.jcim.1c00600) with a real beginning and end, rotary positions, padding that
counts for nothing, and any subset of the conditions.

Axes: B molecules, T tokens, P conditions, C width of the model, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....core.cache import Cache
from ....core.decoder import Decoder
from ....core.language import LanguageModel
from ....core.layers import MLP
from ....core.linear import Linear
from ....core.positions import Rotary
from ....core.task import Batch
from ..tokenizer import SmilesTokenizer
from .config import SmilesGPTConfig

PAD = SmilesTokenizer.pad


@dataclass(frozen=True, kw_only=True)
class SmilesBatch(Batch):
    """Molecules as ids [B, T] with begin and end, filled up with padding; conditions [B, P], nan where not told (None:
    nothing is)."""

    tokens: Tensor
    conditions: Tensor | None = None

    @property
    def targets(self) -> Tensor:
        """What is to come after each token, [B, T - 1]; padding counts for nothing."""
        return self.tokens[:, 1:]

    @property
    def counted(self) -> Tensor:
        """Which targets are tokens, [B, T - 1] bool."""
        return self.targets != PAD


class Conditions(nn.Module):
    """Properties [B, P], nan where not told -> one vector each, [B, C]. What is told is put in deviations first;
    `mean` and `deviation` [P] are those of the training molecules."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, properties: int, dim: int) -> None:
        super().__init__()
        self.up = Linear(2 * properties, dim)
        self.down = Linear(dim, dim)
        self.register_buffer("mean", torch.zeros(properties))
        self.register_buffer("deviation", torch.ones(properties))

    def forward(self, values: Tensor) -> Tensor:
        told = ~values.isnan()
        deviations = ((values - self.mean) / self.deviation).nan_to_num(0.0)
        return self.down(F.gelu(self.up(torch.cat([deviations, told.to(deviations.dtype)], dim=-1))))


class SmilesGPT(LanguageModel):
    """A language model of molecules as `config` describes it.

    >>> network = SmilesGPT(SmilesGPTConfig(vocabulary=28, conditions=("qed",)))
    >>> network.loss(SmilesBatch(tokens=torch.tensor([[1, 9, 2]]))).shape
    torch.Size([])
    """

    def __init__(self, config: SmilesGPTConfig) -> None:
        hidden = config.hidden or 4 * config.dim
        decoder = Decoder(
            dim=config.dim,
            depth=config.depth,
            heads=config.heads,
            mlp=partial(MLP, hidden=hidden, bias=config.bias, dropout=config.dropout),
            rotary=None if config.learned else Rotary(head_dim=config.dim // config.heads),
            bias=config.bias,
            dropout=config.dropout,
        )
        super().__init__(
            vocabulary=config.vocabulary,
            decoder=decoder,
            length=config.length + bool(config.conditions),
            learned=config.learned,
            tied=config.tied,
        )
        self.config = config
        self.conditions = Conditions(len(config.conditions), config.dim) if config.conditions else None

    def logits(self, tokens: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Ids [B, T] with conditions [B, P] (nan, None: not told) -> logits of what follows each id, [B, T, V]."""
        vectors = self.tokens(tokens)
        if self.conditions is not None:
            front = self.conditions(self._or_nothing(conditions)).to(vectors.dtype)
            vectors = torch.cat([front.expand(len(tokens), -1)[:, None], vectors], dim=1)
        return self.head(self.contextualise(vectors)[:, -tokens.shape[1] :])

    def loss(self, batch: SmilesBatch) -> Tensor:
        """Minus the log-probability of the batch's molecules, summed over their tokens, in nats."""
        return self.nats(batch).sum()

    def nats(self, batch: SmilesBatch) -> Tensor:
        """Minus the log-probability of each molecule, end included, [B] in nats."""
        logits = self.logits(batch.tokens[:, :-1], batch.conditions).float()
        lost = F.cross_entropy(logits.transpose(1, 2), batch.targets, ignore_index=PAD, reduction="none")
        return lost.sum(dim=1)

    def told(self, conditions: Tensor | None = None) -> Cache | None:
        """The cache that every molecule begins with where conditions [B, P] are told (nan, None: not); None for a model
        that takes none. B may be one for all."""
        if self.conditions is None:
            return None
        cache = self.new_cache(1)
        self.contextualise(self.conditions(self._or_nothing(conditions))[:, None], cache=cache)
        return cache

    def _or_nothing(self, conditions: Tensor | None) -> Tensor:
        nothing = torch.full((1, len(self.config.conditions)), torch.nan, device=self.tokens.weight.device)
        return nothing if conditions is None else conditions
