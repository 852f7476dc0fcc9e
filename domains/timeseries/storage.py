"""What a battery makes of a forecast: the schedule for each series, and what it saved where the truth is known.

Axes: H horizon.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import UserError
from . import picture
from .dispatch import Bands, Battery, Schedule, Settlement, Tariff, schedule, settle
from .forecast import Forecast
from .frames import pd
from .tables import write_table


@dataclass(frozen=True, kw_only=True)
class Storage:
    """A battery at work: `battery` and `tariff` as in `dispatch`; price: of energy where demand is forecast (per MWh);
    what: whether the series is a "price" or a "demand"; risk: how far to plan by the cautious sides of the bands."""

    battery: Battery
    tariff: Tariff
    price: float
    what: str
    risk: float

    def plan(self, forecast: Forecast, row: int, hours: float) -> Planned:
        """The schedule for one series [H] of a forecast with steps of `hours`, settled where the truth is known."""
        low, high = (None, None) if forecast.quantiles is None else forecast.quantiles[row, [0, -1]]
        said, truth = forecast.y_hat[row].astype(np.float64), forecast.truth[row].astype(np.float64)
        known = not np.isnan(truth).any()
        if self.what == "price":
            made = schedule(said, self.battery, step_hours=hours, tariff=self.tariff, bands=Bands(buy=high, sell=low),
                            risk=self.risk)  # fmt: skip
            return Planned(schedule=made, prices=said, demand=None, settlement=settle(made, truth) if known else None)
        made = schedule(self.price, self.battery, step_hours=hours, demand=said, tariff=self.tariff,
                        bands=Bands(demand=high), risk=self.risk)  # fmt: skip
        settled = settle(made, self.price, demand=truth) if known else None
        return Planned(schedule=made, prices=np.full_like(said, self.price), demand=said, settlement=settled)


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A schedule, the prices and demand [H] that it was made for, and the bills at what happened."""

    schedule: Schedule
    prices: np.ndarray
    demand: np.ndarray | None
    settlement: Settlement | None

    def to_json(self) -> dict[str, Any]:
        plain: dict[str, Any] = {
            "charge_mw": [round(float(value), 6) for value in self.schedule.charge],
            "discharge_mw": [round(float(value), 6) for value in self.schedule.discharge],
            "level_mwh": [round(float(value), 6) for value in self.schedule.level],
            "expected_bill": self.schedule.expected,
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


def picture_schedule(forecast: Forecast, path: Path) -> Path:
    """The first series' schedule."""
    planned = forecast.planned[0]
    truth = forecast.truth[0] if not np.isnan(forecast.truth[0]).all() else None
    band = None if forecast.quantiles is None else (forecast.quantiles[0, 0], forecast.quantiles[0, -1])
    about_price = planned.demand is None
    return picture.draw_dispatch(
        path, forecast.stamps, planned.schedule, planned.prices, band=band if about_price else None,
        truth=truth if about_price else None, demand=planned.demand, settlement=planned.settlement,
        title=f"{forecast.ids[0]}: battery of {planned.schedule.battery.capacity:g} MWh",
    )  # fmt: skip


def table(forecasts: Sequence[Forecast]) -> Any:
    """Bills: what was expected, and where the truth is known without battery, as scheduled, with perfect foresight."""
    from rich.table import Table

    shown = Table(title="battery", title_justify="left", header_style="bold")
    shown.add_column("", no_wrap=True)
    columns: list[list[str]] = []
    for item in forecasts:
        for name, planned in zip(item.ids, item.planned, strict=True):
            shown.add_column(name, justify="right")
            columns.append(_column(planned))
    names = ("bill expected", "cycles", "bill without battery", "bill as scheduled", "bill with perfect foresight",
             "saved", "of what is possible")  # fmt: skip
    for name, *cells in list(zip_longest(names, *columns, fillvalue=""))[: max(map(len, columns), default=0)]:
        shown.add_row(name, *cells)
    return shown


def _column(planned: Planned) -> list[str]:
    """One series' numbers in words."""
    found = [f"{planned.schedule.expected:,.2f}", f"{planned.schedule.cycles:.2f}"]
    if (bills := planned.settlement) is None:
        return found
    found += [f"{value:,.2f}" for value in (bills.without, bills.scheduled, bills.perfect, bills.savings)]
    return [*found, f"{bills.captured:.0%}" if math.isfinite(bills.captured) else ""]
