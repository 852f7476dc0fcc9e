"""Plans by guesses that are right, wrong and no numbers, their scores, pictures and words."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from tsuite.core.errors import UserError
from tsuite.domains.control import grid
from tsuite.domains.control.plan_picture import draw_plans, words
from tsuite.domains.control.plans import gap_of, make_plan, score, share_of
from tsuite.domains.control.search import astar, costs_to_go, octile

WALLED = grid.parse_map("S.#G\n..#.\n..#.")


def guess_of(one: grid.GridMap) -> np.ndarray:
    """The true cost to go, and much where there is none."""
    costs = costs_to_go(one.walls[None], np.array([one.goal]))[0]
    return np.where(np.isfinite(costs), costs, 1e3)


def test_a_true_guess_expands_the_path_alone():
    for seed in range(10):
        one = grid.make_map(seed)
        plan = make_plan(one, guess_of(one), weight=1.0, name=f"map {seed}")
        assert plan.found
        assert plan.expansions == len(plan.cells) - 1
        assert plan.gap == pytest.approx(0)
        assert plan.plain.cost == pytest.approx(plan.cost)
        assert plan.share == pytest.approx(plan.expansions / plan.plain.expansions)
        assert not plan.notices


def test_a_guess_of_nothing_is_the_octile_distance():
    one = grid.make_map(4)
    for guess in (np.zeros((16, 16)), np.full((16, 16), np.nan), octile((16, 16), one.goal)):
        plan = make_plan(one, guess, weight=1.5)
        assert plan.path == plan.weighted
        assert plan.path != plan.plain
        assert bool(plan.notices) == bool(np.isnan(guess).any())
    assert make_plan(one, np.zeros((16, 16)), weight=1.0).path == astar(one.walls, one.start, one.goal)


def test_a_bad_guess_still_finds_the_way():
    random = np.random.default_rng(1)
    for seed in range(20):
        one = grid.make_map(seed)
        plan = make_plan(one, random.uniform(0, 200, (16, 16)), weight=3.0)
        assert plan.found
        assert plan.gap >= 0
        assert (plan.cells[0], plan.cells[-1]) == (one.start, one.goal)


def test_where_there_is_no_path_that_is_said():
    plan = make_plan(WALLED, np.ones((3, 4)), weight=2.0)
    assert not plan.found
    assert (plan.cells, plan.cost, plan.expansions, plan.gap, plan.share) == ((), math.inf, 6, 0.0, 1.0)
    assert "There is no path: looked at 6 cells, all that" in words(plan)
    assert json.loads(json.dumps(plan.to_json()))["cost"] is None
    assert score([plan]) == {}


def test_words_show_the_path_and_what_it_took():
    one = grid.parse_map("S...\n.##.\n...G")
    plan = make_plan(one, guess_of(one), weight=1.0)
    assert words(plan).split("\n")[:3] in (["S***", ".##*", "...G"], ["S...", "*##.", "***G"])
    assert "A path of cost 5, 0.0% longer than the shortest; 5 cells expanded, A* expands" in words(plan)


def test_a_map_wider_than_a_terminal_is_left_to_the_picture():
    one = grid.parse_map("S" + "." * 98 + "G\n" + "." * 100)
    said = words(make_plan(one, guess_of(one), weight=1.0)).split("\n")
    assert said[0] == "2 x 100 cells, too wide to print: plans.png shows them."
    assert said[1].startswith("A path of cost 99")


def test_scores_by_hand():
    maps = [grid.make_map(seed) for seed in range(12)]
    plans = [make_plan(one, guess_of(one), weight=1.0) for one in maps]
    found = score([*plans, make_plan(WALLED, np.ones((3, 4)), weight=1.0)])
    assert found["solved"] == found["optimal"] == 1
    assert found["gap"] == found["gap_most"] == pytest.approx(0)
    assert found["n"] == 12  # the one without a path is not among them
    ours, theirs = (sum(getattr(plan, which).expansions for plan in plans) for which in ("path", "plain"))
    assert found["expansions"] == pytest.approx(ours / theirs)
    assert found["expansions_each"] == pytest.approx(np.mean([plan.share for plan in plans]))
    assert score(plans, "plain")["expansions"] == score(plans, "plain")["expansions_each"] == 1


def test_gaps_and_shares_by_hand():
    long = make_plan(grid.parse_map("S..G"), np.zeros((1, 4)), weight=1.0).plain
    short = make_plan(grid.parse_map("S.G"), np.zeros((1, 3)), weight=1.0).plain
    still = astar(np.zeros((2, 2), bool), (0, 0), (0, 0))
    assert gap_of(long, short) == pytest.approx(0.5)
    assert share_of(long, short) == pytest.approx(1.5)
    assert (gap_of(still, still), share_of(still, still)) == (0.0, 1.0)


def test_pictures(tmp_path):
    from PIL import Image

    plans = [make_plan(one, guess_of(one), weight=2.0) for one in (grid.make_map(0), WALLED)]
    one = draw_plans(tmp_path / "one.png", plans[:1], title="a map")
    two = draw_plans(tmp_path / "two.png", plans)
    with Image.open(one) as first, Image.open(two) as second:
        assert second.height > 1.5 * first.height
        assert len(first.convert("RGB").getcolors(10**6) or []) > 20
    with pytest.raises(UserError, match=r"\.png or \.svg"):
        draw_plans(tmp_path / "one.gif", plans)
    with pytest.raises(UserError, match="no plan"):
        draw_plans(tmp_path / "none.png", [])
