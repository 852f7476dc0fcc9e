"""An oracle that is asked once about each molecule, so many times in all, and may fail."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .....core.errors import UserError
from .oracles import Composite

Oracle = Callable[[str], float] | Callable[[Sequence[str]], Sequence[float]]
"""Canonical SMILES -> how good the molecule is, 0 to 1 (or on the `scale` that comes with it); where it is said to be
`batched`, a list of SMILES -> as many numbers."""

Answer = tuple[float, Mapping[str, float], str]
"""A number on the oracle's scale, the scores of its parts, and why there is none ("": there is one)."""
FIRST = 128
"""Calls after which an oracle that failed at nearly all of them is given up."""
NEARLY_ALL = 0.95


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What the oracle said about a molecule, as call number `call` (from 1): its score, 0 to 1, that of each part by
    name, and why there is none (`failed`; the score is 0 then)."""

    smiles: str
    call: int
    score: float
    parts: Mapping[str, float] = field(default_factory=dict)
    failed: str = ""


class Counted:
    """`oracle` with a memory and at most `calls` calls, one for each distinct molecule.

    batched: it takes many molecules at once; where it fails at some, each is tried alone. scale: what the oracle gives
    for the worst and for the best, (0, 1) as it is; other numbers are stretched to 0 to 1 and cut there, and (10, 2)
    means that less is better.
    """

    def __init__(
        self, oracle: Oracle, calls: int, *, scale: tuple[float, float] = (0.0, 1.0), batched: bool = False
    ) -> None:
        worst, best = scale
        if not (math.isfinite(worst) and math.isfinite(best)) or worst == best:
            raise UserError(f"The scale {scale} of an oracle needs two different finite numbers, worst and best.")
        self.oracle: Callable[[Any], Any] = oracle
        self.calls, self.scale, self.batched = calls, (float(worst), float(best)), batched
        self.known: dict[str, Judged] = {}

    @property
    def used(self) -> int:
        """Calls so far: distinct molecules."""
        return len(self.known)

    @property
    def left(self) -> int:
        return self.calls - self.used

    @property
    def judged(self) -> list[Judged]:
        """Everything it was asked about, in order."""
        return list(self.known.values())

    @property
    def failures(self) -> list[Judged]:
        """What it failed at."""
        return [one for one in self.known.values() if one.failed]

    def __call__(self, smiles: Sequence[str]) -> list[Judged | None]:
        """What the oracle says of each; None where it would take a call more than there are.

        UserError for a number outside of the scale, and where it failed at nearly all of the first molecules."""
        new = [one for one in dict.fromkeys(smiles) if one not in self.known][: self.left]
        for one, (value, parts, failed) in zip(new, self._answers(new), strict=True):
            score = 0.0 if failed else self._scaled(value, one)
            self.known[one] = Judged(smiles=one, call=self.used + 1, score=score, parts=parts, failed=failed)
            if self.used == min(FIRST, self.calls):
                self._give_up()
        return [self.known.get(one) for one in smiles]

    def _answers(self, smiles: Sequence[str]) -> Iterator[Answer]:
        """The oracle's answers, one after the other."""
        if self.batched and smiles:
            try:
                values = [float(value) for value in self.oracle(list(smiles))]
            except Exception:  # whose fault it is, is seen one by one
                values = []
            if len(values) == len(smiles):
                yield from (_answer(value, {}) for value in values)
                return
        yield from map(self._ask, smiles)

    def _ask(self, smiles: str) -> Answer:
        """The answer about one molecule."""
        try:
            if isinstance(self.oracle, Composite):
                return _answer(*self.oracle.judge(smiles))
            if not self.batched:
                return _answer(float(self.oracle(smiles)), {})
            values = list(self.oracle([smiles]))
            if len(values) != 1:
                return 0.0, {}, f"it gave {len(values)} scores for 1 molecule"
            return _answer(float(values[0]), {})
        except Exception as error:  # whatever a person's function may raise
            return 0.0, {}, f"{type(error).__name__}: {error}".rstrip(": ")

    def _scaled(self, value: float, smiles: str) -> float:
        worst, best = self.scale
        if self.scale == (0.0, 1.0) and not -1e-9 <= value <= 1 + 1e-9:
            raise UserError(
                f"The oracle gave {value:g} for {smiles}: scores lie between 0 and 1.",
                "Say what its worst and its best value are: scale=(worst, best).",
            )
        return min(max((value - worst) / (best - worst), 0.0), 1.0)

    def _give_up(self) -> None:
        failed = self.failures
        if len(failed) >= NEARLY_ALL * self.used:
            first = failed[0]
            raise UserError(
                f"The oracle failed at {len(failed)} of the first {self.used} molecules, first at {first.smiles}: "
                f"{first.failed}.",
                "Try it on that molecule alone.",
            )


def _answer(value: float, parts: Mapping[str, float]) -> Answer:
    return value, parts, "" if math.isfinite(value) else f"it gave {value}"


def top(scores: Sequence[float], count: int = 10) -> float:
    """The mean of the best `count` scores; of all where there are fewer, 0 of none."""
    best = sorted(scores, reverse=True)[:count]
    return sum(best) / len(best) if best else 0.0


def progress_of(scores: Sequence[float], count: int = 10) -> list[float]:
    """After each call, the mean of the best `count` scores so far."""
    best: list[float] = []
    total, means = 0.0, []
    for score in scores:
        if len(best) < count:
            heapq.heappush(best, score)
            total += score
        elif score > best[0]:
            total += score - heapq.heapreplace(best, score)
        means.append(total / len(best))
    return means


def auc(scores: Sequence[float], calls: int, count: int = 10) -> float:
    """The mean of `progress_of` over 1 to `calls` calls; where fewer were made the last value stands for the rest
    (Gao et al. 2022, arXiv 2206.12411)."""
    means = progress_of(scores, count)[:calls]
    return (sum(means) + (calls - len(means)) * means[-1]) / calls if means else 0.0
