"""What a command says when it is done: one object, the same for every model, for people and for machines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from . import runtime
from .task import Failure, Origin, Split, Task


@dataclass(frozen=True, kw_only=True)
class Report:
    """The head that `run`, `evaluate`, `finetune`, `bench` and `plan` share, and what each has to say.

    seconds since the process began; peak_memory_mb in 10^6 bytes; `extra` goes beside the head under its own keys.
    `shown` is what a terminal shows (any rich renderable).
    """

    command: str
    name: str
    device: str
    threads: int
    checkpoint: Origin = field(default_factory=Origin)
    data: dict[str, Any] | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    results: Sequence[Any] = ()
    failures: Sequence[Failure] = ()
    artifacts: Sequence[Any] = ()
    notices: Sequence[str] = ()
    extra: dict[str, Any] = field(default_factory=dict)
    shown: Any = None

    def to_json(self) -> dict[str, Any]:
        """Plain data; numbers that JSON does not know (NaN, infinity) become null."""
        from importlib.metadata import version

        head = {
            "command": self.command,
            "name": self.name,
            "version": version("tsuite"),
            "device": self.device,
            "threads": self.threads,
            "seconds": round(runtime.seconds_since_start(), 3),
            "peak_memory_mb": round(runtime.peak_memory_mb(), 1),
            "checkpoint": self.checkpoint.to_json(),
            "data": self.data,
            "metrics": self.metrics,
            "results": [item.to_json() for item in (*self.results, *self.failures)],
            "artifacts": [str(path) for path in self.artifacts],
            "notices": list(self.notices),
        }
        return _plain(head | self.extra)


def report(command: str, task: Task, device: Any, **fields: Any) -> Report:
    """A `Report` about `task` on `device`, with what is common to all commands filled in."""
    notices = (*task.origin.notices, *fields.pop("notices", ()))
    return Report(
        command=command,
        name=task.card.name,
        device=str(device),
        threads=runtime.threads(),
        checkpoint=task.origin,
        notices=notices,
        **fields,
    )


def describe(split: Split) -> dict[str, Any]:
    """A split as the `data` of a report."""
    return {"name": split.name, "split": split.part, "sha256": split.sha256, "n": len(split.examples)}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
