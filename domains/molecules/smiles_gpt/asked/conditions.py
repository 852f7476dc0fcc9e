"""What a drawn molecule should be like: numbers and ranges out of a person's words, and a target for each molecule.

    --logp 2..3 --qed 0.9 --weight ..350

N molecules, P conditions that the model can be told. Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .....core.errors import UserError
from ...properties import PROPERTIES
from ..ranges import span

ENDS = (1, -2)
"""Of the quantiles 0, 0.05, … 1, those that close an open range: 5 % of the training molecules lie beyond each."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What one property should be: `low` and `high` the same for a number, infinite where a range is open. `text` is
    what the person wrote."""

    name: str
    text: str
    low: float
    high: float

    @property
    def exact(self) -> bool:
        """A number, not a range."""
        return self.low == self.high

    def away(self, values: np.ndarray) -> np.ndarray:
        """How far values of any shape lie from it, in the property's unit: 0 inside of a range."""
        return np.maximum(np.maximum(self.low - values, values - self.high), 0.0)


def wanted(options: Any) -> dict[str, Wanted]:
    """What the options ask of each property, by name; empty where they ask for none. UserError for what cannot be."""
    given = {name: str(getattr(options, name, "")).strip() for name in PROPERTIES}
    return {name: read(name, text) for name, text in given.items() if text}


def read(name: str, text: str) -> Wanted:
    """A number or a range `a..b`, `..b`, `a..` for the property `name`.

    Raises UserError for what is neither, for an empty range, and for what the property cannot be."""
    flag, item = f"--{name}", PROPERTIES[name]
    ends = span(text)
    if ends is None:
        raise UserError(f"{flag} takes a number or a range, not {text!r}.", _example(name))
    low, high = ends
    if low > high:
        raise UserError(f"{flag} {text} is empty: {low:g} is more than {high:g}.", f"Try {flag} {high:g}..{low:g}.")
    beyond = [end for end in (low, high) if math.isfinite(end) and not item.least <= end <= item.most]
    if beyond:
        bounds = f"{item.least:g} to {item.most:g}" if math.isfinite(item.most) else f"{item.least:g} or more"
        raise UserError(f"{flag} {text} cannot be: {item.label} is {bounds}.", _example(name))
    return Wanted(name=name, text=text, low=low, high=high)


def _example(name: str) -> str:
    item = PROPERTIES[name]
    middle = round((item.low + item.high) / 2, 1)
    return (
        f"Give --{name} {middle:g} or a range, --{name} {item.low:g}..{middle:g}, of which either end may be left out."
    )


# -- what the model can be told ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """What the model can be told, and how that was distributed where it learnt: by name the `quantiles` 0, 0.05, … 1
    (those of a bell curve where a checkpoint has none) and the standard `deviations`."""

    names: tuple[str, ...]
    quantiles: Mapping[str, Sequence[float]]
    deviations: Mapping[str, float]

    @classmethod
    def of(cls, network: Any, around: Any) -> Learnt:
        """That of a task's network and what is around it."""
        names, known = network.config.conditions, around.data.quantiles if around.data else {}
        if not names:
            return cls(names=(), quantiles={}, deviations={})
        means, deviations = network.conditions.mean.tolist(), network.conditions.deviation.tolist()
        bell = np.concatenate([[-3.0], np.array([-1.64, -1.28, -1.04, -0.84, -0.67, -0.52, -0.39, -0.25, -0.13])])
        bell = np.concatenate([bell, [0.0], -bell[::-1]])
        rows = {
            name: known.get(name) or (mean + deviation * bell).tolist()
            for name, mean, deviation in zip(names, means, deviations, strict=True)
        }
        return cls(names=names, quantiles=rows, deviations=dict(zip(names, deviations, strict=True)))

    def check(self, asked: Mapping[str, Wanted]) -> list[str]:
        """What to be aware of, in sentences. UserError for a property that the model was not taught."""
        for name in asked:
            if name not in self.names:
                taught = f"it was taught {', '.join(self.names)}" if self.names else "it takes no conditions at all"
                raise UserError(
                    f"--{name}: this model cannot be told {PROPERTIES[name].label}; {taught}.",
                    f"Teach it: tsuite finetune molecules.smiles_gpt --conditions {','.join([*self.names, name])}",
                )
        told = []
        for name, one in asked.items():
            least, most = self.quantiles[name][0], self.quantiles[name][-1]
            if one.low > most or one.high < least:
                item = PROPERTIES[name]
                told.append(
                    f"{item.label} {one.text} lies outside of all it learnt from ({least:.{item.digits}f} to "
                    f"{most:.{item.digits}f}{' ' * bool(item.unit)}{item.unit}): it may not be met."
                )
        return told

    def targets(self, asked: Mapping[str, Wanted], count: int, seed: int) -> np.ndarray:
        """What each of N molecules is told, [N, P], nan where nothing is asked. In a range a target is drawn as the
        training molecules lie there, and evenly where none do; each property for itself."""
        rows = np.full((count, len(self.names)), np.nan)
        for place, name in enumerate(self.names):
            if name in asked:
                random = np.random.default_rng([seed, place])
                rows[:, place] = _inside(asked[name], np.asarray(self.quantiles[name]), random.random(count))
        return rows


def _inside(one: Wanted, quantiles: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Values in a range from uniform [N] in 0..1; open ends are closed by the training molecules."""
    low, high = one.low, one.high
    if math.isinf(low):
        low = next((end for end in (quantiles[ENDS[0]], quantiles[0]) if end < high), high)
    if math.isinf(high):
        high = next((end for end in (quantiles[ENDS[1]], quantiles[-1]) if end > low), low)
    shares = np.linspace(0, 1, len(quantiles))
    first, last = np.interp([low, high], quantiles, shares)
    if last > first:
        return np.clip(np.interp(first + (last - first) * uniform, shares, quantiles), low, high)
    return low + (high - low) * uniform
