"""A language model as two graphs: a step (new tokens and what the cache holds in; what the head reads and what the
cache takes up out), and the head.

The cache itself stays ours (`core.cache`), so that generation, beams, shared prompts and guidance go on as they are.

Axes: L layers, B rows, T new tokens, S places of the cache so far, K key/value heads, D width of a head, C width of the
model, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from ..cache import Cache, LayerCache
from ..decoder import Decoder
from ..language import LanguageModel
from ..masks import key_mask
from .graph import Graph


class Growing(LayerCache):
    """A cache of one layer inside of a graph: what comes is put behind what there is, and kept as `new` besides."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self.keys, self.values = keys, values
        self.length = keys.shape[2]  # in a graph, a size that is not fixed

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        self.new = key, value
        keys, values = self.read()
        self.keys, self.values = torch.cat([keys, key], dim=2), torch.cat([values, value], dim=2)
        self.length += key.shape[2]
        return self.keys, self.values

    def read(self) -> tuple[Tensor, Tensor]:
        assert self.keys is not None
        assert self.values is not None
        return self.keys, self.values


def growing(keys: Tensor, values: Tensor) -> list[Growing]:
    """keys, values [L, B, K, S, D] as the caches of the layers."""
    return [Growing(key, value) for key, value in zip(keys.unbind(0), values.unbind(0), strict=True)]


def taken_up(layers: Sequence[Growing]) -> tuple[Tensor, Tensor]:
    """What came to the caches of the layers: keys and values [L, B, K, T, D]."""
    return torch.stack([one.new[0] for one in layers]), torch.stack([one.new[1] for one in layers])


def cache_of(layers: Sequence[Growing]) -> Cache:
    """The caches of the layers as a decoder takes them."""
    cache = Cache(0, 0)
    held: list[LayerCache] = [*layers]
    cache.own, cache.cross = held, [LayerCache(0) for _ in layers]
    return cache


class DecoderStep(nn.Module):
    """`decoder(x, cache=…)` as a function of tensors, for networks whose tokens are not words."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(
        self, x: Tensor, positions: Tensor, mask: Tensor, keys: Tensor, values: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """x [B, T, C], positions [B, T], mask [B, T, S + T] (True: may attend), keys and values [L, B, K, S, D] -> what
        comes out [B, T, C], new keys and values [L, B, K, T, D]."""
        layers = growing(keys, values)
        out = self.decoder(x, mask=mask[:, None], positions=positions, cache=cache_of(layers))
        return out, *taken_up(layers)


class Step(nn.Module):
    """`network.hidden(tokens, cache=…)` as a function of tensors.

    A subclass may take more of them, named in `more` with the axes that are free, and give more, named in `besides`.
    """

    more: Mapping[str, tuple[int, ...]] = MappingProxyType({})
    besides: tuple[str, ...] = ()
    about: Mapping[str, str] = MappingProxyType({})

    def __init__(self, network: LanguageModel) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, tokens: Tensor, positions: Tensor, keep: Tensor, keys: Tensor, values: Tensor, *more: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """tokens, positions [B, T], keep [B, S + T] (True: a real place), keys and values [L, B, K, S, D] -> hidden
        [B, T, C], new keys and values [L, B, K, T, D]."""
        layers = growing(keys, values)
        cache = self.cache(layers, *more)
        hidden = self.network.hidden(tokens, mask=key_mask(keep), positions=positions, cache=cache)
        return hidden, *taken_up(layers)

    def cache(self, layers: list[Growing], *more: Tensor) -> Cache:
        """The layers as the network takes them."""
        return cache_of(layers)

    def examples(self, batch: int) -> dict[str, Tensor]:
        """Values for `more`."""
        return {}


def language_graphs(owner: str, network: LanguageModel, step: Step) -> list[Graph]:
    """The step and the head of the language model that stands at `owner` of a task."""
    inputs = {"tokens": torch.randint(0, network.vocabulary, (BATCH, NEW)), **_examples(network.decoder)}
    inputs |= step.examples(BATCH)
    free = {**FREE, "tokens": (0, 1), "keep": (0, 1), **step.more}
    hidden = torch.randn(1, BATCH, network.decoder.dim)  # of three axes: a plain product then, which can be narrowed
    return [
        Graph(name="step", owner=owner, method="hidden", module=step, inputs=inputs, free=free, kind="step",
              outputs=("hidden", *TAKEN_UP, *step.besides), about={**CACHE, **STEP, **step.about}),
        Graph(name="head", owner=f"{owner}.head", method="forward", module=network.head, inputs={"hidden": hidden},
              free={"hidden": (1,)}, kind="rows", outputs=("logits",), about=HEAD),
    ]  # fmt: skip


def decoder_graph(owner: str, decoder: Decoder) -> Graph:
    """The decoder that stands at `owner` of a task."""
    given = _examples(decoder)
    mask = torch.ones(BATCH, NEW, PAST + NEW, dtype=torch.bool)
    inputs = {"x": torch.randn(BATCH, NEW, decoder.dim), "positions": given["positions"], "mask": mask,
              "keys": given["keys"], "values": given["values"]}  # fmt: skip
    free = {**FREE, "x": (0, 1), "mask": (0, 1, 2)}
    return Graph(name="decoder", owner=owner, method="forward", module=DecoderStep(decoder), inputs=inputs, free=free,
                 kind="decoder", outputs=("out", *TAKEN_UP), about={**CACHE, **DECODER})  # fmt: skip


BATCH, NEW, PAST = 2, 3, 7
"""Sizes of the examples by which graphs are made."""
FREE: dict[str, tuple[int, ...]] = {"positions": (0, 1), "keys": (1, 3), "values": (1, 3)}
TAKEN_UP = ("new_keys", "new_values")
CACHE = {
    "positions": "[B, T]: where each new one stands, from 0 on; padding is not counted",
    "keys": "[layers, B, heads, S, width]: those of the S before, S = 0 at the beginning; after each call put new_keys "
            "behind them (axis 3)",
    "values": "as keys",
    "new_keys": "[layers, B, heads, T, width]: what to put behind keys",
    "new_values": "[layers, B, heads, T, width]: what to put behind values",
}  # fmt: skip
STEP = {
    "tokens": "[B, T]: ids of the new tokens: first the prompt, then one at a time",
    "keep": "[B, S + T]: False where a place is padding, else True; what is later is hidden anyway",
    "hidden": "[B, T, C]: for the graph `head`, whose logits are about the token after each",
}
DECODER = {
    "x": "[B, T, C]: embedded tokens",
    "mask": "[B, T, S + T]: True where a new one may look; what is later is hidden anyway",
    "out": "[B, T, C]",
}
HEAD = {"hidden": "[1, N, C]: any rows of the step's hidden", "logits": "[1, N, vocabulary]"}


def _examples(decoder: Decoder) -> dict[str, Tensor]:
    layers, heads, width = shape_of(decoder)
    held = torch.randn(layers, BATCH, heads, PAST, width)
    return {"positions": torch.arange(PAST, PAST + NEW).repeat(BATCH, 1),
            "keep": torch.ones(BATCH, PAST + NEW, dtype=torch.bool),
            "keys": held, "values": held.flip(0).clone()}  # fmt: skip


def shape_of(decoder: Decoder) -> tuple[int, int, int]:
    """L, K and D of its cache."""
    attention: Any = decoder.blocks[0].attention
    return len(decoder.blocks), attention.kv_heads, attention.head_dim


class _Engine:
    """A step that an engine runs, over a cache of ours."""

    def __init__(self, decoder: Decoder, run: Any) -> None:
        self.shape, self.run = shape_of(decoder), run
        self.besides: list[Tensor] = []
        """What the last step gave besides its result and what the cache took up."""

    def step(self, given: Tensor, mask: Tensor, positions: Tensor | None, cache: Cache | None, *more: Tensor) -> Tensor:
        """given [B, T, …] that goes on from what the cache holds; positions [T] or [B, T], where None from there on."""
        batch, new = given.shape[:2]
        past = _past(cache)
        places = torch.arange(past, past + new) if positions is None else positions
        held = self._held(cache, batch)
        out, keys, values, *self.besides = self.run(given, places.expand(batch, new), mask, *held, *more)
        if cache is not None:
            cache.extend(keys, values)
        return out

    def _held(self, cache: Cache | None, batch: int) -> tuple[Tensor, Tensor]:
        """Keys and values [L, B, K, S, D]."""
        layers, heads, width = self.shape
        if cache is None or not cache.length:
            empty = torch.empty(layers, batch, heads, 0, width)
            return empty, empty
        return cache.together()


class Stepping(_Engine):
    """In place of a language model's `hidden`."""

    def __init__(self, network: LanguageModel, run: Any, *, given: Any) -> None:
        super().__init__(network.decoder, run)
        self.given = given

    def __call__(
        self,
        tokens: Tensor,
        *,
        mask: Tensor | None = None,
        positions: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """As `LanguageModel.hidden`."""
        batch, new = tokens.shape
        whole = torch.ones(1, 1, 1, _past(cache) + new, dtype=torch.bool) if mask is None else mask
        keep = whole.expand(batch, 1, 1, -1)[:, 0, 0]
        return self.step(tokens, keep, positions, cache, *self.given(cache, batch))


class Decoding(_Engine):
    """In place of a decoder's `forward`. Takes no context."""

    def __call__(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        positions: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """As `Decoder.forward`."""
        batch, new, _ = x.shape
        whole = torch.ones(1, 1, dtype=torch.bool) if mask is None else mask
        sees = whole.expand(batch, 1, new, _past(cache) + new)[:, 0]
        return self.step(x, sees, positions, cache)


def _past(cache: Cache | None) -> int:
    """Positions that the cache holds."""
    return 0 if cache is None else cache.length
