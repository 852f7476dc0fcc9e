"""Recording episodes, whatever happens on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tsuite.core.errors import Interrupted, UserError
from tsuite.domains.control import environments
from tsuite.domains.control.data import collect
from tsuite.domains.control.record import CHUNK, record
from tsuite.domains.control.store import Writer, read_store

MIXED = "mix:0.3*scripted+0.7*noisy:0.2-0.9"


def some(folder: Path, episodes: int = 20, **others: object):
    settings = {"episodes": episodes, "seed": 5, "workers": 1, "max_steps": 60, **others}
    return record("CartPole-v1", MIXED, folder, **settings)  # pyright: ignore[reportArgumentType]


def test_a_recording_is_what_was_asked_for(tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    made = some(tmp_path / "a", tick=lambda *counts: done.append(counts))
    assert len(made) == 20
    assert [episode.seed for episode in made] == list(range(5, 25))
    assert (done[0], done[-1]) == ((0, 20), (20, 20))
    assert made.setting.max_steps == 60
    assert {episode.policy.partition(":")[0] for episode in made} == {"scripted", "noisy"}
    for episode in made:
        assert len(episode) <= 60
        assert bool(episode.terminations[-1]) != bool(episode.truncations[-1])
        assert bool(episode.truncations[-1]) == (len(episode) == 60 and not episode.terminations[-1])
        assert not episode.terminations[:-1].any()
    assert any(episode.truncations[-1] for episode in made)
    assert any(episode.terminations[-1] for episode in made)


def test_an_episode_depends_on_its_seed_alone(tmp_path: Path) -> None:
    many, few = some(tmp_path / "a"), some(tmp_path / "b", 3, seed=11)
    assert [few[i].digest() for i in range(3)] == [many[i].digest() for i in range(6, 9)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_recording_goes_on_and_ends_the_same(tmp_path: Path, number: signal.Signals) -> None:
    said: list[str] = []
    with pytest.raises(Interrupted, match=r"of 20 episodes, which are kept.*--resume goes on"):
        some(tmp_path / "a", tick=lambda done, _: os.kill(os.getpid(), number) if done else None, notice=said.append)
    kept = read_store(tmp_path / "a")
    assert len(kept) == CHUNK
    assert said
    assert some(tmp_path / "a", resume=True).sha256 == some(tmp_path / "b").sha256


def test_episodes_that_are_over_are_kept_when_the_others_of_their_chunk_are_not(tmp_path: Path) -> None:
    whole = some(tmp_path / "a")
    with Writer(
        tmp_path / "b", whole.setting, told=json.loads((tmp_path / "a/meta.json").read_text())["told"]
    ) as writer:
        for index in (1, 4, 17):
            writer.append(whole[index])
    assert some(tmp_path / "b", resume=True).sha256 == whole.sha256


def test_more_episodes_can_be_recorded_later(tmp_path: Path) -> None:
    some(tmp_path / "a", 11)
    assert some(tmp_path / "a", 20, resume=True).sha256 == some(tmp_path / "b", 20).sha256
    assert len(some(tmp_path / "a", 5, resume=True)) == 20  # what is there is there


def test_another_recording_is_never_touched(tmp_path: Path) -> None:
    some(tmp_path / "a", 3)
    with pytest.raises(UserError, match=r"holds a recording already.*--resume"):
        some(tmp_path / "a")
    with pytest.raises(UserError, match="with seed 5, not 6"):
        some(tmp_path / "a", seed=6, resume=True)
    with pytest.raises(UserError, match="max_episode_steps"):
        some(tmp_path / "a", max_steps=61, resume=True)
    with pytest.raises(UserError, match="no recording to go on with"):
        some(tmp_path / "nothing", resume=True)
    with pytest.raises(UserError, match="at least one episode"):
        some(tmp_path / "b", 0)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="holds other things"):
        some(tmp_path / "full")
    assert len(read_store(tmp_path / "a")) == 3


@pytest.mark.slow
def test_processes_make_no_difference(tmp_path: Path) -> None:
    assert some(tmp_path / "a", 40, workers=2).sha256 == some(tmp_path / "b", 40).sha256


@pytest.mark.slow
def test_what_a_process_fails_at_is_said(tmp_path: Path) -> None:
    module = tmp_path / "fragile_env.py"
    module.write_text(
        "import gymnasium\n"
        "from gymnasium.envs.classic_control import CartPoleEnv\n"
        "class Fragile(CartPoleEnv):\n"
        "    def step(self, action):\n"
        "        if self.state[0] > 0.2: raise RuntimeError('the belt came off')\n"
        "        return super().step(action)\n"
        "gymnasium.register('Fragile-v0', entry_point=Fragile, max_episode_steps=200)\n"
    )
    code = (
        "from tsuite.domains.control.record import record\n"
        "from tsuite.core.errors import UserError\n"
        "if __name__ == '__main__':\n"
        "    try: record('fragile_env:Fragile-v0', 'random', 'out', episodes=200, workers=2)\n"
        "    except UserError as error: print(error)\n"
    )
    (tmp_path / "main.py").write_text(code)
    done = subprocess.run([sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "failed at step" in done.stdout
    assert "the belt came off" in done.stdout


FAULTY = """
import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv
class Faulty(CartPoleEnv):
    begun = 0
    def reset(self, **how):
        Faulty.begun += 1
        return super().reset(**how)
    def step(self, action):
        seen, _, *rest = super().step(action)
        return seen, float("nan") if Faulty.begun > WHOLE else 1.0, *rest
gymnasium.register("FaultyWHOLE-v0", Faulty, max_episode_steps=5)
"""


@pytest.mark.parametrize("whole", [0, CHUNK])
def test_rewards_that_are_no_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: int) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"faulty{whole}.py").write_text(FAULTY.replace("WHOLE", str(whole)))
    folder = tmp_path / "new" / "made"
    with pytest.raises(
        UserError, match=rf"Faulty{whole}-v0 gave nan as the reward of step 0 of the episode of seed"
    ) as caught:
        record(environments.name(f"faulty{whole}:Faulty{whole}-v0"), "random", folder, episodes=12, workers=1)
    assert folder.parent.exists() == folder.exists() == bool(whole)
    assert ("The 8 episodes recorded before are kept in" in str(caught.value)) == bool(whole)
    if whole:
        assert len(read_store(folder)) == CHUNK


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_kill_at_any_instant_loses_nothing_that_was_written(tmp_path: Path, workers: int) -> None:
    code = (
        "import sys\n"
        "from tsuite.domains.control import record\n"
        "record.OFTEN = 0.05\n"
        "if __name__ == '__main__':\n"
        f"    record.record('CartPole-v1', {MIXED!r}, 'out', episodes=600, seed=5, workers={workers}, max_steps=60,\n"
        "                  resume='resume' in sys.argv, tick=lambda *counts: print(*counts, flush=True))\n"
    )
    (tmp_path / "main.py").write_text(code)
    kept, resumed = 0, 0
    for _ in range(2):
        words = [sys.executable, "main.py", *["resume"] * (tmp_path / "out/meta.json").exists()]
        with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if int(line.split()[0]) >= kept + 120:
                    time.sleep(0.01)
                    process.kill()
                    break
        now = len(list((tmp_path / "out").glob("episodes-*.safetensors")))
        assert now > resumed
        resumed, kept = now, len(read_store(tmp_path / "out"))
    assert 0 < kept < 600
    made = some(tmp_path / "out", 600, resume=True)
    assert made.sha256 == some(tmp_path / "whole", 600).sha256


def test_an_environment_without_a_time_limit_gets_one_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "ENDLESS", 7)
    gymnasium = environments.gymnasium()
    spec = gymnasium.spec("MountainCar-v0")
    gymnasium.register("Endless-v0", entry_point=spec.entry_point)
    try:
        said: list[str] = []
        made = record("Endless-v0", "random", tmp_path / "a", episodes=2, workers=1, notice=said.append)
        assert said == ["Endless-v0 has no time limit: episodes are cut after 7 steps. --max-steps changes that."]
        assert made.setting.max_steps == 7
        assert made.lengths.tolist() == [7, 7]
    finally:
        del gymnasium.registry["Endless-v0"]


def test_a_recording_whose_meta_json_is_damaged(tmp_path: Path) -> None:
    some(tmp_path / "a", 3)
    meta = tmp_path / "a" / "meta.json"
    meta.write_text(meta.read_text()[:50])
    for work in (
        lambda: some(tmp_path / "a", resume=True),
        lambda: some(tmp_path / "a"),
        lambda: collect(tmp_path / "a"),
    ):
        with pytest.raises(UserError, match=r"meta\.json is damaged or missing"):
            work()
    assert len(list((tmp_path / "a").glob("*.safetensors"))) == 1
