"""Plans: paths that weighted A* finds by somebody's guess of the cost that remains, beside what A* does without.

A guess decides in which order cells are looked at, and nothing else: where there is a path, one is found, and where
there is none, that is said. How good the guess is shows in how few cells are expanded and how little longer than the
shortest the path is.

Axes: H rows, W columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.task import Result
from .grid import GridMap
from .search import Cell, Path, astar, octile
from .words import counted


@dataclass(frozen=True, kw_only=True)
class Plan(Result):
    """A path on a map by weighted A* with a guess at `weight`; `plain` is A* (weight 1) and `weighted` is weighted A*
    at the same weight, both with the octile distance."""

    map: GridMap
    path: Path
    plain: Path
    weighted: Path
    weight: float

    @property
    def found(self) -> bool:
        """Whether there is a path; if not, all three searches have looked at every cell that can be reached."""
        return self.path.found

    @property
    def cells(self) -> tuple[Cell, ...]:
        """From start to goal, empty where there is no path."""
        return self.path.cells

    @property
    def cost(self) -> float:
        return self.path.cost

    @property
    def expansions(self) -> int:
        return self.path.expansions

    @property
    def share(self) -> float:
        """Expansions as a part of A*'s; 1 where neither needs any."""
        return share_of(self.path, self.plain)

    @property
    def gap(self) -> float:
        """By what part the path is longer than the shortest; 0 where there is none."""
        return gap_of(self.path, self.plain)

    def to_json(self) -> dict[str, Any]:
        searches = {"a_star": self.plain, "weighted_a_star": self.weighted}
        return {
            "id": self.id,
            "found": self.found,
            "cells": [list(cell) for cell in self.cells],
            **told(self.path),
            "share_of_a_star": round(self.share, 6),
            "gap": round(self.gap, 6),
            "weight": self.weight,
            **{name: told(path) for name, path in searches.items()},
            "notices": list(self.notices),
        }


def told(path: Path) -> dict[str, Any]:
    """Cost (None without a path) and expansions, as plain data."""
    return {"cost": round(path.cost, 6) if path.found else None, "expansions": path.expansions}


def share_of(path: Path, plain: Path) -> float:
    """Expansions of a search as a part of another's."""
    return path.expansions / plain.expansions if plain.expansions else 1.0


def gap_of(path: Path, plain: Path) -> float:
    """By what part a path is longer than the shortest one, `plain`."""
    return max(0.0, path.cost / plain.cost - 1) if plain.found and plain.cost else 0.0


def make_plan(one: GridMap, guess: np.ndarray, *, weight: float, name: str = "", notices: tuple[str, ...] = ()) -> Plan:
    """The plan by a guess [H, W] of the cost that remains.

    A guess below the octile distance is raised to it, since nothing is nearer; one that is no number is taken for it.
    """
    least = octile(one.walls.shape, one.goal)
    known = np.isfinite(guess)
    if not known.all():
        notices = (*notices, f"the network said no number for {counted(int((~known).sum()), 'cell')}")
    guess = np.maximum(np.where(known, guess, least), least)
    path = astar(one.walls, one.start, one.goal, heuristic=guess, weight=weight)
    plain = astar(one.walls, one.start, one.goal)
    weighted = astar(one.walls, one.start, one.goal, weight=weight)
    return Plan(id=name, notices=notices, map=one, path=path, plain=plain, weighted=weighted, weight=weight)


# -- scores -----------------------------------------------------------------------------------------------------------


def score(plans: Sequence[Plan], which: str = "path") -> dict[str, float]:
    """How one of the three searches (`path`, `plain`, `weighted`) did on maps that have a path.

    solved: the part of the maps. expansions: all of them as a part of all of A*'s; expansions_each: the mean over the
    maps of that part. gap: mean and gap_most: largest part by which a path is longer than the shortest. optimal: the
    part of the paths that are shortest. n: maps.
    """
    known = [plan for plan in plans if plan.plain.found]
    if not known:
        return {}
    paths = [getattr(plan, which) for plan in known]
    gaps = [gap_of(path, plan.plain) for path, plan in zip(paths, known, strict=True)]
    work = [share_of(path, plan.plain) for path, plan in zip(paths, known, strict=True)]
    total = sum(plan.plain.expansions for plan in known)
    return {
        "solved": sum(path.found for path in paths) / len(known),
        "expansions": sum(path.expansions for path in paths) / max(1, total),
        "expansions_each": math.fsum(work) / len(work),
        "gap": math.fsum(gaps) / len(gaps),
        "gap_most": max(gaps),
        "optimal": sum(gap < 1e-9 for gap in gaps) / len(gaps),
        "n": float(len(known)),
    }
