"""Where Hugging Face's models keep the parts of our linear layers: [query; key; value] is one matrix here."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from ...core.weights import Row, without_weights
from .families import FamilyConfig


@dataclass(frozen=True)
class Place:
    """One of our linear layers, and the modules of Hugging Face's model that it consists of, with their rows."""

    ours: str
    theirs: tuple[str, ...]
    sizes: tuple[int, ...]
    width: int

    def split(self, tensor: Tensor) -> list[tuple[str, Tensor]]:
        """Rows [out, …] by module."""
        return list(zip(self.theirs, tensor.split(list(self.sizes)), strict=True))


def places(config: FamilyConfig) -> list[Place]:
    """Every linear layer of the blocks, in order."""
    with without_weights():
        linear = {name: module for name, module in config.network().named_modules() if isinstance(module, nn.Linear)}
    return [
        _place(row, layer, linear[name])
        for row in config.table().rows
        if "{}" in row.ours and row.ours.endswith(".weight")
        for layer in range(config.depth)
        if (name := row.ours.format(layer).removesuffix(".weight")) in linear
    ]


def _place(row: Row, layer: int, linear: nn.Linear) -> Place:
    theirs = tuple(part.format(layer).removesuffix(".weight") for part in row.parts)
    sizes = row.sizes or (linear.out_features // len(theirs),) * len(theirs)
    return Place(row.ours.format(layer).removesuffix(".weight"), theirs, tuple(sizes), linear.in_features)
