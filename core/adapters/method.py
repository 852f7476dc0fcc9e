"""Which part of a network learns in a fine-tuning, as plain data that config.json can hold."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .. import options
from ..errors import UserError, near

KINDS = ("full", "freeze", "lora", "dora", "qlora", "ia3", "bottleneck", "prompt", "prefix")


@dataclass(frozen=True, kw_only=True)
class Method:
    """What learns, and the settings of each kind; a kind takes no notice of the others'.

    full        every weight
    freeze      the last `layers` blocks, the final norm and, with `head`, the head
    lora        a low-rank change beside each matrix (Hu et al. 2022, arXiv 2106.09685)
    dora        the same, and the length of each row (Liu et al. 2024, arXiv 2402.09353)
    qlora       lora over matrices kept in 4 bits (Dettmers et al. 2023, arXiv 2305.14314)
    ia3         a factor for each key, value and hidden unit (Liu et al. 2022, arXiv 2205.05638)
    bottleneck  a small network after each branch of a block (Houlsby et al. 2019, arXiv 1902.00751)
    prompt      vectors in front of the text (Lester et al. 2021, arXiv 2104.08691)
    prefix      keys and values in front of every layer's (Li and Liang 2021, arXiv 2101.00190)

    rank, alpha, dropout, root: of lora and its kin; the change is scaled by alpha / rank (alpha None: twice the rank),
    or by alpha / sqrt(rank) with `root` (rank-stabilised, Kalajdzievski 2023, arXiv 2312.03732). targets: last parts
    of the names of the linear layers to adapt, () for what the kind's paper adapts. width: of the bottleneck.
    tokens: how many vectors a prompt or prefix has.
    """

    kind: str = "lora"
    rank: int = 16
    alpha: float | None = None
    root: bool = False
    dropout: float = 0.0
    targets: tuple[str, ...] = ()
    layers: int = 2
    head: bool = False
    width: int = 64
    tokens: int = 20

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UserError(f"There is no method {self.kind!r}.", near(self.kind, KINDS))
        for name in ("rank", "layers", "width", "tokens"):
            if getattr(self, name) < 1:
                raise UserError(f"The {name} of an adapter must be 1 or more, not {getattr(self, name)}.")
        if not 0 <= self.dropout < 1:
            raise UserError(f"The dropout of an adapter is a share from 0 to below 1, not {self.dropout}.")
        object.__setattr__(self, "targets", tuple(self.targets))

    @property
    def low_rank(self) -> bool:
        return self.kind in ("lora", "dora", "qlora")

    @property
    def scale(self) -> float:
        """The factor of the low-rank change."""
        alpha = 2.0 * self.rank if self.alpha is None else self.alpha
        return alpha / (math.sqrt(self.rank) if self.root else self.rank)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**dataclasses.asdict(self), "targets": list(self.targets)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Method:
        """The inverse of `to_dict`. Raises UserError for an unknown key or value."""
        return options.build(cls, values)
