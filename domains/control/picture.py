"""Returns as people can check them: what was recorded, what was asked for and achieved, episode by episode. PNG or SVG.

Colours are Okabe and Ito's (2008), which stay apart for the colour-blind; lines differ in their dashes as well.

Axes: E episodes.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import UserError

INK, QUIET, RULE = "#1c2733", "#6b7783", "#dfe5ea"
BLUE, ORANGE, GREEN, PURPLE, YELLOW, SKY = "#0072b2", "#d55e00", "#009e73", "#b0578d", "#c99700", "#56b4e9"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, YELLOW, SKY, QUIET)
DASHES = ((0, (5, 2)), (0, (6, 2, 1.5, 2)), (0, (1.5, 1.5)), (0, (8, 2)), (0, (3, 1)), (0, (1, 3)))
SIZE = (9.0, 4.8)
"""Inches."""
HEAD = 0.5
"""Inches that a title takes."""
MOST = len(COLOURS) - 1
"""Groups that are told apart in a histogram."""


def draw_returns(
    path: str | Path, groups: Mapping[str, Any], *, title: str = "", threshold: float | None = None
) -> Path:
    """A histogram of returns; `groups` holds those of each part of the recording (who acted), stacked on each other.

    Raises UserError for another ending than .png and .svg, and where there is no return at all.
    """
    values = {name: np.asarray(part, float) for name, part in groups.items() if np.size(part)}
    if not values:
        raise UserError("There is no return to draw.")
    if len(values) > MOST:
        ranked = sorted(values, key=lambda name: -len(values[name]))
        rest = np.concatenate([values[name] for name in ranked[MOST:]])
        values = {name: values[name] for name in ranked[:MOST]} | {"others": rest}
    figure, axes = _sheet(path, title)
    every = np.concatenate(list(values.values()))
    axes.hist(
        list(values.values()), bins=_edges(every), stacked=True, color=COLOURS[: len(values)],
        label=[f"{name} ({len(part):,})" for name, part in values.items()], edgecolor="white", linewidth=0.4,
    )  # fmt: skip
    _upright(axes, float(np.mean(every)), INK, f"mean {np.mean(every):,.4g}", DASHES[0])
    if threshold is not None:
        _upright(axes, threshold, QUIET, f"solved from {threshold:,.4g}", DASHES[2])
    _whole(axes.yaxis)
    if np.equal(every, np.round(every)).all():
        _whole(axes.xaxis)
    _names(axes, "return of an episode", "episodes")
    return _save(figure, axes, path)


def draw_asked(
    path: str | Path, asked: Any, achieved: Any, *, baselines: Mapping[str, float] | None = None, title: str = "",
    data: tuple[float, float] | None = None, threshold: float | None = None,
) -> Path:  # fmt: skip
    """Achieved against asked return [E] each: points for episodes, their means, the diagonal of perfect obedience.

    baselines: mean returns of what does not listen, as horizontal lines. data: (least, most) return in the training
    data, shaded. Raises UserError as `draw_returns` does.
    """
    asked, achieved = np.asarray(asked, float), np.asarray(achieved, float)
    if not asked.size:
        raise UserError("There is no return to draw.")
    figure, axes = _sheet(path, title)
    levels = np.unique(asked)
    if data is not None:
        axes.axvspan(*data, color=RULE, alpha=0.45, linewidth=0, label="returns in the data")
    width = float(levels[-1] - levels[0])
    step = min(float(np.min(np.diff(levels))), width / 5) if width else max(1.0, abs(float(levels[0])))
    place = np.concatenate([[0.0], (np.arange(1, asked.size) * 0.618034) % 1 - 0.5])[: asked.size]  # spread, not random
    axes.scatter(asked + 0.22 * step * place, achieved, s=14, color=BLUE, alpha=0.35, linewidth=0, label="an episode")
    means = [float(achieved[asked == level].mean()) for level in levels]
    axes.plot(levels, means, color=BLUE, linewidth=2, marker="o", markersize=5, label="mean")
    ends = (float(levels[0]), float(levels[-1]))
    axes.plot(ends, ends, color=INK, linewidth=1, linestyle=DASHES[2], label="achieved = asked")
    for number, (name, value) in enumerate((baselines or {}).items()):
        colour, dashes = COLOURS[1 + number % (len(COLOURS) - 1)], DASHES[number % len(DASHES)]
        axes.axhline(value, color=colour, linewidth=1.4, linestyle=dashes, label=f"{name} {value:,.4g}")
    if threshold is not None:
        axes.axhline(threshold, color=QUIET, linewidth=1, linestyle=DASHES[5], label=f"solved from {threshold:,.4g}")
    axes.set_xlim(ends[0] - 0.6 * step, ends[1] + 0.6 * step)
    _names(axes, "return asked for", "return achieved")
    return _save(figure, axes, path)


def draw_episodes(
    path: str | Path, returns: Any, *, asked: Any = None, title: str = "", threshold: float | None = None
) -> Path:
    """The return of each episode [E] in the order in which they were played, with what was asked for, if anything was.

    Raises UserError as `draw_returns` does."""
    returns = np.asarray(returns, float)
    if not returns.size:
        raise UserError("There is no return to draw.")
    figure, axes = _sheet(path, title)
    numbers = np.arange(1, len(returns) + 1)
    axes.bar(numbers, returns, width=min(0.8, 0.1 + 0.05 * len(returns)), color=BLUE, label="achieved")
    if asked is not None:
        wanted = np.broadcast_to(np.asarray(asked, float), returns.shape)
        axes.scatter(numbers, wanted, marker="_", s=200, color=ORANGE, linewidth=2, label="asked for", zorder=3)
    if threshold is not None:
        axes.axhline(threshold, color=QUIET, linewidth=1, linestyle=DASHES[2], label=f"solved from {threshold:,.4g}")
    _whole(axes.xaxis)
    axes.set_xlim(0.3, len(returns) + 0.7)
    _names(axes, "episode", "return")
    return _save(figure, axes, path)


# -- the sheet --------------------------------------------------------------------------------------------------------


def _sheet(path: str | Path, title: str) -> tuple[Any, Any]:
    """A figure and its axes: light rules, no box, thousands set apart."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    if Path(path).suffix not in (".png", ".svg"):
        raise UserError(f"A picture cannot be written to {Path(path).name}.", "Let the name end in .png or .svg.")
    figure = Figure(figsize=SIZE, dpi=140, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=QUIET, labelsize=9, length=0)
    for name, side in axes.spines.items():
        side.set_visible(name == "bottom")
        side.set_color(QUIET)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}".replace("-", "\u2212")))
    if title:
        figure.text(0.018, 1 - 0.27 / SIZE[1], title, fontsize=13, fontweight="bold", color=INK, va="center",
                    parse_math=False)  # fmt: skip
    return figure, axes


def _edges(values: np.ndarray) -> np.ndarray:
    """Edges of a histogram's bars: round numbers, about thirty of them; whole ones where returns are whole."""
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-9:
        return np.array([low - 0.5, low + 0.5])
    width = 10 ** np.floor(np.log10((high - low) / 30))
    width *= next(times for times in (1, 2, 2.5, 5, 10) if (high - low) / (width * times) <= 30)
    if np.equal(values, np.round(values)).all():
        width = max(1.0, np.ceil(width))
    first = np.floor(low / width) * width
    bars = max(1, math.ceil((high - first) / width - 1e-6))  # the last one takes its upper edge too
    return first + width * np.arange(bars + 1)


def _whole(axis: Any) -> None:
    """Ticks at whole numbers: there is no half an episode."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))


def _upright(axes: Any, place: float, colour: str, label: str, dashes: Any) -> None:
    axes.axvline(place, color=colour, linewidth=1.2, linestyle=dashes, label=label)


def _names(axes: Any, across: str, up: str) -> None:
    axes.set_xlabel(across, color=QUIET, fontsize=10)
    axes.set_ylabel(up, color=QUIET, fontsize=10)


def _save(figure: Any, axes: Any, path: str | Path) -> Path:
    """The legend below the title and above the axes, where no line can be; the same bytes for the same picture."""
    import matplotlib as mpl

    path = Path(path)
    handles, labels = axes.get_legend_handles_labels()
    wide = sum(0.6 + 0.075 * len(label) for label in labels)  # inches, at the size of the legend's type
    rows = math.ceil(wide / (SIZE[0] - 0.4))
    top = HEAD if figure.texts else 0.1
    legend = figure.legend(
        handles, labels, loc="upper left", bbox_to_anchor=(0.012, 1 - top / SIZE[1]), frameon=False,
        ncols=math.ceil(len(labels) / rows), fontsize=9, labelcolor=INK, borderaxespad=0.0, borderpad=0.2,
        columnspacing=1.4,
    )  # fmt: skip
    legend.set_in_layout(False)
    for text in legend.get_texts():
        text.set_parse_math(False)
    engine: Any = figure.get_layout_engine()
    engine.set(rect=(0.008, 0.01, 0.984, 0.98 - (top + 0.25 * rows) / SIZE[1]))
    metadata = {"Date": None} if path.suffix == ".svg" else None
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(), mpl.rc_context({"svg.hashsalt": "tsuite"}):
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(path, metadata=metadata)
    return path


def by_policy(policies: Sequence[str], returns: Any) -> dict[str, np.ndarray]:
    """Returns [E] by who acted: what stands before the colon of each episode's policy, most episodes first."""
    returns = np.asarray(returns, float)
    kinds = np.array([words.partition(":")[0] or "unknown" for words in policies])
    names, counts = np.unique(kinds, return_counts=True)
    return {str(names[place]): returns[kinds == names[place]] for place in np.argsort(-counts, kind="stable")}
