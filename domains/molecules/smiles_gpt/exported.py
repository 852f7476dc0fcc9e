"""The model as a graph: a step, with what its molecules are told beside the tokens."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from ....core.cache import Cache, LayerCache
from ....core.export.graph import WHOLE, Graph
from ....core.export.steps import Growing, Step, language_graphs
from .checkpoints import Around
from .model import SmilesGPT, ToldCache


class ToldStep(Step):
    """`told` [B, C] is added to whatever a molecule reads; zeros where the model takes no conditions."""

    more = MappingProxyType({"told": (0,)})
    about = MappingProxyType({"told": "[B, C]: zeros, or what `conditions` make of what is asked for"})

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
    found = language_graphs("network", network, ToldStep(network))
    if network.conditions is not None:
        values = torch.full((2, len(network.config.conditions)), float("nan"))
        found.append(
            Graph(name="conditions", owner="network.conditions", method="forward", module=network.conditions,
                  inputs={"values": values}, free={"values": (0,)}, outputs=("told",), kind=WHOLE,
                  about={"values": "[B, P]: what is asked for, in the order of use.conditions; NaN where nothing is",
                         "told": "[B, C]: for every call of `step`"})
        )  # fmt: skip
    return found


def use(network: SmilesGPT, around: Around) -> dict[str, Any]:
    """See `Exportable.use`."""
    tokens = around.tokenizer
    return {
        "tokens": tokens.to_dict(), "conditions": list(network.config.conditions), "begin": tokens.begin,
        "end": tokens.end, "pad": tokens.pad, "length": network.config.length,
        "input": "Give the step `begin`, then a token at a time; `told` is zeros, or what `conditions` gives.",
        "output": "Draw the next token from softmax(logits) until `end`; the tokens in a row are the molecule.",
    }  # fmt: skip


def read_by_steps(network: SmilesGPT) -> None:
    """Have whole molecules read by the step too."""

    def read(tokens: Tensor, conditions: Tensor | None = None) -> Tensor:
        cache = network.told(conditions)
        if cache is not None:
            cache.own = [LayerCache(tokens.shape[1]) for _ in network.decoder.blocks]
        return network.hidden(tokens, cache=cache)

    network.read = read  # type: ignore[method-assign]
