"""Who acts while episodes are recorded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from tsuite.core.errors import UserError
from tsuite.domains.control.episodes import Episode
from tsuite.domains.control.policies import policy
from tsuite.domains.control.rollout import Stage


def played(env: str, words: str, seeds: Sequence[int], **options: object) -> list[Episode]:
    """An episode from each seed, side by side."""
    stage = Stage(env, len(seeds), options)
    acting = policy(words, stage.setting)
    acting.reset(seeds)
    found = stage.play(seeds, acting.act, acting.reward, acting.names)
    stage.close()
    return found


def returns(env: str, words: str, seeds: Sequence[int], **options: object) -> list[float]:
    return [episode.returns for episode in played(env, words, seeds, **options)]


@pytest.mark.parametrize(
    ("env", "least"),
    [
        ("CartPole-v1", 500),
        ("InvertedPendulum-v5", 1000),
        ("Acrobot-v1", -200),
        ("MountainCar-v0", -130),
        ("MountainCarContinuous-v0", 90),
        ("Pendulum-v1", -400),
        ("CliffWalking-v1", -13),
    ],
)
def test_scripted_controllers_do_their_task(env: str, least: float) -> None:
    assert min(returns(env, "scripted", range(2))) >= least


def test_controllers_are_solved_from_tables_too() -> None:
    assert sum(returns("FrozenLake-v1", "scripted", range(10), is_slippery=False)) == 10
    assert sum(returns("FrozenLake-v1", "against", range(10), is_slippery=False)) == 0


def test_against_is_as_bad_as_it_gets() -> None:
    assert max(returns("CartPole-v1", "against", range(4))) <= 10
    assert max(returns("InvertedPendulum-v5", "against", range(4))) <= 15
    assert max(returns("Pendulum-v1", "against", range(2))) < -1500


def test_late_plays_well_until_its_step() -> None:
    assert all(100 <= length < 115 for length in returns("CartPole-v1", "late:100", range(4)))
    episodes = played("CartPole-v1", "late:20-200", range(6))
    turns = [int(episode.policy.partition(":")[2]) for episode in episodes]
    assert all(turn <= len(episode) < turn + 15 for turn, episode in zip(turns, episodes, strict=True))
    assert len(set(turns)) > 3


@pytest.mark.parametrize("steps", [20, 60, 120, 160, 300, 400])
def test_drift_ends_when_it_is_told_to(steps: int) -> None:
    lengths = returns("CartPole-v1", f"drift:{steps}", range(6))
    assert all(abs(length - steps) <= 6 + 0.12 * steps for length in lengths), lengths


def test_noise_is_the_share_that_was_asked_for() -> None:
    scripted, noisy, all_noise = (
        played("MountainCarContinuous-v0", words, [3], max_episode_steps=400)[0]
        for words in ("scripted", "noisy:0", "noisy:1")
    )
    assert scripted.digest() == noisy.digest()
    assert all_noise.actions.std() > 0.5
    some = played("Pendulum-v1", "noisy:0.3", range(4))
    law = policy("scripted", Stage("Pendulum-v1", 1, {}).setting)
    law.reset([0])
    changed = [(law.act(item.observations[:-1]) != item.actions).mean() for item in some]
    assert 0.2 < float(np.mean(changed)) < 0.4


def test_a_mixture_draws_one_of_several_for_each_episode() -> None:
    episodes = played("CartPole-v1", "mix:0.1*scripted+0.5*against+0.4*noisy:0.5-0.9", range(40))
    kinds = [episode.policy.partition(":")[0] for episode in episodes]
    counts = {kind: kinds.count(kind) for kind in set(kinds)}
    assert 1 <= counts["scripted"] <= 10
    assert 12 <= counts["against"] <= 28
    assert counts["noisy"] >= 8
    assert all(len(episode) == 500 for episode in episodes if episode.policy == "scripted")


@pytest.mark.parametrize("words", ["random", "mix:0.25*noisy:0.1-0.6+0.25*drift:20-90+0.25*late:10-50+0.25*random"])
def test_an_episode_is_the_same_beside_any_others(words: str) -> None:
    together = played("CartPole-v1", words, range(12))
    alone = [played("CartPole-v1", words, [seed])[0] for seed in range(12)]
    reverse = played("CartPole-v1", words, range(11, -1, -1))
    assert [item.digest() for item in together] == [item.digest() for item in alone]
    assert [item.digest() for item in reverse] == [item.digest() for item in together[::-1]]
    assert len({item.digest() for item in together}) == 12


def test_random_is_anything_there_is() -> None:
    choices = np.concatenate([item.actions for item in played("Acrobot-v1", "random", [0], max_episode_steps=60)])
    assert set(choices.tolist()) == {0, 1, 2}
    forces = played("Pendulum-v1", "random", [0])[0].actions
    assert forces.shape == (200, 1)
    assert -2 <= forces.min() < -1.5 < 1.5 < forces.max() <= 2


@pytest.mark.parametrize(
    ("env", "words", "said"),
    [
        ("CartPole-v1", "skripted", "Did you mean scripted"),
        ("CartPole-v1", "noisy:1.5", "from 0 to 1"),
        ("CartPole-v1", "noisy", "noisy:0.3"),
        ("CartPole-v1", "late:9-3", "LOW-HIGH"),
        ("CartPole-v1", "mix:0.5*scripted+x", r"no policy 'scripted\+x'"),
        ("CartPole-v1", "mix:scripted", "cannot be read at"),
        ("CartPole-v1", "mix:0*scripted", "cannot be read at"),
        ("CartPole-v1", "mix:0.5*scripted+0.5*nothing", "no policy 'nothing'"),
        ("CartPole-v1", "mix:0.5*scripted+0.9*random", r"add up to 1\.4, not to 1"),
        ("CartPole-v1", "mix:0.5*random", r"add up to 0\.5, not to 1"),
        ("Pendulum-v1", "drift:50", "drift: is for CartPole-v1"),
        ("HalfCheetah-v5", "scripted", "no scripted controller for HalfCheetah-v5"),
        ("CartPole-v1", "sb3:ppo", "names no algorithm and file"),
        ("CartPole-v1", "sb3:pppo:x.zip", "Did you mean ppo"),
        ("CartPole-v1", "sb3:ppo:missing.zip", "no file missing.zip"),
    ],
)
def test_words_that_are_not_understood(env: str, words: str, said: str) -> None:
    setting = Stage(env, 0, {}).setting
    with pytest.raises(UserError, match=said):
        policy(words, setting)


def test_pickled_policies_are_opened_only_by_those_who_ask_for_it(tmp_path: object) -> None:
    path = f"{tmp_path}/model.zip"
    with open(path, "wb") as file:
        file.write(b"PK")
    with pytest.raises(UserError, match=r"holds pickled code.*--allow-pickle"):
        policy(f"sb3:ppo:{path}", Stage("CartPole-v1", 0, {}).setting)
