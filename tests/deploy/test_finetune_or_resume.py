"""What the systemd unit calls after power comes back: begin, go on, or leave a finished run alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest


@pytest.fixture
def call(deploy: Path, tmp_path: Path):
    """Call the script for tmp_path/run with a `tsuite` that prints its words, one a line."""
    command = tmp_path / "tsuite"
    command.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n', encoding="utf-8")
    command.chmod(0o755)

    def call(**environment: str) -> subprocess.CompletedProcess[str]:
        told = {"PATH": os.environ["PATH"], "TSUITE": str(command), **environment}
        script = deploy / "jetson/finetune-or-resume.sh"
        words = ["bash", str(script), str(tmp_path / "run")]
        return subprocess.run(words, env=told, capture_output=True, text=True, check=False)

    return call


def test_where_nothing_is_a_run_begins_with_the_options_as_they_were_quoted(call, tmp_path: Path) -> None:
    done = call(MODEL="vision.vit", OPTIONS="--data 'my pictures' --epochs 2 $(id) --set a=\"b c\"")
    assert done.stdout.splitlines() == [
        "finetune", "vision.vit", "--run", str(tmp_path / "run"),
        "--data", "my pictures", "--epochs", "2", "$(id)", "--set", "a=b c",
    ]  # fmt: skip
    assert call(MODEL="vision.vit").stdout.splitlines()[-1] == str(tmp_path / "run")


def test_an_interrupted_run_is_resumed_and_a_finished_one_left_alone(call, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.yaml").touch()
    done = call(MODEL="vision.vit", OPTIONS="--epochs 2")
    assert done.stdout.splitlines() == ["finetune", "vision.vit", "--run", str(tmp_path / "run"), "--resume"]
    (tmp_path / "run/card.json").touch()
    assert call(MODEL="vision.vit").stdout == f"The run in {tmp_path / 'run'} is finished.\n"


def test_without_a_model_it_says_so(call) -> None:
    done = call()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("MODEL is not set")


def test_the_names_it_looks_for_are_those_that_training_writes() -> None:
    from tsuite.core.train import folder

    assert (folder.CONFIG, folder.CARD) == ("config.yaml", "card.json")


@pytest.mark.jetson
def test_a_training_that_lost_its_power_goes_on_to_its_end(deploy: Path, tmp_path: Path) -> None:
    command, run = tmp_path / "tsuite", tmp_path / "run"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tsuite "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    options = "--max-steps 40 --save-every 10 --batch-size 16"
    told = {**os.environ, "TSUITE": str(command), "MODEL": "vision.vit", "OPTIONS": options}
    words = ["bash", str(deploy / "jetson/finetune-or-resume.sh"), str(run)]
    with subprocess.Popen(words, env=told, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        end = time.monotonic() + 120
        while not list(run.glob("checkpoints/step-*")) and time.monotonic() < end:
            time.sleep(0.05)
        first.kill()
    assert list(run.glob("checkpoints/step-*"))
    assert not (run / "card.json").exists()
    again = subprocess.run(words, env=told, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert json.loads((run / "card.json").read_text(encoding="utf-8"))["steps"] == 40
