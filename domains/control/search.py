"""Shortest paths on a grid: A* and weighted A* with any heuristic, and what the best path from every cell would cost.

A step leads to one of eight neighbours (or of four, `diagonal=False`). It costs 1, a diagonal one the root of two, and
a diagonal one is taken only where both cells beside it are free: nothing with a width can cut a corner.

Axes: B maps, H rows, W columns. A cell is (row, column).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

Cell = tuple[int, int]

MOVES: tuple[Cell, ...] = ((-1, 0), (0, 1), (1, 0), (0, -1), (-1, 1), (1, 1), (1, -1), (-1, -1))
"""(rows, columns) of each step: north, east, south, west, then the diagonal ones clockwise from north-east."""
COSTS: tuple[float, ...] = (1.0,) * 4 + (math.sqrt(2),) * 4
_DIGITS = 6
"""Sums of ones and roots of two that differ in later digits only are the same path length."""


@dataclass(frozen=True, kw_only=True)
class Path:
    """What a search found: the cells from start to goal, empty where no path exists, and its cost (then infinite).

    expanded: the cells whose neighbours were looked at, in order; their number measures a search's work.
    """

    cells: tuple[Cell, ...]
    cost: float
    expanded: tuple[Cell, ...]

    @property
    def found(self) -> bool:
        return bool(self.cells)

    @property
    def expansions(self) -> int:
        return len(self.expanded)


def octile(shape: tuple[int, int], goal: Cell) -> np.ndarray:
    """The cost to the goal from every cell [H, W] if nothing stood in the way, with diagonal steps."""
    rows, columns = _distances(shape, goal)
    return np.maximum(rows, columns) + (math.sqrt(2) - 1) * np.minimum(rows, columns)


def manhattan(shape: tuple[int, int], goal: Cell) -> np.ndarray:
    """The same [H, W] without diagonal steps."""
    rows, columns = _distances(shape, goal)
    return (rows + columns).astype(float)


def plain(shape: tuple[int, int], goal: Cell, *, diagonal: bool = True) -> np.ndarray:
    """The heuristic [H, W] that knows the goal and no walls: `octile` or `manhattan`. It never says too much."""
    return octile(shape, goal) if diagonal else manhattan(shape, goal)


def _distances(shape: tuple[int, int], goal: Cell) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.indices(shape)
    return np.abs(rows - goal[0]), np.abs(columns - goal[1])


def astar(
    walls: np.ndarray,
    start: Cell,
    goal: Cell,
    *,
    heuristic: np.ndarray | None = None,
    weight: float = 1.0,
    diagonal: bool = True,
) -> Path:
    """A path from start to goal on walls [H, W] (True where nothing passes), by Hart, Nilsson and Raphael (1968).

    heuristic [H, W]: the cost that remains from each cell, None for `plain`. With the plain one the path is a shortest
    one at weight 1, and at most `weight` times as long at more (Pohl 1970; no cell is expanded twice). With any other,
    infinities and NaN apart, a path is still found wherever there is one: a heuristic decides the order, not what is
    looked at. Of cells that promise the same, the one nearer to the goal comes first.
    Raises ValueError where start or goal is no free cell, or the heuristic is of another shape or not finite.
    """
    walls = np.asarray(walls, bool)
    height, width = walls.shape
    for name, (row, column) in (("start", start), ("goal", goal)):
        if not (0 <= row < height and 0 <= column < width) or walls[row, column]:
            raise ValueError(f"the {name} {row, column} is no free cell of this {height} x {width} map")
    guess = plain((height, width), goal, diagonal=diagonal) if heuristic is None else np.asarray(heuristic, float)
    if guess.shape != walls.shape or not np.isfinite(guess[~walls]).all():
        raise ValueError(f"a heuristic of shape {guess.shape} with finite numbers is needed for a map {walls.shape}")
    blocked, ahead = walls.tolist(), (weight * guess).tolist()
    known: dict[Cell, float] = {start: 0.0}
    came: dict[Cell, Cell] = {}
    closed: dict[Cell, None] = {}  # in the order of expansion
    queue = [(ahead[start[0]][start[1]], 0.0, start)]
    while queue:
        _, _, cell = heapq.heappop(queue)
        if cell == goal:
            return Path(cells=_trace(came, cell), cost=known[cell], expanded=tuple(closed))
        if cell in closed:
            continue
        closed[cell] = None
        for other, step in neighbours(blocked, cell, diagonal=diagonal):
            cost = known[cell] + step
            if other not in closed and cost < known.get(other, math.inf) - 1e-9:
                known[other], came[other] = cost, cell
                total = round(cost + ahead[other[0]][other[1]], _DIGITS)
                heapq.heappush(queue, (total, -cost, other))
    return Path(cells=(), cost=math.inf, expanded=tuple(closed))


def neighbours(blocked: list[list[bool]], cell: Cell, *, diagonal: bool = True) -> Iterator[tuple[Cell, float]]:
    """The cells that one step leads to, with its cost; `blocked[row][column]` is True at a wall."""
    row, column = cell
    for (down, right), cost in zip(MOVES if diagonal else MOVES[:4], COSTS, strict=False):
        r, c = row + down, column + right
        if not (0 <= r < len(blocked) and 0 <= c < len(blocked[0])) or blocked[r][c]:
            continue
        if not (down and right and (blocked[row][c] or blocked[r][column])):
            yield (r, c), cost


def _trace(came: dict[Cell, Cell], cell: Cell) -> tuple[Cell, ...]:
    """The cells from the start to this one."""
    cells = [cell]
    while cells[-1] in came:
        cells.append(came[cells[-1]])
    return tuple(reversed(cells))


def costs_to_go(walls: np.ndarray, goals: np.ndarray, *, diagonal: bool = True) -> np.ndarray:
    """What the best path to the goal costs from every cell: walls [B, H, W] and goals [B, 2] -> [B, H, W].

    Infinite at walls and where no path leads to the goal. Every cell asks its neighbours until nothing changes any
    more, which for many maps at once is quicker than a search from each goal.
    """
    free = ~np.pad(np.asarray(walls, bool), ((0, 0), (1, 1), (1, 1)), constant_values=True)
    moves = zip(MOVES if diagonal else MOVES[:4], COSTS, strict=False)
    ways = [(move, cost, _open(free, move)) for move, cost in moves]
    costs = np.full(free.shape, np.inf)
    costs[np.arange(len(goals)), goals[:, 0] + 1, goals[:, 1] + 1] = 0.0
    costs[~free] = np.inf
    inside = costs[:, 1:-1, 1:-1]
    while True:
        best = inside.copy()
        for move, cost, way in ways:
            np.minimum(best, np.where(way, shifted(costs, move) + cost, np.inf), out=best)
        if np.array_equal(best, inside):
            return best
        inside[...] = best


def legal_moves(walls: np.ndarray, *, diagonal: bool = True) -> np.ndarray:
    """Whether each step may be taken from each cell: walls [B, H, W] -> [B, 8 or 4, H, W]; none from a wall."""
    free = ~np.pad(np.asarray(walls, bool), ((0, 0), (1, 1), (1, 1)), constant_values=True)
    return np.stack([_open(free, move) for move in (MOVES if diagonal else MOVES[:4])], axis=1)


def _open(free: np.ndarray, move: Cell) -> np.ndarray:
    """Where the move may be taken, [B, H, W], of free [B, H + 2, W + 2] with a border that is not."""
    down, right = move
    way = shifted(free, (0, 0)) & shifted(free, move)
    return way & shifted(free, (down, 0)) & shifted(free, (0, right)) if down and right else way


def shifted(bordered: np.ndarray, move: Cell) -> np.ndarray:
    """What stands one move away from each cell: [B, H + 2, W + 2] with a border of one -> [B, H, W]."""
    down, right = move
    height, width = bordered.shape[1] - 2, bordered.shape[2] - 2
    return bordered[:, 1 + down : 1 + down + height, 1 + right : 1 + right + width]


def played_out(walls: np.ndarray, goals: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """What the way costs that a policy goes from every cell: walls, moves [B, H, W] (numbers of `MOVES`), goals [B, 2]
    -> [B, H, W], infinite where it never comes to the goal.

    All ways at once: after round n each cell knows where 2^n steps lead and what they cost.
    """
    count, height, width = walls.shape
    legal = np.take_along_axis(legal_moves(walls), moves[:, None], axis=1)[:, 0]
    steps = np.array(MOVES)[moves] @ (width, 1)  # to the flat number of the next cell
    place = np.arange(height * width).reshape(height, width)
    after = np.where(legal, place + steps, place).reshape(count, -1)
    costs = np.where(legal, np.array(COSTS)[moves], 0.0).reshape(count, -1)
    rows, goal = np.arange(count), goals[:, 0] * width + goals[:, 1]
    after[rows, goal], costs[rows, goal] = goal, 0.0
    for _ in range((height * width).bit_length()):
        costs = costs + np.take_along_axis(costs, after, axis=1)
        after = np.take_along_axis(after, after, axis=1)
    return np.where(after == goal[:, None], costs, np.inf).reshape(count, height, width)
