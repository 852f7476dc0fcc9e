"""A run that SIGKILL ends, again and again, and that is continued each time, equals one that nothing disturbed."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tsuite.core.train.log import read_metrics

from .test_train import assert_same_run
from .toy import train_toy

PROGRAM = Path(__file__).with_name("toy.py")
OPTIONS: dict[str, Any] = {"epochs": 4, "accumulate": 2, "save_every": 4}


def start(folder: Path, *flags: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(PROGRAM), str(folder), json.dumps(OPTIONS), "--resume", *flags]
    return subprocess.Popen(command, stderr=subprocess.PIPE)


def wait_for(condition, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)


def killed_and_continued(tmp_path: Path, kills: int, seed: int) -> None:
    train_toy(tmp_path / "whole", **OPTIONS)
    chance, folder = random.Random(seed), tmp_path / "cut"
    for _ in range(kills):
        known = len(read_metrics(folder))
        process = start(folder, "--slow", "0.02")
        wait_for(lambda process=process, known=known: process.poll() is not None or len(read_metrics(folder)) != known)
        time.sleep(chance.uniform(0, 0.5))
        process.kill()
        process.communicate()
    process = start(folder)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors.decode()
    assert_same_run(tmp_path / "whole", folder)


def test_killed_once(tmp_path):
    killed_and_continued(tmp_path, 1, seed=1)


@pytest.mark.slow
def test_killed_twenty_times(tmp_path):
    killed_and_continued(tmp_path, 20, seed=2)


@pytest.mark.slow
def test_sigterm_saves_and_says_how_to_go_on(tmp_path):
    process = start(tmp_path / "run", "--slow", "0.2")
    wait_for(lambda: read_metrics(tmp_path / "run"))
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "Interrupted: Stopped after step" in " ".join(errors.decode().split())
    assert "--resume" in errors.decode()


@pytest.mark.slow
def test_second_signal_ends_at_once(tmp_path):
    process = start(tmp_path / "run", "--slow", "30")
    wait_for((tmp_path / "run" / "tensorboard").is_dir)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    time.sleep(1.3)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=5)
    assert process.returncode == -signal.SIGTERM
