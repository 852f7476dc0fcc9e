"""The linear program behind a battery's schedule, solved by HiGHS; see `dispatch` for units and names.

Charging and discharging at once would burn energy. Take less of both, `delta` of the charge and `efficiency * delta` of
the discharge: the level stays as it is, the import falls by `(1 - efficiency) * delta`, and the bill changes by
`-(buy - efficiency * sell - (1 - efficiency) * penalty) * delta`. Where that bracket is not negative (every price of 0
or more) doing both never pays, and what a tie leaves of it is netted out. In the other steps (negative prices) one
binary variable allows only one of the two, and HiGHS solves a mixed-integer program.

Many schedules can have the same bill, above all where only the highest demand costs. A second program finds among them
the one that moves the least energy, and holds it for the shortest time: a battery is not worn for nothing.

Axes: H steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import UserError, missing_extra

if TYPE_CHECKING:
    from .dispatch import Battery, Tariff

TINY = 1e-7
"""Power and energy below this (relative to the battery's) is the solver's rounding."""
HOLDING = 1e-2
"""What holding energy through all steps counts, where moving it counts 1."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """The least cost of x = charge, discharge, level, fed in, charging? [H each] and the peak [1]."""

    buy: np.ndarray
    sell: np.ndarray
    demand: np.ndarray | None
    battery: Battery
    hours: float
    tariff: Tariff

    @property
    def steps(self) -> int:
        return len(self.buy)

    @property
    def guarded(self) -> np.ndarray:
        """The steps [H] in which charging and discharging at once could pay (see the proof above)."""
        lost = 1 - self.battery.efficiency
        return self.buy - self.battery.efficiency * self.sell - lost * less_fed_in(self.sell, self.tariff) < 0

    def cost(self) -> np.ndarray:
        """[5 H + 1]. Scaled, for the solver works best with numbers near 1."""
        none = np.zeros(self.steps)
        energy = [self.buy, self.battery.wear - self.sell, none, less_fed_in(self.sell, self.tariff), none]
        cost = np.concatenate([self.hours * np.concatenate(energy), [self.tariff.peak_charge]])
        return cost / max(float(np.abs(cost).max()), 1e-12)

    def movement(self) -> np.ndarray:
        """The cost [5 H + 1] of moving a unit of power, and a little for holding what it brings."""
        moved, held, none = np.ones(self.steps), np.full(self.steps, HOLDING / self.steps), np.zeros(self.steps)
        return np.concatenate([moved, moved, held, none, none, [0.0]])

    def bounds(self) -> np.ndarray:
        """Least and most of each variable, [5 H + 1, 2]."""
        least, most = np.zeros((6, self.steps)), np.full((6, self.steps), np.inf)
        most[:2], most[2], most[4] = self.battery.power, self.battery.capacity, 1.0
        least[2, -1] = self.battery.last
        most[3] = 0.0 if self.demand is None else np.inf
        least[5] = self.tariff.peak_so_far
        count = 5 * self.steps + 1
        return np.stack([least.ravel()[:count], most.ravel()[:count]], axis=1)

    def levels(self) -> tuple[Any, np.ndarray]:
        """A, b of A x = b: what flows in and out changes the level."""
        sparse, way = _scipy("sparse"), self.battery.one_way
        one, none = sparse.eye_array(self.steps, format="csr"), sparse.csr_array((self.steps, self.steps))
        before = sparse.eye_array(self.steps, k=-1, format="csr")
        row = [-self.hours * way * one, self.hours / way * one, one - before, none, none, none[:, :1]]
        start = np.zeros(self.steps)
        start[0] = self.battery.start
        return sparse.block_array([row], format="csr"), start

    def limits(self) -> tuple[Any, np.ndarray]:
        """A, b of A x <= b: what is fed in, the peak, and only one of charging and discharging in guarded steps."""
        sparse, guarded = _scipy("sparse"), self.guarded
        one, none = sparse.eye_array(self.steps, format="csr"), sparse.csr_array((self.steps, self.steps))
        some, nothing = one[guarded], none[guarded]
        rows = [
            [some, nothing, nothing, nothing, -self.battery.power * some, nothing[:, :1]],
            [nothing, some, nothing, nothing, self.battery.power * some, nothing[:, :1]],
        ]
        sums = [np.zeros(guarded.sum()), np.full(guarded.sum(), self.battery.power)]
        if self.demand is not None:
            rows.append([-one, one, none, -one, none, none[:, :1]])
            rows.append([one, -one, none, none, none, sparse.csr_array(-np.ones((self.steps, 1)))])
            sums += [self.demand, -self.demand]
        return sparse.block_array(rows, format="csr"), np.concatenate(sums)


def solve(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Charge and discharge [H] each: the lowest bill, and of all that have it the least energy moved. Raises UserError
    where no schedule meets the battery's levels."""
    guarded, steps = problem.guarded, problem.steps
    (equal, level), (upper, most) = problem.levels(), problem.limits()
    cost, bounds = problem.cost(), problem.bounds()
    limits: dict[str, Any] = {"A_eq": equal, "b_eq": level, "method": "highs"}
    extra: dict[str, Any] = {}
    if guarded.any():
        integer = np.zeros(5 * steps + 1, dtype=np.uint8)
        integer[4 * steps : 5 * steps] = guarded
        extra = {"integrality": integer, "options": {"mip_rel_gap": 1e-9}}
    linprog = _scipy("optimize").linprog
    found = linprog(cost, A_ub=upper, b_ub=most, bounds=bounds, **limits, **extra)
    if found.x is None:
        raise UserError(
            f"No schedule of {steps} steps brings this battery from its start level to its end level.",
            "Allow more steps or more power, or an end level nearer to the start level.",
        )
    if guarded.any():  # which of the two each step allows is decided
        bounds[4 * steps : 5 * steps] = np.round(found.x[4 * steps : 5 * steps])[:, None]
    sparse = _scipy("sparse")
    upper = sparse.block_array([[upper], [sparse.csr_array(cost[None])]], format="csr")
    most = np.append(most, found.fun)
    quiet = linprog(problem.movement(), A_ub=upper, b_ub=most, bounds=bounds, **limits)
    best = found.x if quiet.x is None else quiet.x  # rounding can leave the second program without an answer
    return best[:steps], best[steps : 2 * steps]


def netted(charge: np.ndarray, discharge: np.ndarray, battery: Battery) -> tuple[np.ndarray, np.ndarray]:
    """The same levels without doing both at once, and without the solver's rounding."""
    both = np.minimum(charge, discharge / battery.efficiency)
    charge, discharge = charge - both, discharge - battery.efficiency * both
    least = TINY * battery.power
    return (
        np.where(charge > least, np.minimum(charge, battery.power), 0.0),
        np.where(discharge > least, np.minimum(discharge, battery.power), 0.0),
    )


def less_fed_in(price: np.ndarray, tariff: Tariff) -> np.ndarray:
    """What feeding in a MWh earns less than its price, 0 or more [H]."""
    if tariff.feed_in is None:
        return np.zeros_like(price)
    return np.maximum(price - tariff.feed_in, 0.0)


def _scipy(part: str) -> Any:
    try:
        import scipy.optimize
        import scipy.sparse
    except ModuleNotFoundError as error:
        raise missing_extra("scipy", "timeseries") from error
    return getattr(scipy, part)
