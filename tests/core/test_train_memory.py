"""Out of memory: the step is done again in more parts, and the run is the one that such parts would have given."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn
from tsuite.core import checkpoint
from tsuite.core.decoder import Decoder
from tsuite.core.errors import UserError
from tsuite.core.options import build
from tsuite.core.train import fit
from tsuite.core.train.log import read_metrics
from tsuite.core.train.memory import is_out_of_memory

from .test_train import assert_same_run, contents, lines
from .toy import Points, Toy, ToyOptions, toy_splits, train_toy

CPU = "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."


class Narrow(Toy):
    """A task that has no memory for more than `most` examples at a time, from its call number `first` on."""

    def __init__(self, most: int, *, first: int = 0, error: Exception | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.most, self.first, self.error = most, first, error or RuntimeError(CPU)
        self.calls = 0

    def loss(self, network: nn.Module, batch: Points) -> Tensor:
        loss = super().loss(network, batch)  # the forward pass has happened: buffers and gradients may be half done
        if network.training:
            self.calls += 1
            if len(batch.labels) > self.most and self.calls > self.first:
                raise self.error
        return loss


@pytest.mark.parametrize(
    "error", [RuntimeError(CPU), MemoryError(), getattr(torch, "OutOfMemoryError", MemoryError)("CUDA out of memory.")]
)
def test_as_if_begun_with_more_parts(tmp_path: Path, error: Exception) -> None:
    train_toy(tmp_path / "parts", accumulate=4)
    train_toy(tmp_path / "halved", task=Narrow(2, error=error))  # batches of 8: 8, 4, 2
    assert contents(tmp_path / "halved" / "best") == contents(tmp_path / "parts" / "best")
    told = [line for line in lines(tmp_path / "halved") if line["split"] == "memory"]
    assert told == [{"split": "memory", "step": 1, "accumulate": parts} for parts in (2, 4)]
    rest = [line for line in lines(tmp_path / "halved") if line["split"] != "memory"]
    assert rest == lines(tmp_path / "parts")


def test_a_part_that_had_gone_well_leaves_nothing_behind(tmp_path: Path) -> None:
    """The second of two parts fails: the first one's gradient is dropped, its count in the buffer too."""
    train_toy(tmp_path / "parts", accumulate=4)
    train_toy(tmp_path / "halved", accumulate=2, task=Narrow(2, first=1))
    assert contents(tmp_path / "halved" / "best") == contents(tmp_path / "parts" / "best")


def test_later_and_said(tmp_path: Path) -> None:
    """Steps before the trouble stay; what is said is one line."""
    screen = io.StringIO()
    options = build(ToyOptions, {"noise": 0.0, "dropout": 0.0})
    task = Narrow(4, first=7, noise=0.0, dropout=0.0)
    trained = fit(task, toy_splits(), options, tmp_path / "run", console=Console(file=screen, width=200))
    assert "out of memory at step 8: each batch of 8 is taken in 2 parts from now on" in screen.getvalue()
    assert screen.getvalue().count("memory") == 1
    whole = train_toy(tmp_path / "whole", noise=0.0, dropout=0.0)
    assert trained.steps == whole.steps
    one, two = (
        checkpoint.load_tensors(folder / "best" / "model.safetensors") for folder in (trained.folder, whole.folder)
    )
    for name in set(one) - {"seen"}:
        torch.testing.assert_close(one[name], two[name], atol=1e-5, rtol=1e-4)


def test_continued_with_the_parts_it_had(tmp_path: Path) -> None:
    train_toy(tmp_path / "whole", task=Narrow(4, first=7), save_every=3)

    class Killed(Exception):
        pass

    class Mortal(Narrow):
        def loss(self, network: nn.Module, batch: Points) -> Tensor:
            if network.training and self.calls == 18:
                raise Killed
            return super().loss(network, batch)

    with pytest.raises(Killed):
        train_toy(tmp_path / "killed", task=Mortal(4, first=7), save_every=3)
    assert any(line["split"] == "memory" for line in read_metrics(tmp_path / "killed"))
    train_toy(tmp_path / "killed", task=Narrow(4), save_every=3, resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


def test_one_example_is_too_much(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Step 1 does not fit into memory.*one example.*bf16"):
        train_toy(tmp_path, task=Narrow(0))


def test_other_errors_pass(tmp_path: Path) -> None:
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("out of memory"))
    with pytest.raises(RuntimeError, match="shapes"):
        train_toy(tmp_path, task=Narrow(0, error=RuntimeError("shapes")))


def test_the_cpus_own_error() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


def test_checkpointing_changes_no_gradient() -> None:
    """Less is kept, the same is computed, dropout included; with a cache or in evaluation nothing is done twice."""
    torch.manual_seed(0)
    decoder = Decoder(dim=8, depth=3, heads=2, dropout=0.2)
    x = torch.randn(2, 5, 8)

    def learn() -> tuple[list[Tensor], int]:
        kept: list[Tensor] = []
        torch.manual_seed(1)
        decoder.zero_grad()
        with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda same: same):
            loss = decoder(x).square().sum()
        loss.backward()
        return [value.grad.clone() for value in decoder.parameters() if value.grad is not None], len(kept)

    plain, everything = learn()
    decoder.checkpointing = True
    again, few = learn()
    assert all(torch.equal(one, two) for one, two in zip(plain, again, strict=True))
    assert few < everything / 3
    decoder.eval()
    calls: list[int] = []
    decoder.blocks[0].register_forward_hook(lambda *_: calls.append(1))
    decoder(x).sum().backward()
    assert len(calls) == 1
