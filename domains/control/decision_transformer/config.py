"""The shape of a Decision Transformer."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ....core.errors import UserError, near
from ....core.layers import ACTIVATIONS
from ....core.options import build
from ..spaces import Space

CONDITIONS = ("return", "none")


@dataclass(frozen=True, kw_only=True)
class DecisionTransformerConfig:
    """What it sees, what it answers, and its Transformer.

    context: steps that it looks back on, the present one included. max_steps: steps of an episode that have an
    embedding of their own; later ones share the last. condition: `return` tells it at each step the return still asked
    for; `none` is behaviour cloning. chunk: actions that it says ahead at each step (Zhao et al. 2023, arXiv
    2304.13705). patch: side of the squares that pictures are cut into, pixels; each is a token. rounds: how often a
    picture that is a map is gone over (see `maps`; 0: it is none). value: whether it also says what return is to come.
    squash: whether actions are kept inside their bounds by a tanh. return_scale: what returns are divided by.
    dim, depth, heads, hidden: of the Transformer, its feed-forward width last.
    attention_scale: of the scores (None: one over the root of a head's width).

    Raises UserError for values that make no network.
    """

    observation: Space
    action: Space
    context: int = 20
    max_steps: int = 1000
    condition: Literal["return", "none"] = "return"
    chunk: int = 1
    patch: int = 0
    value: bool = False
    rounds: int = 0
    squash: bool = True
    return_scale: float = 1.0
    dim: int = 128
    depth: int = 3
    heads: int = 1
    hidden: int = 512
    dropout: float = 0.1
    activation: str = "relu"
    norm_epsilon: float = 1e-5
    attention_scale: float | None = None

    def __post_init__(self) -> None:
        for name in ("context", "max_steps", "chunk", "dim", "depth", "heads", "hidden"):
            self._require(getattr(self, name) >= 1, f"{name} must be at least 1, not {getattr(self, name)}.")
        self._require(self.dim % self.heads == 0, f"dim {self.dim} does not divide into {self.heads} heads.")
        self._require(0 <= self.dropout < 1, f"dropout is a share from 0 to 1, not {self.dropout}.")
        self._require(self.return_scale > 0, f"return_scale must be above zero, not {self.return_scale}.")
        for name, known in (("condition", CONDITIONS), ("activation", ACTIVATIONS)):
            value = getattr(self, name)
            self._require(value in known, f"There is no {name} {value!r}.", near(str(value), known))
        self._require(not self.action.is_image, f"Actions cannot be pictures ({self.action.words()}).")
        if self.observation.is_image:
            height, width = self.picture[1:]
            self._require(self.rounds >= 0, f"rounds cannot be negative, as {self.rounds} is.")
            fits = self.patch >= 1 and height % self.patch == 0 and width % self.patch == 0
            self._require(
                fits, f"A picture of {height} x {width} does not divide into patches of {self.patch}.", "Set patch."
            )

    @staticmethod
    def _require(condition: bool, what: str, hint: str = "") -> None:
        if not condition:
            raise UserError(what, hint)

    @property
    def picture(self) -> tuple[int, int, int]:
        """Channels, height and width of a picture, wherever its channels stand."""
        first, second, third = self.observation.shape
        return (third, first, second) if self.channels_last else (first, second, third)

    @property
    def channels_last(self) -> bool:
        """Whether pictures come as [height, width, channels], as cameras and gymnasium give them."""
        shape = self.observation.shape
        return self.observation.is_image and shape[-1] in (1, 3, 4) and shape[0] not in (1, 3, 4)

    @property
    def patches(self) -> int:
        """Tokens of a state."""
        if not self.observation.is_image or self.rounds:
            return 1
        _, height, width = self.picture
        return (height // self.patch) * (width // self.patch)

    @property
    def conditioned(self) -> bool:
        """Whether it is told a return."""
        return self.condition == "return"

    @property
    def tokens(self) -> int:
        """Tokens of a step: return, state, action."""
        return int(self.conditioned) + self.patches + 1

    def to_json(self) -> dict[str, Any]:
        """Plain data, for a checkpoint."""
        plain = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return {**plain, "observation": self.observation.to_json(), "action": self.action.to_json()}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> DecisionTransformerConfig:
        """The configuration of a checkpoint. Raises UserError for what is none, KeyError where a space is missing."""
        spaces = {name: Space.from_json(plain[name]) for name in ("observation", "action")}
        return build(cls, {**plain, **spaces})
