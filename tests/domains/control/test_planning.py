"""Maps as states: read once for every cell, and what a network says of them as the heuristic of a search."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
import torch
from tsuite.core.errors import UserError
from tsuite.domains.control import grid
from tsuite.domains.control.decision_transformer import planning, routes
from tsuite.domains.control.decision_transformer.config import DecisionTransformerConfig
from tsuite.domains.control.decision_transformer.maps import BLUR, LEARNT, LEVELS, CostHead, MapStates, Nearby, features
from tsuite.domains.control.decision_transformer.model import DecisionTransformer
from tsuite.domains.control.episodes import Setting
from tsuite.domains.control.search import MOVES, costs_to_go
from tsuite.domains.control.spaces import Space

SIZE = 8
PICTURE = Space(kind="box", shape=(3, SIZE, SIZE), dtype="uint8")
CONFIG = DecisionTransformerConfig(
    observation=PICTURE, action=Space(kind="discrete", sizes=(8,)), context=1, max_steps=9, condition="none", patch=2,
    value=True, rounds=3, return_scale=10.0, dim=16, depth=1, heads=2, hidden=32, dropout=0.0, activation="gelu",
)  # fmt: skip
SETTING = Setting(observation=PICTURE, action=CONFIG.action, env=grid.ENV, env_options={"size": SIZE}, max_steps=9)


@pytest.fixture
def network() -> DecisionTransformer:
    torch.manual_seed(0)
    return DecisionTransformer(CONFIG).eval()


def maps(count: int, size: int = SIZE) -> list[grid.GridMap]:
    return [grid.make_map(seed, size=size) for seed in range(count)]


def pictures(some: list[grid.GridMap]) -> torch.Tensor:
    return torch.from_numpy(np.stack([one.picture for one in some]))


# -- reading ----------------------------------------------------------------------------------------------------------


def test_a_policy_says_in_a_cell_what_was_said_for_it(network):
    """Every cell at once, and a policy that stands there."""
    (one,) = maps(1)
    (guess,) = planning.guesses(network, [one])
    for cell in np.argwhere(~one.walls)[::5]:
        place = (int(cell[0]), int(cell[1]))
        seen = torch.from_numpy(grid.observe(one.walls, place, one.goal))[None]
        assert -network.values(seen)[0].item() == pytest.approx(guess[place], abs=1e-4)


def test_maps_that_stay_the_same_are_read_once(network):
    """Steps of an episode differ in where one is alone; read together they give what each gives."""
    states = network.states
    assert isinstance(states, MapStates)
    one, other = maps(2)
    seen = [grid.observe(one.walls, (0, number), one.goal) for number in range(3)]
    steps = torch.from_numpy(np.stack(seen))[None]
    alone = torch.cat([states(steps[:, number : number + 1]) for number in range(3)], dim=1)
    torch.testing.assert_close(states(steps), alone)
    mixed = torch.cat([steps, pictures([other])[None]], dim=1)  # another map in the same window
    torch.testing.assert_close(states(mixed)[:, :3], alone, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(states(mixed)[:, 3:], states(pictures([other])[None]), atol=1e-5, rtol=1e-4)


def test_patches_look_at_those_beside_them():
    scores = Nearby(rows=3, columns=4, heads=8)(12, 12)[0]
    for row, column in np.ndindex(3, 4):
        looked = {int(place) for place in (scores[0, 4 * row + column] > -100).nonzero()[:, 0]}
        around = {4 * r + c for r, c in np.ndindex(3, 4) if max(abs(r - row), abs(c - column)) <= 1}
        assert looked == around
    assert [int(head[5].argmax()) for head in scores] == [5 + 4 * down + right for down, right in MOVES]


def test_what_the_reader_is_told_of_a_cell():
    one = grid.parse_map("S.#\n...\n.#G")
    told = features(torch.from_numpy(one.picture)[None] / 255)[0]
    around = told[:25, 0, 0].view(5, 5)
    assert around.tolist() == [[1] * 5, [1] * 5, [1, 1, 0, 0, 1], [1, 1, 0, 0, 0], [1, 1, 0, 1, 0]]
    assert told[25].nonzero().tolist() == [[2, 2]]
    assert told[26:, 0, 0].tolist() == pytest.approx([2 / 3, 2 / 3])


def test_only_the_last_rounds_are_learnt_from(network):
    reader = network.states.reader
    seen = (pictures(maps(2)) > 0).float()
    long, full, short = (reader(seen, rounds=rounds) for rounds in (LEARNT + 4, LEARNT, 2))
    assert graph(long) == graph(full) > graph(short)
    with torch.no_grad():
        torch.testing.assert_close(reader(seen, rounds=LEARNT + 4), long)
    assert not torch.allclose(long, full, atol=1e-3)


def graph(x: torch.Tensor) -> int:
    """How many functions a gradient of x goes back through."""
    seen, waiting = set(), [x.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [other for other, _ in node.next_functions]
    return len(seen)


def test_a_cost_that_is_told_as_it_should_be_comes_back():
    head = CostHead(dataclasses.replace(CONFIG, dim=LEVELS, heads=1))
    with torch.no_grad():
        head.chances.weight.copy_(torch.eye(LEVELS))
        head.chances.bias.zero_()
    costs = torch.tensor([0.5, 1.0, 2.414, 7.0, 20.0, 30.0])
    levels = torch.linspace(0, head.most, LEVELS)
    likely = -0.5 * ((costs.sqrt()[:, None] - levels) / (BLUR * levels[1])).square()
    torch.testing.assert_close(-head(likely)[:, 0] * CONFIG.return_scale, costs, rtol=0.02, atol=0.06)
    best = head.losses(likely, costs)
    assert (best < head.losses(likely, costs + 0.5)).all()
    assert (best < head.losses(torch.zeros(6, LEVELS), costs)).all()


# -- learning ---------------------------------------------------------------------------------------------------------


def test_answers_are_the_true_costs_and_best_moves():
    some = maps(4)
    costs, best = planning.answers((pictures(some) > 0).float())
    for one, cost, moves in zip(some, costs.numpy(), best.numpy(), strict=True):
        true = costs_to_go(one.walls[None], np.array([one.goal]))[0]
        np.testing.assert_allclose(cost, true, rtol=1e-6)
        there = np.isfinite(true)
        there[one.goal] = False
        assert (moves.any(0) == there).all()
        assert moves[grid.teacher(one.picture[None])[0]][one.start]


def test_every_weight_learns(network):
    network.train()
    planning.map_loss(network, pictures(maps(3))).backward()
    told_nothing = {"times.weight", "actions.weight", "actions.bias"}  # one step holds no action before it
    idle = {name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()}
    assert idle <= told_nothing


@pytest.mark.slow
def test_it_learns_a_few_maps(network):
    network.train()
    seen, some = pictures(maps(4)), maps(4)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(150):
        optimiser.zero_grad()
        loss = planning.map_loss(network, seen)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.6 * losses[0]
    guesses = planning.guesses(network.eval(), some)
    errors = [abs(guess[one.start] - plan.plain.cost) for guess, one, plan in
              zip(guesses, some, planning.plan_many(network, some), strict=True)]  # fmt: skip
    assert np.mean(errors) < 3


# -- plans ------------------------------------------------------------------------------------------------------------


def test_an_untrained_network_finds_every_path(network):
    some = maps(12)
    for one, plan in zip(some, planning.plan_many(network, some, weight=3.0), strict=True):
        assert plan.found
        assert (plan.cells[0], plan.cells[-1]) == (one.start, one.goal)
    shut = grid.parse_map("S#G\n.#.\n.#.")
    assert not planning.plan(network, shut.walls, shut.start, shut.goal).found


def test_smaller_maps_stand_in_the_corner_of_a_larger_one(network):
    small = grid.make_map(0, size=5)
    walls = np.ones((SIZE, SIZE), bool)
    walls[:5, :5] = small.walls
    large = dataclasses.replace(small, walls=walls)
    (guess,), (whole,) = planning.guesses(network, [small]), planning.guesses(network, [large])
    assert guess.shape == (5, 5)
    np.testing.assert_allclose(guess, whole[:5, :5], atol=1e-5)


def test_what_a_network_cannot_do_is_said(network):
    with pytest.raises(UserError, match="16 x 16 cells; the network knows up to 8 x 8"):
        planning.guesses(network, maps(1, 16))
    mute = DecisionTransformer(dataclasses.replace(CONFIG, value=False)).eval()
    with pytest.raises(UserError, match="does not say what return"):
        planning.guesses(mute, maps(1))


def test_a_network_of_patches_is_asked_cell_by_cell():
    torch.manual_seed(0)
    config = dataclasses.replace(CONFIG, rounds=0, patch=4)
    network = DecisionTransformer(config).eval()
    (one,) = maps(1)
    (guess,) = planning.guesses(network, [one])
    seen = torch.from_numpy(grid.observe(one.walls, (2, 3), one.goal))[None].float()
    assert guess[2, 3] == pytest.approx(-network.values(seen)[0].item(), abs=1e-4)


# -- what is told -----------------------------------------------------------------------------------------------------


def test_maps_of_people_and_of_the_environment(tmp_path):
    path = tmp_path / "hall.txt"
    path.write_text("S..\n.#.\n..G\n")
    assert routes.is_map(str(path))
    assert not routes.is_map("500")
    assert routes.route_of(path).map.goal == (2, 2)
    held = routes.routes(SETTING, count=3, seed=50)
    assert [one.id for one in held] == ["seed 50", "seed 51", "seed 52"]
    assert held[1].map.key == grid.make_map(51, size=SIZE).key
    assert routes.on_maps(SETTING)


def test_tables_pictures_and_rows(network, tmp_path):
    from rich.console import Console

    some = maps(6)
    plans = planning.plan_many(network, some)
    summary = routes.summarise(plans)
    assert summary.metrics["solved"] == 1
    assert set(summary.baselines) == {"A*", "weighted A*"}
    assert summary.baselines["A*"]["expansions"] == 1
    console = Console(record=True, width=120, file=io.StringIO())
    console.print(routes.table(plans, summary))
    console.print(routes.table(plans[:1], routes.summarise(plans[:1])))
    said = console.export_text()
    assert "6 maps with a path, weight 2" in said
    assert "cells expanded" in said
    picture, rows = routes.render(plans, tmp_path)
    assert picture.stat().st_size > 1000
    assert len(rows.read_text().splitlines()) == 7
