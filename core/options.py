"""Options as plain dataclasses: one declaration gives default, flag, help and check.

A model folder declares what `run` and `finetune` may be told in frozen dataclasses whose fields are made with
`option(default, help)`. The command line turns each field into a flag; `--set key=value` reaches the fields of the
model's own configuration by the functions below. Nothing here imports torch.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .errors import UserError, near

T = TypeVar("T")

NONE, KINDS = "none", ("int8", "int4")
"""What weights are narrowed to, and the word for those that are not."""


def option(default: Any, help: str, *, choices: tuple[str, ...] = ()) -> Any:
    """A dataclass field with the sentence (and unit) that `--help` shows, and the words it may take if they are few."""
    return field(default=default, metadata={"help": help, "choices": choices})


@dataclass(frozen=True, kw_only=True)
class Options:
    """Base of every option group: checks the choices that its fields declare, and that numbers are finite."""

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            choices, value = item.metadata.get("choices"), getattr(self, item.name)
            if choices and value not in choices:
                words = [word for word in choices if word]  # "" stands for what suits the job
                raise UserError(f"{flag(item.name)} cannot be {value!r}.", near(str(value), words))
            if isinstance(value, float) and not math.isfinite(value):
                raise UserError(f"{flag(item.name)} takes a finite number, not {value}.")

    def require(self, condition: bool, what: str) -> None:
        """Raise `UserError(what)` unless `condition` holds."""
        if not condition:
            raise UserError(what)

    def require_not_negative(self, *names: str) -> None:
        """Raise `UserError` for the first of these fields that is below zero."""
        for name in names:
            self.require(getattr(self, name) >= 0, f"{flag(name)} cannot be negative, as {getattr(self, name)} is.")


def flag(name: str) -> str:
    """The command-line spelling of a field: `batch_size` -> `--batch-size`."""
    return "--" + name.replace("_", "-")


def build(cls: type[T], values: Mapping[str, Any]) -> T:
    """Make the dataclass `cls` from plain values; an unknown key is a `UserError` that names the near ones."""
    known = {item.name for item in dataclasses.fields(typing.cast(Any, cls)) if item.init}
    for key in values:
        if key not in known:
            raise UserError(f"{cls.__name__} has no field {key!r}.", near(key, known))
    return cls(**values)


def override(target: T, settings: Mapping[str, str]) -> T:
    """A copy of the dataclass `target` with text `settings` applied, each converted to its field's type.

    Raises `UserError` for an unknown key (near ones listed) or a value that cannot be converted.
    """
    hints = typing.get_type_hints(type(target))
    names = [item.name for item in dataclasses.fields(typing.cast(Any, target)) if item.init]
    changes = {}
    for key, text in settings.items():
        if key not in names:
            raise UserError(f"There is no setting {key!r}.", near(key, names))
        changes[key] = _convert(text, hints[key], key)
    return dataclasses.replace(typing.cast(Any, target), **changes)


def split_settings(settings: Mapping[str, str], *targets: Any) -> list[dict[str, str]]:
    """Share `settings` out among dataclasses by field name; a key that none of them has is a `UserError`."""
    fields = [{item.name for item in dataclasses.fields(target)} for target in targets]
    for key in settings:
        if not any(key in names for names in fields):
            raise UserError(f"There is no setting {key!r}.", near(key, set().union(*fields)))
    return [{key: text for key, text in settings.items() if key in names} for names in fields]


def _convert(text: str, hint: Any, key: str) -> Any:
    """`text` as the type `hint`: bool, int, float, str, an optional of these, or a tuple given as `a,b,c`."""
    if not isinstance(text, str):
        return text
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if text.lower() in ("none", "null", "") and type(None) in arguments:
            return None
        return _convert(text, next(kind for kind in arguments if kind is not type(None)), key)
    if origin is typing.Literal:
        if text not in arguments:
            raise UserError(f"{key} cannot be {text!r}.", near(text, [str(word) for word in arguments]))
        return text
    if origin is tuple:
        parts = [part.strip() for part in text.strip("()[]").split(",") if part.strip()]
        return tuple(_convert(part, arguments[0], key) for part in parts)
    try:
        if hint is bool:
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]
        value = hint(text)
    except (KeyError, ValueError):
        raise UserError(f"{key} takes a {hint.__name__}, not {text!r}.") from None
    if hint is float and not math.isfinite(value):
        raise UserError(f"{key} takes a finite number, not {text!r}.")
    return value


@dataclass(frozen=True, kw_only=True)
class RunOptions(Options):
    """What every prediction is told; a model's own `run` options extend it."""

    batch: int = option(32, "inputs in one forward pass")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.batch > 0, f"--batch must be at least 1, not {self.batch}.")


@dataclass(frozen=True, kw_only=True)
class ExportOptions(Options):
    """What every export is told; a model with formats of its own extends it."""

    format: str = option("onnx", "onnx, or torch: torch's exported program", choices=("onnx", "torch"))
    quantize: str = option(NONE, "weights of the graphs", choices=(NONE, *KINDS))
    opset: int = option(20, "of ONNX, 18 to 23; a runtime that is older than a graph refuses it")


# -- what every training understands --------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Options):
    """What the shared training loop is told; a model's own `finetune` options extend it."""

    epochs: int = option(0, "passes over the training data (0: what suits the job)")
    max_steps: int = option(0, "stop after this many optimiser steps (0: as many as the epochs need)")
    batch_size: int = option(64, "examples in one optimiser step, over all processes and accumulated parts")
    accumulate: int = option(1, "parts in which each process computes its share of a batch, to save memory")
    lr: float = option(0.0, "peak learning rate (0: what suits the job)")
    schedule: str = option("cosine", "learning rate after warm-up", choices=("cosine", "linear", "constant"))
    warmup: float = option(0.05, "share of all steps over which the learning rate rises from zero")
    weight_decay: float = option(0.05, "AdamW's decay of matrices (vectors and norms are not decayed)")
    clip: float = option(1.0, "largest norm of the gradient (0: not clipped)")
    precision: str = option("fp32", "arithmetic of the forward pass", choices=("fp32", "bf16", "fp16"))
    validate_every: int = option(0, "steps between validations (0: at the end of each epoch)")
    patience: int = option(0, "validations without a better score before stopping early (0: never)")
    save_every: int = option(0, "steps between saved states (0: after each validation)")
    seed: int = option(0, "seed of everything random")
    workers: int = option(0, "processes that prepare batches (0: in the main process)")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("batch_size", "accumulate"):
            self.require(getattr(self, name) > 0, f"{flag(name)} must be above zero, not {getattr(self, name)}.")
        self.require_not_negative(
            "epochs", "lr", "max_steps", "weight_decay", "clip", "validate_every", "patience", "save_every", "workers"
        )
        self.require(0 <= self.warmup < 1, f"--warmup is a share from 0 to 1, not {self.warmup}.")
