"""`tsuite data record`, as people and programs call it."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from tsuite.domains.control.data import load_episodes

from ...commands import Said, tsuite


def record(*words: str, code: int = 0) -> Said:
    """What one command said; checks its exit code."""
    return tsuite("data", "record", "--env", "CartPole-v1", "--max-steps", "30", *words, code=code)


def test_figures_for_people(tmp_path: Path) -> None:
    words = ("--policy", "mix:0.5*scripted+0.5*against", "--episodes", "12", "--out", f"{tmp_path}/a")
    out = record(*words).out
    assert all(word in out for word in ("against", "scripted", "share of steps", "median", "terminated", "truncated"))
    with Image.open(tmp_path / "a" / "returns.png") as picture:
        assert picture.width > 1000
    episodes = load_episodes(tmp_path / "a")
    assert len(episodes) == 12
    assert {episode.policy for episode in episodes} == {"scripted", "against"}


def test_figures_for_programs(tmp_path: Path) -> None:
    words = ("--policy", "scripted", "--out", f"{tmp_path}/a", "--set", "sutton_barto_reward=true", "--json")
    told = record(*words, "--episodes", "3").json
    assert (told["command"], told["episodes"], told["steps"]) == ("data record", 3, 90)
    assert told["returns"] == {"n": 3, "mean": 0.0, "std": 0.0, "median": 0.0, "min": 0.0, "max": 0.0}
    assert (told["terminated"], told["truncated"], told["threshold"]) == (0, 3, 475.0)
    assert load_episodes(tmp_path / "a").setting.env_options == {"sutton_barto_reward": True, "max_episode_steps": 30}
    told = record(*words, "--episodes", "5", "--resume", "--format", "csv").json
    assert told["episodes"] == 5
    csv = tmp_path / "a" / "episodes.csv"
    assert str(csv) in told["artifacts"]
    assert len(csv.read_text().splitlines()) >= 151


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--policy", "skripted"], "Did you mean scripted"),
        (["--format", "hdf5"], "no format 'hdf5'"),
        (["--set", "gravity"], "option=value"),
        (["--policy", "sb3:ppo:none.zip"], "no file none.zip"),
    ],
)
def test_mistakes_are_sentences_and_leave_nothing_behind(tmp_path: Path, words: list[str], said: str) -> None:
    assert said in record("--out", f"{tmp_path}/a", *words, code=2).err
    assert not (tmp_path / "a").exists()
