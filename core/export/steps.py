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


def growing(held: Sequence[Tensor]) -> list[Growing]:
    """L keys and then L values [B, K, S, D] as the caches of the layers."""
    layers = len(held) // 2
    return [Growing(keys, values) for keys, values in zip(held[:layers], held[layers:], strict=True)]


def taken_up(layers: Sequence[Growing]) -> tuple[Tensor, Tensor]:
    """What came to the caches of the layers: keys and values [L, B, K, T, D]."""
    shape = len(layers), layers[0].new[0].shape[0]
    keys, values = zip(*(layer.new for layer in layers), strict=True)
    return torch.cat(keys).unflatten(0, shape), torch.cat(values).unflatten(0, shape)


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

    def forward(self, x: Tensor, positions: Tensor, mask: Tensor, *held: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x [B, T, C], positions [B, T], mask [B, T, S + T] (True: may attend), held: L keys and then L values
        [B, K, S, D] -> what comes out [B, T, C], new keys and values [L, B, K, T, D]."""
        layers = growing(held)
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
        self.network, self.layers = network, len(network.decoder.blocks)

    def forward(self, tokens: Tensor, positions: Tensor, keep: Tensor, *held: Tensor) -> tuple[Tensor, ...]:
        """tokens, positions [B, T], keep [B, S + T] (True: a real place), held: L keys and then L values [B, K, S, D],
        and then `more` -> hidden [B, T, C], new keys and values [L, B, K, T, D]."""
        layers = growing(held[: 2 * self.layers])
        cache = self.cache(layers, *held[2 * self.layers :])
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
    held = held_names(network.decoder)
    free = {"positions": (0, 1), "tokens": (0, 1), "keep": (0, 1), **dict.fromkeys(held, (0, 2)), **step.more}
    hidden = torch.randn(1, BATCH, network.decoder.dim)  # of three axes: a plain product then, which can be narrowed
    return [
        Graph(name="step", owner=owner, method="hidden", module=step, inputs=inputs, free=free, kind="step",
              outputs=("hidden", *TAKEN_UP, *step.besides), about={**_about(held), **STEP, **step.about}),
        Graph(name="head", owner=f"{owner}.head", method="forward", module=network.head, inputs={"hidden": hidden},
              free={"hidden": (1,)}, kind="rows", outputs=("logits",), about=HEAD),
    ]  # fmt: skip


def decoder_graph(owner: str, decoder: Decoder) -> Graph:
    """The decoder that stands at `owner` of a task."""
    given, held = _examples(decoder), held_names(decoder)
    mask = torch.ones(BATCH, NEW, PAST + NEW, dtype=torch.bool)
    inputs = {"x": torch.randn(BATCH, NEW, decoder.dim), "positions": given["positions"], "mask": mask,
              **{name: given[name] for name in held}}  # fmt: skip
    free = {"positions": (0, 1), "x": (0, 1), "mask": (0, 1, 2), **dict.fromkeys(held, (0, 2))}
    return Graph(name="decoder", owner=owner, method="forward", module=DecoderStep(decoder), inputs=inputs, free=free,
                 kind="decoder", outputs=("out", *TAKEN_UP), about={**_about(held), **DECODER})  # fmt: skip


BATCH, NEW, PAST = 2, 3, 7
"""Sizes of the examples by which graphs are made."""
TAKEN_UP = ("new_keys", "new_values")
CACHE = {
    "positions": "[B, T]: where each new one stands, from 0 on; padding is not counted",
    "new_keys": "[layers, B, heads, T, width]: what to put behind the keys of each layer",
    "new_values": "[layers, B, heads, T, width]: what to put behind the values of each layer",
}
HELD = (
    "[B, heads, S, width]: those of the S before, S = 0 at the beginning; after each call put {} behind them (axis 2)"
)
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


def held_names(decoder: Decoder) -> tuple[str, ...]:
    """The inputs of a step that its cache makes: keys_0 …, values_0 …, one for each layer, since a runtime would have
    to cut up and copy a block of all of them."""
    return tuple(f"{kind}_{layer}" for kind in ("keys", "values") for layer in range(len(decoder.blocks)))


def _about(held: Sequence[str]) -> dict[str, str]:
    """What a user of the graph is told of the positions and the cache."""
    return {**CACHE, **{name: HELD.format(f"new_{name.replace('_', '[')}]") for name in held}}


def _examples(decoder: Decoder) -> dict[str, Tensor]:
    _, heads, width = shape_of(decoder)
    held = {name: torch.randn(BATCH, heads, PAST, width) for name in held_names(decoder)}
    return {"positions": torch.arange(PAST, PAST + NEW).repeat(BATCH, 1),
            "keep": torch.ones(BATCH, PAST + NEW, dtype=torch.bool), **held}  # fmt: skip


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

    def _held(self, cache: Cache | None, batch: int) -> tuple[Tensor, ...]:
        """L keys and then L values [B, K, S, D]."""
        layers, heads, width = self.shape
        if cache is None or not cache.length:
            return (torch.empty(batch, heads, 0, width),) * (2 * layers)
        keys, values = (block.contiguous() for block in cache.together())  # all layers in one copy
        return *keys.unbind(0), *values.unbind(0)


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
