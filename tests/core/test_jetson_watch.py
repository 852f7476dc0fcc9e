"""That a board holds itself back is told when it starts and when it has ended, and the work goes on."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from tsuite.core import train
from tsuite.core.jetson import watch as watching
from tsuite.core.jetson.sensors import Sensors
from tsuite.core.jetson.watch import Watch
from tsuite.core.options import build
from tsuite.core.train.log import read_metrics

from . import trees
from .toy import Toy, ToyOptions, toy_splits

CPU, GPU = (f"sys/class/thermal/cooling_device{number}/cur_state" for number in (1, 2))


@pytest.fixture
def board(tmp_path: Path) -> Path:
    return trees.tree(tmp_path / "board", "6.2", "nx")


def looking(root: Path) -> tuple[Watch, list[str]]:
    told: list[str] = []
    return Watch(told.append, sensors=Sensors.here(root), every=0.0), told


def test_heat_is_told_once_and_when_it_is_over(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch, told = looking(board)
    assert not watch.look()
    trees.write(board, GPU, "1\n")
    assert watch.look()
    assert not watch.look()  # nothing new
    assert told == ["the board is throttled: gpu held back by heat at 52 °C (cpu). The work goes on, more slowly"]
    trees.write(board, CPU, "2\n")
    assert watch.look()
    assert watch.throttled == ("gpu", "cpu")
    assert "cpu held back" in told[1]
    trees.write(board, GPU, "0\n")
    trees.write(board, CPU, "0\n")
    assert not watch.look()  # it may be hot again in a moment
    monkeypatch.setattr(watching, "QUIET", 0.0)
    assert watch.look()
    assert watch.throttled == ()
    assert "has not been held back for 0 s" in told[2]
    assert not watch.look()
    assert len(told) == 3


def test_an_overdrawn_supply_is_a_count_that_grows(board: Path) -> None:
    counter = next(iter(Sensors.here(board).counters))
    watch, told = looking(board)
    assert not watch.look()  # it counts since the board started: what was before is no news
    counter.write_text(f"{int(counter.read_text()) + 3}\n", encoding="utf-8")
    assert watch.look()
    assert told == [
        "the board is throttled: clocks cut because the supply or a rail is overdrawn. The work goes on, more slowly"
    ]
    assert watch.throttled == ("supply",)
    assert not watch.look()


def test_it_looks_seldom(board: Path) -> None:
    told: list[str] = []
    watch = Watch(told.append, sensors=Sensors.here(board), every=60.0)
    watch.look()
    trees.write(board, GPU, "1\n")
    assert not watch.look()
    assert not told


def test_nothing_is_read_where_there_are_no_sensors(tmp_path: Path) -> None:
    watch, told = looking(tmp_path)
    assert watch.sensors is None
    assert not watch.look()
    assert not told


def test_files_that_fall_silent_are_no_throttling(board: Path) -> None:
    watch, told = looking(board)
    for path in (CPU, GPU):
        (board / path).unlink()
    for counter in Sensors.here(board).counters:
        counter.write_text("?", encoding="utf-8")
    assert not watch.look()
    assert not told


def test_a_training_says_so_and_goes_on(board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sensors, "here", classmethod(lambda cls: real(board)))
    trees.write(board, GPU, "1\n")
    stream = io.StringIO()
    options = build(ToyOptions, {"max_steps": 3})
    train.fit(Toy(), toy_splits(), options, tmp_path / "run", console=Console(file=stream, width=200))
    lines = [line for line in read_metrics(tmp_path / "run") if line["split"] == "board"]
    assert lines == [{"split": "board", "step": 1, "throttled": ["gpu"]}]
    assert stream.getvalue().count("gpu held back by heat") == 1


real = Sensors.here
