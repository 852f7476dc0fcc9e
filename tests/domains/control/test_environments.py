"""Environments made by name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tsuite.core.errors import UserError
from tsuite.domains.control import environments, sketch


def test_an_environment_as_plain_data() -> None:
    setting = environments.setting_of("CartPole-v1")
    assert (setting.max_steps, setting.threshold, setting.reference) == (500, 475.0, None)
    assert (setting.observation.words(), setting.action.words()) == ("4 numbers", "2 choices")
    hopper = environments.setting_of("Hopper-v5", max_episode_steps=20)
    assert hopper.max_steps == 20
    assert hopper.reference == (-20.272305, 3234.3)
    assert hopper.action.bounds is not None


def test_options_reach_the_environment() -> None:
    assert environments.make("Pendulum-v1", g=3.5).unwrapped.g == 3.5
    assert environments.options_of({"g": "3.5", "sutton_barto_reward": "True", "map_name": "8x8", "desc": "null"}) == {
        "g": 3.5, "sutton_barto_reward": True, "map_name": "8x8", "desc": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("CartPoole-v1", {}, "Did you mean CartPole-v1"),
        ("Hopper", {}, "Hopper-v5"),
        ("nothing_here:Env-v0", {}, "to import it is to run it"),
        ("CartPole-v1", {"foo": 1}, "cannot be made with foo=1"),
        ("Blackjack-v1", {}, "kind Tuple is not understood"),
    ],
)
def test_mistakes_are_said(name: str, options: dict[str, int], said: str) -> None:
    with pytest.raises(UserError, match=said):
        environments.setting_of(name, **options)


def test_a_module_is_imported_only_where_a_person_named_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "a_module_of_mine.py").write_text("import nothing_like_this\n", encoding="utf-8")
    with pytest.raises(UserError, match="If you trust it, name it yourself: --env a_module_of_mine:Env-v0"):
        environments.setting_of("a_module_of_mine:Env-v0")
    with pytest.raises(UserError, match="no module nothing_like_this"):
        environments.setting_of(environments.name("a_module_of_mine:Env-v0"))


def test_mujoco_writes_nothing_into_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mujoco")
    monkeypatch.chdir(tmp_path)
    environments.make("Hopper-v5").close()
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(bool(os.environ.get("DISPLAY")), reason="this machine has a screen")
def test_without_a_screen_egl_is_asked_for_unless_something_else_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    environments.headless()
    assert os.environ["MUJOCO_GL"] == "egl"
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    environments.headless()
    assert os.environ["MUJOCO_GL"] == "osmesa"


@pytest.mark.parametrize("word", ["nan", "-inf", "NaN", "Infinity", "1e999"])
def test_options_are_finite(word: str) -> None:
    with pytest.raises(UserError, match=f"--set takes finite numbers, not {word}"):
        environments.options_of({"gravity": word})
    told = environments.options_of({"a": "1.5", "b": "True", "c": "information", "d": "-2"})
    assert told == {"a": 1.5, "b": True, "c": "information", "d": -2}


def test_steps_a_second() -> None:
    rates = [environments.frame_rate(env) for env in ("CartPole-v1", "tsuite/GridPath-v0", "", "Nowhere-v0")]
    assert rates == [50, 8, None, None]


def test_gymnasium_is_asked_for_by_its_extra() -> None:
    code = (
        "import sys; sys.modules['gymnasium'] = None\n"
        "from tsuite.core.errors import UserError\n"
        "from tsuite.domains.control import environments\n"
        "try: environments.make('CartPole-v1')\n"
        "except UserError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "gymnasium, which is not installed" in done.stdout
    assert "tsuite[control]" in done.stdout


@pytest.mark.parametrize("name", ["CartPole-v1", "Acrobot-v1", "Pendulum-v1", "MountainCar-v0", "InvertedPendulum-v5"])
def test_sketches_show_what_changes(name: str) -> None:
    env = environments.make(name)
    first, _ = env.reset(seed=0)
    second = first + 0.4
    one, other = sketch.draw(name, first), sketch.draw(name, second)
    assert one.shape == other.shape == (320, 480, 3)
    assert one.dtype == np.uint8
    assert 100 < (one != other).any(2).sum() < 60_000


def test_unknown_environments_are_drawn_too() -> None:
    assert sketch.draw("Any-v0", np.array([0.0, 5.0, np.nan])).shape == (320, 480, 3)
    cells = np.zeros((3, 4, 4), np.uint8)
    cells[1, 0, 3] = 1
    shown = sketch.draw("Any-v0", cells)
    assert shown.shape == (320, 320, 3)
    assert shown[10, 310].tolist() == [0, 255, 0]
    assert shown[310, 10].tolist() == [0, 0, 0]


def test_an_environment_that_cannot_draw_says_nothing() -> None:
    env = environments.make("CartPole-v1")
    env.reset(seed=0)
    assert environments.render(env) is None
