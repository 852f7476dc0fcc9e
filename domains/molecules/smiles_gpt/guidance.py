"""Guidance without a classifier: what the conditions add to the logits is made larger (Ho and Salimans 2022, arXiv
2207.12598).

    logits = not told + strength (told - not told)        1: the model as it is, 0: as if it was told nothing

Both are read in one pass of 2B rows with one cache, the told ones first. Axes: B molecules, T tokens, S positions so
far, P conditions, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ....core.cache import Cache
from ....core.language import LanguageModel
from .model import SmilesGPT, ToldCache


class Paired(ToldCache):
    """A cache that looks as if it held B rows and holds 2B: row i and its partner B + i come and go together."""

    @property
    def batch(self) -> int:
        """Pairs that it holds."""
        return super().batch // 2

    def copy(self, other: Cache, *, rows: int) -> None:
        """Begin with the pairs that `other` holds, which may be one for all rows."""
        pairs = other.batch if isinstance(other, Paired) else other.batch // 2
        super().copy(other, rows=2 * pairs)
        if pairs != rows and self.vector is not None:
            self.reorder(torch.zeros(rows, dtype=torch.long, device=self.vector.device))

    def reorder(self, rows: Tensor | list[int]) -> None:
        """Row i continues what was row rows[i], and its partner what was that one's."""
        index = torch.as_tensor(rows)
        super().reorder(torch.cat([index, index + self.batch]))


class Guided(LanguageModel):
    """The language model that `generate` is to see in place of `network`: rows in, guided logits out.

    It has no weights of its own. What precedes the prompts is `told(conditions)`.
    """

    def __init__(self, network: SmilesGPT, strength: float) -> None:
        nn.Module.__init__(self)  # of a LanguageModel it takes the parts there are
        self.length, self.strength, self.network = network.length, strength, network
        self.tokens, self.positions, self.decoder, self.head = (
            network.tokens, network.positions, network.decoder, network.head,
        )  # fmt: skip

    def told(self, conditions: Tensor) -> Cache | None:
        """What B molecules with these conditions [B, P] begin with, and what those without begin with. B may be one
        for all."""
        both = self.network.told(torch.cat([conditions, torch.full_like(conditions, torch.nan)]))
        if both is None:
            return None
        cache = self.new_cache(both.length)
        cache.copy(both, rows=len(conditions))
        return cache

    def new_cache(self, capacity: int) -> Cache:
        return Paired(len(self.decoder.blocks), capacity)

    def forward(
        self,
        tokens: Tensor,
        *,
        mask: Tensor | None = None,
        positions: Tensor | None = None,
        cache: Cache | None = None,
        last: bool = False,
    ) -> Tensor:
        """Ids [B, T] after what `told` gave -> guided logits [B, T, V], as `LanguageModel.forward`."""
        logits = self.network(_twice(tokens), mask=_twice(mask), positions=_twice(positions), cache=cache, last=last)
        told, free = logits.chunk(2)
        return free.lerp(told, self.strength)  # exactly `told` at 1


def _twice(tensor: Tensor | None) -> Tensor | None:
    """[B, …] -> [2B, …]; what serves every row as it is (one row, or no batch axis at all) stays."""
    if tensor is None or tensor.ndim < 2:
        return tensor
    return torch.cat([tensor, tensor])
