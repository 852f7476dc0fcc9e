"""The Decision Transformer: what each step sees, what it says for every kind of space, what it learns by."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tsuite.core.errors import UserError
from tsuite.domains.control.decision_transformer.heads import Choices, action_head
from tsuite.domains.control.decision_transformer.windows import TrajectoryBatch, Windows, batch_of

from .tinypolicies import BOUNDED, CHOICE, CHOICES, KINDS, NUMBERS, PICTURE, config, episodes, network


def batch(net: Any, *lengths: int) -> TrajectoryBatch:
    """All windows of episodes of these lengths."""
    shape = net.config
    found = Windows(episodes(*lengths, observation=shape.observation, action=shape.action), context=shape.context)
    return batch_of(list(found), context=shape.context, chunk=shape.chunk)


# -- windows ----------------------------------------------------------------------------------------------------------


def test_each_step_is_in_as_many_windows_as_any_other() -> None:
    windows = Windows(episodes(7, 2), context=3)
    assert [(item.start, item.stop) for item in windows] == [
        (0, 1), (0, 2), (0, 3), (1, 4), (2, 5), (3, 6), (4, 7), (5, 7), (6, 7), (0, 1), (0, 2), (0, 2), (1, 2),
    ]  # fmt: skip
    assert [item.id for item in windows][-1] == "1, step 1"


def test_windows_that_end_with_each_step() -> None:
    windows = Windows(episodes(4, 1), context=2, endings=True)
    assert [(item.start, item.stop) for item in windows] == [(0, 1), (0, 2), (1, 3), (2, 4), (0, 1)]
    scored = batch_of(list(windows), context=2).scored
    assert scored[:, -1].all()
    assert not scored[:, 0].any()
    with pytest.raises(IndexError):
        windows[5]


def test_windows_are_drawn_from_their_neighbours() -> None:
    windows = Windows(episodes(30), context=3, every=4, drawn=True)
    np.random.seed(0)  # noqa: NPY002
    drawn = [[windows[index].stop for _ in range(200)] for index in (0, 3)]
    assert set(drawn[0]) == {1, 2, 3, 4}
    assert set(drawn[1]) == {13, 14, 15, 16}


def test_a_batch_is_padded_on_the_left_and_knows_what_came_after() -> None:
    (played,) = episodes(4)
    windows = Windows(episodes(4), context=3)
    made = batch_of([windows[1], windows[5]], context=3, chunk=2)
    assert made.mask.tolist() == [[False, True, True], [False, False, True]]
    assert made.steps.tolist() == [[0, 0, 1], [0, 0, 3]]
    assert made.actions[0, 1:, 0].tolist() == played.actions[:3].tolist()
    assert made.known.tolist() == [[False, True, True, True], [False, False, True, False]]
    np.testing.assert_allclose(made.returns[0, 1], played.rewards.sum(), rtol=1e-6)
    np.testing.assert_allclose(made.returns[1, 2], played.rewards[3], rtol=1e-6)


# -- the network ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_learns_with_all_its_parameters(kind: str) -> None:
    net = network(**KINDS[kind]).train()
    given = batch(net, 9)
    loss = net.loss(given) / net.weight(given)
    assert loss.isfinite()
    loss.backward()
    still = [name for name, value in net.named_parameters() if value.grad is None or not value.grad.abs().sum()]
    assert still == []


@pytest.mark.parametrize("kind", ["numbers", "bounded", "unbounded", "choices", "chunks"])
def test_what_was_done_can_be_learnt(kind: str) -> None:
    net = network(**{**KINDS[kind], "dropout": 0.0}).train()
    given = batch(net, 9)
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        loss = net.loss(given) / net.weight(given)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_padding_changes_nothing(kind: str) -> None:
    net = network(**KINDS[kind])
    windows = Windows(
        episodes(9, observation=net.config.observation, action=net.config.action), context=net.config.context
    )
    short = [windows[1]]
    padded = batch_of([windows[1], windows[7]], context=net.config.context, chunk=net.config.chunk)
    alone = batch_of(short, context=2, chunk=net.config.chunk)
    torch.testing.assert_close(net(padded).raw[0, -2:], net(alone).raw[0], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_an_action_sees_its_state_and_what_came_before_and_nothing_else() -> None:
    net = network()
    given = batch(net, 9)
    row = int(given.mask.all(1).nonzero()[0])
    before = net(given).raw[row]
    for name in ("observations", "actions", "returns"):
        value = getattr(given, name)
        changed = value.clone()
        changed[row, 3] = 5 - changed[row, 3] if name == "actions" else changed[row, 3] + 1
        after = net(TrajectoryBatch(**{**vars(given), name: changed})).raw[row]
        first = 4 if name == "actions" else 3  # the action of step 3 is not seen by step 3
        torch.testing.assert_close(after[:first], before[:first])
        assert (after[first] - before[first]).abs().max() > 1e-4


@torch.no_grad()
def test_cloning_is_told_no_return() -> None:
    net = network(condition="none")
    given = batch(net, 9)
    other = TrajectoryBatch(**{**vars(given), "returns": given.returns + 100})
    torch.testing.assert_close(net(given).raw, net(other).raw)
    assert net.config.tokens == 2


@torch.no_grad()
def test_steps_beyond_the_last_share_its_embedding() -> None:
    net = network()
    given = batch(net, 9)
    late = TrajectoryBatch(**{**vars(given), "steps": given.steps + 40})
    later = TrajectoryBatch(**{**vars(given), "steps": given.steps + 4000})
    torch.testing.assert_close(net(late).raw, net(later).raw)


@torch.no_grad()
def test_the_loss_counts_actions_that_were_taken() -> None:
    net = network(chunk=3)
    given = batch(net, 4)
    assert net.weight(given) == sum(min(3, 4 - step) * 5 for step in range(4))
    wrong = torch.where(given.known[..., None], given.actions, 1 + given.actions % 4)
    torch.testing.assert_close(net.loss(given), net.loss(TrajectoryBatch(**{**vars(given), "actions": wrong})))


@torch.no_grad()
def test_values_of_first_states() -> None:
    net = network(value=True, condition="none")
    given = batch(net, 9)
    first = int((given.mask.sum(1) == 1).nonzero()[0])
    said = net(given).value
    assert said is not None
    expected = said[first, -1] * net.config.return_scale
    torch.testing.assert_close(net.values(given.observations[first, -1:])[0], expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="value head"):
        network().values(given.observations[:, 0])


# -- heads ------------------------------------------------------------------------------------------------------------


def test_actions_stay_inside_their_bounds() -> None:
    head = action_head(BOUNDED, squash=True)
    said = head.decode(torch.tensor([[-50.0, 50.0], [0.0, 0.0]]))
    torch.testing.assert_close(said, torch.tensor([[-1.0, 4.0], [0.0, 2.0]]))
    torch.testing.assert_close(
        head.losses(torch.tensor([[50.0, 0.0]]), torch.tensor([[1.0, 4.0]])), torch.tensor([0.5])
    )


def test_choices_begin_where_the_space_does() -> None:
    assert Choices(CHOICES).hot(torch.tensor([2, 1])).tolist() == [0, 0, 1, 0, 1]
    head = action_head(CHOICE, squash=True)
    assert head.decode(torch.tensor([0.0, 9.0, 0.0, 0.0])).tolist() == [2]
    both = action_head(CHOICES, squash=True)
    assert both.decode(torch.tensor([0.0, 0.0, 9.0, 1.0, 0.0])).tolist() == [2, 0]
    sure = both.losses(torch.tensor([[0.0, 0.0, 90.0, 90.0, 0.0]]), torch.tensor([[2, 0]]))
    assert sure.item() < 1e-6


def test_drawing_follows_the_chances_and_the_row() -> None:
    head = action_head(CHOICE, squash=True)
    raw = torch.tensor([0.0, 1.0, -2.0, 0.5]).expand(3000, 1, 4)
    drawn = head.draw(raw, 1.0, [np.random.default_rng([row, 1]) for row in range(3000)])
    shares = torch.bincount(drawn.flatten(), minlength=5)[1:] / 3000
    torch.testing.assert_close(shares, raw[0, 0].softmax(0), atol=0.03, rtol=0)
    alone = head.draw(raw[:1], 1.0, [np.random.default_rng([7, 1])])
    assert alone[0] == drawn[7]
    assert (head.draw(raw, 0.0, []) == 2).all()


def test_states_are_scaled_by_the_data() -> None:
    net = network()
    net.states.learn(np.array([1.0, 2.0, 3.0]), np.array([2.0, 0.0, 1.0]))
    scaled: Any = net.states.get_submodule("scaled")
    x = torch.tensor([[[3.0, 2.0, 2.0]]])
    assert scaled(x).tolist() == [[[1.0, 0.0, -1.0]]]
    torch.testing.assert_close(scaled.back(scaled(x)), x)


# -- what makes no network --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"dim": 15, "heads": 2}, "15 does not divide into 2 heads"),
        ({"context": 0}, "context must be at least 1, not 0"),
        ({"return_scale": 0.0}, "above zero, not 0"),
        ({"activation": "rellu"}, "Did you mean relu"),
        ({"condition": "goal"}, "no condition 'goal'"),
        ({"observation": PICTURE, "patch": 3}, "8 x 8 does not divide into patches of 3"),
        ({"observation": PICTURE}, "patches of 0"),
        ({"action": PICTURE}, "cannot be pictures"),
        ({"dropout": 1.0}, "share from 0 to 1"),
    ],
)
def test_a_wrong_shape_is_named(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        config(**changed)


def test_the_shape_goes_through_json() -> None:
    import json

    for changed in KINDS.values():
        made = config(**changed)
        assert type(made).from_json(json.loads(json.dumps(made.to_json()))) == made
    assert config(observation=NUMBERS).patches == 1
