"""Plans as people can check them: the map, the path, and which cells each search has expanded. PNG or SVG, and text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import UserError
from .grid import draw_map
from .picture import BLUE, INK, ORANGE, QUIET, SKY
from .plans import Plan
from .search import Path as Found
from .words import counted

PANELS = (("path", "the network"), ("weighted", "weighted A*"), ("plain", "A*"))
WIDEST = 78
"""Cells of the widest map that is printed as text."""
LEGEND = "S start, G goal, # wall, * path, + also expanded"
MOST = 4
"""Plans in one picture."""


def draw_plans(path: str | Path, plans: Sequence[Plan], *, title: str = "") -> Path:
    """Up to four plans, a row each: what was expanded (pale, the first ones palest) and found by the network, by
    weighted A* and by A*. Raises UserError for another ending than .png and .svg, and where there is no plan."""
    from matplotlib.figure import Figure

    if Path(path).suffix not in (".png", ".svg"):
        raise UserError(f"A picture cannot be written to {Path(path).name}.", "Let the name end in .png or .svg.")
    if not plans:
        raise UserError("There is no plan to draw.")
    shown = plans[:MOST]
    figure = Figure(figsize=(9.6, 3.5 * len(shown) + 0.4), dpi=140, facecolor="white", layout="constrained")
    every = figure.subplots(len(shown), len(PANELS), squeeze=False)
    for row, plan in zip(every, shown, strict=True):
        for axes, (which, name) in zip(row, PANELS, strict=True):
            weight = "" if which == "plain" else f", weight {plan.weight:g}"
            _draw(axes, plan, getattr(plan, which), f"{name}{weight}")
        if len(shown) > 1:
            row[0].set_ylabel(plan.id, fontsize=9, color=QUIET, parse_math=False)
    if title:
        figure.suptitle(title, x=0.02, ha="left", fontsize=13, fontweight="bold", color=INK, parse_math=False)
    figure.savefig(path)
    return Path(path)


def _draw(axes: Any, plan: Plan, found: Found, name: str) -> None:
    """One search on its map."""
    from matplotlib.colors import to_rgb

    walls, sky = plan.map.walls, np.array(to_rgb(SKY))
    picture = np.ones((*walls.shape, 3))
    for number, cell in enumerate(found.expanded):
        strength = 0.2 + 0.5 * (number + 1) / len(found.expanded)
        picture[cell] = 1 - strength * (1 - sky)
    picture[walls] = to_rgb(INK)
    axes.imshow(picture, interpolation="nearest")
    if found.found:
        rows, columns = zip(*found.cells, strict=True)
        axes.plot(columns, rows, color=BLUE, linewidth=2.4, solid_capstyle="round")
    for cell, marker, colour in ((plan.map.start, "o", BLUE), (plan.map.goal, "*", ORANGE)):
        size = 60 if marker == "o" else 150
        axes.scatter(cell[1], cell[0], s=size, marker=marker, color=colour, edgecolors="white", zorder=3)
    cost = f"path {found.cost:.4g}" if found.found else "no path"
    axes.set_title(f"{name}\n{found.expansions} expanded, {cost}", fontsize=10, color=INK, loc="left")
    axes.set_xticks(np.arange(-0.5, walls.shape[1]), minor=True)
    axes.set_yticks(np.arange(-0.5, walls.shape[0]), minor=True)
    axes.grid(which="minor", color=QUIET, linewidth=0.2)
    axes.tick_params(which="both", length=0, labelbottom=False, labelleft=False)


def words(plan: Plan) -> str:
    """The map as text with the path (*) and what else was expanded (+), and what it took."""
    drawn = draw_map(plan.map, plan.path.expanded, "+")
    lines = [list(line) for line in drawn.split("\n")]
    for row, column in plan.cells[1:-1]:
        lines[row][column] = "*"
    drawn, seen = "\n".join("".join(line) for line in lines), counted(plan.expansions, "cell")
    if len(lines[0]) > WIDEST:  # a terminal would fold it
        drawn = f"{len(lines)} x {len(lines[0])} cells, too wide to print: plans.png shows them."
    if not plan.found:
        return f"{drawn}\nThere is no path: looked at {seen}, all that can be reached from the start."
    return (
        f"{drawn}\nA path of cost {plan.cost:.4g}, {plan.gap:.1%} longer than the shortest; {seen} expanded, "
        f"A* expands {plan.plain.expansions} and weighted A* {plan.weighted.expansions} "
        f"(with a path of {plan.weighted.cost:.4g})"
    )
