"""A tiny task for the tests of the training loop, and a program that trains it (so that it can be killed or launched).

    python toy.py FOLDER '{"epochs": 3}' [--resume] [--slow SECONDS]

It learns which of three directions a noisy 8-vector points in, through a network with everything that makes
repeating hard: dropout, augmentation from torch and numpy, tied weights, a frozen weight and a buffer that training
changes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from tsuite.core import checkpoint
from tsuite.core.options import TrainOptions, build, option
from tsuite.core.task import Batch, Example, Prepared, Result, Split, Splits, Summary, Task
from tsuite.core.train import Trained, fit


@dataclass(frozen=True, kw_only=True)
class Point(Example):
    values: tuple[float, ...]
    label: int


@dataclass(frozen=True, kw_only=True)
class Points(Batch):
    values: Tensor  # [B, 8]
    labels: Tensor  # [B]


@dataclass(frozen=True, kw_only=True)
class Guess(Result):
    label: int
    truth: int


@dataclass(frozen=True, kw_only=True)
class ToyOptions(TrainOptions):
    epochs: int = option(3, "passes over the training data")
    lr: float = option(0.02, "peak learning rate")
    batch_size: int = option(8, "examples in one optimiser step")
    noise: float = option(0.1, "standard deviation of the augmentation")
    dropout: float = option(0.1, "share of hidden values dropped")


class Network(nn.Module):
    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8, bias=False)
        self.again = nn.Linear(8, 8)
        self.again.weight = self.first.weight  # tied
        self.norm = nn.LayerNorm(8)
        self.drop = nn.Dropout(dropout)
        self.last = nn.Linear(8, 3)
        self.fixed = nn.Parameter(torch.full((8,), 0.5), requires_grad=False)
        self.seen: Tensor
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, points: Points) -> Tensor:
        if self.training:
            self.seen += 1
        hidden = torch.tanh(self.first(points.values * self.fixed))
        return self.last(self.drop(self.norm(self.again(hidden))))


class Toy(Task):
    monitor = ("accuracy", "max")
    train_options = ToyOptions
    expected: ClassVar[str] = ""

    def __init__(self, *, noise: float = 0.1, dropout: float = 0.1, wait: float = 0.0) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(7)
            self.network: Any = Network(dropout)
        self.noise, self.wait, self.finished = noise, wait, 0

    @classmethod
    def load(cls, checkpoint: str | None = None, *, settings: Mapping[str, Any] | None = None) -> Toy:
        raise NotImplementedError

    @classmethod
    def for_training(
        cls, options: Any, *, data: str | None, checkpoint: str | None, settings: Mapping[str, str]
    ) -> Prepared:
        return Prepared(task=cls(noise=options.noise, dropout=options.dropout), splits=toy_splits(), options=options)

    def save(self, folder: Path) -> None:
        metadata = {"format": "pt", "finished": str(self.finished), "kind": "toy"}
        checkpoint.save_tensors(folder / "model.safetensors", self.network.state_dict(), metadata)
        (folder / "config.json").write_text("{}", encoding="utf-8")

    def read(self, inputs: Sequence[Any], options: Any) -> Sequence[Any]:
        raise NotImplementedError

    def held_out(self, data: str | None = None) -> Split:
        return toy_splits().validation

    def preprocess(self, examples: Sequence[Point], *, training: bool = False) -> Points:
        if training and self.wait:
            time.sleep(self.wait)
        values = torch.tensor([example.values for example in examples])
        if training:
            values = values + self.noise * torch.randn_like(values)
            values = values + self.noise * torch.from_numpy(np.random.randn(*values.shape)).float()  # noqa: NPY002
        return Points(values=values, labels=torch.tensor([example.label for example in examples]))

    def postprocess(self, output: Tensor, examples: Sequence[Point], options: Any) -> list[Any]:
        guesses = output.argmax(-1).tolist()
        return [Guess(id=e.id, label=guess, truth=e.label) for e, guess in zip(examples, guesses, strict=True)]

    def summarise(self, results: Sequence[Guess]) -> Summary:
        return Summary(metrics={"accuracy": sum(result.label == result.truth for result in results) / len(results)})

    def table(self, results: Sequence[Any], summary: Summary) -> Any:
        raise NotImplementedError

    def loss(self, network: nn.Module, batch: Points) -> Tensor:
        if network.training and self.expected:
            assert type(network).__name__ == self.expected
        return nn.functional.cross_entropy(network(batch), batch.labels, reduction="sum")

    def finish(self, splits: Splits) -> None:
        self.finished = len(splits.train.examples)

    def picture_training(self, results: Sequence[Guess], folder: Path) -> list[Path]:
        path = folder / "guesses.txt"
        path.write_text(" ".join(str(result.label) for result in results), encoding="utf-8")
        return [path]


def toy_splits(train: int = 45, validation: int = 19) -> Splits:
    """Examples from a fixed seed; 45 in batches of 8 leave an odd batch of 5 at the end."""
    generator = np.random.default_rng(3)
    directions = generator.standard_normal((3, 8))

    def split(part: str, count: int) -> Split:
        labels = generator.integers(0, 3, count)
        values = directions[labels] + 0.7 * generator.standard_normal((count, 8))
        examples = [
            Point(id=f"{part}-{i}", values=tuple(row.tolist()), label=int(label))
            for i, (row, label) in enumerate(zip(values, labels, strict=True))
        ]
        return Split(name="toy", part=part, examples=examples, sha256="0" * 64)

    return Splits(train=split("train", train), validation=split("validation", validation))


def train_toy(
    folder: Path, *, resume: bool = False, wait: float = 0.0, task: Toy | None = None, **values: Any
) -> Trained:
    """Train in `folder`; `values` are options."""
    options = build(ToyOptions, values)
    toy = task or Toy(noise=options.noise, dropout=options.dropout, wait=wait)
    return fit(toy, toy_splits(), options, folder, resume=resume, config={"name": "toy"})


def use_fsdp_on_cpu() -> None:
    """Make accelerate shard over CPU processes, which it does for accelerators only: the loop then meets real
    shards."""
    from accelerate import FullyShardedDataParallelPlugin
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import DistributedType

    set_up = AcceleratorState.__init__

    def with_shards(self: Any, *arguments: Any, **named: Any) -> None:
        fresh = AcceleratorState._shared_state == {}
        set_up(self, *arguments, **named)
        if fresh and self.distributed_type == DistributedType.MULTI_CPU:
            self.fsdp_plugin = FullyShardedDataParallelPlugin(fsdp_version=2, cpu_ram_efficient_loading=False)
            self.distributed_type = DistributedType.FSDP
            PartialState._shared_state["distributed_type"] = DistributedType.FSDP

    AcceleratorState.__init__ = with_shards


def main() -> None:
    from rich.console import Console
    from tsuite.core.errors import UserError

    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("options", type=json.loads)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--slow", type=float, default=0.0)
    parser.add_argument("--fsdp", action="store_true")
    told = parser.parse_args()
    if told.fsdp:
        use_fsdp_on_cpu()
        Toy.expected = "FSDPNetwork"
    options = build(ToyOptions, told.options)
    task = Toy(noise=options.noise, dropout=options.dropout, wait=told.slow)
    try:
        fit(
            task,
            toy_splits(),
            options,
            told.folder,
            resume=told.resume,
            config={"name": "toy"},
            console=Console(stderr=True),
        )
    except UserError as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from None


if __name__ == "__main__":
    main()
