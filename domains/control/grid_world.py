"""tsuite/GridPath-v0: walk over a map of `grid` to its goal, as a gymnasium environment. Imports gymnasium.

Axes: H rows, W columns.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from .grid import SIZE, GridMap, make_map, observe
from .search import COSTS, MOVES, Cell, legal_moves

CELL = 16
"""Pixels of a cell in `render`."""


class GridPath(gymnasium.Env[np.ndarray, np.int64]):
    """A map that the seed decides (`make_map`, which says what size, density and kind are), walked step by step.

    Observation: uint8 [3, H, W] of 0 and 255: obstacles, where one is, the goal. Action: a step to one of the eight
    neighbours, in the order of `search.MOVES`. Reward: minus the cost of the step, 1 or the root of two; a step that
    cannot be taken costs the same and leads nowhere. The episode terminates at the goal.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 8}  # noqa: RUF012 (gymnasium reads it from the class)

    def __init__(
        self, *, size: int = SIZE, density: float | None = None, kind: str = "", render_mode: str | None = None
    ) -> None:
        self.size, self.density, self.kind, self.render_mode = size, density, kind, render_mode
        make_map(0, size=size, density=density, kind=kind)  # what makes no map is said now
        self.observation_space = gymnasium.spaces.Box(0, 255, (3, size, size), np.uint8)
        self.action_space = gymnasium.spaces.Discrete(len(MOVES))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        number = int(self.np_random.integers(2**31)) if seed is None else seed
        self.map: GridMap = make_map(number, size=self.size, density=self.density, kind=self.kind)
        self.trail: list[Cell] = [self.map.start]
        self._legal = legal_moves(self.map.walls[None])[0]
        return self._see(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        row, column = self.trail[-1]
        if self._legal[int(action), row, column]:
            down, right = MOVES[int(action)]
            self.trail.append((row + down, column + right))
        return self._see(), -COSTS[int(action)], self.trail[-1] == self.map.goal, False, {}

    def _see(self) -> np.ndarray:
        return observe(self.map.walls, self.trail[-1], self.map.goal)

    def render(self) -> np.ndarray | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """[CELL * H, CELL * W, 3] uint8: walls dark, the way so far pale, where one is blue, the goal orange."""
        if self.render_mode != "rgb_array":
            return None
        picture = np.where(self.map.walls[..., None], np.uint8(60), np.uint8(255)).repeat(3, axis=2)
        for cell in self.trail:
            picture[cell] = (190, 215, 235)
        picture[self.trail[-1]], picture[self.map.goal] = (0, 114, 178), (213, 94, 0)
        return picture.repeat(CELL, axis=0).repeat(CELL, axis=1)
