"""The scores before and after as one picture: two bars a score, what changed beside them.

All words are English, for a machine need not have a font with Han characters; the replies are in report.md.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .report import Comparison, Measure

INK, QUIET, RULE = "#1c2733", "#7d8995", "#e6eaee"
BEFORE, AFTER, GOOD, BAD = "#c3ccd5", "#1f6f8b", "#1b7f4d", "#c0392b"
ROW = 0.62
"""Inches that a score takes."""


def draw(comparison: Comparison, path: Path) -> Path:
    """Write the picture; scores that were not measured are left out."""
    from matplotlib.figure import Figure

    from .report import MEASURES

    shown = [one for one in MEASURES if not math.isnan(getattr(comparison.after, one.name))]
    height = ROW * max(1, len(shown)) + 1.25
    figure = Figure(figsize=(9, height), dpi=130, facecolor="white")
    axes = figure.add_axes((0, 0.3 / height, 1, ROW * max(1, len(shown)) / height))
    axes.set_xlim(0, 9)
    axes.set_ylim(max(1, len(shown)), 0)
    axes.set_axis_off()
    _head(figure, comparison, height)
    for place, measure in enumerate(shown):
        _row(axes, place, measure, comparison)
    figure.savefig(path)
    return path


def _head(figure: Any, comparison: Comparison, height: float) -> None:
    """Title, what was scored, and which bar is which."""
    both = comparison.before is not None
    title = "Before and after fine-tuning" if both else "Scores"
    figure.text(0.35 / 9, 1 - 0.42 / height, title, fontsize=15, fontweight="bold", color=INK, va="center")
    figure.text(
        0.35 / 9, 1 - 0.72 / height, f"{comparison.after.n} held-out prompts", fontsize=9.5, color=QUIET, va="center"
    )
    if both:
        for x, colour, name in ((6.95, BEFORE, "before"), (7.95, AFTER, "after")):
            figure.text(x / 9, 1 - 0.42 / height, "■", fontsize=12, color=colour, va="center")
            figure.text((x + 0.22) / 9, 1 - 0.42 / height, name, fontsize=10, color=INK, va="center")


def _row(axes: Any, place: int, measure: Measure, comparison: Comparison) -> None:
    """One score. Bars begin at 0 and share a scale: 100 % for shares, the longer of the two for others."""
    after = getattr(comparison.after, measure.name)
    before = math.nan if comparison.before is None else getattr(comparison.before, measure.name)
    both = not math.isnan(before)
    middle = place + 0.5
    if place:
        axes.plot([0.35, 8.65], [place, place], color=RULE, linewidth=0.8)
    axes.text(0.35, middle - (0.13 if measure.better else 0), measure.label, fontsize=10.5, color=INK, va="center")
    if measure.better:
        wish = "higher is better" if measure.better > 0 else "lower is better"
        axes.text(0.35, middle + 0.2, wish, fontsize=8, color=QUIET, va="center")
    whole = 1.0 if measure.percent else max(after, before if both else 0.0) or 1.0
    bars = [(before, -0.17, BEFORE, QUIET), (after, 0.17, AFTER, INK)] if both else [(after, 0.0, AFTER, INK)]
    for value, shift, colour, ink in bars:
        length = 3.2 * value / whole if both or measure.percent else 0.0  # a bar alone, without a whole, says nothing
        axes.barh(middle + shift, length, left=3.15, height=0.27, color=colour)
        axes.text(3.15 + length + 0.09, middle + shift, measure.text(value), fontsize=9, color=ink, va="center")
    if both:
        better = measure.improved(before, after)
        colour = QUIET if better is None else GOOD if better else BAD
        axes.text(
            8.65, middle, measure.change(before, after), fontsize=11.5, color=colour, ha="right", va="center",
            fontweight="bold",
        )  # fmt: skip
