"""When a battery should charge and discharge, given a forecast of prices or of a site's demand; what it saved is
settled against what then happened.

A linear program over H steps, solved by HiGHS. Units are any that belong together: power in MW, energy in MWh, prices
per MWh, or kW, kWh and prices per kWh. Power is counted where the battery meets the grid, before its losses.

Axes: H steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...core.errors import UserError
from .program import TINY, Problem, less_fed_in, netted, solve


@dataclass(frozen=True, kw_only=True)
class Battery:
    """A battery of `capacity` (MWh) that charges and discharges with at most `power` (MW).

    efficiency: what comes back of the energy put in, 0 < efficiency <= 1; half of the loss falls on either way.
    start: level (MWh) before the first step; end: least level after the last (None: as at the start).
    wear: cost of each MWh discharged, on top of the energy's price.
    """

    capacity: float
    power: float
    efficiency: float = 0.9
    start: float = 0.0
    end: float | None = None
    wear: float = 0.0

    def __post_init__(self) -> None:
        numbers = {"capacity": self.capacity, "power": self.power, "efficiency": self.efficiency, "wear": self.wear}
        for name, value in {**numbers, "start level": self.start, "end level": self.last}.items():
            if not math.isfinite(value):
                raise UserError(f"The battery's {name} is {value:g}.", "Give a finite number.")
        if self.capacity <= 0 or self.power <= 0:
            name, value = ("capacity", self.capacity) if self.capacity <= 0 else ("power", self.power)
            raise UserError(f"The battery's {name} is {value:g}.", "It has to be above 0.")
        if not 0 < self.efficiency <= 1:
            hint = "Give the share of energy that comes back, such as 0.9 for 90 %."
            raise UserError(f"The battery's round-trip efficiency is {self.efficiency:g}.", hint)
        for name, level in (("start", self.start), ("end", self.last)):
            if not 0 <= level <= self.capacity:
                hint = f"It has to lie between 0 and the capacity, {self.capacity:g}."
                raise UserError(f"The battery's {name} level is {level:g}.", hint)
        if self.wear < 0:
            raise UserError(f"The battery's wear costs {self.wear:g}.", "It cannot be negative.")

    @property
    def last(self) -> float:
        """The least level after the last step."""
        return self.start if self.end is None else self.end

    @property
    def one_way(self) -> float:
        """The share of energy that survives charging, and again discharging."""
        return math.sqrt(self.efficiency)


@dataclass(frozen=True, kw_only=True)
class Tariff:
    """What a site pays beside the price of energy.

    peak_charge: for each MW of the highest import in the billing period; peak_so_far: MW that the period has seen.
    feed_in: what a MWh fed into the grid earns, where that is less than the price (None: the price).
    """

    peak_charge: float = 0.0
    peak_so_far: float = 0.0
    feed_in: float | None = None

    def __post_init__(self) -> None:
        if not (self.peak_charge >= 0 and self.peak_so_far >= 0):
            raise UserError(
                f"The peak charge is {self.peak_charge:g}, the peak so far {self.peak_so_far:g}.", "Give 0 or more."
            )


@dataclass(frozen=True, kw_only=True)
class Bands:
    """The cautious sides of a forecast [H]: the price to expect when buying (q90) and when selling (q10), and the
    demand to be ready for (q90). What is None is taken from the forecast itself."""

    buy: np.ndarray | None = None
    sell: np.ndarray | None = None
    demand: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """charge, discharge: power [H] in MW, never both at once; level: energy [H] in MWh at the end of each step.

    expected: the bill for these steps if the forecast comes true.
    """

    battery: Battery
    step_hours: float
    charge: np.ndarray
    discharge: np.ndarray
    level: np.ndarray
    expected: float
    tariff: Tariff = field(default_factory=Tariff)

    @property
    def power(self) -> np.ndarray:
        """What the battery adds to the import, [H] in MW: above 0 it charges."""
        return self.charge - self.discharge

    @property
    def cycles(self) -> float:
        """How often its capacity was discharged."""
        return float(self.discharge.sum()) * self.step_hours / self.battery.one_way / self.battery.capacity


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """Bills for the same steps at what really happened: without a battery, with the schedule, and with the schedule
    that perfect foresight would have made."""

    without: float
    scheduled: float
    perfect: float

    @property
    def savings(self) -> float:
        return self.without - self.scheduled

    @property
    def possible(self) -> float:
        """The savings of perfect foresight: no schedule can save more."""
        return self.without - self.perfect

    @property
    def regret(self) -> float:
        """What the forecast's errors cost, 0 or more."""
        return self.scheduled - self.perfect

    @property
    def captured(self) -> float:
        """The share of the possible savings that was saved; NaN where nothing could be."""
        return self.savings / self.possible if self.possible > TINY * max(1.0, abs(self.without)) else math.nan

    def __add__(self, other: Settlement) -> Settlement:
        """Both periods together."""
        return Settlement(**{name: getattr(self, name) + getattr(other, name) for name in vars(self)})

    def to_json(self) -> dict[str, float | None]:
        names = ("savings", "possible", "regret", "captured")
        plain = {**vars(self), **{name: getattr(self, name) for name in names}}
        return {name: None if math.isnan(value) else round(value, 6) for name, value in plain.items()}


def schedule(
    prices: Any,
    battery: Battery,
    *,
    step_hours: float,
    demand: Any = None,
    tariff: Tariff | None = None,
    bands: Bands | None = None,
    risk: float = 0.0,
) -> Schedule:
    """The schedule with the lowest bill, if the forecast comes true.

    prices: forecast [H] per MWh, or one number for all steps of `demand`; negative ones are allowed.
    demand: forecast [H] of the site's own consumption in MW; None: the battery trades alone.
    risk: how far to plan with the cautious sides of `bands` instead of the forecast, 0 … 1: at 1 the battery buys at
    the dear price and sells at the cheap one, so that it moves only where even that pays, and it is ready for the
    high demand. Being careful with prices costs savings on average (all prices err together, and only their differences
    count here); being careful with demand is what a peak charge asks for.

    Raises UserError for values that are not finite, of different lengths, or that no schedule can meet.
    """
    tariff, bands = tariff or Tariff(), bands or Bands()
    if not (math.isfinite(step_hours) and step_hours > 0):
        raise UserError(f"A step takes {step_hours:g} hours.", "Give how long one takes, such as 0.5 for half an hour.")
    if not 0 <= risk <= 1:
        raise UserError(f"The risk weight is {risk:g}.", "Give 0 (trust the forecast) to 1 (plan with the bands).")
    price, load = _steps(prices, demand)
    if load is None and (tariff.peak_charge or tariff.feed_in is not None):
        raise UserError("A peak charge or feed-in tariff needs the demand of the site.", "Give a demand forecast.")
    buy = np.maximum(_towards(price, bands.buy, risk, "buying price"), price)
    sell = np.minimum(_towards(price, bands.sell, risk, "selling price"), price)
    planned = None if load is None else np.maximum(_towards(load, bands.demand, risk, "high demand"), load)
    problem = Problem(buy=buy, sell=sell, demand=planned, battery=battery, hours=step_hours, tariff=tariff)
    charge, discharge = solve(problem)
    charge, discharge = netted(charge, discharge, battery)
    gained = battery.one_way * charge - discharge / battery.one_way
    level = np.clip(battery.start + step_hours * np.cumsum(gained), 0.0, battery.capacity)
    made = Schedule(
        battery=battery, step_hours=step_hours, charge=charge, discharge=discharge, level=level,
        expected=0.0, tariff=tariff,
    )  # fmt: skip
    return replace(made, expected=bill(made, price, demand=load))


def bill(plan: Schedule, prices: Any, *, demand: Any = None, idle: bool = False) -> float:
    """What the steps of a schedule cost at these prices [H] and this demand [H]; `idle`: without the battery.

    Energy at its price (what is fed in at the feed-in tariff), the peak charge for what the highest import exceeds the
    peak so far, and the battery's wear."""
    price, load = _steps(prices, demand)
    if len(price) != len(plan.power):
        raise UserError(f"The schedule has {len(plan.power)} steps, the prices {len(price)}.")
    net = np.zeros_like(price) if load is None else load
    used = np.zeros_like(price) if idle else plan.discharge
    if not idle:
        net = net + plan.power
    fed_in = np.maximum(-net, 0)
    energy = price * net + less_fed_in(price, plan.tariff) * fed_in + plan.battery.wear * used
    peak = max(0.0, float(net.max()) - plan.tariff.peak_so_far)
    return plan.step_hours * float(energy.sum()) + plan.tariff.peak_charge * peak


def settle(plan: Schedule, prices: Any, *, demand: Any = None) -> Settlement:
    """The bills at the true prices [H] (and the true demand [H]) that followed a schedule."""
    best = schedule(prices, plan.battery, step_hours=plan.step_hours, demand=demand, tariff=plan.tariff)
    return Settlement(
        without=bill(plan, prices, demand=demand, idle=True),
        scheduled=bill(plan, prices, demand=demand),
        perfect=best.expected,
    )


# -- what is given -----------------------------------------------------------------------------------------------------


def _towards(forecast: np.ndarray, cautious: Any, risk: float, name: str) -> np.ndarray:
    """The forecast [H] moved by the share `risk` to its cautious side."""
    if cautious is None:
        return forecast
    return (1 - risk) * forecast + risk * _finite(cautious, name, len(forecast))


def _steps(prices: Any, demand: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Prices and demand as float64 [H]; one price counts for all steps of the demand."""
    load = None if demand is None else _finite(demand, "demand")
    if np.ndim(prices) == 0 and load is not None:
        prices = np.full(len(load), float(prices))
    return _finite(prices, "prices", None if load is None else len(load)), load


def _finite(values: Any, name: str, length: int | None = None) -> np.ndarray:
    """Values as float64 [H]; UserError that names the first step that is not a number."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not len(array):
        raise UserError(f"The {name} of a schedule has the shape {array.shape}.", "Give one value for each step.")
    if length is not None and len(array) != length:
        raise UserError(f"The {name} of a schedule has {len(array)} steps where {length} are needed.")
    if not np.isfinite(array).all():
        step = int(np.flatnonzero(~np.isfinite(array))[0])
        raise UserError(f"The {name} of a schedule is {array[step]} at step {step + 1}.", "Fill or forecast it first.")
    return array
