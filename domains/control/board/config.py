"""The shape of the player's network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ....core.errors import UserError, near

TOLD = ("moves", "threats")


@dataclass(frozen=True, kw_only=True)
class BoardConfig:
    """A decoder over moves: its width, layers, attention heads and feed-forward width; `dropout` while learning.

    told: what the network is told with each move: the move alone, or also the free cells that would now complete a line
    of either player.
    Raises UserError for values that make no network.
    """

    dim: int = 128
    depth: int = 4
    heads: int = 8
    hidden: int = 512
    dropout: float = 0.0
    told: Literal["moves", "threats"] = "threats"

    def __post_init__(self) -> None:
        for name in ("dim", "depth", "heads", "hidden"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, not {getattr(self, name)}.")
        if self.told not in TOLD:
            raise UserError(f"The network cannot be told {self.told!r}.", near(self.told, TOLD))
        if self.dim % self.heads:
            raise UserError(f"dim {self.dim} does not divide into {self.heads} heads.")
        if not 0 <= self.dropout < 1:
            raise UserError(f"dropout is a share from 0 to 1, not {self.dropout}.")
