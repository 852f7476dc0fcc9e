"""The planner that ships keeps what is said of it, on maps that it has not seen."""

from __future__ import annotations

import functools
from typing import Any

from tsuite.core import registry
from tsuite.domains.control.decision_transformer.planning import WEIGHT, plan, plan_many
from tsuite.domains.control.grid import make_map, parse_map
from tsuite.domains.control.plans import score


@functools.cache
def network() -> Any:
    return registry.card("control.decision_transformer").load_task().load("grid-path").network


def test_it_finds_every_path_with_less_work_than_a_star_with_any_weight():
    plans = plan_many(network(), [make_map(1_500_000 + seed) for seed in range(100)], weight=WEIGHT)
    ours, plain = score(plans), score(plans, "weighted")
    assert ours["solved"] == 1
    assert ours["expansions"] < min(0.6, plain["expansions"])
    assert ours["gap"] < 0.03


def test_it_knows_when_there_is_no_way():
    shut = parse_map("S..#...\n...#..G\n...#...")
    assert not plan(network(), shut.walls, shut.start, shut.goal).found


def test_it_sees_a_dead_end():
    """A* runs into the pocket that opens towards the start; a network that has read the map goes round it."""
    trap = parse_map(
        """
................
................
................
..##########....
...........#....
...........#....
...........#....
S..........#...G
...........#....
...........#....
...........#....
..##########....
................
................
................
................
"""
    )
    found = plan(network(), trap.walls, trap.start, trap.goal)
    assert found.share < 0.6
    assert found.gap < 0.1
