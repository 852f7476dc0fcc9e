"""How good the best molecules are over oracle calls, beside screening, and every score as a dot. PNG or SVG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .....core.errors import UserError
from ...properties import CAVEAT
from .counted import progress_of
from .reinforce import Optimised

INK, QUIET, RULE, OURS, THEIRS = "#1c2733", "#6b7783", "#dfe5ea", "#0072b2", "#d55e00"
"""The last two are Okabe and Ito's (2008), which stay apart for the colour-blind."""


def draw_progress(path: str | Path, found: Optimised, *, title: str = "") -> Path:
    """The mean of the 10 best so far over oracle calls, of the optimisation and of screening, with their AUC.

    Raises UserError for another ending than .png and .svg, and where nothing was scored."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import StrMethodFormatter

    path = Path(path)
    if path.suffix not in (".png", ".svg"):
        raise UserError(f"A picture cannot be written to {path.name}.", "Let the name end in .png or .svg.")
    if not found.judged:
        raise UserError("Nothing was scored, so there is no progress to draw.")
    figure = Figure(figsize=(9.0, 4.8), dpi=140, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    scores = found.scores
    axes.scatter(range(1, len(scores) + 1), scores, s=4, color=OURS, alpha=0.18, linewidths=0, rasterized=True)
    _curve(axes, scores, found.calls, f"optimised, AUC {found.auc:.3f}", color=OURS, linestyle="solid")
    if found.screening:
        words = f"screening training molecules, AUC {found.screening.auc:.3f}"
        _curve(axes, found.screening.scores, found.calls, words, color=THEIRS, linestyle=(0, (5, 2)))
    _means(axes, scores)
    axes.set_xlim(0, found.calls)
    axes.set_ylim(_bottom(scores), 1.01)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlabel("oracle calls (distinct molecules)", color=INK)
    axes.set_ylabel("score", color=INK)
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=QUIET)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(frameon=False, loc="best", fontsize=9, labelcolor=INK)
    if title:
        axes.set_title(_short(title), loc="left", fontsize=12, fontweight="bold", color=INK, parse_math=False)
    figure.supxlabel(CAVEAT, x=0.01, ha="left", fontsize=8, color=QUIET)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path


def _curve(axes: Any, scores: Any, calls: int, words: str, **style: Any) -> None:
    """The mean of the best 10 so far; where it ended early the last value goes on, thin."""
    means = progress_of(scores)
    axes.plot(range(1, len(means) + 1), means, linewidth=2.2, label=f"best 10 so far, {words}", **style)
    if len(means) < calls:
        axes.plot([len(means), calls], [means[-1]] * 2, color=style["color"], linestyle=(0, (1, 3)), linewidth=1.2)


def _means(axes: Any, scores: list[float], window: int = 100) -> None:
    """What a new molecule scores on average by then."""
    if len(scores) >= 2 * window:
        means = np.convolve(scores, np.ones(window) / window, mode="valid")
        axes.plot(range(window, len(scores) + 1), means, color=QUIET, linewidth=1.3,
                  label=f"mean of the last {window} new molecules")  # fmt: skip


def _bottom(scores: list[float]) -> float:
    """Where the axis begins: a twentieth of the dots may lie below it, so that the curves are told apart."""
    return float(np.floor(10 * min(np.quantile(scores, 0.05), 0.9)) / 10)


def _short(title: str, most: int = 64) -> str:
    return title if len(title) <= most else f"{title[: most - 1]}…"
