"""Acting with the cache: equal to computing the window anew until it slides, row for row, and quick."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tsuite.domains.control.decision_transformer.acting import Player
from tsuite.domains.control.decision_transformer.model import DecisionTransformer
from tsuite.domains.control.decision_transformer.quick import QuickDecoder
from tsuite.domains.control.decision_transformer.windows import batch_of
from tsuite.domains.control.episodes import Episode

from .tinypolicies import KINDS, network, values


def played(player: Player, steps: int, *, rows: int = 1, first: int = 0) -> np.ndarray:
    """Actions [steps, N, A] of rows that see what the seed `first` + row gives."""
    space = player.config.observation
    seen = np.stack([values(space, steps, np.random.default_rng(first + row)) for row in range(rows)], 1)
    player.reset(rows, targets=first + np.arange(rows, dtype=float), seed=first)
    said = []
    for step in range(steps):
        action = player.act(seen[step])
        assert action.shape == (rows, *player.config.action.shape)
        assert action.dtype == np.dtype(player.config.action.dtype)
        said.append(action.reshape(rows, -1))
        player.reward(np.full(rows, 0.5))
    return np.stack(said)


def logits(player: Player) -> list[torch.Tensor]:
    """A list that grows by what the network says at each step."""
    said: list[torch.Tensor] = []
    say = player.network.say

    def telling(x: torch.Tensor) -> Any:
        found = say(x)
        said.append(found.raw[:, 0])
        return found

    player.network.say = telling  # type: ignore[method-assign]
    return said


def spoken(net: DecisionTransformer, steps: int, **how: Any) -> torch.Tensor:
    """What it says in `steps` steps: [steps, N, H, O]."""
    rows = how.pop("rows", 1)
    first = how.pop("first", 0)
    player = Player(net, **how)
    said = logits(player)
    try:
        played(player, steps, rows=rows, first=first)
    finally:
        del player.network.say
    return torch.stack(said)


@pytest.mark.parametrize("kind", KINDS)
def test_the_cache_changes_nothing_until_the_window_slides(kind: str) -> None:
    net = network(**KINDS[kind])
    context = net.config.context
    cached, anew = (spoken(net, context + 1, rows=2, cached=cached) for cached in (True, False))
    torch.testing.assert_close(cached[:context], anew[:context], rtol=1e-4, atol=1e-5)
    assert (cached[context] - anew[context]).abs().max() > 1e-3  # the one sees fewer steps than the other


@pytest.mark.parametrize("kind", ["numbers", "picture", "cloning"])
def test_after_sliding_it_sees_the_newer_half(kind: str) -> None:
    """The window of 6 is full after step 5; at step 6 it goes on with 3, and grows to 6 again."""
    net = network(**{**KINDS[kind], "context": 6})
    said = spoken(net, 11)
    space = net.config.observation
    seen = values(space, 11, np.random.default_rng(0))
    player = Player(net)
    acted = played(player, 11)[:, 0]
    asked = -0.5 * np.arange(11, dtype=np.float32)
    for step, start in ((6, 4), (8, 4), (9, 4), (10, 8)):
        episode = Episode(
            id="", observations=seen, actions=acted.reshape(11, *net.config.action.shape),
            rewards=np.zeros(11, np.float32), terminations=np.zeros(11, bool), truncations=np.zeros(11, bool),
        )  # fmt: skip
        from tsuite.domains.control.decision_transformer.windows import Window

        window = Window(id="", episode=episode, returns_to_go=asked, start=start, stop=step + 1)
        with torch.no_grad():
            expected = net(batch_of([window], context=step + 1 - start)).raw[:, -1]
        torch.testing.assert_close(said[step], expected, rtol=1e-4, atol=1e-5)


def test_without_the_cache_it_sees_the_whole_window() -> None:
    net = network()
    player = Player(net, cached=False)
    played(player, 12)
    assert player.length == player.capacity == 5 * 3 - 1


@pytest.mark.parametrize("kind", ["numbers", "bounded", "camera"])
def test_rows_do_not_change_each_other(kind: str) -> None:
    net = network(**KINDS[kind])
    together = spoken(net, 9, rows=3)
    alone = torch.cat([spoken(net, 9, first=row) for row in range(3)], 1)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_drawn_actions_follow_the_seed_of_the_row() -> None:
    net = network()
    together = played(Player(net, temperature=1.0), 9, rows=3)
    alone = np.concatenate([played(Player(net, temperature=1.0), 9, first=row) for row in range(3)], 1)
    np.testing.assert_array_equal(together, alone)
    assert (together != played(Player(net, temperature=1.0), 9, rows=3, first=50)).any()


def test_rows_that_go_on() -> None:
    net = network(**KINDS["bounded"])
    player = Player(net)
    seen = values(net.config.observation, 20, np.random.default_rng(0)).reshape(4, 5, -1)
    player.reset(5, targets=np.arange(5.0))
    for step in range(3):
        player.act(seen[step])
        player.reward(np.ones(5))
    player.keep(np.array([1, 4]))
    some = player.act(seen[3][[1, 4]])
    again = Player(net)
    again.reset(5, targets=np.arange(5.0))
    wholes = []
    for step in range(4):
        wholes.append(again.act(seen[step]))
        again.reward(np.ones(5))
    np.testing.assert_allclose(some, wholes[-1][[1, 4]], atol=1e-5)


def test_a_chunk_is_carried_out_before_the_network_is_asked_again() -> None:
    net = network(**KINDS["chunks"])
    patient, eager = Player(net, execute=3), Player(net)
    said = logits(patient)
    patiently = played(patient, 4)
    del patient.network.say
    assert len(said) == 2
    with torch.no_grad():
        chunk = net.head.decode(said[0])[0].numpy()
    np.testing.assert_allclose(patiently[:3, 0], chunk, atol=1e-6)
    np.testing.assert_allclose(played(eager, 1)[0], patiently[0], atol=1e-6)
    with pytest.raises(ValueError, match="of 3 actions ahead, 4"):
        Player(net, execute=4)


def test_after_a_chunk_it_has_seen_all_of_it() -> None:
    """The tokens that were held back go in together; the answer is that of whoever put them in one by one."""
    net = network(**{**KINDS["chunks"], "context": 12})
    player = Player(net, execute=3)
    said = logits(player)
    acted = played(player, 7)
    del player.network.say
    other = Player(net)
    seen = values(net.config.observation, 7, np.random.default_rng(0))
    other.reset(1, targets=[0.0])
    told = logits(other)
    for step in range(7):
        other.act(seen[step : step + 1])
        other.did(acted[step])
        other.reward(np.full(1, 0.5))
    del other.network.say
    for number, step in enumerate((0, 3, 6)):
        torch.testing.assert_close(said[number], told[step], rtol=1e-4, atol=1e-5)


def test_what_was_really_done_is_what_it_sees() -> None:
    net = network(**KINDS["bounded"])
    seen = values(net.config.observation, 2, np.random.default_rng(0))
    answers = []
    for done in (None, np.zeros((1, 2), np.float32)):
        player = Player(net)
        player.act(seen[:1])
        if done is not None:
            player.did(done)
        answers.append(player.act(seen[1:]))
    assert np.abs(answers[0] - answers[1]).max() > 1e-4


def test_returns_stay_within_what_was_learnt() -> None:
    net = network()
    seen = values(net.config.observation, 1, np.random.default_rng(0))

    def said(target: float, **how: Any) -> torch.Tensor:
        player = Player(net, **how)
        player.reset(1, targets=[target])
        found = logits(player)
        player.act(seen)
        del player.network.say
        return found[0]

    bounds = (1.0, 20.0)
    torch.testing.assert_close(said(300.0, bounds=bounds), said(20.0))
    torch.testing.assert_close(said(-5.0, bounds=bounds), said(1.0))
    assert (said(20.0) - said(300.0)).abs().max() > 1e-3
    with pytest.raises(ValueError, match="need as many targets"):
        Player(net).reset(2, targets=[1.0])


@torch.no_grad()
def test_the_quick_decoder_is_the_decoder() -> None:
    net = network(heads=2)
    x = torch.randn(3, 11, 16)
    quick, cache, slow = QuickDecoder(net.decoder), net.decoder.new_cache(20), net.decoder.new_cache(20)
    for start, stop in ((0, 2), (2, 5), (5, 6), (6, 11)):
        expected = net.decoder(x[:, start:stop], cache=slow)[:, -1]
        torch.testing.assert_close(quick(x[:, start:stop], cache), expected, rtol=1e-4, atol=1e-5)
        for one, other in zip(cache.own, slow.own, strict=True):
            torch.testing.assert_close(one.read(), other.read(), rtol=1e-4, atol=1e-5)


def test_time_is_taken() -> None:
    player = Player(network())
    played(player, 6)
    assert len(player.times) == 6
    assert all(0 < seconds < 5 for seconds in player.times)
