"""A language model that chats, as a task: conversations in, replies out; what every command composes.

Conversation --preprocess--> Prompts    --predict: generation--> Replies      --postprocess--> Reply
Packed       --preprocess--> TokenBatch --predict: likelihood--> Likelihoods  --postprocess--> Scored
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ....core.engines import need_weights
from ....core.errors import UserError
from ....core.export.graph import Graph
from ....core.export.steps import Step, language_graphs
from ....core.generate import generate
from ....core.language import LanguageModel
from ....core.sampling import Sampling
from ....core.task import Batch, Origin, Prepared, Split, Summary, Task
from ....core.weights import count_parameters
from ....core.workload import Workload
from .. import finetuned, metrics
from ..conversation import Conversation, Turn
from ..data import collect
from ..finetuned import Chatter
from ..packing import TokenBatch
from ..prompts import read_prompts
from ..replies import Reply, Scored, choice_line, reply_table
from .answering import Answering, Replies, left_out
from .learning import Learner, PairBatch, Row, count, learn_batch, pieces
from .options import EvaluateOptions, FinetuneOptions, RunOptions


@dataclass(frozen=True, kw_only=True)
class Prompts(Batch):
    """Conversations to answer, with the replies that people gave where there are any."""

    conversations: tuple[Conversation, ...]


@dataclass(frozen=True, kw_only=True)
class Likelihoods:
    """Minus the log-probability of each row's learnt tokens [B], their count, and the margins of pairs [B]."""

    nats: Tensor
    tokens: Tensor
    margins: Tensor | None = None


class ChatTask(Task):
    """A `LanguageModel` with its tokenizer, and what a training adds to it."""

    run_options = RunOptions
    train_options = FinetuneOptions
    evaluate_options = EvaluateOptions
    monitor = ("loss", "min")
    output_suffixes = (".jsonl", ".json")
    network: LanguageModel

    def __init__(self, chatter: Chatter) -> None:
        self.chatter, self.network = chatter, chatter.network
        self.origin = Origin(
            source=chatter.source,
            sha256=chatter.sha256,
            parameters=count_parameters(chatter.network),
            base=chatter.base.source.partition("#")[0] if chatter.base else None,
            notices=chatter.notices,
        )
        self.answering = Answering(chatter)
        self.learner: Learner | None = None  # what only a training has

    # -- making one ---------------------------------------------------------------------------------------------

    @classmethod
    def load(cls, checkpoint: str | None = None, *, settings: Mapping[str, Any] | None = None) -> ChatTask:
        if settings:
            raise UserError(f"There is no setting {next(iter(settings))!r}.", "Options have flags: see --help.")
        return cls(finetuned.load(cls.card, checkpoint))

    @classmethod
    def for_training(
        cls, options: FinetuneOptions, *, data: str | None, checkpoint: str | None, settings: Mapping[str, Any]
    ) -> Prepared:
        from .training import prepare

        if settings:
            raise UserError(f"There is no setting {next(iter(settings))!r}.", "Options have flags: see --help.")
        need_weights(options.base or None)
        return prepare(cls, options, data=data or cls.card.data, checkpoint=checkpoint)

    def save(self, folder: Path) -> None:
        finetuned.save(folder, self.card, self.chatter)

    # -- Source -> Example -> Batch -> Output -> Result ---------------------------------------------------------------

    def inputs(self, given: Sequence[Any], options: RunOptions) -> Sequence[Any]:
        return [*given, *([Path(options.input)] if options.input else [])]

    def read(self, inputs: Sequence[Any], options: RunOptions) -> list[Conversation]:
        found: list[Conversation] = []
        for number, item in enumerate(inputs, 1):
            if isinstance(item, Conversation):
                found.append(item)
            elif isinstance(item, Path):
                found += read_prompts(item)
            else:
                found.append(Conversation(id=f"prompt {number}", turns=(Turn(role="user", content=str(item)),)))
        return [replace(item, turns=_with_system(item.turns, options.system)) for item in found]

    def held_out(self, data: str | None = None) -> Split:
        return collect(data or self.card.data).held_out()

    def preprocess(self, examples: Sequence[Any], *, training: bool = False) -> Prompts | TokenBatch | PairBatch:
        if isinstance(examples[0], Conversation):
            return Prompts(conversations=tuple(examples))
        return learn_batch(examples, pad_id=self.chatter.tokenizer.pad_id)

    def predict(self, batch: Any, options: RunOptions) -> Replies | Likelihoods:
        if isinstance(batch, Prompts):
            self._check(options)
            return self.answering.answer(batch.conversations, options)
        return Likelihoods(**(self.learner or Learner(self.network)).likelihoods(batch))  # pyright: ignore

    def postprocess(self, output: Any, examples: Sequence[Any], options: RunOptions) -> list[Any]:
        if isinstance(output, Likelihoods):
            margins = [None] * len(examples) if output.margins is None else output.margins.tolist()
            rows = zip(examples, output.nats.tolist(), output.tokens.tolist(), margins, strict=True)
            return [
                Scored(id=item.id, nats=nats, tokens=int(count), characters=item.characters, margin=margin)
                for item, nats, count, margin in rows
            ]
        return [
            Reply(
                id=item.id,
                prompt=item.prompt,
                text=output.texts[row],
                finish=output.generated[row].finished,
                tokens=len(output.generated[row].ids),
                reference=item.reference,
                nats=output.nats[row],
                characters=len(item.reference or ""),
                choices=output.choices[row],
                notices=left_out(output.dropped[row]),
            )
            for row, item in enumerate(examples)
        ]

    # -- Result -> Artifact -------------------------------------------------------------------------------------------

    def summarise(self, results: Sequence[Any]) -> Summary:
        if results and isinstance(results[0], Scored):
            return Summary(metrics=_likelihood_metrics(results))
        scored = [reply for reply in results if reply.reference is not None]
        return Summary(metrics=_reply_metrics(scored)) if scored else Summary()

    def assess(self, split: Split, options: Any, **watching: Any) -> tuple[list[Any], Summary]:
        from .assessment import assess

        results, summary = super().assess(split, options, **watching)
        return results, assess(self, results, summary, options)

    def table(self, results: Sequence[Any], summary: Summary) -> Any:
        from rich.console import Group

        parts: list[Any] = [reply_table(results[:10])]
        if summary.metrics:
            parts.append("   ".join(f"{name} {value:.4g}" for name, value in summary.metrics.items()))
        parts += [choice_line(choice) for result in results for choice in result.choices]
        return Group(*parts)

    def render(self, results: Sequence[Any], folder: Path, options: Any) -> list[Path]:
        from .artifacts import write_replies

        return [write_replies(results, folder if folder.suffix in self.output_suffixes else folder / "replies.jsonl")]

    def before(self, options: FinetuneOptions) -> Task | None:
        if not options.report or options.objective == "text":
            return None
        return type(self)(finetuned.load(self.card, self.chatter.started))

    def compare(self, before: Any, after: Any, folder: Path) -> dict[str, Any]:
        from .assessment import compare

        return compare(before, after, folder)

    def export(self, folder: Path, options: Any) -> list[str]:
        from .artifacts import export

        return export(self, folder, options)

    # -- chat ---------------------------------------------------------------------------------------------------------

    def live(self, inputs: Sequence[Any], options: RunOptions) -> Callable[[Any], None] | None:
        if options.input:
            return None
        self._check(options)

        def talk(console: Any) -> None:
            from ..terminal import Chat, print_reply

            def answer(turns: Sequence[Turn]) -> Iterator[str]:
                return self.answering.pieces(turns, options, told=told)

            def told(notice: str) -> None:
                if console is not None:
                    console.print(notice, style="dim", highlight=False)

            if not inputs:
                Chat(answer, system=options.system, console=console).talk()
            for item in self.read(inputs, options):
                print_reply(answer(item.turns))

        return talk

    # -- learning -----------------------------------------------------------------------------------------------------

    @property
    def trainable(self) -> nn.Module:
        return self.learner or self.network

    def loss(self, network: nn.Module, batch: Any) -> Tensor:
        return network(batch)

    def pieces(self, batch: Any) -> Sequence[Any]:
        return pieces(batch)

    def weight(self, batch: Any) -> float:
        return count(batch)

    def parameter_groups(self, options: FinetuneOptions) -> Iterable[dict[str, Any]]:
        assert self.learner is not None
        return self.learner.parameter_groups(options)

    def graphs(self) -> list[Graph]:
        return language_graphs("network", self.network, Step(self.network))

    def _check(self, options: RunOptions) -> None:
        """UserError for an arithmetic of weights where graphs stand in their place."""
        if options.weights != "float32":
            self.need_weights(f"--weights {options.weights}")

    def use(self) -> dict[str, Any]:
        tokenizer = self.chatter.tokenizer
        return {
            "tokenizer": "tokenizer.json", "begin": tokenizer.bos_id, "stop": sorted(tokenizer.stop_ids),
            "pad": tokenizer.pad_id, "length": self.network.length, "template": tokenizer.template,
            "input": "Turn the conversation into a text by the template (jinja), and the text into ids.",
            "output": "Take the likeliest of the last row of logits, or draw from its softmax, until one of `stop`.",
        }  # fmt: skip

    def save_plain(self, folder: Path) -> None:
        from .artifacts import write_hf

        write_hf(self, folder, "float32")

    def example_batch(self, size: int) -> Any:
        """A forward pass over 128 tokens."""
        ids = self._some(128)
        return learn_batch([Row.of(str(number), ids) for number in range(size)], pad_id=self.chatter.tokenizer.pad_id)

    def workloads(self, size: int) -> list[Workload]:
        """Reading a text, and writing one: the two speeds of a chat."""
        batch = self.example_batch(size).to(self.network.tokens.weight.device)
        prompts, how = [self._some(32) for _ in range(size)], Sampling(max_new=32)
        reading, writing = partial(self.predict, batch, RunOptions()), partial(generate, self.network, prompts, how)
        return [
            Workload(name="reading 128 tokens", unit="tokens", items=128 * size, run=reading),
            Workload(name="decoding 32 tokens after 32", unit="tokens", items=32 * size, run=writing),
        ]

    def _some(self, count: int) -> list[int]:
        """So many tokens; which does not matter."""
        return torch.randint(3, min(1000, self.network.vocabulary), (count,)).tolist()


def _with_system(turns: tuple[Turn, ...], system: str) -> tuple[Turn, ...]:
    if not system or (turns and turns[0].role == "system"):
        return turns
    return (Turn(role="system", content=system), *turns)


def _reply_metrics(replies: Sequence[Reply]) -> dict[str, float]:
    """Scores of replies beside those that people gave; Han counts over Chinese prompts alone."""
    known = [reply for reply in replies if reply.nats is not None]
    asked = [reply.text for reply in replies if metrics.mostly_han(reply.prompt[-1].content)]
    found = {"ended": metrics.share([reply.finish == "stop" for reply in replies])}
    if asked:
        found["han_share"] = sum(map(metrics.han_share, asked)) / len(asked)
        found["mostly_han"] = metrics.share([metrics.mostly_han(text) for text in asked])
        good = [
            reply.finish == "stop" and metrics.mostly_han(reply.text)
            for reply in replies
            if metrics.mostly_han(reply.prompt[-1].content)
        ]
        found["han_and_ended"] = metrics.share(good)
    found["rouge_l"] = sum(metrics.rouge_l(reply.text, reply.reference or "") for reply in replies) / len(replies)
    found["distinct_2"] = metrics.distinct([reply.text for reply in replies], 2)
    characters = sum(reply.characters for reply in known)
    if not characters:
        return found
    bits = metrics.bits_per_character(sum(reply.nats or 0.0 for reply in known), characters)
    return {"bits_per_char": bits, **found}


def _likelihood_metrics(results: Sequence[Scored]) -> dict[str, float]:
    characters = sum(result.characters for result in results)
    found = {}
    if characters:
        found["bits_per_char"] = metrics.bits_per_character(sum(result.nats for result in results), characters)
    margins = [result.margin for result in results if result.margin is not None]
    if margins:
        found["reward_margin"] = sum(margins) / len(margins)
        found["reward_accuracy"] = sum(margin > 0 for margin in margins) / len(margins)
    return found
