"""How the properties of drawn molecules lie beside those of real ones, as people can see it: PNG.

Axes: N drawn, M real molecules, P properties.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...properties import CAVEAT, PROPERTIES

DRAWN, REAL, INK, QUIET, RULE = "#0072b2", "#d55e00", "#1c2733", "#6b7783", "#dfe5ea"
BINS = 40


def draw_spread(drawn: np.ndarray, real: np.ndarray, path: Path) -> Path:
    """Densities of `PROPERTIES` of drawn [N, P] and of held-out [M, P] molecules, a panel each; nan are left out."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.5, 3.2), layout="constrained")
    panels = figure.subplots(1, len(PROPERTIES))
    for number, (axes, item) in enumerate(zip(panels, PROPERTIES.values(), strict=True)):
        mine, theirs = (values[~np.isnan(values[:, number]), number] for values in (drawn, real))
        low, high = np.quantile(np.concatenate([mine, theirs]), (0.002, 0.998))
        edges = np.linspace(low, high, BINS)
        axes.hist(mine, edges, density=True, color=DRAWN, alpha=0.45, label=f"drawn ({len(mine):,})")
        axes.hist(theirs, edges, density=True, histtype="step", color=REAL, lw=1.6, label=f"held-out ({len(theirs):,})")
        axes.set_xlabel(f"{item.label}{f', {item.unit}' if item.unit else ''}", color=INK)
        axes.set_yticks([])
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(RULE)
        axes.tick_params(colors=QUIET, labelsize=8)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=2, frameon=False, labelcolor=INK, fontsize=9)
    figure.supxlabel(CAVEAT, fontsize=8, color=QUIET, x=0.99, ha="right")
    figure.savefig(path, dpi=150, facecolor="white")
    return path
