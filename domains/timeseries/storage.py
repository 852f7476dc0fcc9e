"""What a battery makes of a forecast: the schedule for each series, and what it saved where the truth is known.

Axes: H horizon.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import UserError
from ...core.task import Summary
from . import picture
from .dates import plain
from .dispatch import Bands, Battery, Schedule, Settlement, Tariff, bill, schedule, settle
from .forecast import Forecast
from .frames import pd
from .tables import write_table

MOST = 20
"""Schedules on the screen."""
WIDE = 3
"""Series whose bills stand side by side; of more, each is a row."""


@dataclass(frozen=True, kw_only=True)
class Storage:
    """A battery at work: `battery` and `tariff` as in `dispatch`; price: of energy where demand is forecast (per MWh);
    what: whether the series is a "price" or a "demand"; risk: how far to plan by the cautious sides of the bands."""

    battery: Battery
    tariff: Tariff
    price: float
    what: str
    risk: float

    def __post_init__(self) -> None:
        """UserError where nothing can be saved: at one price for all steps a battery only loses energy."""
        if self.what == "demand" and not self.tariff.peak_charge and self.tariff.feed_in is None:
            raise UserError(
                "Where demand is forecast, a battery saves by the highest demand alone: at one price for all steps "
                "there is nothing else to plan.",
                "Say what a peak costs: --peak-charge 10000 (for each MW). Prices that change are forecast --of price.",
            )

    def plan(self, forecast: Forecast, row: int, hours: float) -> Planned:
        """The schedule for one series [H] of a forecast with steps of `hours`, settled where the truth is known."""
        low, high = (None, None) if forecast.quantiles is None else forecast.quantiles[row, [0, -1]]
        said, truth = forecast.y_hat[row].astype(np.float64), forecast.truth[row].astype(np.float64)
        known = not np.isnan(truth).any()
        if self.what == "price":
            made = schedule(said, self.battery, step_hours=hours, tariff=self.tariff, bands=Bands(buy=high, sell=low),
                            risk=self.risk)  # fmt: skip
            return Planned(schedule=made, prices=said, demand=None, settlement=settle(made, truth) if known else None,
                           without=bill(made, said, idle=True))  # fmt: skip
        made = schedule(self.price, self.battery, step_hours=hours, demand=said, tariff=self.tariff,
                        bands=Bands(demand=high), risk=self.risk)  # fmt: skip
        settled = settle(made, self.price, demand=truth) if known else None
        return Planned(schedule=made, prices=np.full_like(said, self.price), demand=said, settlement=settled,
                       without=bill(made, self.price, demand=said, idle=True))  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A schedule, the prices and demand [H] that it was made for, and the bills at what happened. without: the bill
    that is expected without a battery."""

    schedule: Schedule
    prices: np.ndarray
    demand: np.ndarray | None
    settlement: Settlement | None
    without: float = 0.0

    @property
    def saving(self) -> float:
        """What the battery saves if the forecast comes true."""
        return self.without - self.schedule.expected

    def to_json(self) -> dict[str, Any]:
        plain: dict[str, Any] = {
            "charge_mw": [round(float(value), 6) for value in self.schedule.charge],
            "discharge_mw": [round(float(value), 6) for value in self.schedule.discharge],
            "level_mwh": [round(float(value), 6) for value in self.schedule.level],
            "expected_bill": self.schedule.expected,
            "expected_bill_without_battery": self.without,
            "expected_saving": self.saving,
            "cycles": self.schedule.cycles,
        }
        return plain if self.settlement is None else {**plain, "settlement": self.settlement.to_json()}


def what_is(unit: str, asked: str) -> str:
    """Whether a series of that unit is a price or a demand. Raises UserError where nobody says."""
    if asked:
        return asked
    if unit:
        return "price" if "/" in unit else "demand"
    raise UserError(
        "Nothing says whether this series is a price or a demand.", "Say it: --of price (per MWh) or --of demand (MW)."
    )


def hours_of(forecast: Forecast) -> float:
    """The length of a step. Raises UserError for steps that are no length of time."""
    assert forecast.window is not None
    frequency = forecast.window.track.frequency
    if frequency.step.kind not in ("fixed", "days") or not frequency.seconds:
        raise UserError("A battery needs steps of equal length in time.", "These are months, or plain numbers.")
    return frequency.seconds / 3600


def write_schedules(forecasts: Sequence[Forecast], path: Path) -> Path:
    """A row for each series and step: unique_id, ds, price, charge, discharge (MW), level (MWh)."""
    parts = [
        pd.DataFrame({
            "unique_id": name, "ds": item.stamps, "price": planned.prices, "charge": planned.schedule.charge,
            "discharge": planned.schedule.discharge, "level": planned.schedule.level,
        })
        for item in forecasts for name, planned in zip(item.ids, item.planned, strict=True)
    ]  # fmt: skip
    write_table(pd.concat(parts, ignore_index=True), path)
    return path


def write_savings(forecasts: Sequence[Forecast], path: Path) -> Path:
    """A row for each schedule: unique_id, the stamp it begins at, bills and savings, expected and as they came."""
    rows = []
    for item in forecasts:
        for name, planned in zip(item.ids, item.planned, strict=True):
            bills = {} if planned.settlement is None else planned.settlement.to_json()
            rows.append({
                "unique_id": name, "from": item.stamps[0], "expected_bill": planned.schedule.expected,
                "expected_saving": planned.saving, "cycles": planned.schedule.cycles, **bills,
            })  # fmt: skip
    write_table(pd.DataFrame(rows), path)
    return path


def picture_schedule(forecast: Forecast, path: Path) -> Path:
    """The first series' schedule; the price only where it is what was forecast."""
    planned = forecast.planned[0]
    truth = forecast.truth[0] if not np.isnan(forecast.truth[0]).all() else None
    band = None if forecast.quantiles is None else (forecast.quantiles[0, 0], forecast.quantiles[0, -1])
    of_price = planned.demand is None
    return picture.draw_dispatch(
        path, forecast.stamps, planned.schedule, planned.prices if of_price else None, demand=planned.demand,
        band=band, truth=truth, settlement=planned.settlement, saving=planned.saving,
        title=f"{forecast.ids[0]}: battery of {planned.schedule.battery.capacity:g} MWh",
    )  # fmt: skip


# -- savings of many schedules ----------------------------------------------------------------------------------------


def settled(forecasts: Sequence[Forecast]) -> list[Settlement]:
    """The bills of all schedules whose truth is known."""
    return [one.settlement for item in forecasts for one in item.planned if one.settlement is not None]


def overlap(forecasts: Sequence[Forecast]) -> bool:
    """Whether two schedules of a series are for the same step, so that a sum counts it twice."""
    ends: dict[str, Any] = {}
    for item in forecasts:
        for name in item.ids:
            if name in ends and item.stamps[0] <= ends[name]:
                return True
            ends[name] = item.stamps[-1]
    return False


def with_savings(summary: Summary, forecasts: Sequence[Forecast]) -> Summary:
    """The summary with what batteries saved where the truth is known: means of a schedule as metrics, and as the detail
    "dispatch" also the sums. As it was where nothing was planned."""
    bills = settled(forecasts)
    if not bills:
        return summary
    total = sum(bills[1:], bills[0])
    means = {"saved": total.savings / len(bills), "saved_by_foresight": total.possible / len(bills)}
    share = {"captured": total.captured} if math.isfinite(total.captured) else {}
    details = {"schedules": len(bills), "overlapping": overlap(forecasts), "sum": total.to_json(), "mean": means}
    return replace(
        summary, metrics={**summary.metrics, **means, **share}, details={**summary.details, "dispatch": details}
    )


# -- on the screen ----------------------------------------------------------------------------------------------------


def table(forecasts: Sequence[Forecast]) -> Any:
    """Bills: what was expected, and where the truth is known without battery, as scheduled, with perfect foresight. A
    column for each series; of several origins or many series a row for each schedule, and their sum and mean."""
    count = sum(len(item.ids) for item in forecasts)
    apart = len({name for item in forecasts for name in item.ids}) == count <= WIDE
    return _side_by_side(forecasts) if apart else _one_a_row(forecasts)


def _side_by_side(forecasts: Sequence[Forecast]) -> Any:
    from rich.table import Table

    shown = Table(title="battery", title_justify="left", header_style="bold")
    shown.add_column("", no_wrap=True)
    columns: list[list[str]] = []
    for item in forecasts:
        for name, planned in zip(item.ids, item.planned, strict=True):
            shown.add_column(name, justify="right")
            columns.append(_column(planned))
    names = ("bill expected without battery", "bill expected", "saving expected", "cycles", "bill without battery",
             "bill as scheduled", "bill with perfect foresight", "saved", "of what is possible")  # fmt: skip
    for name, *cells in list(zip_longest(names, *columns, fillvalue=""))[: max(map(len, columns), default=0)]:
        shown.add_row(name, *cells)
    return shown


def _column(planned: Planned) -> list[str]:
    """One series' numbers in words."""
    found = [f"{value:,.2f}" for value in (planned.without, planned.schedule.expected, planned.saving)]
    found.append(f"{planned.schedule.cycles:.2f}")
    if (bills := planned.settlement) is None:
        return found
    found += [f"{value:,.2f}" for value in (bills.without, bills.scheduled, bills.perfect, bills.savings)]
    return [*found, _share(bills)]


def _one_a_row(forecasts: Sequence[Forecast]) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    bills = settled(forecasts)
    columns = ("bill expected", "saving expected")
    columns += ("bill without", "saved", "foresight saves", "captured") if bills else ()
    shown = Table(title="battery", title_justify="left", header_style="bold")
    for place, name in enumerate(("series", "from", *columns)):
        shown.add_column(name, justify="right" if place > 1 else "left", no_wrap=place == 1)
    begins = plain([item.stamps[0] for item in forecasts])
    plans = [(name, when, planned) for item, when in zip(forecasts, begins, strict=True)
             for name, planned in zip(item.ids, item.planned, strict=True)]  # fmt: skip
    for name, when, planned in plans[:MOST]:
        cells = [f"{planned.schedule.expected:,.2f}", f"{planned.saving:,.2f}"]
        shown.add_row(name, when, *cells, *(_row(planned.settlement) if planned.settlement else ()))
    if len(plans) > MOST:
        shown.add_row(f"… {len(plans) - MOST:,} more")
    shown.add_section()
    expected, saving = sum(plan.schedule.expected for *_, plan in plans), sum(plan.saving for *_, plan in plans)
    whole = sum(bills[1:], bills[0]) if bills else None
    for name, number in (("sum", 1), ("mean", len(plans))):
        cells = _row(whole, 1 if number == 1 else len(bills)) if whole else ()
        shown.add_row(name, "", f"{expected / number:,.2f}", f"{saving / number:,.2f}", *cells)
    twice = [Text("The schedules overlap: sums count the same steps more than once.")] if overlap(forecasts) else []
    return Group(shown, *twice)


def _row(bills: Settlement, number: int = 1) -> list[str]:
    """Without a battery, saved, saved by foresight, the share of it; divided by `number`."""
    return [*(f"{value / number:,.2f}" for value in (bills.without, bills.savings, bills.possible)), _share(bills)]


def _share(bills: Settlement) -> str:
    return f"{bills.captured:.0%}" if math.isfinite(bills.captured) else ""
