"""Vectors in front of the text: learned embeddings (prompt) or learned keys and values in every layer (prefix).

    prompt   p p p t t t  ->  layer  ->  layer  -> … only the p are learnt, and the layers compute with them
    prefix   t t t  ->  layer, whose keys are [p p p t t t]  ->  layer, whose keys are [p p p t t t] …

The text begins at position P. Callers see nothing of this: masks, positions and the cache's length are theirs.

Axes: B batch, P vectors in front, T positions of this call, S positions so far, K key/value heads, D width of a head,
C width of the model.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..attention import MultiHeadAttention
from ..cache import Cache, LayerCache
from ..errors import UserError
from ..language import LanguageModel
from ..positions import Turn
from ..rehearsal import arithmetic

COMMON = 5000
"""First vectors are drawn among so many ids: low ids are frequent ones in a byte-level vocabulary."""


class PromptedCache(Cache):
    """A cache with room for `front` positions more, which are hidden from its users."""

    def __init__(self, layers: int, capacity: int, *, front: int) -> None:
        super().__init__(layers, capacity + front)
        self.front = front

    @property
    def length(self) -> int:
        return max(0, self.own[0].length - self.front)

    @property
    def is_fresh(self) -> bool:
        """Whether nothing is held, not even what stands in front."""
        return self.own[0].length == 0

    def truncate(self, length: int) -> None:
        super().truncate(0 if self.is_fresh else length + self.front)


class PromptedModel(LanguageModel):
    """A language model with `front` vectors before every text; `prompt` [P, C] is None where layers hold a prefix."""

    front: int
    prompt: nn.Parameter | None

    def contextualise(
        self,
        vectors: Tensor,
        *,
        mask: Tensor | None = None,
        positions: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """As a `LanguageModel`'s; a cache must be one of `new_cache`."""
        if cache is not None and not isinstance(cache, PromptedCache):
            raise TypeError("a model with a prompt keeps its own kind of cache: take it from new_cache()")
        steps, front, past = vectors.shape[1], self.front, 0 if cache is None else cache.length
        if positions is None:
            positions = torch.arange(past, past + steps, device=vectors.device)
        positions = positions + front
        if mask is not None:
            mask = F.pad(mask, (front, 0), value=True)  # everyone may see what stands in front
        if self.prompt is None or not (cache is None or cache.is_fresh):
            return super().contextualise(vectors, mask=mask, positions=positions, cache=cache)
        first = torch.arange(front, device=vectors.device).expand(*positions.shape[:-1], front)
        positions = torch.cat([first, positions], dim=-1)
        if mask is not None and mask.shape[-2] > 1:
            mask = F.pad(mask, (0, 0, front, 0), value=True)
        vectors = torch.cat([self.prompt.to(vectors.dtype).expand(len(vectors), -1, -1), vectors], dim=1)
        return super().contextualise(vectors, mask=mask, positions=positions, cache=cache)[:, front:]

    def new_cache(self, capacity: int) -> PromptedCache:
        return PromptedCache(len(self.decoder.blocks), capacity, front=self.front)


class PrefixedAttention(MultiHeadAttention):
    """Attention whose first keys and values are learnt: `prefix` [2, K, P, D]."""

    prefix: nn.Parameter

    def project(
        self,
        x: Tensor,
        context: Tensor | None = None,
        *,
        positions: Tensor | Turn | None = None,
        cache: LayerCache | None = None,
        keep: int | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        front = self.prefix[:, None].expand(-1, x.shape[0], -1, -1, -1)  # [2, B, K, P, D]
        if cache is not None and cache.length == 0:
            device = arithmetic(x.device.type)
            dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
            cache.append(*front.to(dtype))
        query, key, value = super().project(x, context, positions=positions, cache=cache, keep=keep)
        if cache is None:
            key, value = torch.cat([front[0].to(key.dtype), key], 2), torch.cat([front[1].to(value.dtype), value], 2)
        return query, key, value


def add_prompt(model: nn.Module, tokens: int, *, prefix: bool) -> None:
    """Put `tokens` learned vectors in front of `model`, as a prompt or as a prefix, and change it in place.

    They begin as the vectors of random frequent tokens, or their keys and values. Raises UserError for what is no
    `LanguageModel`, and where no room would be left for a text.
    """
    if not isinstance(model, LanguageModel) or isinstance(model, PromptedModel):
        raise UserError("A prompt or prefix stands in front of a language model; this network is none without one.")
    if tokens >= model.length:
        raise UserError(f"{tokens} vectors in front leave no room in a context of {model.length}.", "Use fewer.")
    if model.decoder.window is not None or model.decoder.position_bias is not None:
        raise UserError("A prompt or prefix does not fit a model with a sliding window or a position bias.")
    weight = model.tokens.weight
    ids = torch.randint(min(COMMON, model.vocabulary), (tokens,)).to(weight.device)
    if prefix:
        _add_prefix(model, ids)
    model.__class__ = PromptedModel
    assert isinstance(model, PromptedModel)
    model.front, model.length = tokens, model.length - tokens
    model.prompt = None if prefix else nn.Parameter(model.tokens(ids).detach().float().clone())


def _add_prefix(model: LanguageModel, ids: Tensor) -> None:
    cache = model.new_cache(len(ids))
    with torch.no_grad():
        model.hidden(ids[None], cache=cache)
    for block, layer in zip(model.decoder.blocks, cache.own, strict=True):
        attention = block.get_submodule("attention")
        attention.__class__ = PrefixedAttention
        assert isinstance(attention, PrefixedAttention)
        attention.prefix = nn.Parameter(torch.cat(layer.read()).float().clone())  # [2, K, P, D]
