"""What an observation or an action is, as plain data that is stored beside episodes and checkpoints.

gymnasium's spaces are read and made where it is installed; nothing else here needs it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.errors import UserError, missing_extra, near
from ...core.options import build

KINDS = ("box", "discrete", "multi-discrete")
MANY = 64
"""A box of more numbers than this whose bounds are all the same holds them once: pictures have thousands."""
ENDLESS = 1e18
"""A bound beyond this says that there is none (environments give the largest float32 or int64)."""


@dataclass(frozen=True, kw_only=True)
class Space:
    """The values that an observation or an action may take.

    | kind           | one value                            | `shape`        | `sizes`                          |
    |----------------|--------------------------------------|----------------|----------------------------------|
    | box            | numbers of that shape                | any            | ()                               |
    | discrete       | a choice from `start` on             | ()             | (how many choices,)              |
    | multi-discrete | several choices at once, each from 0 | (how many,)    | how many choices each of them has |

    low, high: the finite bounds of a box, flat, one for each number (one for all in a picture); None: unbounded.
    dtype is numpy's name of the numbers. Raises `UserError` for what does not fit together.
    """

    kind: str
    shape: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()
    start: int = 0
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UserError(f"There is no kind of space {self.kind!r}.", near(self.kind, KINDS))
        needed = {"box": 0, "discrete": 1, "multi-discrete": math.prod(self.shape)}[self.kind]
        if len(self.sizes) != needed or (self.kind == "discrete" and self.shape) or min(self.sizes, default=1) < 1:
            raise UserError(f"A {self.kind} space of the shape {self.shape} cannot have the sizes {self.sizes}.")
        for bound in (self.low, self.high):
            if bound is not None and (len(bound) not in (1, self.numbers) or not np.isfinite(bound).all()):
                raise UserError(f"A space of {self.numbers} numbers has {len(bound)} bounds, or infinite ones.")

    # -- what it is -----------------------------------------------------------------------------------------------

    @property
    def numbers(self) -> int:
        """How many numbers one value has as it is stored: 1 of a discrete one, however many choices there are."""
        return math.prod(self.shape)

    @property
    def is_image(self) -> bool:
        """Whether it is a box of 3 axes, one of the outer ones 1, 3 or 4 channels."""
        return self.kind == "box" and len(self.shape) == 3 and bool({self.shape[0], self.shape[-1]} & {1, 3, 4})

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray] | None:
        """(low, high) in the shape of a value; None unless both are finite."""
        if self.low is None or self.high is None:
            return None
        low, high = (np.broadcast_to(np.asarray(side, np.float32), self.numbers) for side in (self.low, self.high))
        return low.reshape(self.shape), high.reshape(self.shape)

    @property
    def count(self) -> int:
        """How wide a vector of it is: numbers of a box, all choices together else."""
        return self.numbers if self.kind == "box" else sum(self.sizes)

    def words(self) -> str:
        """For messages: "4 numbers", "2 choices", "choices of 3 and 5", "picture 3 x 16 x 16"."""
        if self.kind == "box":
            if self.is_image:
                return "picture " + " x ".join(map(str, self.shape))
            if len(self.shape) > 1:
                return " x ".join(map(str, self.shape)) + " numbers"
            return f"{self.numbers} number" + "s" * (self.numbers != 1)
        if self.kind == "discrete":
            return f"{self.sizes[0]} choice" + "s" * (self.sizes[0] != 1) + f" from {self.start}" * (self.start != 0)
        return "choices of " + " and ".join(map(str, self.sizes))

    # -- to and from ----------------------------------------------------------------------------------------------

    @classmethod
    def from_gymnasium(cls, space: Any) -> Space:
        """The same as a `gymnasium.spaces` object says. `UserError` for kinds that are no flat numbers or choices."""
        name = type(space).__name__
        if name == "Box":
            low, high = _bounds(np.asarray(space.low)), _bounds(np.asarray(space.high))
            return cls(kind="box", shape=tuple(map(int, space.shape)), dtype=str(space.dtype), low=low, high=high)
        if name == "Discrete":
            return cls(kind="discrete", sizes=(int(space.n),), start=int(space.start), dtype="int64")
        if name in ("MultiDiscrete", "MultiBinary"):
            given = space.nvec if name == "MultiDiscrete" else np.full(space.shape, 2)
            sizes = tuple(int(size) for size in np.asarray(given).ravel())
            if not np.any(getattr(space, "start", 0)):
                return cls(kind="multi-discrete", shape=tuple(map(int, space.shape)), sizes=sizes, dtype="int64")
        raise UserError(
            f"A space of the kind {name} is not understood: {space}.",
            "Box, Discrete, MultiDiscrete from 0 and MultiBinary are; gymnasium.wrappers.FlattenObservation makes one "
            "of several.",
        )

    def to_gymnasium(self) -> Any:
        """The `gymnasium.spaces` object. Raises `UserError` where gymnasium is not installed."""
        try:
            from gymnasium import spaces
        except ModuleNotFoundError as error:
            raise missing_extra("gymnasium", "control") from error
        if self.kind == "discrete":
            return spaces.Discrete(self.sizes[0], start=self.start)
        if self.kind == "multi-discrete":
            return spaces.MultiDiscrete(np.reshape(self.sizes, self.shape))
        dtype: Any = np.dtype(self.dtype)
        low, high = (
            np.broadcast_to(np.asarray(endless if side is None else side, dtype), self.numbers).reshape(self.shape)
            for side, endless in ((self.low, _least(dtype)), (self.high, _most(dtype)))
        )
        return spaces.Box(low, high, self.shape, dtype)

    def to_json(self) -> dict[str, Any]:
        """Plain data; what is as by default is left out."""
        plain = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in plain.items() if value != ()}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Space:
        """What `to_json` gave; `UserError` for anything else."""
        return build(cls, {key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()})

    # -- values ---------------------------------------------------------------------------------------------------

    def check(self, values: Any, what: str) -> None:
        """Raise `UserError` unless `values` [..., *shape] are values of this space; `what` names them in it.

        Numbers outside the bounds of a box pass: recordings hold actions from before they were clipped.
        """
        values = np.asarray(values)
        axes = values.ndim - len(self.shape)
        if axes < 0 or values.shape[axes:] != self.shape:
            raise UserError(f"{what} has the shape {values.shape}, where {self.words()} are expected.")
        if values.dtype.kind not in "biuf":
            raise UserError(f"{what} holds {values.dtype}, where {self.words()} are expected.")
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            place = tuple(int(index) for index in np.argwhere(~np.isfinite(values))[0])
            raise UserError(f"{what} holds {values[place]} at {list(place)}.", "Leave it out, or mend the recording.")
        if self.kind != "box":
            self._check_choices(values, what)

    def _check_choices(self, values: np.ndarray, what: str) -> None:
        sizes = np.reshape(self.sizes, self.shape)
        wrong = (values < self.start) | (values >= self.start + sizes) | (values != np.floor(values))
        if wrong.any():
            value = values[tuple(np.argwhere(wrong)[0])]
            raise UserError(f"{what} holds {value:g}, which is none of the {self.words()}.")


def _bounds(values: np.ndarray) -> tuple[float, ...] | None:
    """Bounds as a flat tuple; None unless they are all finite, and not simply the largest numbers there are."""
    if not values.size or not np.isfinite(values).all() or np.abs(values.astype(np.float64)).max() > ENDLESS:
        return None
    flat = [float(value) for value in values.ravel()]
    return (flat[0],) if len(flat) > MANY and len(set(flat)) == 1 else tuple(flat)


def _least(dtype: np.dtype[Any]) -> float:
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


def _most(dtype: np.dtype[Any]) -> float:
    return np.inf if dtype.kind == "f" else np.iinfo(dtype).max
