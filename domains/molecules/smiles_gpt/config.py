"""The shape of the language model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ....core.errors import UserError
from ....core.options import build

SHAPES: dict[str, dict[str, Any]] = {
    "small": {"dim": 128, "depth": 4, "heads": 4},
    "base": {"dim": 192, "depth": 6, "heads": 6},
    "molgpt": {"dim": 256, "depth": 8, "heads": 8},
}
"""Named sizes; the last is the published one (6.3 million parameters)."""


@dataclass(frozen=True, kw_only=True)
class SmilesGPTConfig:
    """A decoder over the tokens of one molecule.

    vocabulary: tokens it knows, padding, begin, end and unknown among them. length: tokens of the longest molecule,
    begin and end included. dim, depth, heads, hidden: of the decoder, its feed-forward width last (0: four times dim).
    learned: positions are learned vectors (GPT-2, MolGPT) rather than turned queries and keys (rotary). bias: linear
    maps add one. tied: the head's weights are the embedding's. conditions: the properties it may be told, by name, in a
    vector that stands before the first token.

    Raises UserError for values that make no network.
    """

    vocabulary: int
    length: int = 102
    dim: int = 192
    depth: int = 6
    heads: int = 6
    hidden: int = 0
    dropout: float = 0.0
    learned: bool = False
    bias: bool = False
    tied: bool = False
    conditions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("vocabulary", "dim", "depth", "heads"):
            self._require(getattr(self, name) >= 1, f"{name} must be at least 1, not {getattr(self, name)}.")
        self._require(self.hidden >= 0, f"hidden cannot be negative, as {self.hidden} is.")
        self._require(self.length >= 3, f"length must be at least 3, for begin, an atom and end; it is {self.length}.")
        self._require(self.dim % self.heads == 0, f"dim {self.dim} does not divide into {self.heads} heads.")
        even = self.learned or self.dim // self.heads % 2 == 0
        self._require(even, f"Rotary positions need heads of even width, not {self.dim // self.heads}.")
        self._require(0 <= self.dropout < 1, f"dropout is a share from 0 to 1, not {self.dropout}.")

    @staticmethod
    def _require(condition: bool, what: str) -> None:
        if not condition:
            raise UserError(what)

    def to_json(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        return {**dataclasses.asdict(self), "conditions": list(self.conditions)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> SmilesGPTConfig:
        """What `to_json` gave."""
        return build(cls, {**plain, "conditions": tuple(plain.get("conditions", ()))})
