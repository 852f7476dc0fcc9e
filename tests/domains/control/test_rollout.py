"""Episodes played by an actor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tsuite.core.errors import UserError
from tsuite.domains.control.film import Film
from tsuite.domains.control.rollout import play
from tsuite.domains.control.safety import Guard, Watchdog
from tsuite.domains.control.spaces import Space


class Counting:
    """Balances until it has earned what it was asked for, then lets the pole fall; keeps what it is told."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.seeds: list[int] = []
        self.earned = np.zeros(0)

    def reset(self, count: int, *, targets: np.ndarray | None, seed: int) -> None:
        self.batches.append(count)
        self.seeds.append(seed)
        self.earned = np.zeros(count)
        self.targets = np.full(count, np.inf) if targets is None else targets

    def act(self, observations: np.ndarray) -> np.ndarray:
        push = observations @ np.array([0.5, 1.0, 12.0, 2.5])
        return ((push > 0) == (self.earned < self.targets)).astype(np.int64)

    def reward(self, rewards: np.ndarray) -> None:
        self.earned = self.earned + rewards


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_episodes_are_the_same_whatever_the_batch(batch: int) -> None:
    actor, done = Counting(), []
    targets = np.array([20, 40, 60, 20, 500, 30, 50])
    episodes = play(
        "CartPole-v1", actor, seeds=range(100, 107), targets=targets, batch=batch, max_steps=80,
        tick=lambda *counts: done.append(counts), policy="counting",
    )  # fmt: skip
    assert [episode.seed for episode in episodes] == list(range(100, 107))
    assert all(asked <= len(item) < asked + 16 for asked, item in zip(targets, episodes, strict=True) if asked < 80)
    assert episodes[4].truncations[-1]
    assert not episodes[4].terminations[-1]
    assert {episode.policy for episode in episodes} == {"counting"}
    assert sum(actor.batches) == 7
    assert actor.seeds == list(range(100, 107, batch))
    assert done[-1] == (7, 7)
    alone = play("CartPole-v1", Counting(), seeds=range(100, 107), targets=targets, batch=2, max_steps=80)
    assert [item.digest() for item in alone] == [item.digest() for item in episodes]


def test_one_target_is_for_all_and_none_is_none() -> None:
    assert max(len(item) for item in play("CartPole-v1", Counting(), seeds=range(3), targets=10)) < 30
    assert [len(item) for item in play("CartPole-v1", Counting(), seeds=range(2))] == [500, 500]


class Broken(Counting):
    """Gives numbers that are none from its third step on."""

    step = 0

    def act(self, observations: np.ndarray) -> np.ndarray:
        self.step += 1
        return np.full((len(observations), 1), 9.0 if self.step < 3 else np.nan, np.float32)


def test_the_guard_stands_between_actor_and_environment() -> None:
    guard = Guard(Space(kind="box", shape=(1,), low=(-2.0,), high=(2.0,)), rate_limit=1.5)
    (episode,) = play("Pendulum-v1", Broken(), seeds=range(1), guard=guard, max_steps=10)
    assert episode.actions.ravel().tolist() == [1.5, *[2.0] * 9]
    assert np.isfinite(episode.rewards).all()
    assert guard.counts == {"clipped": 2, "slowed": 1, "held": 8, "unusual": 0}
    assert guard.steps == 10


def test_a_control_rate_is_held() -> None:
    watchdog = Watchdog(400)
    play("CartPole-v1", Counting(), seeds=range(1), batch=1, max_steps=40, watchdog=watchdog)
    assert watchdog.ticks == 40
    assert watchdog.report()["work_ms_p50"] < 2.5


def test_the_first_episode_is_filmed(tmp_path: Path) -> None:
    from PIL import Image

    with Film(tmp_path / "film.gif") as film:
        play("CartPole-v1", Counting(), seeds=range(3), targets=20, film=film, batch=2, max_steps=30)
    with Image.open(tmp_path / "film.gif") as picture:
        assert picture.n_frames == film.frames >= 10  # pyright: ignore[reportAttributeAccessIssue]
        assert picture.size == (480, 346)


def test_what_fails_is_said() -> None:
    with pytest.raises(UserError, match=r"CartPole-v1 failed at step 0 of the episode of seed 3, given the action 7"):
        play("CartPole-v1", type("Wrong", (Counting,), {"act": lambda self, seen: np.full(len(seen), 7)})(),
             seeds=[3])  # fmt: skip
    with pytest.raises(UserError, match="At least one episode"):
        play("CartPole-v1", Counting(), seeds=range(0))
