"""The model as a task: a prompt in, a text out, letter by letter.

Axes: B batch, T letters, V vocabulary (27: a to z, and a blank that also pads).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rich.table import Table
from torch import Tensor, nn
from tsuite.core import pretrained
from tsuite.core.errors import UserError
from tsuite.core.task import Batch, Example, Origin, Prepared, Result, Split, Splits, Summary, Task
from tsuite.core.weights import count_parameters, load_into

from .options import FinetuneOptions, RunOptions

LETTERS = " abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, kw_only=True)
class Text(Example):
    text: str


@dataclass(frozen=True, kw_only=True)
class Tokens(Batch):
    """tokens [B, T], padded with 0; lengths [B]."""

    tokens: Tensor
    lengths: Tensor


@dataclass(frozen=True, kw_only=True)
class Written(Result):
    text: str
    truth: str | None = None


class BigramTask(Task):
    run_options = RunOptions
    train_options = FinetuneOptions
    monitor = ("right", "max")
    network: nn.Embedding

    def __init__(self, origin: Origin | None = None) -> None:
        self.network = nn.Embedding(len(LETTERS), len(LETTERS))
        nn.init.zeros_(self.network.weight)
        self.origin = origin or Origin(parameters=count_parameters(self.network))
        self.heard: list[str] = []

    @classmethod
    def load(cls, checkpoint: str | None = None, *, settings: Mapping[str, Any] | None = None) -> BigramTask:
        if settings:
            raise UserError(f"There is no setting {next(iter(settings))!r}.")
        located = pretrained.locate(cls.card, checkpoint)
        _, tensors = pretrained.read_ours(located, cls.card)
        task = cls(Origin(source=located.source, sha256=pretrained.weights_sha256(located.path), parameters=729))
        load_into(task.network, tensors)
        return task

    @classmethod
    def for_training(
        cls, options: FinetuneOptions, *, data: str | None, checkpoint: str | None, settings: Mapping[str, Any]
    ) -> Prepared:
        letters = LETTERS[1:] if options.order == "forward" else LETTERS[:0:-1]
        words = [letters[start : start + 4] for start in range(23)]
        examples = [Text(id=word, text=word) for word in words]
        parts = [
            Split(name="alphabet", part=part, examples=examples, sha256="0" * 64) for part in ("train", "validation")
        ]
        options = replace(options, epochs=options.epochs or 40, lr=options.lr or 0.1, weight_decay=0.0)
        task = cls.load(checkpoint) if checkpoint else cls()
        return Prepared(
            task=task, splits=Splits(train=parts[0], validation=parts[1]), options=options, chosen=("words",)
        )

    def save(self, folder: Path) -> None:
        pretrained.save_ours(folder, self.card, self.network.state_dict(), {})

    def read(self, inputs: Sequence[Any], options: RunOptions) -> list[Text]:
        return [Text(id=str(item), text=str(item)) for item in inputs]

    def held_out(self, data: str | None = None) -> Split:
        if data not in (None, "alphabet"):
            raise UserError(f"There is no data called {data!r}.")
        return Split(name="alphabet", part="test", examples=[Text(id="wxyz", text="wxyz"), Text(id="bc", text="bc")])

    def preprocess(self, examples: Sequence[Text], *, training: bool = False) -> Tokens:
        for example in examples:
            if strange := set(example.text) - set(LETTERS):
                raise UserError(f"{example.id}: {strange.pop()!r} is no letter.")
        rows = [torch.tensor([LETTERS.index(letter) for letter in example.text]) for example in examples]
        return Tokens(
            tokens=nn.utils.rnn.pad_sequence(rows, batch_first=True), lengths=torch.tensor([len(row) for row in rows])
        )

    def predict(self, batch: Tokens, options: RunOptions) -> Tensor:
        """Several forward passes: [B, length] letters, each from the one before."""
        last = batch.tokens[torch.arange(len(batch.tokens)), batch.lengths - 1]
        written = []
        for _ in range(options.length):
            last = self.network(last).argmax(dim=-1)
            written.append(last)
        return torch.stack(written, dim=1)

    def postprocess(self, output: Tensor, examples: Sequence[Text], options: RunOptions) -> list[Written]:
        texts = ["".join(LETTERS[number] for number in row) for row in output.tolist()]
        return [
            Written(id=example.id, text=text, truth=after(example.text))
            for example, text in zip(examples, texts, strict=True)
        ]

    def summarise(self, results: Sequence[Written]) -> Summary:
        right = [result.text[0] == result.truth for result in results]
        return Summary(metrics={"right": sum(right) / len(right)} if right else {})

    def table(self, results: Sequence[Written], summary: Summary) -> Table:
        table = Table("given", "written")
        for result in results:
            table.add_row(result.id, result.text)
        return table

    def render(self, results: Sequence[Written], folder: Path, options: RunOptions) -> list[Path]:
        path = folder / "written.txt"
        path.write_text("\n".join(result.id + result.text for result in results))
        return [path]

    def live(self, inputs: Sequence[Any], options: RunOptions) -> Callable[[Any], None] | None:
        if not options.chat:
            return None

        def talk(console: Any) -> None:
            while line := input():
                console.print(self(line, length=options.length).text)

        return talk

    def loss(self, network: nn.Module, batch: Tokens) -> Tensor:
        logits = network(batch.tokens[:, :-1]).flatten(0, 1)
        return F.cross_entropy(logits, batch.tokens[:, 1:].flatten(), ignore_index=0, reduction="sum")

    def weight(self, batch: Tokens) -> float:
        return float((batch.lengths - 1).sum())

    def example_batch(self, size: int) -> Tokens:
        return Tokens(tokens=torch.ones(size, 3, dtype=torch.long), lengths=torch.full((size,), 3))


def after(text: str) -> str:
    """The letter that follows in the alphabet."""
    return LETTERS[(LETTERS.index(text[-1]) + 1) % len(LETTERS)]
