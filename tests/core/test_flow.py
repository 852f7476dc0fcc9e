"""What the commands compose, with the tiny task of the training tests: batches in order, failures, reports."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tsuite.core import bench, flow, registry, report
from tsuite.core.errors import UserError
from tsuite.core.finetune import finetune
from tsuite.core.options import RunOptions
from tsuite.core.task import Origin, Result

from .toy import Toy, toy_splits


class Picky(Toy):
    """Refuses examples whose name is in `bad`, and, where `together` is set, batches of more than one."""

    bad: tuple[str, ...] = ()
    together = False

    def preprocess(self, examples: Any, *, training: bool = False) -> Any:
        for example in examples:
            if example.id in self.bad:
                raise UserError(f"{example.id} is spoilt.")
        if self.together and len(examples) > 1:
            raise UserError("They do not fit together.")
        return super().preprocess(examples, training=training)


@pytest.fixture
def task() -> Picky:
    task = Picky()
    task.origin = Origin(source="here", notices=("mind the gap",))
    task.network.eval()
    return task


@pytest.fixture
def examples() -> list[Any]:
    return list(toy_splits().validation.examples)[:7]


@pytest.mark.parametrize("batch", [1, 3, 7, 100])
def test_order_and_progress(batch: int, task: Picky, examples: list[Any]) -> None:
    ticks: list[tuple[int, int]] = []
    found = list(task.infer(examples, RunOptions(batch=batch), tick=lambda *pair: ticks.append(pair)))
    assert [result.id for result in found] == [example.id for example in examples]
    assert ticks[-1] == (7, 7)
    assert len(ticks) == math.ceil(7 / batch)
    assert all(not parameter.requires_grad or parameter.grad is None for parameter in task.network.parameters())


@pytest.mark.parametrize("batch", [1, 3, 7])
def test_what_fails_is_left_out_and_named(batch: int, task: Picky, examples: list[Any]) -> None:
    task.bad = (examples[0].id, examples[4].id)
    failures: list[Any] = []
    found = list(task.infer(examples, RunOptions(batch=batch), failures=failures))
    assert len(found) == 5
    assert [failure.id for failure in failures] == list(task.bad)
    assert failures[0].error == f"{task.bad[0]} is spoilt."
    with pytest.raises(UserError, match="is spoilt"):
        list(task.infer(examples, RunOptions(batch=batch)))


def test_nobody_is_to_blame(task: Picky, examples: list[Any]) -> None:
    task.together = True
    with pytest.raises(UserError, match="do not fit together"):
        list(task.infer(examples, RunOptions(batch=3), failures=[]))


def test_a_report_is_plain_json(task: Picky) -> None:
    made = report.report(
        "run", named(task), "cpu", metrics={"score": float("nan")}, results=[Result(id="a", notices=("x",))],
        artifacts=[Path("a.png")], notices=["later"], extra={"more": (1.0, float("inf"))},
    )  # fmt: skip
    value = made.to_json()
    assert value["metrics"] == {"score": None}
    assert value["more"] == [1.0, None]
    assert value["results"] == [{"id": "a", "notices": ["x"]}]
    assert value["artifacts"] == ["a.png"]
    assert value["notices"] == ["mind the gap", "later"]
    assert value["threads"] == torch.get_num_threads()


def named(task: Any) -> Any:
    """The task with a card to be named by."""
    type(task).card = SimpleNamespace(name="toy")  # type: ignore[assignment]
    return task


def test_the_folder_for_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert flow.Request(name="a.b").folder == Path("outputs/a.b")
    assert (tmp_path / "outputs" / "a.b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot be made.*--output"):
        _ = flow.Request(name="a.b", output=tmp_path / "file" / "x").folder


def test_quantiles() -> None:
    values = [float(number) for number in range(101)]
    assert [bench._quantile(values, share) for share in (0.5, 0.95, 0.99)] == [50, 95, 99]
    assert bench._quantile([3.0], 0.99) == 3.0


def test_new_runs_get_new_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    card = SimpleNamespace(name="toy", data="points", licence="MIT", load_task=lambda: named(Toy()).__class__)
    monkeypatch.setattr(registry, "card", lambda name: card)
    options = dataclasses.replace(Toy.train_options(), epochs=1)
    request = flow.Request(name="toy", device="cpu")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    for number in (1, 2):
        Toy.origin = Origin()
        made = finetune(request, options, None)
        assert made is not None
        assert made.extra["run"] == f"runs/toy-{number}"
    (tmp_path / "runs" / "toy-1" / "card.json").unlink()
    again = finetune(request, options, None, resume=True)
    assert again is not None
    assert again.extra["run"] == "runs/toy-1"
    with pytest.raises(UserError, match=r"no unfinished run of toy"):
        finetune(request, options, None, resume=True)
    with pytest.raises(UserError, match=r"began with --epochs 1, not 9"):
        finetune(request, dataclasses.replace(options, epochs=9), Path("runs/toy-1"), resume=True)
    with pytest.raises(UserError, match="is a run of toy, not of other"):
        finetune(dataclasses.replace(request, name="other"), options, Path("runs/toy-1"), resume=True)


def test_the_card_holds_a_command_that_can_be_typed() -> None:
    import shlex

    from tsuite.core import finetune as module
    from tsuite.domains.control.decision_transformer.options import FinetuneOptions

    request = flow.Request(name="control.decision_transformer", data="my data.csv", settings={"dim": "16"})
    command = module._command(request, FinetuneOptions(baselines=True, max_steps=3))
    assert shlex.split(command) == [
        "tsuite", "finetune", "control.decision_transformer", "--data", "my data.csv", "--max-steps", "3",
        "--baselines", "--set", "dim=16",
    ]  # fmt: skip
    assert module._typed("film", False) == "--no-film"
