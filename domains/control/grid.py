"""Maps with obstacles, and walking over them as a gymnasium environment, tsuite/GridPath-v0.

Steps are those of `search`: to eight neighbours, as a robot on a floor moves and as path-finding benchmarks have it
(Sturtevant 2012), at the cost of the way, and never round the corner of a wall. In four directions most maps have
hundreds of equally short paths, and how many cells a search expands says more of its ties than of its heuristic.

Axes: B maps, H rows, W columns. A cell is (row, column).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...core.errors import UserError, missing_extra
from .search import MOVES, Cell, astar, costs_to_go
from .words import reason

ENV = "tsuite/GridPath-v0"
SIZE = 16
WALL, FREE, START, GOAL = "#.SG"
"""The letters of a map in a text file."""
LONGEST = 256
"""Cells on a side of the largest map."""
MOST_STEPS = 256
"""After which an episode is cut: more than any shortest path on a map of the usual size takes."""


@dataclass(frozen=True, kw_only=True)
class GridMap:
    """walls [H, W] (True where nothing passes), start and goal on free cells."""

    walls: np.ndarray
    start: Cell
    goal: Cell

    @property
    def words(self) -> str:
        """Its size, for messages."""
        return f"{self.walls.shape[0]} x {self.walls.shape[1]} cells"

    @property
    def picture(self) -> np.ndarray:
        """What the environment shows at the start, uint8 [3, H, W] of 0 and 255: obstacles, where one is, the goal."""
        return observe(self.walls, self.start, self.goal)

    @property
    def key(self) -> bytes:
        """Equal for equal walls and goals, wherever one starts."""
        return np.packbits(self.walls).tobytes() + bytes(f"{self.walls.shape}{self.goal}", "ascii")


def observe(walls: np.ndarray, cell: Cell, goal: Cell) -> np.ndarray:
    """uint8 [3, H, W] of 0 and 255: obstacles, where one is, the goal."""
    picture = np.zeros((3, *walls.shape), np.uint8)
    picture[0], picture[1][cell], picture[2][goal] = 255 * walls, 255, 255
    return picture


def of_picture(picture: np.ndarray) -> GridMap:
    """The map that an observation [3, H, W] shows."""
    start, goal = (tuple(int(i) for i in np.unravel_index(plane.argmax(), plane.shape)) for plane in picture[1:])
    return GridMap(walls=picture[0] > 0, start=(start[0], start[1]), goal=(goal[0], goal[1]))


# -- kinds of maps ----------------------------------------------------------------------------------------------------


def blocks(random: np.random.Generator, size: int, density: float) -> np.ndarray:
    """Walls [H, W]: rectangles strewn about until `density` of the floor is covered."""
    walls = np.zeros((size, size), bool)
    longest = int(random.integers(1, max(2, size // 3) + 1))  # of one map: rubble, or large blocks
    while walls.mean() < density:
        height, width = random.integers(1, longest + 1, 2)
        row, column = random.integers(0, size, 2)
        walls[row : row + height, column : column + width] = True
    return walls


def rooms(random: np.random.Generator, size: int, density: float) -> np.ndarray:
    """Walls [H, W]: the floor divided again and again by a wall with one door, sometimes two."""
    walls = np.zeros((size, size), bool)
    smallest = int(random.integers(2, 5))

    def divide(top: int, left: int, height: int, width: int) -> None:
        across = height > width or (height == width and bool(random.random() < 0.5))
        length, other = (height, width) if across else (width, height)
        if length < 2 * smallest + 1:
            return
        at = int(random.integers(smallest, length - smallest))
        doors = random.choice(other, min(other, 1 + int(random.random() < 0.3)), replace=False)
        line = np.ones(other, bool)
        line[doors] = False
        if across:
            walls[top + at, left : left + width] |= line
            parts = (top, left, at, width), (top + at + 1, left, height - at - 1, width)
        else:
            walls[top : top + height, left + at] |= line
            parts = (top, left, height, at), (top, left + at + 1, height, width - at - 1)
        for part in parts:
            divide(*part)

    divide(0, 0, size, size)
    return walls


def maze(random: np.random.Generator, size: int, density: float) -> np.ndarray:
    """Walls [H, W]: corridors one cell wide, grown depth first; some walls between them are taken out again, so that
    there are ways round."""
    walls = np.ones((size, size), bool)
    first = int(random.integers(0, 2))  # which of two lattices the corridors lie on
    spots = range(first, size, 2)
    cell = (int(random.choice(spots)), int(random.choice(spots)))
    walls[cell] = False
    trail = [cell]
    while trail:
        row, column = trail[-1]
        ways = [(row + 2 * down, column + 2 * right, row + down, column + right) for down, right in MOVES[:4]]
        ways = [way for way in ways if 0 <= way[0] < size and 0 <= way[1] < size and walls[way[0], way[1]]]
        if not ways:
            trail.pop()
            continue
        r, c, between_row, between_column = ways[int(random.integers(len(ways)))]
        walls[r, c] = walls[between_row, between_column] = False
        trail.append((r, c))
    return walls & (random.random((size, size)) >= random.uniform(0.0, 0.15))


KINDS: dict[str, Callable[[np.random.Generator, int, float], np.ndarray]] = {
    "blocks": blocks,
    "rooms": rooms,
    "maze": maze,
}


def make_map(seed: int, *, size: int = SIZE, density: float | None = None, kind: str = "") -> GridMap:
    """The map of a seed: always the same one, and always with a path from its start to its goal.

    kind: one of `KINDS`, nothing for any. density: the part of the floor that blocks cover, None for 0.1 to 0.45.
    Start and goal are any two cells with a path between them. Raises UserError for an unknown kind or a map that is too
    small or too dense.
    """
    if kind and kind not in KINDS:
        raise UserError(f"There is no kind of map {kind!r}.", f"Known are: {', '.join(KINDS)}.")
    if not 4 <= size <= LONGEST or not 0 <= (density or 0.0) <= 0.9:
        raise UserError(
            f"A map of {size} cells on a side with a density of {density} cannot be made.",
            f"Sizes from 4 to {LONGEST} and densities from 0 to 0.9 can.",
        )
    random = np.random.default_rng([seed, size])
    while True:
        make = KINDS[kind or list(KINDS)[int(random.integers(len(KINDS)))]]
        walls = make(random, size, random.uniform(0.1, 0.45) if density is None else density)
        free = np.argwhere(~walls)
        goal = free[random.integers(len(free))]
        near = np.argwhere(np.isfinite(costs_to_go(walls[None], goal[None])[0]))
        near = near[(near != goal).any(axis=1)]
        if len(near) >= 2 * size or (len(near) and len(near) == len(free) - 1):  # else a pocket: draw again
            start = near[random.integers(len(near))]
            return GridMap(walls=walls, start=(int(start[0]), int(start[1])), goal=(int(goal[0]), int(goal[1])))


# -- maps as text -----------------------------------------------------------------------------------------------------


def read_map(path: str | Path) -> GridMap:
    """The map of a text file. Raises UserError where it cannot be read, or is none (see `parse_map`)."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"There is no file {path}.", HINT) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {reason(error)}.", HINT) from error
    return parse_map(text, str(path))


def parse_map(text: str, name: str = "the map") -> GridMap:
    """A map of letters, a row a line. Raises UserError for anything else, with the line."""
    lines = [line.rstrip() for line in text.strip("\n").splitlines()]
    if not lines or not lines[0]:
        raise UserError(f"{name} holds no map.", HINT)
    if max(len(lines), len(lines[0])) > LONGEST:
        raise UserError(f"{name} is larger than {LONGEST} x {LONGEST} cells.")
    for number, line in enumerate(lines, 1):
        if len(line) != len(lines[0]):
            raise UserError(f"Line {number} of {name} has {len(line)} cells, the first has {len(lines[0])}.", HINT)
        wrong = next((letter for letter in line if letter not in WALL + FREE + START + GOAL), None)
        if wrong is not None:
            raise UserError(f"Line {number} of {name} holds {wrong!r} in column {line.index(wrong) + 1}.", HINT)
    letters = np.array([list(line) for line in lines])
    return GridMap(walls=letters == WALL, start=_only(letters, START, name), goal=_only(letters, GOAL, name))


HINT = "A map is lines of equal length: '#' wall, '.' free, one S for the start, one G for the goal."


def _only(letters: np.ndarray, letter: str, name: str) -> Cell:
    """The one cell that holds this letter."""
    cells = np.argwhere(letters == letter)
    if len(cells) != 1:
        raise UserError(f"{name} has {len(cells)} cells marked {letter}; one is needed.", HINT)
    return int(cells[0][0]), int(cells[0][1])


def draw_map(one: GridMap, cells: Sequence[Cell] = (), mark: str = "*") -> str:
    """The map as text, with `mark` on these cells."""
    letters = np.where(one.walls, WALL, FREE)
    for cell in cells:
        letters[cell] = mark
    letters[one.start], letters[one.goal] = START, GOAL
    return "\n".join("".join(row) for row in letters)


# -- the environment --------------------------------------------------------------------------------------------------


def register() -> None:
    """Tell gymnasium of tsuite/GridPath-v0; again does nothing. Raises UserError where gymnasium is not installed."""
    try:
        import gymnasium
    except ModuleNotFoundError as error:
        raise missing_extra("gymnasium", "control") from error
    if ENV not in gymnasium.registry:
        gymnasium.register(ENV, entry_point=f"{__package__}.grid_world:GridPath", max_episode_steps=MOST_STEPS)


def teacher(observations: np.ndarray, **options: object) -> np.ndarray:
    """The action of a shortest path for each observation [N, 3, H, W] -> [N] (int64), by A*; 0 where there is none.
    The environment's options change the maps, not what is right on them."""
    return np.array([_first_step(of_picture(one)) for one in observations], np.int64)


def _first_step(one: GridMap) -> int:
    cells = astar(one.walls, one.start, one.goal).cells
    return action_of(*cells[:2]) if len(cells) > 1 else 0


def action_of(cell: Cell, other: Cell) -> int:
    """The number of the step from a cell to its neighbour."""
    return MOVES.index((other[0] - cell[0], other[1] - cell[1]))
