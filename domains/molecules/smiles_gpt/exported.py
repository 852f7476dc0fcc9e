"""The model as a graph: a step, with what its molecules are told beside the tokens."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ....core.cache import Cache, LayerCache
from ....core.export.graph import Graph
from ....core.export.steps import Growing, Step, language_graphs
from .model import SmilesGPT, ToldCache


class ToldStep(Step):
    """`told` [B, C] is added to whatever a molecule reads; zeros where the model takes no conditions."""

    more = ("told",)

    def cache(self, layers: list[Growing], *more: Tensor) -> Cache:
        cache = ToldCache(0, 0)
        plain = super().cache(layers)
        cache.own, cache.cross, cache.vector = plain.own, plain.cross, more[0]
        return cache

    def examples(self, batch: int) -> dict[str, Tensor]:
        return {"told": torch.randn(batch, self.network.decoder.dim)}


def told_of(cache: Any, batch: int, width: int) -> tuple[Tensor]:
    """What the step is told of a cache."""
    vector = cache.vector if isinstance(cache, ToldCache) else None
    return (torch.zeros(batch, width) if vector is None else vector.expand(batch, width),)


def graphs(network: SmilesGPT) -> list[Graph]:
    """The step that generation is made of, and the head."""
    return language_graphs("network", network, ToldStep(network))


def read_by_steps(network: SmilesGPT) -> None:
    """Have whole molecules read by the step too."""

    def read(tokens: Tensor, conditions: Tensor | None = None) -> Tensor:
        cache = network.told(conditions)
        if cache is not None:
            cache.own = [LayerCache(tokens.shape[1]) for _ in network.decoder.blocks]
        return network.hidden(tokens, cache=cache)

    network.read = read  # type: ignore[method-assign]
