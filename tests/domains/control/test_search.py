"""Searches on grids: against each other, against what can be counted by hand, and against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra
from tsuite.domains.control.search import (
    COSTS,
    MOVES,
    astar,
    costs_to_go,
    legal_moves,
    manhattan,
    neighbours,
    octile,
    played_out,
    shifted,
)

ROOT = math.sqrt(2)


def walls_of(text: str) -> np.ndarray:
    return np.array([[letter == "#" for letter in line] for line in text.split()])


def random_walls(seed: int, shape: tuple[int, int] = (9, 11)) -> np.ndarray:
    walls = np.random.default_rng(seed).random(shape) < 0.35
    walls[0, 0] = walls[-1, -1] = False
    return walls


def scipy_costs(walls: np.ndarray, goal: tuple[int, int], diagonal: bool) -> np.ndarray:
    """The cost to the goal from every cell, by scipy's Dijkstra over the graph of free cells."""
    size = walls.size
    ends, costs = [], []
    for row, column in np.argwhere(~walls):
        for (r, c), cost in neighbours(walls.tolist(), (int(row), int(column)), diagonal=diagonal):
            ends.append((row * walls.shape[1] + column, r * walls.shape[1] + c))
            costs.append(cost)
    graph = csr_matrix((costs, tuple(zip(*ends, strict=True))), shape=(size, size))
    return dijkstra(graph, indices=goal[0] * walls.shape[1] + goal[1]).reshape(walls.shape)


@pytest.mark.parametrize("diagonal", [True, False])
def test_costs_are_scipys(diagonal):
    walls = np.stack([random_walls(seed) for seed in range(6)])
    goals = np.array([[8, 10]] * 6)
    found = costs_to_go(walls, goals, diagonal=diagonal)
    for one, costs in zip(walls, found, strict=True):
        expected = scipy_costs(one, (8, 10), diagonal)
        np.testing.assert_allclose(costs[~one], expected[~one])
        assert np.isinf(costs[one]).all()


@pytest.mark.parametrize("diagonal", [True, False])
def test_a_star_finds_the_shortest_path_and_nothing_where_there_is_none(diagonal):
    found = missed = 0
    for seed in range(40):
        walls = random_walls(seed)
        expected = costs_to_go(walls[None], np.array([[8, 10]]), diagonal=diagonal)[0][0, 0]
        path = astar(walls, (0, 0), (8, 10), diagonal=diagonal)
        assert path.cost == pytest.approx(expected)
        assert path.found == math.isfinite(expected)
        check(walls, path, (0, 0), (8, 10), diagonal)
        found, missed = found + path.found, missed + (not path.found)
    assert found > 5
    assert missed > 5


def check(walls, path, start, goal, diagonal=True):
    """A path is one: legal steps from start to goal, whose costs add up."""
    if not path.found:
        assert path.cost == math.inf
        return
    assert (path.cells[0], path.cells[-1]) == (start, goal)
    cost = 0.0
    for cell, other in zip(path.cells, path.cells[1:], strict=False):
        steps = dict(neighbours(walls.tolist(), cell, diagonal=diagonal))
        assert other in steps
        cost += steps[other]
    assert cost == pytest.approx(path.cost)


def test_corners_are_not_cut():
    path = astar(walls_of(".#  ..".replace("  ", "\n")), (0, 0), (1, 1))
    assert path.cells == ((0, 0), (1, 0), (1, 1))
    assert path.cost == 2
    assert not astar(walls_of(".#\n#."), (0, 0), (1, 1)).found


def test_steps_are_those_of_legal_moves():
    walls = random_walls(3)
    legal = legal_moves(walls[None])[0]
    for row, column in np.ndindex(walls.shape):
        steps = [] if walls[row, column] else [cell for cell, _ in neighbours(walls.tolist(), (row, column))]
        ways = [
            (row + down, column + right) for number, (down, right) in enumerate(MOVES) if legal[number, row, column]
        ]
        assert ways == steps


def test_costs_of_moves():
    assert [round(math.hypot(*move), 9) for move in MOVES] == [round(cost, 9) for cost in COSTS]


def test_plain_heuristics_by_hand():
    assert octile((3, 4), (0, 0))[2, 3] == pytest.approx(1 + 2 * ROOT)
    assert manhattan((3, 4), (0, 0))[2, 3] == 5


def test_on_an_empty_floor_only_the_path_is_expanded():
    path = astar(np.zeros((16, 16), bool), (2, 3), (12, 9))
    assert path.expansions == len(path.cells) - 1
    assert path.cost == pytest.approx(6 * ROOT + 4)


def test_the_true_costs_as_heuristic_expand_only_the_path():
    walls = walls_of("""
        ....#......
        .##.#.####.
        ..#...#..#.
        #.####..##.
        ........#..
        .######.#.#
        ..........#
        .##.####.#.
        ...........
    """)
    costs = costs_to_go(walls[None], np.array([[8, 10]]))[0]
    path = astar(walls, (0, 0), (8, 10), heuristic=np.where(np.isfinite(costs), costs, 999.0))
    assert path.cost == pytest.approx(costs[0, 0])
    assert path.expansions == len(path.cells) - 1


@pytest.mark.parametrize("weight", [1.5, 3.0])
def test_weighted_paths_keep_their_bound(weight):
    less = 0
    for seed in range(40):
        walls = random_walls(seed, (14, 14))
        best, path = (astar(walls, (0, 0), (13, 13), weight=w) for w in (1.0, weight))
        check(walls, path, (0, 0), (13, 13))
        assert path.found == best.found
        if best.found:
            assert best.cost - 1e-9 <= path.cost <= weight * best.cost + 1e-9
            less += path.expansions < best.expansions
    assert less > 5


def test_whatever_the_heuristic_a_path_is_found_where_there_is_one():
    random = np.random.default_rng(0)
    for seed in range(40):
        walls = random_walls(seed)
        there = astar(walls, (0, 0), (8, 10)).found
        for heuristic in (
            random.normal(0, 50, walls.shape),
            np.full(walls.shape, -7.0),
            random.random(walls.shape) * 1e6,
        ):
            path = astar(walls, (0, 0), (8, 10), heuristic=heuristic, weight=2.0)
            assert path.found == there
            check(walls, path, (0, 0), (8, 10))


def test_where_there_is_no_path_everything_that_can_be_reached_was_expanded():
    walls = walls_of("..#.\n..#.\n..#.")
    path = astar(walls, (0, 0), (0, 3))
    assert (path.cells, path.cost, path.expansions) == ((), math.inf, 6)


def test_start_at_the_goal_costs_nothing():
    path = astar(np.zeros((3, 3), bool), (1, 1), (1, 1))
    assert (path.cells, path.cost, path.expansions) == (((1, 1),), 0.0, 0)


@pytest.mark.parametrize(("start", "goal"), [((0, 2), (0, 0)), ((0, 0), (0, 2)), ((-1, 0), (0, 0)), ((0, 0), (3, 0))])
def test_start_and_goal_must_be_free(start, goal):
    with pytest.raises(ValueError, match="no free cell"):
        astar(walls_of("..#\n...\n..."), start, goal)


def test_a_heuristic_must_fit_and_be_finite():
    walls = walls_of("..#\n...\n...")
    with pytest.raises(ValueError, match="shape"):
        astar(walls, (0, 0), (2, 2), heuristic=np.zeros((2, 3)))
    with pytest.raises(ValueError, match="finite"):
        astar(walls, (0, 0), (2, 2), heuristic=np.full((3, 3), np.nan))
    beyond = np.where(walls, np.inf, 1.0)  # nobody stands in a wall
    assert astar(walls, (0, 0), (2, 2), heuristic=beyond).found


def test_a_policy_played_out_from_every_cell():
    walls = walls_of("....\n.##.\n....")
    moves = np.array([[1, 1, 1, 2], [0, 0, 0, 2], [1, 3, 7, 4]])  # to the goal in the corner, but for the last row
    found = played_out(walls[None], np.array([[2, 3]]), moves[None])[0]
    inf = math.inf
    assert found.tolist() == [[5, 4, 3, 2], [6, inf, inf, 1], [inf, inf, inf, 0]]


def test_the_best_policy_played_out_costs_what_the_best_ways_cost():
    walls = np.stack([random_walls(seed) for seed in range(8)])
    goals = np.array([[8, 10]] * 8)
    costs = costs_to_go(walls, goals)
    after = np.stack(
        [shifted(np.pad(costs, ((0, 0), (1, 1), (1, 1)), constant_values=np.inf), move) for move in MOVES], axis=1
    )
    moves = np.where(legal_moves(walls), after + np.array(COSTS)[:, None, None], np.inf).argmin(1)
    np.testing.assert_allclose(played_out(walls, goals, moves), costs)
