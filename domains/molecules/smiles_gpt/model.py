"""The language model of SMILES: the shared decoder, and a vector that says what the molecule should be like.

    <begin> C C ( = O ) ...   reads, the condition's vector added to each
       C    C ( = O ) ... <end>   is learnt to be next

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
    """Properties [B, P], nan where not told -> one vector each, [B, C], at first nought. What is told is put in
    deviations; `mean` and `deviation` [P] are those of the training molecules."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, properties: int, dim: int) -> None:
        super().__init__()
        self.up = Linear(2 * properties, dim)
        self.down = Linear(dim, dim)
        nn.init.zeros_(self.down.weight)
        nn.init.zeros_(self.down.bias)
        self.register_buffer("mean", torch.zeros(properties))
        self.register_buffer("deviation", torch.ones(properties))

    def forward(self, values: Tensor) -> Tensor:
        told = ~values.isnan()
        deviations = ((values - self.mean) / self.deviation).nan_to_num(0.0)
        return self.down(F.gelu(self.up(torch.cat([deviations, told.to(deviations.dtype)], dim=-1))))


class ToldCache(Cache):
    """A cache that knows what its molecules are told: `vector` [B, C] is added to whatever they read."""

    vector: Tensor | None = None

    @property
    def batch(self) -> int:
        return super().batch if self.vector is None else len(self.vector)

    def copy(self, other: Cache, *, rows: int) -> None:
        super().copy(other, rows=rows)
        vector = other.vector if isinstance(other, ToldCache) else None
        self.vector = None if vector is None else vector.expand(rows, -1)

    def reorder(self, rows: Tensor | list[int]) -> None:
        super().reorder(rows)
        if self.vector is not None:
            self.vector = self.vector[torch.as_tensor(rows, device=self.vector.device)]


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
            length=config.length,
            learned=config.learned,
            tied=config.tied,
        )
        self.config = config
        self.conditions = Conditions(len(config.conditions), config.dim) if config.conditions else None

    def read(self, tokens: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Ids [B, T] with conditions [B, P] (nan, None: not told) -> what the head reads, [B, T, C]."""
        vectors = self.tokens(tokens)
        if self.conditions is not None:
            vectors = vectors + self.conditions(self._or_nothing(conditions)).to(vectors.dtype)[:, None]
        return super().contextualise(vectors)

    def logits(self, tokens: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Logits of what follows each id, [B, T, V]; see `read`."""
        return self.head(self.read(tokens, conditions))

    def contextualise(
        self,
        vectors: Tensor,
        *,
        mask: Tensor | None = None,
        positions: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """As `LanguageModel.contextualise`, with what the cache's molecules are told."""
        if isinstance(cache, ToldCache) and cache.vector is not None:
            vectors = vectors + cache.vector[:, None]
        return super().contextualise(vectors, mask=mask, positions=positions, cache=cache)

    def new_cache(self, capacity: int) -> ToldCache:
        return ToldCache(len(self.decoder.blocks), capacity)

    def loss(self, batch: SmilesBatch) -> Tensor:
        """Minus the log-probability of the batch's molecules, summed over their tokens, in nats."""
        return self.nats(batch).sum()

    def nats(self, batch: SmilesBatch) -> Tensor:
        """Minus the log-probability of each molecule, end included, [B] in nats."""
        logits = self.logits(batch.tokens[:, :-1], batch.conditions).float()
        lost = F.cross_entropy(logits.transpose(1, 2), batch.targets, ignore_index=PAD, reduction="none")
        return lost.sum(dim=1)

    def told(self, conditions: Tensor | None = None) -> ToldCache | None:
        """The cache that every molecule begins with where conditions [B, P] are told (nan, None: not); None for a model
        that takes none. B may be one for all."""
        if self.conditions is None:
            return None
        cache = self.new_cache(0)
        cache.vector = self.conditions(self._or_nothing(conditions))
        return cache

    def _or_nothing(self, conditions: Tensor | None) -> Tensor:
        nothing = torch.full((1, len(self.config.conditions)), torch.nan, device=self.tokens.weight.device)
        return nothing if conditions is None else conditions
