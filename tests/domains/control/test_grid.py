"""Maps, their text, and the environment that walks over them."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
from tsuite.core.errors import UserError
from tsuite.domains.control import grid
from tsuite.domains.control.search import COSTS, MOVES, astar, costs_to_go

MAP = """
S..#
.#..
...G
"""


@pytest.mark.parametrize("kind", ["", *grid.KINDS])
def test_maps_have_a_path_and_a_seed_says_which(kind):
    maps = [grid.make_map(seed, kind=kind) for seed in range(30)]
    for seed, one in enumerate(maps):
        assert one.walls.shape == (16, 16)
        assert not one.walls[one.start]
        assert not one.walls[one.goal]
        assert one.start != one.goal
        assert astar(one.walls, one.start, one.goal).found
        again = grid.make_map(seed, kind=kind)
        np.testing.assert_array_equal(one.picture, again.picture)
    assert len({one.key for one in maps}) == len(maps)


def test_kinds_look_different():
    shares = {kind: np.mean([grid.make_map(seed, kind=kind).walls.mean() for seed in range(20)]) for kind in grid.KINDS}
    assert shares["rooms"] < shares["blocks"] < shares["maze"]


@pytest.mark.parametrize("size", [4, 7, 23])
def test_maps_of_other_sizes(size):
    for seed in range(10):
        assert grid.make_map(seed, size=size).picture.shape == (3, size, size)


def test_dense_and_empty_maps():
    assert not grid.make_map(0, kind="blocks", density=0.0).walls.any()
    assert grid.make_map(0, kind="blocks", density=0.6).walls.mean() >= 0.6


@pytest.mark.parametrize("wrong", [{"kind": "cave"}, {"size": 3}, {"size": 1000}, {"density": 0.95}, {"density": -1.0}])
def test_maps_that_cannot_be_made(wrong):
    with pytest.raises(UserError):
        grid.make_map(0, **wrong)


def test_a_picture_is_its_map():
    one = grid.make_map(5)
    back = grid.of_picture(one.picture)
    np.testing.assert_array_equal(back.walls, one.walls)
    assert (back.start, back.goal) == (one.start, one.goal)
    assert grid.observe(one.walls, one.goal, one.goal).sum() == 255 * (one.walls.sum() + 2)


# -- text -------------------------------------------------------------------------------------------------------------


def test_text_there_and_back():
    one = grid.parse_map(MAP)
    assert (one.start, one.goal) == ((0, 0), (2, 3))
    assert one.walls.tolist() == [[False] * 3 + [True], [False, True, False, False], [False] * 4]
    assert grid.draw_map(one) == MAP.strip()
    assert grid.draw_map(one, [(0, 1), (2, 3)]).splitlines()[0] == "S*.#"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no map"),
        ("S.\n..G", "Line 2 of the map has 3 cells"),
        ("S.x\n..G", "Line 1 of the map holds 'x' in column 3"),
        ("...\n..G", "0 cells marked S"),
        ("S.G\n..G", "2 cells marked G"),
        ("S" + "." * 300 + "G", "larger than"),
    ],
)
def test_text_that_is_no_map(text, said):
    with pytest.raises(UserError, match=said):
        grid.parse_map(text)


def test_the_maps_of_seeds_never_change():
    """Else the sha256 in the recipe of the data set grid_paths is wrong, and its version has to be raised."""
    pictures = b"".join(grid.make_map(seed).picture.tobytes() for seed in range(50))
    assert hashlib.sha256(pictures).hexdigest() == "5eb1619230044315b0d593433511ba67f41a065c2a1ff8ac79b158faa6da1333"


def test_files(tmp_path):
    path = tmp_path / "map.txt"
    path.write_text(MAP.strip().replace("\n", "\r\n"))
    assert grid.read_map(path).goal == (2, 3)
    with pytest.raises(UserError, match="There is no file"):
        grid.read_map(tmp_path / "other.txt")


# -- the environment --------------------------------------------------------------------------------------------------


@pytest.fixture
def make():
    gymnasium = pytest.importorskip("gymnasium")
    grid.register()
    grid.register()
    return lambda **options: gymnasium.make(grid.ENV, disable_env_checker=True, **options)


def test_gymnasium_finds_nothing_wrong(make):
    from gymnasium.utils.env_checker import check_env

    check_env(make(render_mode="rgb_array").unwrapped, skip_render_check=True)


def test_the_teacher_walks_the_shortest_path(make):
    env = make()
    for seed in range(8):
        seen, _ = env.reset(seed=seed)
        one = grid.make_map(seed)
        np.testing.assert_array_equal(seen, one.picture)
        best = costs_to_go(one.walls[None], np.array([one.goal]))[0][one.start]
        earned, ended = 0.0, False
        while not ended:
            seen, reward, ended, cut, _ = env.step(grid.teacher(seen[None])[0])
            earned += reward
            assert not cut
        assert -earned == pytest.approx(best)
        assert np.array_equal(seen[1], seen[2])


def test_a_step_that_cannot_be_taken_costs_and_leads_nowhere(make):
    env = make(kind="maze")
    seen, _ = env.reset(seed=1)
    for action, cost in enumerate(COSTS):
        if env.unwrapped._legal[action][grid.of_picture(seen).start]:
            continue
        after, reward, ended, _, _ = env.step(action)
        assert reward == -cost
        assert not ended
        np.testing.assert_array_equal(after, seen)


def test_an_episode_is_cut_in_the_end(make):
    env = make(kind="maze", size=6)
    env.reset(seed=0)
    away = next(a for a in range(len(MOVES)) if not env.unwrapped._legal[a][env.unwrapped.map.start])
    for _ in range(grid.MOST_STEPS - 1):
        assert not any(env.step(away)[2:4])
    assert env.step(away)[2:4] == (False, True)


def test_without_a_seed_maps_go_on_changing(make):
    env = make()
    first, _ = env.reset(seed=7)
    second, third = env.reset()[0], env.reset()[0]
    assert not np.array_equal(first, second)
    assert not np.array_equal(second, third)
    env.reset(seed=7)
    np.testing.assert_array_equal(env.reset()[0], second)


def test_it_draws_itself(make):
    env = make(render_mode="rgb_array")
    env.reset(seed=0)
    picture = env.render()
    assert picture.shape == (256, 256, 3)
    assert picture.dtype == np.uint8
    row, column = env.unwrapped.map.goal
    assert tuple(picture[16 * row + 8, 16 * column + 8]) == (213, 94, 0)


def test_a_map_that_cannot_be_made_is_said_at_once(make):
    with pytest.raises(UserError, match="cave"):
        make(kind="cave")


def test_the_teacher_stands_where_there_is_no_path():
    one = grid.parse_map("S#G\n.#.")
    assert grid.teacher(one.picture[None]).tolist() == [0]
    assert grid.teacher(grid.parse_map(MAP).picture[None]).dtype == np.int64
    assert math.isinf(astar(one.walls, one.start, one.goal).cost)
