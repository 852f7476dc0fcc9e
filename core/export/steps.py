"""A language model as two graphs: a step (new tokens and what the cache holds in; what the head reads and what the
cache takes up out), and the head.

The cache itself stays ours (`core.cache`), so that generation, beams, shared prompts and guidance go on as they are.

Axes: L layers, B rows, T new tokens, S places of the cache so far, K key/value heads, D width of a head, C width of the
model, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    """`network.hidden(tokens, cache=…)` as a function of tensors. A subclass may take more of them, named in `more`."""

    more: tuple[str, ...] = ()

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
    free = {**FREE, "tokens": (0, 1), "keep": (0, 1), **dict.fromkeys(step.more, (0,))}
    hidden = torch.randn(1, BATCH, network.decoder.dim)  # of three axes: a plain product then, which can be narrowed
    return [
        Graph(name="step", owner=owner, method="hidden", module=step, inputs=inputs, free=free, kind="step",
              outputs=("hidden", *TAKEN_UP)),
        Graph(name="head", owner=f"{owner}.head", method="forward", module=network.head, inputs={"hidden": hidden},
              free={"hidden": (1,)}, kind="rows", outputs=("logits",)),
    ]  # fmt: skip


def decoder_graph(owner: str, decoder: Decoder) -> Graph:
    """The decoder that stands at `owner` of a task."""
    given = _examples(decoder)
    mask = torch.ones(BATCH, NEW, PAST + NEW, dtype=torch.bool)
    inputs = {"x": torch.randn(BATCH, NEW, decoder.dim), "positions": given["positions"], "mask": mask,
              "keys": given["keys"], "values": given["values"]}  # fmt: skip
    free = {**FREE, "x": (0, 1), "mask": (0, 1, 2)}
    return Graph(name="decoder", owner=owner, method="forward", module=DecoderStep(decoder), inputs=inputs, free=free,
                 kind="decoder", outputs=("out", *TAKEN_UP))  # fmt: skip


BATCH, NEW, PAST = 2, 3, 7
"""Sizes of the examples by which graphs are made."""
FREE: dict[str, tuple[int, ...]] = {"positions": (0, 1), "keys": (1, 3), "values": (1, 3)}
TAKEN_UP = ("new_keys", "new_values")


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


class _Held:
    """What an engine's step takes out of a cache of ours, and puts into it."""

    def __init__(self, decoder: Decoder) -> None:
        self.shape = shape_of(decoder)

    def read(self, cache: Cache | None, batch: int) -> tuple[Tensor, Tensor]:
        """Keys and values [L, B, K, S, D]."""
        layers, heads, width = self.shape
        if cache is None or not cache.length:
            empty = torch.empty(layers, batch, heads, 0, width)
            return empty, empty
        read = [layer.read() for layer in cache.own]
        return torch.stack([keys for keys, _ in read]), torch.stack([values for _, values in read])

    def write(self, cache: Cache | None, keys: Tensor, values: Tensor) -> None:
        """Take up keys and values [L, B, K, T, D]."""
        if cache is not None:
            for layer, key, value in zip(cache.own, keys, values, strict=True):
                layer.append(key, value)


class Stepping:
    """In place of a language model's `hidden`: a step that an engine runs."""

    def __init__(self, network: LanguageModel, run: Any, *, given: Any) -> None:
        self.held, self.run, self.given = _Held(network.decoder), run, given

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
        past = 0 if cache is None else cache.length
        places = torch.arange(past, past + new) if positions is None else positions
        whole = torch.ones(1, 1, 1, past + new, dtype=torch.bool) if mask is None else mask
        keep = whole.expand(batch, 1, 1, -1)[:, 0, 0]
        hidden, *taken = self.run(
            tokens, places.expand(batch, new), keep, *self.held.read(cache, batch), *self.given(cache, batch)
        )
        self.held.write(cache, *taken)
        return hidden


class Decoding:
    """In place of a decoder's `forward`: a step that an engine runs. Takes no context."""

    def __init__(self, decoder: Decoder, run: Any) -> None:
        self.held, self.run = _Held(decoder), run

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
        past = 0 if cache is None else cache.length
        places = torch.arange(past, past + new) if positions is None else positions
        whole = torch.ones(1, 1, dtype=torch.bool) if mask is None else mask
        sees = whole.expand(batch, 1, new, past + new)[:, 0]
        out, *taken = self.run(x, places.expand(batch, new), sees, *self.held.read(cache, batch))
        self.held.write(cache, *taken)
        return out
