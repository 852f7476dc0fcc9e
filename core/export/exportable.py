"""What a task says of how it is exported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from ..errors import UserError

if TYPE_CHECKING:
    from ..registry import Card
    from .graph import Graph


class Exportable:
    """The part of a `Task` that makes files of its model which other programs read."""

    card: ClassVar[Card]
    kept_beside_graphs: ClassVar[tuple[str, ...]] = ()
    """How the names of weights begin that an exported model needs besides its graphs."""
    is_exported = False
    """Whether graphs stand in place of its network's methods."""

    def need_weights(self, wish: str) -> None:
        """UserError where graphs stand in place of the weights that what somebody wishes for needs."""
        if self.is_exported:
            raise UserError(
                f"{wish} needs weights, and an exported model holds graphs.", "Give what it was exported from."
            )

    def graphs(self) -> Sequence[Graph]:
        """The functions of tensors that other runtimes run in place of this network's methods."""
        raise UserError(f"{self.card.name} cannot be exported as graphs yet.")

    def use(self) -> dict[str, Any]:
        """What somebody needs who runs the graphs without tsuite, as plain data: labels, tokenizer, scales, and in
        words how what goes in is made and what comes out is read."""
        return {}

    def save(self, folder: Path) -> None:
        """See `Task.save`."""
        raise NotImplementedError

    def save_plain(self, folder: Path) -> None:
        """As `save`, but whole: a checkpoint that `load` reads without anything else, its weights in one file."""
        self.save(folder)

    def exported(self) -> None:
        """Called once graphs stand in place of methods: what else has to know."""

    def step_extras(self, cache: Any, batch: int) -> tuple[Tensor, ...]:
        """What the step of an exported language model takes besides tokens and cache."""
        return ()

    def export(self, folder: Path, options: Any) -> list[str]:
        """Write the model into the empty `folder` as `options.format`, where that is not a graph; gives what to be
        aware of."""
        raise UserError(f"{self.card.name} has no other format.")
