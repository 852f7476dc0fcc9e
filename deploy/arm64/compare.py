"""Whether two reports of `tsuite run --json` say the same: text and labels exactly, numbers to a tolerance."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

TOLERANCE = 1e-3
"""Largest |a - b| / max(1, |b|) that counts as the same number."""
COMPARED = ("results", "metrics", "data")
"""Of a report what the model said; the rest (seconds, memory, paths of files) is the machine's own."""
CLOCK = re.compile(r"rtf|seconds|(^|_)(ms|s)(_p\d+)?$")
"""Keys whose values are times that were measured."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Where two reports differ by more than the tolerance, and what stands there."""

    place: str
    here: Any
    there: Any

    def __str__(self) -> str:
        return f"{self.place}: {self.here!r} here, {self.there!r} there"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What was found: numbers and words that were compared, the largest distance of two numbers, what differs."""

    numbers: int
    words: int
    largest: float
    absolute: float
    differences: tuple[Difference, ...]


def compare(here: dict[str, Any], there: dict[str, Any], tolerance: float = TOLERANCE) -> Comparison:
    """Compare two reports; `there` is what is judged. largest: of |a - b| / max(1, |b|); absolute: of |a - b|."""
    numbers = words = 0
    largest = absolute = 0.0
    differences = []
    pairs = [pair for key in COMPARED for pair in leaves(key, here.get(key), there.get(key))]
    for place, left, right in pairs:
        if is_number(left) and is_number(right):
            numbers += 1
            apart = abs(left - right) if left != right else 0.0
            distance = apart / max(1.0, abs(left))
            absolute, largest = max(absolute, apart), max(largest, distance)
            same = distance <= tolerance
        else:
            words += 1
            same = type(left) is type(right) and left == right
        if not same:
            differences.append(Difference(place=place, here=left, there=right))
    return Comparison(numbers=numbers, words=words, largest=largest, absolute=absolute, differences=tuple(differences))


def is_number(value: Any) -> bool:
    """A finite number; a truth value is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def leaves(place: str, here: Any, there: Any) -> Iterator[tuple[str, Any, Any]]:
    """The pairs of values at the same place of two trees; where the trees differ in shape, what stands there."""
    if isinstance(here, dict) and isinstance(there, dict):
        for key in sorted({*here, *there}):
            if not CLOCK.search(key):
                yield from leaves(f"{place}.{key}", here.get(key), there.get(key))
    elif isinstance(here, list) and isinstance(there, list) and len(here) == len(there):
        for index, (left, right) in enumerate(zip(here, there, strict=True)):
            yield from leaves(f"{place}[{index}]", left, right)
    else:
        yield place, here, there
