"""Schedules: as good as trying everything, within the battery's limits, settled honestly."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from tsuite.core.errors import UserError
from tsuite.domains.timeseries.dispatch import Bands, Battery, Tariff, bill, schedule, settle

pytest.importorskip("scipy")


def cheapest(prices: np.ndarray, battery: Battery, *, demand: np.ndarray, peak: float, parts: int) -> float:
    """The lowest bill of all ways through `parts` levels, one after another: never both charging and discharging."""
    levels = np.linspace(0, battery.capacity, parts + 1)
    change = levels[None, :] - levels[:, None]  # [from, to]
    power = np.where(change > 0, change / battery.one_way, change * battery.one_way)
    allowed = np.abs(power) <= battery.power + 1e-9
    best = math.inf
    # A peak charge couples the steps: every peak that a step can make is tried as a limit.
    candidates = sorted({float(max(0, value)) for load in demand for value in (load + power[allowed]).round(9).ravel()})
    for limit in candidates if peak else [math.inf]:
        cost = np.where(np.abs(levels - battery.start) < 1e-9, 0.0, math.inf)
        for price, load in zip(prices, demand, strict=True):
            step = np.where(allowed & (load + power <= limit + 1e-9), price * (load + power), math.inf)
            cost = (cost[:, None] + step).min(0)
        best = min(best, float(cost[levels >= battery.last - 1e-9].min()) + (peak * limit if peak else 0.0))
    return best


def check(plan, hours: float) -> None:
    """What every schedule must keep to."""
    battery = plan.battery
    assert (plan.charge >= 0).all()
    assert (plan.discharge >= 0).all()
    assert max(plan.charge.max(), plan.discharge.max()) <= battery.power + 1e-9
    assert (plan.charge * plan.discharge == 0).all()
    flow = battery.one_way * plan.charge - plan.discharge / battery.one_way
    assert plan.level == pytest.approx(battery.start + hours * np.cumsum(flow), abs=1e-6)
    assert plan.level.min() >= 0
    assert plan.level.max() <= battery.capacity
    assert plan.level[-1] >= battery.last - 1e-6


def test_by_hand() -> None:
    plan = schedule([10, 50, 20, 80], Battery(capacity=2, power=1, efficiency=1.0), step_hours=1)
    assert plan.charge.tolist() == [1, 0, 1, 0]
    assert plan.discharge.tolist() == [0, 1, 0, 1]
    assert plan.level.tolist() == [1, 0, 1, 0]
    assert plan.expected == pytest.approx(-100)
    assert plan.cycles == pytest.approx(1)


def test_half_hours_and_losses() -> None:
    battery = Battery(capacity=1, power=1, efficiency=0.81)
    plan = schedule([10, 10, 100, 100], battery, step_hours=0.5)
    assert plan.level[[0, 1, 3]] == pytest.approx([0.45, 0.9, 0.0])
    assert plan.discharge.sum() * 0.5 == pytest.approx(0.81)  # of 1 MWh that was charged
    assert plan.expected == pytest.approx(10 - 81)
    kept = schedule([10, 10, 12, 12], battery, step_hours=0.5)
    assert not kept.power.any()  # 12 * 0.81 does not pay for 10
    worn = schedule([10, 10, 100, 100], Battery(capacity=1, power=1, efficiency=0.81, wear=90), step_hours=0.5)
    assert not worn.power.any()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("low", [5, -60])
def test_nothing_is_cheaper(seed: int, low: int) -> None:
    random = np.random.default_rng(seed)
    prices, demand = random.integers(low, 100, 6).astype(float), random.integers(0, 4, 6).astype(float)
    exact = Battery(capacity=3, power=2, efficiency=1.0, start=1, end=2)  # the best levels are whole numbers
    plan = schedule(prices, exact, step_hours=1, demand=demand)
    check(plan, 1)
    assert plan.expected == pytest.approx(cheapest(prices, exact, demand=demand, peak=0, parts=3), abs=1e-5)
    few, load = prices[:4], demand[:4]  # a peak held level for up to four steps: twelfths
    shaved = schedule(few, exact, step_hours=1, demand=load, tariff=Tariff(peak_charge=70))
    check(shaved, 1)
    assert shaved.expected == pytest.approx(cheapest(few, exact, demand=load, peak=70, parts=36), abs=1e-5)
    lossy = Battery(capacity=3, power=1.3, efficiency=0.8, start=1.5)
    plan = schedule(prices, lossy, step_hours=1)
    check(plan, 1)
    grid = cheapest(prices, lossy, demand=np.zeros(6), peak=0.0, parts=300)
    assert grid - 6.0 <= plan.expected <= grid + 1e-5  # the levels of the grid lie 0.01 apart


def test_a_full_battery_does_not_burn_energy_at_negative_prices() -> None:
    battery = Battery(capacity=2, power=1, efficiency=0.5, start=2)
    plan = schedule([-100, -100], battery, step_hours=1)
    check(plan, 1)
    assert plan.expected > -60  # doing both at once would have earned twice 50 and more
    free = schedule([0, 0, 0], Battery(capacity=1, power=1), step_hours=1)
    assert free.expected == 0
    check(free, 1)


def test_peaks_are_shaved() -> None:
    demand = [1, 1, 5, 1]
    battery = Battery(capacity=4, power=4, efficiency=1.0)
    plan = schedule(0.1, battery, step_hours=1, demand=demand, tariff=Tariff(peak_charge=100))
    assert (np.asarray(demand) + plan.power).max() == pytest.approx(7 / 3)  # what three hours hold level
    seen = schedule(0.1, battery, step_hours=1, demand=demand, tariff=Tariff(peak_charge=100, peak_so_far=5))
    assert seen.expected == pytest.approx(0.8)  # nothing to save below a peak that was paid for


@pytest.mark.parametrize("price", [0.0, 20.0])
def test_no_more_is_moved_than_the_bill_asks_for(price: float) -> None:
    demand = 40 + 10 * np.sin(np.arange(48) / 48 * 4 * np.pi) + np.random.default_rng(0).normal(0, 0.3, 48)
    battery, tariff = Battery(capacity=4, power=1), Tariff(peak_charge=10_000)
    plan = schedule(price, battery, step_hours=0.5, demand=demand, tariff=tariff)
    check(plan, 0.5)
    top = (demand + plan.power).max()
    assert top < demand.max() - 0.9
    above = np.maximum(demand - top, 0)
    assert plan.discharge.sum() == pytest.approx(above.sum(), abs=1e-5)  # what lies above the peak, and nothing else
    moves = np.sign(plan.power[plan.power != 0])
    assert (np.diff(moves) != 0).sum() <= 3  # charge, discharge, charge, discharge: one block for each of two peaks


def test_feeding_in_earns_its_tariff_only() -> None:
    battery, prices = Battery(capacity=2, power=2, efficiency=1.0), [10, 100]
    sold = schedule(prices, battery, step_hours=1, demand=[0, 1])
    own = schedule(prices, battery, step_hours=1, demand=[0, 1], tariff=Tariff(feed_in=5))
    assert sold.discharge.tolist() == [0, 2]
    assert own.discharge.tolist() == [0, 1]
    assert (sold.expected, own.expected) == (pytest.approx(20 - 100), pytest.approx(10))
    sun = schedule([30, 100], battery, step_hours=1, demand=[-2, 2], tariff=Tariff(feed_in=5))
    assert sun.expected == pytest.approx(0)  # its own surplus, kept for later
    assert bill(sun, [30, 100], demand=[-2, 2], idle=True) == pytest.approx(200 - 10)


def test_settled_at_what_happened() -> None:
    battery = Battery(capacity=1, power=1, efficiency=1.0)
    plan = schedule([10, 20, 90, 30], battery, step_hours=1)
    result = settle(plan, [40, 10, 20, 80])
    assert (result.without, result.scheduled, result.perfect) == (0, pytest.approx(20), pytest.approx(-70))
    assert (result.savings, result.regret, result.possible) == (
        pytest.approx(-20),
        pytest.approx(90),
        pytest.approx(70),
    )
    right = settle(plan, [10, 20, 90, 30])
    assert right.regret == pytest.approx(0, abs=1e-9)
    assert right.captured == pytest.approx(1)
    both = result + right
    assert both.savings == pytest.approx(60)
    assert json.loads(json.dumps(both.to_json()))["possible"] == pytest.approx(150)
    flat = settle(schedule([5, 5], battery, step_hours=1), [5, 5])
    assert math.isnan(flat.captured)
    assert flat.to_json()["captured"] is None


@pytest.mark.parametrize("seed", range(4))
def test_nobody_beats_perfect_foresight(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth = random.normal(30, 40, 24)
    battery = Battery(capacity=2, power=0.7, efficiency=0.85, start=1)
    result = settle(schedule(truth + random.normal(0, 30, 24), battery, step_hours=0.5), truth)
    assert result.regret >= -1e-6
    assert result.savings <= result.possible + 1e-6


def test_risk_moves_only_where_the_bands_pay() -> None:
    battery, prices = Battery(capacity=1, power=1, efficiency=1.0), [20.0, 30.0, 20.0, 90.0]
    bands = Bands(buy=np.array([26, 40, 26, 120]), sell=np.array([15, 24, 15, 60]))
    bold = schedule(prices, battery, step_hours=1, bands=bands)
    robust = schedule(prices, battery, step_hours=1, bands=bands, risk=1)
    assert bold.discharge.tolist() == [0, 1, 0, 1]
    assert robust.discharge.tolist() == [0, 0, 0, 1]  # 26 now for 24 later does not pay, 26 for 60 does
    assert robust.expected == pytest.approx(-70)  # told at the forecast, not at the bands
    load = Bands(demand=np.array([2.0, 6.0]))
    ready = schedule(1.0, battery, step_hours=1, demand=[2, 2], tariff=Tariff(peak_charge=50), bands=load, risk=1)
    assert ready.discharge[1] == 1


def test_a_year_of_half_hours_is_no_burden() -> None:
    prices = 50 + 30 * np.sin(np.arange(1000) / 7.6) + np.random.default_rng(0).normal(0, 8, 1000)
    plan = schedule(prices, Battery(capacity=100, power=25, start=50), step_hours=0.5)
    check(plan, 0.5)
    assert plan.expected < 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"start": 11}, "start level is 11"),
        ({"end": -1}, "end level is -1"),
        ({"power": 0}, "power is 0"),
        ({"capacity": -2}, "capacity is -2"),
        ({"efficiency": 0}, "efficiency is 0"),
        ({"efficiency": 90}, "efficiency is 90"),
        ({"capacity": math.nan}, "capacity is nan"),
        ({"wear": -1}, "wear costs -1"),
    ],
)
def test_batteries_that_cannot_be(settings: dict[str, float], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Battery(**{"capacity": 10, "power": 5, **settings})


def test_schedules_that_cannot_be() -> None:
    battery = Battery(capacity=10, power=1, end=8)
    with pytest.raises(UserError, match="No schedule of 3 steps"):
        schedule([1, 2, 3], battery, step_hours=1)
    small = Battery(capacity=1, power=1)
    for prices, settings, said in [
        ([1, math.nan], {}, "nan at step 2"),
        ([], {}, "shape"),
        ([1, 2], {"demand": [1, 2, 3]}, "2 steps where 3"),
        ([1, 2], {"risk": 2}, "risk weight is 2"),
        ([1, 2], {"step_hours": 0}, "0 hours"),
        ([1, 2], {"tariff": Tariff(peak_charge=3)}, "needs the demand"),
    ]:
        with pytest.raises(UserError, match=said):
            schedule(prices, small, **{"step_hours": 1, **settings})
    with pytest.raises(UserError, match="Give 0 or more"):
        Tariff(peak_charge=-1)
    with pytest.raises(UserError, match="2 steps, the prices 3"):
        settle(schedule([1, 2], small, step_hours=1), [1, 2, 3])
