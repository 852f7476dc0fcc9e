"""What a model hands to a plan: its network without memory, and how to put it to work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be planned: `command` run or finetune, with the model's own options for it; `method` of learning ("":
    the model's usual one); `length` of one example in the model's own unit, and examples in a `batch` (0: what is
    usual)."""

    command: str
    options: Any
    checkpoint: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    method: str = ""
    length: int = 0
    batch: int = 0


@dataclass(frozen=True, kw_only=True)
class Blueprint:
    """A task on the meta device, and its work.

    batch: a batch of so many examples; its tensors may lie on the meta device too. predict: what `run` does with one.
    options: as `run` or `finetune` would decide them. casts: whether the training loop computes in half precision (a
    model that does so itself says False); precisions: of that, what takes less memory last. length: of one example, in
    `unit`, and `longest` that the model takes (None where examples have one size). method: how it learns; `methods`
    what else there is, the one that takes least last. before: what is computed once before a training. logits: the
    width by which they are known. notices: sentences for the person.
    """

    command: str
    task: Any
    options: Any
    batch: Callable[[int], Any]
    batch_size: int
    predict: Callable[[Any], Any]
    casts: bool = False
    precision: str = "fp32"
    precisions: tuple[str, ...] = ("fp32", "bf16")
    length: int | None = None
    longest: int | None = None
    unit: str = ""
    method: str = "full"
    methods: tuple[str, ...] = ("full",)
    before: Callable[[], Any] | None = None
    logits: int = 0
    notices: tuple[str, ...] = ()


def plain(task: Any, wanted: Wanted, **known: Any) -> Blueprint:
    """The blueprint of a task whose example batch is all there is to its work; `known` are fields that differ."""
    options = wanted.options
    running = wanted.command == "run"
    task.network.to("meta")
    precision = "fp32" if running else options.precision
    fields = {
        "command": wanted.command,
        "task": task,
        "options": options,
        "batch": lambda size: task.example_batch(size).to("meta"),
        "batch_size": options.batch if running else options.batch_size,
        "predict": lambda batch: task.predict(batch, options),
        "casts": precision == "bf16",
        "precision": precision,
    }
    return Blueprint(**{**fields, **known})


def length_of(wanted: Wanted, *, usual: int, longest: int, unit: str) -> tuple[int, tuple[str, ...]]:
    """The length of an example: as wanted, else as usual; at most the longest, and a sentence where that is less."""
    asked = wanted.length or usual
    if asked <= longest:
        return asked, ()
    return longest, (f"--length {asked}: the longest is {longest} {unit}, which is planned",)


def unsized(wanted: Wanted, what: str) -> tuple[str, ...]:
    """A sentence where a length is wanted and examples have none; `what` says what they are."""
    return (f"--length {wanted.length} changes nothing: {what}",) if wanted.length else ()


def method_of(wanted: Wanted, methods: Sequence[str], usual: str = "full") -> tuple[str, tuple[str, ...]]:
    """The method of learning, and a sentence where the one that is wanted is none of the model's."""
    asked = wanted.method or usual
    if asked in methods or wanted.command == "run":
        return asked, ()
    known = f"it learns by {', '.join(methods)}" if len(methods) > 1 else "all its weights learn"
    return usual, (f"--method {asked} is not offered by finetune here: {known}; {usual} is planned",)
