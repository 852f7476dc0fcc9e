"""Forecasts, backtests and battery schedules as people can check them: PNG or SVG, dates on the axis, units said.

Colours stay apart for the colour-blind, and lines differ in their dashes as well. See `sheet` for the layout.

Axes: N steps of history, H horizon steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .sheet import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    OTHERS,
    QUIET,
    Sheet,
    line,
    name_axis,
    patch,
    short,
    step_axis,
    time_axis,
    times,
    tint,
)

if TYPE_CHECKING:
    from .dispatch import Schedule, Settlement

MOST = 6
"""Series in one picture."""
SHOWN = 2
"""Horizons of history that are shown."""
DASHES: Any = (0, (4, 2))


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """One series for the picture: history [N] and forecast [H] with their stamps (dates with or without a time zone, or
    whole numbers).

    bands: (lower level, upper level) -> (values [H], values [H]); truth [H]: what happened; others: baselines [H].
    """

    past: Any
    history: np.ndarray
    stamps: Any
    y_hat: np.ndarray
    name: str = ""
    bands: Mapping[tuple[float, float], tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    truth: np.ndarray | None = None
    others: Mapping[str, np.ndarray] = field(default_factory=dict)


def forecast_picture(
    path: str | Path,
    history: Any,
    stamps: Any,
    y_hat: np.ndarray,
    *,
    bands: Mapping[tuple[float, float], tuple[np.ndarray, np.ndarray]] | None = None,
    truth: np.ndarray | None = None,
    others: Mapping[str, np.ndarray] | None = None,
    title: str = "",
    unit: str = "",
) -> Path:
    """One forecast; `history` is a pandas Series, or (stamps, values). See `Forecast` and `draw_forecasts`."""
    past, values = (history.index, history.to_numpy()) if hasattr(history, "index") else history
    one = Forecast(past=past, history=np.asarray(values, float), stamps=stamps, y_hat=y_hat, bands=bands or {},
                   truth=truth, others=others or {})  # fmt: skip
    return draw_forecasts(path, [one], title=title, unit=unit)


def draw_forecasts(path: str | Path, forecasts: Sequence[Forecast], *, title: str = "", unit: str = "") -> Path:
    """Write up to six forecasts as one picture, each with the last of its history, its bands, what happened and the
    baselines; how many more there are is said. Raises UserError for an ending other than .png and .svg."""
    shown = list(forecasts[:MOST])
    names = list(dict.fromkeys(name for one in shown for name in one.others))
    columns = 1 if len(shown) <= 2 else 2
    rows = max(1, math.ceil(len(shown) / columns))
    heights = [3.6 if len(shown) == 1 else 2.5] * rows
    note = _left_out(len(forecasts) - len(shown), "series") + _left_out(len(names) - len(OTHERS), "baselines")
    sheet = Sheet(path, heights, columns, legend=_forecast_legend(shown, names), title=title, note=note)
    for place, (axes, one) in enumerate(zip(sheet.axes, shown, strict=False)):
        _draw_forecast(axes, one, names)
        if len(forecasts) > 1 and one.name:
            axes.set_title(short(one.name, 50), loc="left", fontsize=10, color=INK, parse_math=False)
        if unit and place % columns == 0:
            name_axis(axes, short(unit, 30))
    for axes in sheet.axes[len(shown) :]:
        axes.set_visible(False)
    return sheet.save()


def draw_backtest(
    path: str | Path,
    errors: Mapping[str, np.ndarray],
    coverage: Mapping[float, np.ndarray] | None = None,
    *,
    title: str = "",
    unit: str = "",
    step: str = "steps",
) -> Path:
    """MAE [H] at each step of the horizon, the model first, then the baselines; below it the part of the truth inside
    each band [H] (0 … 1) by the band's nominal coverage, which a dashed line marks. `step`: what a step is, "hours"."""
    coverage = coverage or {}
    styles = [{"color": BLUE, "linewidth": 2.2}, *({"color": c, "linestyle": d, "linewidth": 1.5} for c, d in OTHERS)]
    names, note = list(errors)[: len(styles)], _left_out(len(errors) - len(styles), "baselines")
    looks = dict(zip(names, styles, strict=False))
    legend = [(line(**looks[name]), f"{name} (mean {_mean(errors[name]):.4g})") for name in names]
    sheet = Sheet(path, [3.2] + [2.0] * bool(coverage), 1, legend=legend, title=title, note=note, share=True)
    steps = np.arange(1, len(next(iter(errors.values()))) + 1)
    few = {"marker": "o", "markersize": 4} if len(steps) <= 12 else {}
    for name in reversed(names):
        sheet.axes[0].plot(steps, errors[name], **looks[name], **few)
    sheet.axes[0].set_ylim(bottom=0)
    name_axis(sheet.axes[0], f"MAE ({unit})" if unit else "MAE")
    for place, nominal in enumerate(sorted(coverage)):
        colour = tint(BLUE, 0.0 if len(coverage) == 1 else 0.55 * place / (len(coverage) - 1))
        sheet.axes[1].axhline(100 * nominal, color=colour, linewidth=1, linestyle=(0, (4, 3)))
        sheet.axes[1].plot(steps, 100 * np.asarray(coverage[nominal]), color=colour, linewidth=2, **few)
        sheet.axes[1].annotate(f"{100 * nominal:g} % band", (1, 100 * nominal), (6, 0), textcoords="offset points",
                               xycoords=("axes fraction", "data"), color=QUIET, fontsize=9, va="center")  # fmt: skip
    if coverage:
        sheet.axes[1].set_ylim(max(0, 100 * min(map(_lowest, coverage.items())) - 8), 102)
        name_axis(sheet.axes[1], "inside the band (%)")
    step_axis(sheet.axes[-1], len(steps))
    sheet.axes[-1].set_xlabel(f"{step} ahead", color=QUIET, fontsize=9.5)
    return sheet.save()


def draw_dispatch(
    path: str | Path,
    stamps: Any,
    plan: Schedule,
    prices: np.ndarray | None,
    *,
    demand: np.ndarray | None = None,
    band: tuple[np.ndarray, np.ndarray] | None = None,
    truth: np.ndarray | None = None,
    settlement: Settlement | None = None,
    saving: float = math.nan,
    title: str = "",
    units: tuple[str, str, str] = ("price per MWh", "MW", "MWh"),
) -> Path:
    """A schedule over the H steps that begin at `stamps`: price forecast (None: a price that nobody forecast is not
    drawn), the site's demand without and with the battery where there is one, power, and the battery's level. band and
    truth are those of the price, or without prices of the demand.

    units: of price, power and energy. Beside the title what was saved, or (`saving`) what is expected to be."""
    legend = [] if prices is None else _forecast_words("price", band, truth)
    if demand is not None:
        words = [(line(color=BLUE, linewidth=1.5, linestyle=DASHES), "demand forecast")]
        words += _forecast_words("demand", band, truth)[1:] if prices is None else []
        legend += [*words, (line(color=GREEN, linewidth=2.6), "from the grid, as planned")]
    legend += [(patch(BLUE), "charge"), (patch(ORANGE), "discharge"), (patch(tint(GREEN, 0.6)), "level")]
    heights = [2.0] * (prices is not None) + [1.5 if prices is not None else 2.2] * (demand is not None)
    sheet = Sheet(path, [*heights, 1.3, 1.3], 1, legend=legend, title=title, share=True,
                  aside=_saved(settlement, saving))  # fmt: skip
    begins, zone = times(stamps)
    step = float(np.median(np.diff(begins))) if len(begins) > 1 else plan.step_hours / (24 if zone is not None else 1)
    edges = np.append(begins, begins[-1] + step)
    axes = list(sheet.axes)
    if prices is not None:
        name_axis(axes[0], units[0])
        _stairs(axes.pop(0), edges, prices, band=band, truth=truth)
    if demand is not None:
        own = axes.pop(0)
        own.stairs(np.asarray(demand) + plan.power, edges, baseline=None, color=GREEN, linewidth=2.6, zorder=2)
        of_demand = prices is None
        _stairs(own, edges, demand, band=band if of_demand else None, truth=truth if of_demand else None, dashed=True)
        name_axis(own, units[1])
    _battery(axes, begins, edges, plan, units)
    time_axis(axes[-1], zone)
    return sheet.save()


def _battery(axes: Sequence[Any], begins: np.ndarray, edges: np.ndarray, plan: Schedule, units: Sequence[str]) -> None:
    """Its power, and its level between empty and full."""
    power, level = axes
    width = edges[-1] - edges[-2]
    power.bar(begins, plan.charge, width=width, align="edge", color=BLUE, linewidth=0)
    power.bar(begins, -plan.discharge, width=width, align="edge", color=ORANGE, linewidth=0)
    power.axhline(0, color=QUIET, linewidth=0.8)
    power.set_ylim(-1.12 * plan.battery.power, 1.12 * plan.battery.power)
    name_axis(power, units[1])
    held = np.append(plan.battery.start, plan.level)
    level.fill_between(edges, 0, held, color=tint(GREEN, 0.6), linewidth=0)
    level.plot(edges, held, color=GREEN, linewidth=1.6)
    level.axhline(plan.battery.capacity, color=QUIET, linewidth=1, linestyle=(0, (4, 3)))
    level.set_ylim(0, 1.12 * plan.battery.capacity)
    name_axis(level, units[2])
    level.set_xlim(edges[0], edges[-1])


def _forecast_words(what: str, band: Any, truth: Any) -> list[tuple[Any, str]]:
    """The legend of a forecast that is drawn as stairs."""
    found: list[tuple[Any, str]] = [(line(color=BLUE, linewidth=2), f"{what} forecast")]
    found += [(patch(tint(BLUE, 0.75)), "its band")] * (band is not None)
    return found + [(line(color=INK, linewidth=1.3), f"{what} as it came")] * (truth is not None)


# -- one forecast -----------------------------------------------------------------------------------------------------


def _draw_forecast(axes: Any, one: Forecast, names: Sequence[str]) -> None:
    """Bands below, then the baselines in the order of `names`, the forecast, and what was observed on top."""
    ahead, zone = times(one.stamps)
    start = max(0, len(one.past) - max(24, SHOWN * len(ahead)))
    past, history = times(one.past[start:])[0], np.asarray(one.history[start:], float)
    few = {"marker": "o", "markersize": 4} if len(ahead) <= 12 else {}
    widest = sorted(one.bands, key=lambda levels: levels[0] - levels[1])
    for place, levels in enumerate(widest):
        low, high = one.bands[levels]
        colour = band_colour(place, len(widest))
        if len(ahead) == 1:  # an area over one step has no width
            axes.vlines(ahead, low, high, color=colour, linewidth=9, zorder=1)
        axes.fill_between(ahead, low, high, color=colour, linewidth=0, zorder=1)
    for name, (colour, dashes) in zip(names, OTHERS, strict=False):
        values = one.others.get(name, np.full(len(ahead), np.nan))
        axes.plot(ahead, values, color=colour, linestyle=dashes, linewidth=1.5, zorder=2, **few)
    seen, when = history, past  # one line, on top: a forecast that is right does not hide what happened
    if one.truth is not None:
        seen, when = np.append(history, one.truth), np.append(past, ahead)
    axes.plot(when, seen, color=INK, linewidth=1.2, zorder=4)
    lonely = ~np.isnan(seen) & np.isnan(np.append(np.nan, seen[:-1])) & np.isnan(np.append(seen[1:], np.nan))
    axes.scatter(when[lonely], seen[lonely], s=6, color=INK, zorder=4)  # between gaps, where no line leads to
    axes.plot(ahead, one.y_hat, color=BLUE, linewidth=2.8, zorder=3, **few)
    if len(past):
        axes.axvline((past[-1] + ahead[0]) / 2, color=QUIET, linewidth=0.9, linestyle=(0, (2, 2)), zorder=0)
    axes.margins(x=0.01)
    time_axis(axes, zone)


def _forecast_legend(shown: Sequence[Forecast], names: Sequence[str]) -> list[tuple[Any, str]]:
    """What stands in any of the pictures, once."""
    legend = [(line(color=INK, linewidth=1.2), "observed"), (line(color=BLUE, linewidth=2.8), "forecast")]
    levels = sorted({levels for one in shown for levels in one.bands}, key=lambda pair: pair[0] - pair[1])
    parts = [f"{100 * (high - low):.3g}" for low, high in levels]
    if len(parts) <= 2:
        legend += [(patch(band_colour(place, len(parts))), f"{part} % band") for place, part in enumerate(parts)]
    else:  # every band would fill a row
        legend.append((patch(band_colour(1, len(parts))), f"bands of {', '.join(parts[:-1])} and {parts[-1]} %"))
    for name, (colour, dashes) in zip(names, OTHERS, strict=False):
        legend.append((line(color=colour, linestyle=dashes, linewidth=1.5), short(name, 30)))
    return legend


def band_colour(place: int, count: int) -> str:
    """The widest of `count` bands is the palest."""
    return tint(BLUE, 0.8 - 0.3 * place / max(1, count - 1))


# -- parts -----------------------------------------------------------------------------------------------------------


def _stairs(
    axes: Any, edges: np.ndarray, values: np.ndarray, *, band: Any, truth: np.ndarray | None, dashed: bool = False
) -> None:
    """A forecast as stairs, for each value holds through its step; the band below all, the truth and it on top."""
    if band is not None:
        axes.stairs(band[1], edges, baseline=band[0], fill=True, color=tint(BLUE, 0.75), linewidth=0, zorder=1)
    if truth is not None:
        axes.stairs(truth, edges, baseline=None, color=INK, linewidth=1.3, zorder=3)
    look: dict[str, Any] = {"linewidth": 1.5, "linestyle": DASHES} if dashed else {"linewidth": 2}
    axes.stairs(values, edges, baseline=None, color=BLUE, zorder=4, **look)


def _saved(settlement: Settlement | None, saving: float) -> str:
    """What was saved where the truth is known, else what is expected to be."""
    if settlement is None:
        return "" if math.isnan(saving) else f"expected saving {money(saving)}"
    share = "" if math.isnan(settlement.captured) else f" ({100 * settlement.captured:.0f} %)"
    return f"saved {money(settlement.savings)} of {money(settlement.possible)} that foresight saves{share}"


def money(value: float) -> str:
    """An amount as people write it: 10,000 and 12.35."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.2f}"


def _lowest(item: tuple[float, np.ndarray]) -> float:
    return float(np.nanmin([item[0], *item[1]]))


def _mean(values: np.ndarray) -> float:
    """The mean of what is known; NaN for nothing."""
    known = np.asarray(values, dtype=np.float64)
    return float(known[~np.isnan(known)].mean()) if (~np.isnan(known)).any() else math.nan


def _left_out(count: int, what: str) -> str:
    return f"{count} more {what} {'is' if count == 1 else 'are'} not shown. " if count > 0 else ""
