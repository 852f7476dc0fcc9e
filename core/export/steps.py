"""A language model as two graphs: a step (new tokens and what the cache holds in; what the head reads and what the
cache takes up out), and the head.

The cache itself stays ours (`core.cache`), so that generation, beams, shared prompts and guidance go on as they are.

Axes: L layers, B rows, T new tokens, S places of the cache so far, K key/value heads, D width of a head, C width of the
model, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..cache import Cache, LayerCache
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
        layers = [Growing(key, value) for key, value in zip(keys.unbind(0), values.unbind(0), strict=True)]
        cache = self.cache(layers, *more)
        hidden = self.network.hidden(tokens, mask=key_mask(keep), positions=positions, cache=cache)
        return hidden, torch.stack([one.new[0] for one in layers]), torch.stack([one.new[1] for one in layers])

    def cache(self, layers: list[Growing], *more: Tensor) -> Cache:
        """The layers as the network takes them."""
        cache = Cache(0, 0)
        held: list[LayerCache] = [*layers]
        cache.own, cache.cross = held, [LayerCache(0) for _ in layers]
        return cache

    def examples(self, batch: int) -> dict[str, Tensor]:
        """Values for `more`."""
        return {}


def language_graphs(owner: str, network: LanguageModel, step: Step) -> list[Graph]:
    """The step and the head of the language model that stands at `owner` of a task."""
    batch, new, past = 2, 3, 7
    layers, heads, width = shape_of(network)
    held = torch.randn(layers, batch, heads, past, width)
    inputs = {
        "tokens": torch.randint(0, network.vocabulary, (batch, new)),
        "positions": torch.arange(past, past + new).repeat(batch, 1),
        "keep": torch.ones(batch, past + new, dtype=torch.bool),
        "keys": held,
        "values": held.flip(0).clone(),
        **step.examples(batch),
    }
    free: dict[str, tuple[int, ...]] = {
        "tokens": (0, 1),
        "positions": (0, 1),
        "keep": (0, 1),
        "keys": (1, 3),
        "values": (1, 3),
    }
    free |= dict.fromkeys(step.more, (0,))
    hidden = torch.randn(1, batch, network.decoder.dim)  # of three axes: a plain product then, which can be narrowed
    return [
        Graph(name="step", owner=owner, method="hidden", module=step, inputs=inputs, free=free, kind="step",
              outputs=("hidden", "new_keys", "new_values")),
        Graph(name="head", owner=f"{owner}.head", method="forward", module=network.head, inputs={"hidden": hidden},
              free={"hidden": (1,)}, kind="rows", outputs=("logits",)),
    ]  # fmt: skip


def shape_of(network: LanguageModel) -> tuple[int, int, int]:
    """L, K and D of its cache."""
    attention: Any = network.decoder.blocks[0].attention
    return len(network.decoder.blocks), attention.kv_heads, attention.head_dim


class Stepping:
    """In place of a language model's `hidden`: a step that an engine runs."""

    def __init__(self, network: LanguageModel, run: Any, *, given: Any) -> None:
        self.shape, self.run, self.given = shape_of(network), run, given

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
        if positions is None:
            positions = torch.arange(past, past + new)
        keys, values = self._held(cache, batch)
        keep = (
            torch.ones(batch, past + new, dtype=torch.bool) if mask is None else mask.expand(batch, 1, 1, -1)[:, 0, 0]
        )
        hidden, new_keys, new_values = self.run(
            tokens, positions.expand(batch, new), keep, keys, values, *self.given(cache, batch)
        )
        if cache is not None:
            for layer, key, value in zip(cache.own, new_keys, new_values, strict=True):
                layer.append(key, value)
        return hidden

    def _held(self, cache: Cache | None, batch: int) -> tuple[Tensor, Tensor]:
        layers, heads, width = self.shape
        if cache is None or not cache.length:
            empty = torch.empty(layers, batch, heads, 0, width)
            return empty, empty
        read = [layer.read() for layer in cache.own]
        return torch.stack([keys for keys, _ in read]), torch.stack([values for _, values in read])
