"""Boards with what the network would do, and how matches ended, as pictures."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..picture import BLUE, GREEN, INK, ORANGE, QUIET
from ..picture import RULE as BOARD
from .games import CONNECT_FOUR, GAMES
from .scores import Advice, MatchResult, Row, rating_of, together

FREE = "#ffffff"
STONES = (ORANGE, BLUE)
"""The first player's and the second's; Okabe and Ito's, which stay apart for the colour-blind."""
RESULTS = (("wins", GREEN), ("draws", "#b9c2ca"), ("losses", ORANGE))
MOST = 6
"""Boards in one picture."""


def draw_boards(path: Path, thoughts: Sequence[Advice]) -> Path:
    """Positions with the chance of each move: darker and larger where it is more likely, the best one in a ring."""
    shown = thoughts[:MOST]
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure = _figure(4.0 * columns, 4.1 * rows)
    for place, advice in enumerate(shown):
        _draw_board(figure.add_subplot(rows, columns, place + 1), advice)
    return _saved(figure, path)


def _draw_board(axes: Any, advice: Advice) -> None:
    from matplotlib.patches import Circle, FancyBboxPatch

    game = GAMES[advice.game]
    mine, theirs = game.play(advice.moves)
    mover = len(advice.moves) % 2
    axes.add_patch(FancyBboxPatch((-0.45, -0.45), game.columns - 0.1, game.rows - 0.1, boxstyle="round,pad=0.1",
                                  facecolor=BOARD, edgecolor="none"))  # fmt: skip
    for column in range(game.columns):
        for row in range(game.rows):
            bit = game.bit(column, row)
            colour = STONES[mover] if mine & bit else STONES[1 - mover] if theirs & bit else FREE
            axes.add_patch(Circle((column, row), 0.4, facecolor=colour, edgecolor="none"))
    for move, chance in enumerate(advice.chances):
        if cell := game.cell_of(mine | theirs, move):
            column, row = divmod(cell.bit_length() - 1, game.rows + 1)
            axes.add_patch(Circle((column, row), 0.4, facecolor=STONES[mover], alpha=0.55 * chance, edgecolor="none"))
            if move == advice.best:
                axes.add_patch(Circle((column, row), 0.4, facecolor="none", edgecolor=INK, linewidth=1.8))
            axes.text(column, row, f"{chance:.0%}", ha="center", va="center", fontsize=8, color=INK)
    for column in range(game.columns if game.drops else 0):
        axes.text(column, -0.78, str(column + 1), ha="center", va="center", fontsize=9, color=QUIET)
    loss, draw, win = advice.ends
    told = f"{('first', 'second')[mover]} player to move: win {win:.0%}, draw {draw:.0%}, loss {loss:.0%}"
    axes.set_title(f"{advice.id}\n{told}", fontsize=8.5, color=INK, parse_math=False)
    axes.set_xlim(-0.7, game.columns - 0.3)
    axes.set_ylim(-1.0, game.rows - 0.3)
    axes.set_aspect("equal")
    axes.axis("off")


def draw_scores(path: Path, matches: Sequence[MatchResult]) -> Path:
    """Each pairing's wins, draws and losses as a bar, and Elo with 95 % confidence."""
    rows = together(matches)
    points = rating_of([one for one in matches if one.game == CONNECT_FOUR.name])
    figure = _figure(12.0, 1.2 + 0.3 * max(len(rows), len(points)))
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    _draw_bars(left, rows)
    names = sorted(points, key=lambda name: points[name].elo)
    for place, name in enumerate(names):
        one = points[name]
        right.plot([one.low, one.high], [place, place], color=STONES[1], linewidth=2.5)
        right.plot([one.elo], [place], "o", color=STONES[1])
        right.text(one.high, place, f"  {one.elo:.0f}", va="center", fontsize=9, color=INK)
    right.set_yticks(range(len(names)), names)
    right.set_title("Connect Four, Elo with 95 % confidence", fontsize=10, color=INK, loc="left")
    right.margins(x=0.15)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8.5, colors=INK)
    return _saved(figure, path)


def _draw_bars(axes: Any, rows: Sequence[Row]) -> None:
    counts = np.array([np.sum(list(row.sides.values()), axis=0) for row in rows])[::-1]
    shares = counts / counts.sum(axis=1, keepdims=True)
    start = np.zeros(len(rows))
    for place, (name, colour) in enumerate(RESULTS):
        axes.barh(range(len(rows)), shares[:, place], left=start, color=colour, label=name, height=0.7)
        start += shares[:, place]
    labels = [f"{row.game}: {row.player} against {row.opponent}" for row in rows]
    axes.set_yticks(range(len(rows)), labels[::-1])
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=9)


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=130, facecolor="white", layout="constrained")


def _saved(figure: Any, path: Path) -> Path:
    """Written, the same bytes for the same picture."""
    import matplotlib as mpl

    with warnings.catch_warnings(), mpl.rc_context({"svg.hashsalt": "tsuite"}):
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    return path
