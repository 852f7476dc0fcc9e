"""The sheet of paper that pictures of series are drawn on: colours, title, legend, axes with dates or steps.

The colours are Okabe & Ito's (2008), which stay apart for the colour-blind. Time runs evenly and is labelled in the
stamps' own zone, also where clocks change. Legends stand above what they explain, where no line can be.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import UserError

INK, QUIET, RULE = "#1c2733", "#6b7783", "#dfe5ea"
BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#b0578d"
OTHERS = ((ORANGE, (0, (5, 2))), (GREEN, (0, (6, 2, 1.5, 2))), (PURPLE, (0, (1.5, 1.5))), (QUIET, (0, (8, 2))))
"""Colour and dashes of the baselines."""
WIDTH, TITLE, LEGEND, FOOT = 11.0, 0.48, 0.28, 0.27
"""Inches: the picture, its title, a row of the legend, a line below everything."""
TICKS, ROOM = 13, 54
"""Dates on an axis at most, and the points that each needs."""
BASES = (1, 2, 3, 6, 12, 24, 48, 96, 168, 336, 672, 2016)
"""Steps between the ticks of a horizon."""


class Sheet:
    """A picture of `columns` of axes whose rows are `heights` inches high, under a title and a legend.

    aside: a sentence at the right of the title; note: one below everything; share: one horizontal axis for all."""

    def __init__(
        self, path: str | Path, heights: Sequence[float], columns: int, *, legend: Sequence[tuple[Any, str]],
        title: str = "", aside: str = "", note: str = "", share: bool = False,
    ) -> None:  # fmt: skip
        from matplotlib.figure import Figure

        self.path = Path(path)
        if self.path.suffix not in (".png", ".svg"):
            raise UserError(f"A picture cannot be written to {self.path.name}.", "Let the name end in .png or .svg.")
        wide = sum(0.55 + 0.075 * len(name) for _, name in legend)  # inches, at the size of the legend's type
        rows = max(1, math.ceil(wide / (WIDTH - 0.6)))
        head = TITLE if title or aside else 0.1
        top, foot = head + LEGEND * rows + 0.02, FOOT * bool(note) + 0.05
        height = top + sum(heights) + foot
        self.figure = Figure(figsize=(WIDTH, height), dpi=140, facecolor="white", layout="constrained")
        engine: Any = self.figure.get_layout_engine()
        engine.set(rect=(0.012, foot / height, 0.976, 1 - (top + foot) / height), h_pad=0.06, w_pad=0.06)
        grid = self.figure.subplots(len(heights), columns, squeeze=False, sharex=share, height_ratios=list(heights))
        self.axes = list(grid.ravel())
        for axes in self.axes:
            _quiet(axes)
        at = 1 - 0.3 / height
        texts = ((0.0185, title, 14, INK, "left", "bold"), (0.975, aside, 10, QUIET, "right", "normal"))
        for x, text, size, colour, side, weight in texts:
            self.figure.text(x, at, short(text, 60 if aside and title else 85), fontsize=size, color=colour,
                             ha=side, va="center", fontweight=weight, parse_math=False)  # fmt: skip
        if note:
            self.figure.text(0.0185, 0.15 / height, note, fontsize=9, color=QUIET, va="center", parse_math=False)
        self._legend(legend, 1 - head / height, math.ceil(len(legend) / rows))

    def _legend(self, legend: Sequence[tuple[Any, str]], top: float, columns: int) -> None:
        found = self.figure.legend(
            [handle for handle, _ in legend], [name for _, name in legend], loc="upper left", ncols=columns,
            bbox_to_anchor=(0.017, top), frameon=False, fontsize=9.5, labelcolor=INK, borderaxespad=0.0, borderpad=0.2,
            handlelength=2.2, columnspacing=1.6,
        )  # fmt: skip
        found.set_in_layout(False)
        for text in found.get_texts():
            text.set_parse_math(False)

    def save(self) -> Path:
        """Write the file, the same bytes for the same picture."""
        import matplotlib as mpl

        metadata = {"Date": None} if self.path.suffix == ".svg" else None
        with warnings.catch_warnings(), mpl.rc_context({"svg.hashsalt": "tsuite"}):
            warnings.filterwarnings("ignore", message="Glyph .* missing")  # a name in a script the font does not have
            self.figure.savefig(self.path, metadata=metadata)
        return self.path


def _quiet(axes: Any) -> None:
    """Light rules instead of a box, figures with thousands set apart."""
    from matplotlib.ticker import FuncFormatter

    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=QUIET, labelsize=9, length=0)
    axes.tick_params(axis="x", length=3)
    for name, side in axes.spines.items():
        side.set_visible(name == "bottom")
        side.set_color(QUIET)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}".replace("-", "\u2212")))


def name_axis(axes: Any, text: str) -> None:
    """What the vertical axis counts."""
    axes.set_ylabel(text, color=QUIET, fontsize=9.5, parse_math=False)


def times(stamps: Any) -> tuple[np.ndarray, Any]:
    """Stamps as evenly running numbers (days, UTC) and their time zone; whole numbers stay, with None for a zone."""
    if getattr(getattr(stamps, "dtype", None), "kind", "") in ("i", "u", "f"):
        return np.asarray(stamps, dtype=np.float64), None
    from datetime import timezone

    from .frames import pd

    index = pd.DatetimeIndex(stamps)
    zone = index.tz or timezone.utc
    plain = index.tz_convert("UTC").tz_localize(None) if index.tz is not None else index
    return plain.to_numpy().astype("datetime64[us]").astype(np.int64) / 86_400e6, zone


def time_axis(axes: Any, zone: Any) -> None:
    """Dates as short as they can be, evenly in time, days beginning at local midnight; a zone other than UTC is
    named."""
    from matplotlib import dates
    from matplotlib.ticker import MaxNLocator

    if zone is None:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=9))
        return
    locator = _even_locator(zone)
    formatter = dates.ConciseDateFormatter(
        locator, tz=zone,
        formats=["%Y", "%b", "%d %b", "%H:%M", "%H:%M", "%S.%f"],
        zero_formats=["", "%Y", "%d %b", "%d %b", "%H:%M", "%H:%M"],
        offset_formats=["", "", "%Y", "%Y", "%d %b %Y", "%d %b %Y"],
    )  # fmt: skip
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(formatter)
    axes.xaxis.get_offset_text().set(color=QUIET, fontsize=9)
    name = str(zone)
    if name != "UTC":
        axes.set_xlabel(f"time in {name}", loc="left", fontsize=9, color=QUIET, parse_math=False)


def _even_locator(zone: Any) -> Any:
    """matplotlib's way to ask for ticks, answered by `dates.even_ticks`: as many as there is room for."""
    from matplotlib.dates import AutoDateLocator

    from .dates import even_ticks

    class EvenDates(AutoDateLocator):
        def tick_values(self, vmin: Any, vmax: Any) -> Any:
            axis: Any = self.axis
            axes = axis.axes
            room = 72 * axes.get_window_extent().width / axes.figure.dpi
            (low, high), most = axes.get_xlim(), max(3, min(TICKS, int(room / ROOM)))
            ticks = even_ticks(low, high, zone, most)
            return ticks if len(ticks) > 1 else super().tick_values(vmin, vmax)

        def __call__(self) -> Any:
            return self.tick_values(*self.viewlim_to_dt())

    return EvenDates(tz=zone, minticks=3, maxticks=TICKS)


def step_axis(axes: Any, horizon: int) -> None:
    """Ticks at steps that divide a day or week where they can."""
    base = next((base for base in BASES if horizon / base <= 12), BASES[-1])
    ticks = [1] * (base > 1) + list(range(base, horizon + 1, base))
    axes.set_xticks(ticks if len(ticks) < 2 or ticks[1] - 1 > horizon / 30 else ticks[1:])
    axes.set_xlim(1 - 0.01 * horizon - 0.2, horizon * 1.01 + 0.2)


def line(**style: Any) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], **style)


def patch(colour: str) -> Any:
    from matplotlib.patches import Patch

    return Patch(facecolor=colour, linewidth=0)


def short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def tint(colour: str, white: float) -> str:
    """The colour with a share of white, 0 … 1."""
    parts = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return "#" + "".join(f"{round(part + (255 - part) * white):02x}" for part in parts)
