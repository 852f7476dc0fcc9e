"""What `bench` times: pieces of a model's work, and what they get done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class Workload:
    """`run()` gets `items` of `unit` done ("images", "tokens"); `name` says what it does ("decoding")."""

    name: str
    unit: str
    items: float
    run: Callable[[], Any]


class Measurable:
    """The part of a `Task` that says what is measured."""

    network: Any
    run_options: ClassVar[Any]
    predict: Callable[..., Any]
    unit: ClassVar[str] = "inputs"
    """What an example batch holds, in the plural."""

    def example_batch(self, size: int) -> Any:
        """A batch of `size` examples for measuring speed and memory; the values do not matter."""
        raise NotImplementedError(f"{type(self).__name__} gives no example batch")

    def workloads(self, size: int) -> Sequence[Workload]:
        """What `bench` times for `size` inputs at a time: one forward pass, unless a subclass knows better."""
        batch = self.example_batch(size).to(next(self.network.parameters()).device)
        options = self.run_options()
        return [Workload(name="forward", unit=self.unit, items=size, run=lambda: self.predict(batch, options))]
