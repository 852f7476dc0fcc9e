"""What people see of predicted properties: scores, a table, a sheet, a scatter plot, the worst molecules.

N molecules.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .....core.task import Result, Summary
from ...draw import grid
from ...files import whole
from ...molecule import Molecule
from ...properties import CAVEAT
from .files import Target

SAID = f"Predicted, not measured. {CAVEAT}"
NAMED = 10
"""Of the worst molecules so many are listed and drawn."""
INK, QUIET, RULE, NEAR, FAR = "#1c2733", "#6b7783", "#dfe5ea", "#0072b2", "#d55e00"
SCORES = ("rmse", "mae", "r2", "spearman")


@dataclass(frozen=True, kw_only=True)
class Predicted(Result):
    """What a molecule is thought to be like. `values` and `deviations` by target, in its unit; `similarity` to the most
    similar molecule that was learnt from, 0 to 1, and `outside` where that or an atom is none the model knows;
    `measured`: what is true, where that is known."""

    smiles: str
    given: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    deviations: Mapping[str, float] = field(default_factory=dict)
    measured: Mapping[str, float] = field(default_factory=dict)
    similarity: float = 0.0
    outside: bool = False

    def error(self, targets: Sequence[Target]) -> float:
        """How far off it is, in deviations of the training molecules, the target that is furthest; nan: not known."""
        off = [abs(self.values[one.name] - self.measured[one.name]) / one.deviation
               for one in targets if one.name in self.measured]  # fmt: skip
        return max(off, default=math.nan)


# -- scores -----------------------------------------------------------------------------------------------------------


def scores(values: np.ndarray, truths: np.ndarray) -> dict[str, float]:
    """Root mean squared and mean absolute error in the target's unit, share of the variance explained, and Spearman's
    rank correlation, of values [N]; nothing where no truth is known, and no correlation where nothing varies."""
    known = ~np.isnan(truths)
    values, truths = values[known], truths[known]
    if not len(truths):
        return {}
    found = {"rmse": float(np.sqrt(np.mean((values - truths) ** 2))), "mae": float(np.abs(values - truths).mean())}
    spread = float(((truths - truths.mean()) ** 2).sum())
    if spread:
        found["r2"] = 1 - float(((values - truths) ** 2).sum()) / spread
    if spread and len(truths) > 2 and np.ptp(values):
        from scipy.stats import spearmanr

        found["spearman"] = float(np.asarray(spearmanr(values, truths))[0])
    return found


def columns(results: Sequence[Predicted], target: Target) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is predicted of a target, its deviation, and what was measured (nan: nothing), [N] each."""
    name = target.name
    rows = [(one.values[name], one.deviations[name], one.measured.get(name, math.nan)) for one in results]
    found = np.asarray(rows, dtype=float).reshape(len(rows), 3)
    return found[:, 0], found[:, 1], found[:, 2]


def named(found: Mapping[str, float], target: Target, targets: Sequence[Target]) -> dict[str, float]:
    """Scores under the names that they have in a report: with the target's, where there are several."""
    return dict(found) if len(targets) == 1 else {f"{key}_{target.name}": value for key, value in found.items()}


def summarise(results: Sequence[Predicted], targets: Sequence[Target]) -> Summary:
    """Scores over the molecules whose truth is known; `relative_rmse` where there are several targets."""
    metrics: dict[str, float] = {}
    relative = []
    for target in targets:
        values, _, truths = columns(results, target)
        found = scores(values, truths)
        metrics |= named(found, target, targets)
        relative += [found["rmse"] / target.deviation] if found else []
    if len(targets) > 1 and relative:
        metrics["relative_rmse"] = sum(relative) / len(relative)
    told = {"unit": {one.name: one.unit for one in targets}, "caveat": SAID}
    return Summary(metrics=metrics, conduct=told)


def scored(results: Sequence[Predicted]) -> bool:
    """Whether something was measured of most molecules, so that it is the errors that are asked for."""
    return 2 * sum(bool(one.measured) for one in results) > len(results)


def worst(results: Sequence[Predicted], targets: Sequence[Target]) -> list[Predicted]:
    """The molecules that are furthest off."""
    known = [one for one in results if one.error(targets) == one.error(targets)]  # not nan
    return sorted(known, key=lambda one: (-one.error(targets), one.smiles))[:NAMED]


# -- tables -----------------------------------------------------------------------------------------------------------


def table(results: Sequence[Predicted], summary: Summary, targets: Sequence[Target], *, show: int) -> Any:
    """Scores beside those of what has to be beaten, and molecules: the worst where the truth is known, else the
    first."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = [_beside(summary, target, targets) for target in targets if summary.metrics]
    bad = worst(results, targets) if scored(results) else []
    chosen = bad if len(results) > len(bad) > 0 else list(results)[:show]
    if chosen:
        parts.append(_molecules(chosen, targets, "furthest off" if chosen is bad else ""))
    if len(results) > len(chosen):
        parts.append(Text(f"{len(results) - len(chosen):,} more in the csv", style="dim"))
    return Group(*parts, Text(SAID, style="dim"))


def _beside(summary: Summary, target: Target, targets: Sequence[Target]) -> Any:
    from rich.table import Table

    shown = Table(title=f"{target.label}, by", title_justify="left", header_style="bold")
    shown.add_column("")
    for name in ("RMSE", "MAE", "R²", "Spearman"):
        shown.add_column(name, justify="right")
    for name, row in {"this network": summary.metrics, **summary.baselines}.items():
        keys = [next(iter(named({key: 0.0}, target, targets))) for key in SCORES]
        shown.add_row(name.replace("_", " "), *(f"{row[key]:.3f}" if key in row else "" for key in keys))
    return shown


def _molecules(results: Sequence[Predicted], targets: Sequence[Target], title: str) -> Any:
    from rich.table import Table
    from rich.text import Text  # else [nH] would be taken for markup

    shown = Table(title=title or None, title_justify="left", header_style="bold")
    shown.add_column("SMILES", overflow="fold")
    true = any(one.measured for one in results)
    for target in targets:
        shown.add_column(target.label, justify="right")
        shown.add_column("±", justify="right")
        if true:
            shown.add_column("measured", justify="right")
    shown.add_column("nearest", justify="right")
    shown.add_column("")
    for one in results:
        cells = []
        for target in targets:
            cells += [f"{one.values[target.name]:.2f}", f"{one.deviations[target.name]:.2f}"]
            cells += [_cell(one.measured.get(target.name), ".2f")] if true else []
        shown.add_row(Text(one.smiles), *cells, f"{one.similarity:.2f}", "outside" if one.outside else "")
    return shown


def _cell(value: float | None, form: str = ".6g") -> str:
    return "" if value is None or math.isnan(value) else format(value, form)


# -- files ------------------------------------------------------------------------------------------------------------


def write_sheet(results: Sequence[Predicted], targets: Sequence[Target], path: Path) -> Path:
    """Every molecule with what is predicted of it, as a csv; units are in the names of the columns."""
    true = any(one.measured for one in results)
    with whole(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        own = [name for target in targets for name in (
            target.label, f"{target.name} deviation", *([f"{target.name} measured"] if true else []))]  # fmt: skip
        writer.writerow(["id", "smiles", "given", *own, "similarity to the nearest learnt", "outside", "notices"])
        for one in results:
            cells = []
            for name in (target.name for target in targets):
                cells += [_cell(one.values[name]), _cell(one.deviations[name])]
                cells += [_cell(one.measured.get(name))] if true else []
            outside = "yes" if one.outside else "no"
            writer.writerow([one.id, one.smiles, one.given, *cells, f"{one.similarity:.3f}", outside,
                             "; ".join(one.notices)])  # fmt: skip
    return path


def render(
    results: Sequence[Predicted], targets: Sequence[Target], folder: Path, *, show: int, picture: str
) -> list[Path]:
    """The sheet, a scatter plot where the truth is known, and molecules drawn: the worst, else the first."""
    if not results:
        return []
    files = [write_sheet(results, targets, folder / "predictions.csv")]
    if picture == "none":
        return files
    bad = worst(results, targets) if scored(results) else []
    files += scatter(results, targets, folder / f"scatter.{picture}") if bad else []
    chosen, name = (bad, "worst") if bad else (list(results)[:show], "molecules")
    drawn = [_drawable(one, targets) for one in chosen]
    if drawn:
        title = f"{'Furthest off' if bad else 'Predicted'}: {', '.join(target.label for target in targets)}"
        files.append(grid(drawn, folder / f"{name}.{picture}", title=title, note=SAID))
    return files


def _drawable(one: Predicted, targets: Sequence[Target]) -> Molecule:
    lines: dict[str, float] = {}
    for target in targets:
        lines[f"{target.name}:"] = one.values[target.name]
        if target.name in one.measured:
            lines["measured:" if len(targets) == 1 else f"{target.name} measured:"] = one.measured[target.name]
        else:
            lines["±" if len(targets) == 1 else f"{target.name} ±"] = one.deviations[target.name]
    return Molecule(id=one.id, smiles=one.smiles, properties=lines)


def scatter(results: Sequence[Predicted], targets: Sequence[Target], path: Path) -> list[Path]:
    """Predicted over measured, a panel for each target of which something was measured."""
    from matplotlib.figure import Figure

    known = [one for one in targets if not np.isnan(columns(results, one)[2]).all()]
    if not known:
        return []
    figure = Figure(figsize=(5.2 * len(known), 5.4), layout="constrained")
    for axes, target in zip(np.atleast_1d(figure.subplots(1, len(known))), known, strict=True):
        _panel(axes, results, target)
    figure.supxlabel(SAID, fontsize=8, color=QUIET, x=0.99, ha="right")
    figure.savefig(path, dpi=150, facecolor="white")
    return [path]


def _panel(axes: Any, results: Sequence[Predicted], target: Target) -> None:
    values, deviations, truths = columns(results, target)
    outside = np.asarray([one.outside for one in results])
    both = np.concatenate([values, truths[~np.isnan(truths)]])
    edge = 0.05 * (np.ptp(both) or 1)
    low, high = both.min() - edge, both.max() + edge
    axes.plot([low, high], [low, high], color=QUIET, lw=1, zorder=1)
    axes.errorbar(truths, values, deviations, fmt="none", ecolor=RULE, elinewidth=1, zorder=0)
    for chosen, colour, label in ((~outside, NEAR, "like what it learnt"), (outside, FAR, "outside of that")):
        count = int((chosen & ~np.isnan(truths)).sum())
        if count:
            shape = "o" if colour == NEAR else "^"
            axes.scatter(truths[chosen], values[chosen], s=18, c=colour, marker=shape, alpha=0.75, lw=0,
                         label=f"{label} ({count:,})", zorder=2)  # fmt: skip
    found = scores(values, truths)
    unit = f" {target.unit}" if target.unit else ""
    told = f"RMSE {found['rmse']:.2f}{unit}" + (f"   R² {found['r2']:.2f}" if "r2" in found else "")
    axes.set_title(told, loc="left", fontsize=10, color=INK)
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    axes.set_xlabel(f"measured {target.label}", color=INK)
    axes.set_ylabel(f"predicted {target.label}, ± its deviation", color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(RULE)
    axes.tick_params(colors=QUIET, labelsize=8)
    axes.legend(loc="upper left", frameon=False, fontsize=8, labelcolor=INK)
