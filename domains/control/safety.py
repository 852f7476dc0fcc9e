"""Between a network and a machine: limits on what may be done, flags for what was never seen, a clock that is kept.

Axes: N rows (machines side by side), D numbers of one observation, A numbers of one action.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.errors import UserError
from .spaces import Space
from .words import counted

MARGIN = 0.25
"""How far outside the range of the training observations still counts as seen, as a share of that range."""
UNUSUAL = 6.0
"""Root mean square of the standardised numbers from which an observation counts as never seen."""


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """What the observations of a training were like, each [D]."""

    mean: np.ndarray
    std: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, observations: np.ndarray) -> Statistics:
        """Those of observations [rows, *shape]. Raises UserError where there is none."""
        if not len(observations):
            raise UserError("There are no observations to take statistics of.")
        flat = np.asarray(observations, np.float64).reshape(len(observations), -1)
        return cls(mean=flat.mean(0), std=flat.std(0), low=flat.min(0), high=flat.max(0))

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Statistics:
        """What `to_json` gave."""
        return cls(**{key: np.asarray(plain[key], np.float64) for key in ("mean", "std", "low", "high")})

    def to_json(self) -> dict[str, list[float]]:
        """Plain data."""
        return {key: [float(number) for number in getattr(self, key)] for key in ("mean", "std", "low", "high")}

    def unusual(self, observations: np.ndarray) -> np.ndarray:
        """[N] bool: which of observations [N, *shape] are unlike anything in the training.

        Either one number lies outside its range by more than a quarter of it, or all together lie more than six
        standard deviations from the mean (a Mahalanobis distance that knows no correlations, per number).
        """
        flat = np.asarray(observations, np.float64).reshape(len(observations), -1)
        room = MARGIN * (self.high - self.low) + 1e-6
        outside = ((flat < self.low - room) | (flat > self.high + room)).any(1)
        varied = self.std > 1e-6  # a number that never changed is judged by its range alone
        square = ((flat - self.mean)[:, varied] / self.std[varied]) ** 2
        apart = square.sum(1) > UNUSUAL**2 * max(1, varied.sum())
        return outside | apart | ~np.isfinite(flat).all(1)


@dataclass(frozen=True, kw_only=True)
class Flags:
    """What the guard had to do at one step, each [N] bool."""

    clipped: np.ndarray
    slowed: np.ndarray
    held: np.ndarray
    unusual: np.ndarray

    @property
    def any(self) -> np.ndarray:
        """[N] bool: whether anything was wrong at all."""
        return self.clipped | self.slowed | self.held | self.unusual


class Guard:
    """Checks every action before a machine sees it.

    - a number that is not finite, or a choice that does not exist: the last good action is held (at the start the
      middle of the space, or its first choice);
    - a number outside the bounds of the space is clipped to them;
    - `rate_limit`: no number of an action may change by more than this from one step to the next (one for all numbers,
      or [A]); of choices nothing is limited;
    - `statistics`: of the training's observations, against which each one is flagged as unusual. Observations with NaN
      are always flagged, and the last good action is held: the network has seen nothing.

    `counts` says how often each happened in `steps` steps of a row. Raises UserError for a limit that is not positive.
    """

    def __init__(
        self, action: Space, *, rate_limit: float | np.ndarray | None = None, statistics: Statistics | None = None
    ) -> None:
        if rate_limit is not None and not (np.asarray(rate_limit) > 0).all():
            raise UserError(f"A rate limit must be above zero, not {rate_limit}.")
        if rate_limit is not None and action.kind != "box":
            raise UserError(f"A rate limit is for numbers; here an action is {action.words()}.")
        self.action, self.rate_limit, self.statistics = action, rate_limit, statistics
        self.counts = {"clipped": 0, "slowed": 0, "held": 0, "unusual": 0}
        self.steps = 0
        self._last: np.ndarray | None = None
        self._acted = False

    def reset(self) -> None:
        """A new episode begins in every row: nothing was done before. The counts go on."""
        self._last, self._acted = None, False

    def check(
        self, observations: np.ndarray, actions: np.ndarray, *, alive: np.ndarray | None = None
    ) -> tuple[np.ndarray, Flags]:
        """Actions [N, *action.shape] that may be carried out, and what was wrong; `alive` [N]: the rows to count."""
        given = np.array(actions)
        rows = len(given)
        seen = np.asarray(observations).reshape(rows, -1)
        blind = ~np.isfinite(seen).all(1)
        if self._last is None or len(self._last) != rows:
            self._last, self._acted = np.stack([self.rest()] * rows), False
        held = blind | ~self._possible(given)
        safe = np.where(_over(held, given), self._last, given)
        safe, clipped = self._clip(safe)
        safe, slowed = self._slow(safe)
        unusual = blind | (self.statistics.unusual(observations) if self.statistics else False)
        self._last, self._acted = safe.copy(), True
        flags = Flags(clipped=clipped, slowed=slowed, held=held, unusual=unusual)
        counted = np.ones(rows, bool) if alive is None else alive
        self.steps += int(counted.sum())
        for name in self.counts:
            self.counts[name] += int((getattr(flags, name) & counted).sum())
        return safe, flags

    def rest(self) -> np.ndarray:
        """The action of a machine that has been told nothing yet: the middle of the bounds, else zero, else the first
        choice."""
        if self.action.kind != "box":
            return np.full(self.action.shape, self.action.start, np.int64)
        bounds = self.action.bounds
        middle = np.zeros(self.action.shape) if bounds is None else (bounds[0] + bounds[1]) / 2
        return middle.astype(self.action.dtype)

    def words(self) -> str:
        """What was done, for people; empty where no action was checked."""
        done = {
            "clipped": "clipped to the bounds", "slowed": "held back by the rate limit",
            "held": "replaced by the last good one",
        }  # fmt: skip
        parts = [f"{self.counts[name]:,} {what}" for name, what in done.items() if self.counts[name]]
        said = [f"Of {counted(self.steps, 'action')} {', '.join(parts)}."] if parts else []
        if self.steps and not parts:
            said = [f"Nothing had to be changed in {counted(self.steps, 'action')}."]
        if strange := self.counts["unusual"]:
            said.append(f"{strange:,} of {counted(self.steps, 'observation')} are unlike the training's.")
        return " ".join(said)

    def report(self) -> dict[str, int]:
        """How many actions were checked, and what had to be done to how many; `unusual` counts observations."""
        return {"actions": self.steps, **self.counts}

    def _possible(self, actions: np.ndarray) -> np.ndarray:
        """[N] bool: whether an action is a finite number, or a choice that exists."""
        flat = actions.reshape(len(actions), -1)
        good = np.isfinite(flat).all(1)
        if self.action.kind != "box":
            sizes = np.asarray(self.action.sizes)
            good &= ((flat >= self.action.start) & (flat < self.action.start + sizes)).all(1)
        return np.asarray(good)

    def _clip(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        bounds = self.action.bounds if self.action.kind == "box" else None
        if bounds is None:
            return actions, np.zeros(len(actions), bool)
        kept = np.clip(actions, *bounds).astype(actions.dtype)
        return kept, np.asarray((kept != actions).reshape(len(actions), -1).any(1))

    def _slow(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The first action of an episode is limited as well: from rest."""
        if self.rate_limit is None or self._last is None:
            return actions, np.zeros(len(actions), bool)
        change = np.clip(actions - self._last, -np.asarray(self.rate_limit), self.rate_limit)
        kept = (self._last + change).astype(actions.dtype)
        slowed = np.abs(actions - self._last) > np.asarray(self.rate_limit) * (1 + 1e-6)
        return np.where(slowed, kept, actions), np.asarray(slowed.reshape(len(actions), -1).any(1))


def _over(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """[N] spread over the further axes of `values`."""
    return rows.reshape(-1, *[1] * (values.ndim - 1))


class Watchdog:
    """Holds a fixed control rate: `wait()` sleeps until the next tick and says by how much it was missed.

    The ticks are absolute times (start + k / hz), so that one late step does not shift all that follow, and lateness
    does not add up. A step that takes longer than a whole period skips the ticks it slept through: `late_steps` counts
    the step, `missed` each of the ticks.
    `tolerance`: milliseconds after a tick that still count as on time (None: a tenth of the period), since systems
    that are no real-time ones wake up late now and then. `clock` gives seconds, `sleep` takes them.
    """

    def __init__(
        self, hz: float, *, tolerance: float | None = None,
        clock: Callable[[], float] = time.perf_counter, sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        if not hz > 0 or not np.isfinite(hz):
            raise UserError(f"A control rate is a number of Hz above zero, not {hz}.")
        self.hz, self.period = hz, 1 / hz
        self.tolerance = 100 / hz if tolerance is None else tolerance
        self._clock, self._sleep = clock, sleep
        self._late: list[float] = []
        self._worked: list[float] = []
        self.missed = self.late_steps = 0
        self.start()

    def start(self) -> None:
        """Count ticks from now on: an episode begins, and what lay before it was no step."""
        self._woke = self._clock()
        self._next = self._woke + self.period

    @property
    def ticks(self) -> int:
        """How many ticks were waited for."""
        return len(self._late)

    def wait(self) -> float:
        """Sleep until the next tick; milliseconds by which it was missed (0: on time)."""
        now = self._clock()
        self._worked.append((now - self._woke) * 1e3)
        if now < self._next:
            self._sleep(self._next - now)
        self._woke = self._clock()
        behind = max(0.0, self._woke - self._next)
        late = behind * 1e3
        skipped = int(behind // self.period)
        self.missed += skipped + (late - skipped * self.period * 1e3 > self.tolerance)
        self.late_steps += late > self.tolerance
        self._next += (skipped + 1) * self.period
        self._late.append(late)
        return late if late > self.tolerance else 0.0

    @property
    def held(self) -> bool:
        """Whether no step was late."""
        return not self.late_steps

    def report(self) -> dict[str, float]:
        """Whether the rate was held, steps (each waits for a tick), how many of them were late, ticks missed, and
        milliseconds of lateness and of work between two ticks (p50, p99)."""
        kept: dict[str, float] = {"hz": self.hz, "held": self.held, "ticks": self.ticks,
                                  "late_steps": self.late_steps, "missed": self.missed}  # fmt: skip
        for name, values in (("late_ms", self._late), ("work_ms", self._worked)):
            for share in (50, 99):
                kept[f"{name}_p{share}"] = round(float(np.percentile(values, share)), 3) if values else 0.0
        return {**kept, "late_ms_max": round(max(self._late, default=0.0), 3), "tolerance_ms": self.tolerance}

    def words(self) -> str:
        """One sentence for people; empty where no step was waited for."""
        if not self.ticks:
            return ""
        told, steps = self.report(), counted(self.ticks, "step")
        kept = f"held, none of {steps} was late"
        if not self.held:
            verb = "was" if self.late_steps == 1 else "were"
            late = f"{self.late_steps:,} of {steps} {verb} late"
            kept = f"NOT held, {late} by more than {self.tolerance:g} ms, at worst by {told['late_ms_max']:.2f} ms"
        work = f"work p50 {told['work_ms_p50']:.2f} ms, p99 {told['work_ms_p99']:.2f} ms"
        return f"{self.hz:g} Hz {kept}; {work} of {self.period * 1e3:g} ms."
