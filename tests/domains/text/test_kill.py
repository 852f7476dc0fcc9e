"""A fine-tuning that SIGKILL ends twenty times, and that is continued each time, equals one that nothing disturbed."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tsuite.core.train.log import read_metrics

from . import tiny

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import sys
from pathlib import Path
from tests.domains.text import tiny
from tsuite.domains.text.phi15_zh import assessment

assessment.english = lambda task: float("nan")  # its data would have to be fetched
base, data, folder = map(Path, sys.argv[1:])
tiny.data = lambda: data
begun = (folder / "config.yaml").is_file()
tiny.train(folder, base=str(base), rows=20, epochs=30, batch_size=4, save_every=3, packing="off", resume=begun)
"""


def start(base: Path, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", PROGRAM, str(base), str(tiny.data()), str(folder)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()


@pytest.mark.slow
def test_killed_twenty_times(tmp_path: Path, tmp_cache: Path) -> None:
    base = tiny.save_base(tmp_path / "base")
    finish(start(base, tmp_path / "whole"))
    chance, folder, kills = random.Random(3), tmp_path / "cut", 0
    while kills < 20 and not (folder / "card.json").is_file():
        known, process = len(read_metrics(folder)), start(base, folder)
        while process.poll() is None and len(read_metrics(folder)) == known:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.15))
        kills += process.poll() is None
        process.kill()
        process.communicate()
    assert kills == 20, "the run was over too soon to be killed so often"
    finish(start(base, folder))
    for name in ("adapter.safetensors", "rows.safetensors", "config.json", "tokenizer.json"):
        assert (folder / "best" / name).read_bytes() == (tmp_path / "whole" / "best" / name).read_bytes(), name
