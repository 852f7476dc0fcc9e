"""Path planning: weighted A* by what the network says of the cost that remains, beside A* and weighted A* without it.

    python benchmarks/control_grid.py
    python benchmarks/control_grid.py --checkpoint runs/mine/best --maps 200

Maps of 16 x 16 cells that the environment tsuite/GridPath-v0 gives for seeds which no recording uses; start and goal
are any two cells with a path between them. For each search, over all maps and for each kind of map:

solved             part of the maps on which a path was found
expansions         cells expanded on all maps together, as a part of A*'s (Hart et al. 1968, octile distance)
expansions_each    the mean over maps of that part: short paths, which leave nothing to save, count as much as long ones
gap, gap_most      by what part paths are longer than the shortest ones: mean, and the largest
optimal            part of the paths that are shortest

`weighted_a_star` has the network's weight; `weighted_a_star_any` is, of the weights 1.1 to 20, the one that expands
least among those whose paths are at most 3 % longer. `perfect` knows the true cost from every cell: what is left to
expand are the paths themselves. `policy_alone` takes the likeliest action in each cell, without a search. `no_path`:
maps with the goal walled in, and how often that was said. Milliseconds for a map: the network for many at once and for
one, and a search. Printed as JSON.

Needs: pip install -e '.[control]'
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from tsuite.core import registry, runtime
from tsuite.domains.control.decision_transformer.planning import WEIGHT, guesses, plan_many, read
from tsuite.domains.control.grid import KINDS, GridMap, make_map
from tsuite.domains.control.plans import Plan, make_plan, score
from tsuite.domains.control.search import astar, costs_to_go, neighbours, played_out

FIRST = 1_000_000
"""Seed of the first held-out map."""
WEIGHTS = (1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0)
LONGER = 0.03


def by_kind(count: int) -> dict[str, list[GridMap]]:
    """`count` maps of the environment, and a third as many of each kind."""
    found = {"all": [make_map(FIRST + number) for number in range(count)]}
    return found | {kind: [make_map(FIRST + number, kind=kind) for number in range(count // 3)] for kind in KINDS}


def searches(plans: Sequence[Plan]) -> dict[str, Any]:
    """The scores of every search on the maps of these plans."""
    found = {"network": score(plans), "weighted_a_star": score(plans, "weighted"), "a_star": score(plans, "plain")}
    tried = {}
    for weight in WEIGHTS:
        paths = [astar(plan.map.walls, plan.map.start, plan.map.goal, weight=weight) for plan in plans]
        tried[weight] = score(
            [replace(plan, weighted=path) for plan, path in zip(plans, paths, strict=True)], "weighted"
        )
    allowed = [weight for weight, scores in tried.items() if scores["gap"] <= LONGER]
    best = min(allowed, key=lambda weight: tried[weight]["expansions"])
    found["weighted_a_star_any"] = {"weight": best, **tried[best]}
    found["perfect"] = score([perfect(plan) for plan in plans])
    return {name: {key: round(value, 4) for key, value in scores.items()} for name, scores in found.items()}


def perfect(plan: Plan) -> Plan:
    """The same with the true cost from every cell."""
    costs = costs_to_go(plan.map.walls[None], np.array([plan.map.goal]))[0]
    return make_plan(plan.map, np.where(np.isfinite(costs), costs, 1e6), weight=1.0)


def walled_in(one: GridMap) -> GridMap | None:
    """The same map with walls around its goal; None where the start stands there."""
    walls = one.walls.copy()
    for cell, _ in neighbours(np.zeros(walls.shape, bool).tolist(), one.goal):
        if cell == one.start:
            return None
        walls[cell] = True
    return replace(one, walls=walls)


def no_path(network: Any, maps: Sequence[GridMap], weight: float) -> dict[str, float]:
    """How often it is said that there is none."""
    shut = [other for one in maps if (other := walled_in(one)) is not None]
    plans = plan_many(network, shut, weight=weight)
    return {"n": len(plans), "said": sum(not plan.found for plan in plans) / len(plans)}


def policy_alone(network: Any, plans: Sequence[Plan]) -> dict[str, float]:
    """On how many maps the policy walks to the goal without any search, and how much longer its ways are."""
    maps = [plan.map for plan in plans]
    walls, goals = np.stack([one.walls for one in maps]), np.array([one.goal for one in maps])
    moves = []
    for first in range(0, len(maps), 50):
        pictures = torch.from_numpy(np.stack([one.picture for one in maps[first : first + 50]]) > 0).float()
        cells = torch.arange(pictures[:, 0].numel())
        moves.append(network.answer(read(network, pictures, cells)).argmax(-1).view(-1, *walls.shape[1:]).numpy())
    costs = played_out(walls, goals, np.concatenate(moves))
    ways = np.array([cost[one.start] for cost, one in zip(costs, maps, strict=True)])
    gaps = ways / [plan.plain.cost for plan in plans] - 1
    there = np.isfinite(ways)
    return {"solved": round(float(there.mean()), 4), "gap": round(float(gaps[there].mean()), 4)}


def milliseconds(network: Any, maps: Sequence[GridMap]) -> dict[str, float]:
    """Of the network and of a search, for a map."""

    def took(work: Any, count: int) -> float:
        start = time.perf_counter()
        work()
        return round((time.perf_counter() - start) / count * 1e3, 3)

    guesses(network, maps[:1])
    return {
        "network": took(lambda: guesses(network, maps), len(maps)),
        "network_one": took(lambda: [guesses(network, [one]) for one in maps[:50]], len(maps[:50])),
        "a_star": took(lambda: [astar(one.walls, one.start, one.goal) for one in maps], len(maps)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Path planning by a network's guess beside A* and weighted A*.")
    parser.add_argument("--checkpoint", default="grid-path")
    parser.add_argument("--maps", type=int, default=1000)
    parser.add_argument("--weight", type=float, default=WEIGHT, help="of what the network says")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    runtime.set_threads(asked.threads, None)
    task = registry.card("control.decision_transformer").load_task().load(asked.checkpoint)
    network = task.network.eval()
    weight = asked.weight
    maps = by_kind(asked.maps)
    with torch.inference_mode():
        found = {kind: searches(plan_many(network, part, weight=weight)) for kind, part in maps.items()}
        alone = policy_alone(network, plan_many(network, maps["all"], weight=weight))
        shut, took = no_path(network, maps["all"], weight), milliseconds(network, maps["all"])
    print(
        json.dumps({"weight": weight, **found, "policy_alone": alone, "no_path": shut, "milliseconds": took}, indent=2)
    )


if __name__ == "__main__":
    main()
