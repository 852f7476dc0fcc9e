"""The loop: exact sums, exact repetition, the folder it leaves, and what it says when something is wrong."""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from rich.console import Console
from tsuite.core import checkpoint
from tsuite.core.errors import Interrupted, UserError
from tsuite.core.options import build
from tsuite.core.train import loop as train
from tsuite.core.train import state as train_state
from tsuite.core.train.data import MicroBatches
from tsuite.core.train.folder import read_config
from tsuite.core.train.log import CLOCK, read_metrics

from .toy import Toy, ToyOptions, toy_splits, train_toy


def lines(folder: Path) -> list[dict[str, Any]]:
    """metrics.jsonl without what a clock says."""
    return [{key: value for key, value in line.items() if key not in CLOCK} for line in read_metrics(folder)]


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in lines(folder)]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def assert_same_run(one: Path, other: Path) -> None:
    """Bit by bit: metrics, best checkpoint, last state."""
    assert lines(one) == lines(other)
    assert contents(one / "best") == contents(other / "best")
    newest = [train_state.saved_states(folder / "checkpoints")[0] for folder in (one, other)]
    assert newest[0].name == newest[1].name
    for name in (train_state.WEIGHTS, train_state.OPTIMISER):
        assert (newest[0] / name).read_bytes() == (newest[1] / name).read_bytes()


# -- exact sums -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("accumulate", [2, 4])
def test_accumulation_changes_nothing(tmp_path, accumulate):
    exact: dict[str, Any] = {"noise": 0.0, "dropout": 0.0}
    train_toy(tmp_path / "whole", **exact)
    train_toy(tmp_path / "parts", accumulate=accumulate, **exact)
    assert losses(tmp_path / "parts") == pytest.approx(losses(tmp_path / "whole"), abs=1e-5)
    norms = [
        [line["grad_norm"] for line in lines(tmp_path / name) if "grad_norm" in line] for name in ("whole", "parts")
    ]
    assert norms[0] == pytest.approx(norms[1], abs=1e-5)


def test_one_step_equals_a_step_written_out(tmp_path):
    options = build(ToyOptions, {"max_steps": 1, "noise": 0.0, "dropout": 0.0, "clip": 0.0, "warmup": 0.0})
    reference, splits = Toy(noise=0.0, dropout=0.0), toy_splits()
    optimiser = torch.optim.AdamW(reference.parameter_groups(options), lr=options.lr)
    chosen = MicroBatches(reference, splits.train.examples, options, rank=0, world=1).share(0)[0]
    batch = reference.preprocess([splits.train.examples[index] for index in chosen])
    loss = reference.loss(reference.network, batch) / len(chosen)
    loss.backward()
    optimiser.step()

    task = Toy(noise=0.0, dropout=0.0)
    train.fit(task, splits, options, tmp_path)
    assert losses(tmp_path)[0] == pytest.approx(float(loss.detach()), abs=1e-6)
    for name, value in reference.network.named_parameters():
        torch.testing.assert_close(task.network.get_parameter(name), value, atol=1e-6, rtol=0)


# -- what a run leaves ----------------------------------------------------------------------------------------------


def test_run_folder(tmp_path):
    folder = tmp_path / "run"
    splits, options = toy_splits(), build(ToyOptions, {"epochs": 4})
    stream = io.StringIO()
    task = Toy()
    got = train.fit(
        task,
        splits,
        options,
        folder,
        card={"note": "hello"},
        config={"name": "toy", "data": None, "settings": {"a": "1"}},
        console=Console(file=stream),
    )
    names = {path.name for path in folder.iterdir()}
    assert names == {"config.yaml", "metrics.jsonl", "tensorboard", "checkpoints", "best", "plots", "card.json"}
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"step-18", "step-24", "best"}
    assert list((folder / "tensorboard").glob("events*"))
    assert (folder / "plots" / "guesses.txt").is_file()
    checkpoint.verify(checkpoint.resolve(folder))

    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["options"] == dataclasses.asdict(options)
    assert config["settings"] == {"a": "1"}
    assert config["threads"] == torch.get_num_threads()
    assert read_config(folder) == config

    card = json.loads((folder / "card.json").read_text())
    assert {"base", "data", "seed", "options", "versions", "hardware", "seconds", "best", "history", "note"} <= set(
        card
    )
    assert card["data"]["train"] == {"name": "toy", "part": "train", "sha256": "0" * 64, "n": 45}
    assert stream.getvalue().count("epoch ") == 4

    assert got.steps == 24
    assert got.metrics["accuracy"] == max(line["metrics"]["accuracy"] for line in got.history) > 0.6
    assert got.best == folder / "best"
    weights = checkpoint.load_tensors(got.best / "model.safetensors")
    assert all(torch.equal(weights[name], value) for name, value in task.network.state_dict().items())
    assert checkpoint.read_metadata(got.best / "model.safetensors")["finished"] == "45"
    assert not task.network.training


def test_no_validation_keeps_the_last(tmp_path):
    splits = toy_splits(validation=0)
    got = train.fit(Toy(), splits, ToyOptions(), tmp_path)
    assert (got.step, got.loss, got.metrics) == (18, None, {})


def test_early_stop_and_monitoring_the_loss(tmp_path):
    class Worsening(Toy):
        monitor = ("loss", "min")

        def loss(self, network, batch):
            if not network.training:
                self.calls = getattr(self, "calls", 0) + 1
                return torch.tensor(float(self.calls))
            return super().loss(network, batch)

    got = train_toy(tmp_path, task=Worsening(), epochs=9, patience=2)
    assert got.stopped_early
    assert (got.epoch, got.steps) == (1, 18)
    assert train_toy(tmp_path, task=Toy(), epochs=9, patience=2, resume=True).steps == 18


def test_validations_between_the_ends_of_epochs(tmp_path):
    train_toy(tmp_path / "seldom", epochs=2)
    often = train_toy(tmp_path / "often", epochs=2, validate_every=4)
    assert [line["step"] for line in often.history] == [4, 6, 8, 12]
    assert [line["epoch"] for line in often.history] == [1, 1, 2, 2]
    states = tmp_path / "often" / "checkpoints"
    assert (states / "step-12").is_dir()
    seldom = {line["step"]: line["loss"] for line in read_metrics(tmp_path / "seldom") if line["split"] == "validation"}
    assert {
        line["step"]: line["loss"] for line in often.history if line["step"] in seldom
    } == seldom  # it changes nothing


def test_bf16(tmp_path):
    task = Toy()
    train_toy(tmp_path, task=task, precision="bf16", epochs=1)
    assert task.network(task.preprocess(toy_splits().train.examples[:2])).dtype == torch.float32
    assert "_original_forward" not in vars(task.network)


# -- going on -------------------------------------------------------------------------------------------------------


def test_same_seed_same_run(tmp_path):
    train_toy(tmp_path / "one")
    train_toy(tmp_path / "two", workers=2)
    assert_same_run(tmp_path / "one", tmp_path / "two")
    train_toy(tmp_path / "three", seed=1)
    assert losses(tmp_path / "three") != losses(tmp_path / "one")


class Break(Exception):
    pass


@pytest.mark.parametrize(
    ("place", "call"),
    [
        ("learn", 1),
        ("learn", 7),
        ("save", 2),
        ("save", 3),
        ("evaluate", 1),
        ("evaluate", 3),
        ("keep_best", 1),
        ("finish", 1),
    ],
)
def test_continues_exactly_wherever_it_stopped(tmp_path, monkeypatch, place, call):
    """An exception stands for the kill here; `test_train_kill.py` kills."""
    options: dict[str, Any] = {"save_every": 4, "accumulate": 2}
    train_toy(tmp_path / "whole", **options)
    count = 0
    former = getattr(train.Run, place)

    def breaks(self, *arguments, **named):
        nonlocal count
        count += 1
        value = former(self, *arguments, **named)
        if count == call:
            raise Break
        return value

    monkeypatch.setattr(train.Run, place, breaks)
    with pytest.raises(Break):
        train_toy(tmp_path / "cut", **options)
    monkeypatch.undo()
    (tmp_path / "cut" / "card.json").unlink(missing_ok=True)
    train_toy(tmp_path / "cut", resume=True, **options)
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_finished_run_returns_at_once(tmp_path, monkeypatch):
    first = train_toy(tmp_path)
    monkeypatch.setattr(train.Run, "learn_all", None)
    assert train_toy(tmp_path, resume=True) == first


def test_resume_without_a_run_begins_one(tmp_path):
    assert train_toy(tmp_path / "new", resume=True, epochs=1).steps == 6


def test_second_run_in_a_folder_is_refused(tmp_path):
    train_toy(tmp_path, epochs=1)
    with pytest.raises(UserError, match=r"already holds a run\..*--resume.*--run"):
        train_toy(tmp_path, epochs=1)
    with pytest.raises(UserError, match=r"began with --batch-size 8, not 9"):
        train_toy(tmp_path, epochs=1, batch_size=9, resume=True)


def test_damaged_state_is_passed_over(tmp_path):
    train_toy(tmp_path / "whole")
    train_toy(tmp_path / "cut")
    (tmp_path / "cut" / "card.json").unlink()
    weights = tmp_path / "cut" / "checkpoints" / "step-18" / train_state.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-3])
    stream = io.StringIO()
    train.fit(Toy(), toy_splits(), ToyOptions(), tmp_path / "cut", resume=True, console=Console(file=stream, width=400))
    assert "passing over a damaged state" in stream.getvalue()
    assert "continuing after step 12 of 18" in stream.getvalue()
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_other_frozen_weights_are_noticed(tmp_path):
    train_toy(tmp_path)
    (tmp_path / "card.json").unlink()
    other = Toy()
    with torch.no_grad():
        other.network.get_parameter("fixed").add_(1)
    with pytest.raises(UserError, match="stay fixed differ"):
        train_toy(tmp_path, task=other, resume=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interruption_saves_the_state(tmp_path, number):
    class Interrupting(Toy):
        def preprocess(self, examples, *, training=False):
            self.count = getattr(self, "count", 0) + training
            if self.count == 9:
                os.kill(os.getpid(), number)
            return super().preprocess(examples, training=training)

    before = signal.getsignal(number)
    train_toy(tmp_path / "whole")
    folder = tmp_path / "cut"
    with pytest.raises(Interrupted) as caught:
        train_toy(folder, task=Interrupting())
    assert f"tsuite finetune toy --run {folder} --resume" in caught.value.hint
    assert signal.getsignal(number) == before
    assert train_state.saved_states(folder / "checkpoints")[0].name == "step-9"
    train_toy(folder, resume=True)
    assert_same_run(tmp_path / "whole", folder)


def test_works_outside_the_main_thread(tmp_path):
    thread = threading.Thread(target=train_toy, args=(tmp_path,), kwargs={"epochs": 1})
    thread.start()
    thread.join()
    assert (tmp_path / "card.json").is_file()


# -- what goes wrong ------------------------------------------------------------------------------------------------


def test_loss_that_is_not_finite(tmp_path):
    class Diverging(Toy):
        def loss(self, network, batch):
            self.count = getattr(self, "count", 0) + 1
            return super().loss(network, batch) * (float("nan") if self.count > 12 else 1.0)

    with pytest.raises(UserError, match=r"loss is not finite at step \d+ .*--lr"):
        train_toy(tmp_path, task=Diverging())
    checkpoint.verify(tmp_path / "best")
    checkpoint.verify(tmp_path / "checkpoints" / "step-6")


def test_gradient_that_is_not_finite(tmp_path):
    class Root(Toy):
        def loss(self, network, batch):
            return super().loss(network, batch) + (0 * network.get_parameter("last.bias").sum()).abs().sqrt()

    with pytest.raises(UserError, match="gradient is not finite at step 1"):
        train_toy(tmp_path, task=Root())


@pytest.mark.parametrize("victim", ["best", "step-12"])
def test_full_disk(tmp_path, monkeypatch, victim):
    former = checkpoint.save_tensors

    def full(path, tensors, metadata=None):
        if f".{victim}.new" in str(path) and "step-6" in {p.name for p in (tmp_path / "checkpoints").iterdir()}:
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        former(path, tensors, metadata)

    monkeypatch.setattr(checkpoint, "save_tensors", full)
    with pytest.raises(UserError, match=r"could not be written: .*No space left.*untouched"):
        train_toy(tmp_path, epochs=6)
    checkpoint.verify(tmp_path / "best")
    checkpoint.verify(tmp_path / "checkpoints" / "step-6")
    assert not list(tmp_path.rglob(".*.new"))
    monkeypatch.undo()
    assert train_toy(tmp_path, epochs=6, resume=True).steps == 36


def test_mistakes_are_named(tmp_path):
    with pytest.raises(UserError, match="training part of toy is empty"):
        train.fit(Toy(), toy_splits(train=0), ToyOptions(), tmp_path)
    with pytest.raises(UserError, match="no learning rate or no length"):
        train_toy(tmp_path, lr=0.0)
    with pytest.raises(UserError, match=r"--precision fp16 needs a GPU"):
        train_toy(tmp_path, precision="fp16")
    frozen = Toy()
    frozen.network.requires_grad_(False)
    with pytest.raises(UserError, match="every weight is frozen"):
        train_toy(tmp_path, task=frozen)

    class Strange(Toy):
        monitor = ("acuracy", "max")

    with pytest.raises(UserError, match="Did you mean accuracy"):
        train_toy(tmp_path, task=Strange(), epochs=1)
