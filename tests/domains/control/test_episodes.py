"""Episodes: returns, hashes, choosing among them, and what of bad ones is said and done."""

from __future__ import annotations

import numpy as np
import pytest
from tsuite.core.errors import UserError
from tsuite.domains.control.episodes import Episodes, Setting, check, usable

from .tiny_episodes import SPACES, changed, make


def test_returns() -> None:
    episode = make()[0]
    assert len(episode) == 5
    assert episode.returns == pytest.approx(sum(float(value) for value in episode.rewards))
    slow = [sum(float(value) for value in episode.rewards[step:]) for step in range(5)]
    assert np.allclose(episode.returns_to_go(), slow, atol=1e-6)
    assert episode.returns_to_go().dtype == np.float32


def test_choosing() -> None:
    episodes = make(lengths=(4, 4, 4, 4))
    episodes = Episodes(list(episodes), episodes.setting, notices=["so"], returns=np.array([1.0, 9.0, 3.0, 7.0]))
    assert [item.id for item in episodes[1:3]] == ["1", "2"]
    assert (episodes[-1].id, episodes.steps, episodes[1:3].notices) == ("3", 16, ("so",))
    assert [item.id for item in episodes.best(0.5)] == ["1", "3"]
    assert [item.id for item in episodes.best(0.01)] == ["1"]
    assert episodes.told("more", name="new").notices == ("so", "more")


def test_the_hash_sees_everything() -> None:
    episodes = make()
    assert episodes.sha256 == make().sha256
    others = [make(seed=1), make("arm"), episodes[:3], episodes.take([1, 0, 2, 3]), make(env="X-v0")]
    for name in ("rewards", "truncations", "observations", "actions"):
        values = getattr(episodes[2], name).copy()
        values[0] = 1 - values[0]
        others.append(changed(episodes, 2, **{name: values}))
    assert len({episodes.sha256, *(other.sha256 for other in others)}) == 1 + len(others)


def test_a_setting_there_and_back() -> None:
    observation, action = SPACES["picture"]
    for setting in (
        Setting(observation=observation, action=action),
        Setting(observation=observation, action=action, env="X-v0", env_options={"a": [1]}, reference=(1.0, 2.0)),
    ):
        assert Setting.from_json(setting.to_json()) == setting
    with pytest.raises(UserError, match="no description of an environment"):
        Setting.from_json({"env": "X-v0"})


# -- bad input --------------------------------------------------------------------------------------------------------


def test_rewards_that_are_missing_are_named() -> None:
    rewards = make()[2].rewards.copy()
    rewards[[3, 5]] = np.nan
    kept, notices = usable(changed(make(), 2, rewards=rewards), make().setting)
    assert [item.id for item in kept] == ["0", "1", "3"]
    assert notices == [
        "Left out for its rewards: Episode 2: the reward at step 3 and at 1 more is missing (NaN).",
    ]


def test_an_episode_without_a_step_is_left_out_and_one_of_one_step_kept() -> None:
    kept, notices = usable(make(lengths=(0, 3, 1, 0)), make().setting)
    assert [len(item) for item in kept] == [3, 1]
    assert notices == ["Left out: 2 episodes (0, 3), without a step."]


def test_an_episode_cut_short_is_truncated_and_said() -> None:
    none = np.zeros(3, bool)
    kept, notices = usable(changed(make(), 3, truncations=none, terminations=none), make().setting)
    assert kept[3].truncations.tolist() == [False, False, True]
    assert not kept[3].terminations.any()
    assert notices == ["Cut short: episode 3 stopped without an end, which is taken as truncated."]


def test_nothing_left() -> None:
    with pytest.raises(UserError, match=r"No episode can be used. Left out: episode 0, without a step"):
        usable(make(lengths=(0,)), make().setting)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"observations": np.zeros((9, 3), np.float32)}, r"Episode 2: observations has the shape \(9, 3\), where 4"),
        ({"observations": np.zeros((8, 4), np.float32)}, "Episode 2 has 8 rewards and 8 observations, not 9"),
        ({"observations": np.full((9, 4), np.nan, np.float32)}, r"Episode 2: observations holds nan at \[0, 0\]"),
        ({"actions": np.full(8, 2)}, "Episode 2: actions holds 2, which is none of the 2 choices"),
        ({"rewards": np.full(8, np.inf, np.float32)}, "Episode 2: the reward at step 0 and at 7 more is infinite"),
        ({"terminations": np.arange(8) == 4}, "Episode 2 goes on after it ended at step 4 of 8"),
    ],
)
def test_what_does_not_fit(fields: dict, words: str) -> None:
    bad = changed(make(), 2, **fields)
    with pytest.raises(UserError, match=words):
        check(bad[2], bad.setting)
