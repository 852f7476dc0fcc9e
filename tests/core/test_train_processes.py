"""Two processes train as one does: equal copies (DDP) and shards (FSDP), launched as people launch them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tsuite.core import checkpoint
from tsuite.core.train import state as train_state

from .test_train import losses
from .toy import train_toy

PROGRAM = Path(__file__).with_name("toy.py")
EXACT: dict[str, Any] = {"noise": 0.0, "dropout": 0.0, "epochs": 2}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def launch(folder: Path, options: dict, *flags: str, count: int = 2) -> str:
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc_per_node={count}", "--master_addr=127.0.0.1"]
    command += [f"--master_port={free_port()}", str(PROGRAM), str(folder), json.dumps(options), *flags]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stderr


def same_weights(one: Path, other: Path) -> float:
    """The largest difference between two runs' last weights."""
    a, b = (
        checkpoint.load_tensors(train_state.saved_states(folder / "checkpoints")[0] / train_state.WEIGHTS)
        for folder in (one, other)
    )
    assert set(a) == set(b)
    return max(float((a[name] - b[name]).abs().max()) for name in a if name != "seen")


def test_two_processes_equal_one(tmp_path):
    # 45 examples in batches of 7 leave a batch of 3: one of its 4 shares is empty.
    options = {**EXACT, "accumulate": 2, "batch_size": 7}
    train_toy(tmp_path / "one", **options)
    launch(tmp_path / "two", options)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-6)
    assert same_weights(tmp_path / "one", tmp_path / "two") < 1e-5
    checkpoint.verify(tmp_path / "two" / "best")


@pytest.mark.slow
@pytest.mark.parametrize("flags", [(), ("--fsdp",)])
def test_continued_on_two_processes(tmp_path, flags):
    options = {**EXACT, "dropout": 0.1, "noise": 0.1}
    launch(tmp_path / "whole", options, *flags)
    launch(tmp_path / "cut", options, *flags)
    (tmp_path / "cut" / "card.json").unlink()
    for state in train_state.saved_states(tmp_path / "cut" / "checkpoints")[:1]:
        (state / train_state.STATE).write_text("torn")
    launch(tmp_path / "cut", options, *flags, "--resume")
    assert losses(tmp_path / "whole") == losses(tmp_path / "cut")
    assert same_weights(tmp_path / "whole", tmp_path / "cut") == 0
    one, other = (tmp_path / name / "best" / "model.safetensors" for name in ("whole", "cut"))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("accumulate", [1, 2])
def test_shards_equal_one_process(tmp_path, accumulate):
    options = {**EXACT, "accumulate": accumulate}
    train_toy(tmp_path / "one", **options)
    launch(tmp_path / "two", options, "--fsdp")
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-6)
    assert same_weights(tmp_path / "one", tmp_path / "two") < 1e-5
    checkpoint.verify(tmp_path / "two" / "best")


@pytest.mark.slow
def test_a_mistake_reaches_every_process(tmp_path):
    (tmp_path / "config.yaml").write_text("options: {}\n")
    with pytest.raises(AssertionError, match="already holds a run"):
        launch(tmp_path, EXACT)
