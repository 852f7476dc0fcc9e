"""How good a model is on text that it never saw: the held-out replies, what became of its English, and on request the
perplexity of a text and the accuracy on questions with given answers."""

from __future__ import annotations

import contextlib
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ....core.errors import UserError
from ....core.sources import Unreachable
from ....core.task import Summary
from .. import chat, choices, likelihood, metrics, report
from ..conversation import Turn
from ..data import collect
from ..extend import tokens_per_character
from ..replies import Reply
from .options import EvaluateOptions, RunOptions
from .training import ENGLISH

MOST_ENGLISH = 100
"""English conversations that are scored, from the first held-out one on."""
SAMPLES = 10


def assess(task: Any, replies: list[Any], summary: Summary, options: Any) -> Summary:
    """The scores of `replies` with those that need the model once more."""
    scores: dict[str, float] = dict(summary.metrics)
    details: dict[str, Any] = dict(summary.details)
    if replies and isinstance(replies[0], Reply):
        scores["bits_per_char_en"] = english(task)
        scores["tokens_per_char"] = tokens_per_character(
            task.chatter.tokenizer, [reply.reference or "" for reply in replies]
        )
    if isinstance(options, EvaluateOptions) and options.text:
        details["text"] = _perplexity(task, Path(options.text))
        scores["perplexity"] = details["text"]["perplexity"]
    if isinstance(options, EvaluateOptions) and options.choices:
        details["choices"] = _choices(task, Path(options.choices))
        scores["choice_accuracy"] = details["choices"]["accuracy"]
    return Summary(metrics=scores, details=details)


def english(task: Any) -> float:
    """Bits per character of held-out English replies: what a fine-tuning on another language makes it forget.

    NaN where the data cannot be had: what was trained is not lost for that.
    """
    try:
        held = collect(ENGLISH).split("test").examples
    except Unreachable:
        return math.nan
    items, prompts = [], []
    for item in (held[index] for index in range(min(len(held), MOST_ENGLISH))):
        with contextlib.suppress(UserError):  # longer than a small model's context
            prompts.append(task.answering.prompt(item.prompt, RunOptions())[0])
            items.append(item)
    nats = sum(value for value in task.answering.score(items, prompts) if value is not None)
    characters = sum(len(item.reference or "") for item in items)
    return metrics.bits_per_character(nats, characters) if characters else math.nan


def _perplexity(task: Any, path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no UTF-8 text ({error}).") from None
    if not text.strip():
        raise UserError(f"{path} holds no text.")
    return {"file": str(path), **likelihood.perplexity(task.network, task.chatter.tokenizer, text)}


def _choices(task: Any, path: Path) -> dict[str, Any]:
    """Which of the given answers is the likeliest reply to each question."""
    tokenizer, length = task.chatter.tokenizer, task.network.length

    def ask(item: choices.Item) -> list[int]:
        turns = [Turn(role="user", content=item.question)]
        return chat.prompt_ids(turns, tokenizer, length=length, reserve=64, strict=True)[0]

    def say(prompts: list[list[int]], answers: list[list[int]]) -> list[float]:
        return likelihood.answer_log_probabilities(task.network, prompts, answers)

    scores = choices.score(choices.read(path), tokenizer, say, prompt=ask)
    return {"file": str(path), **asdict(scores)}


# -- before and after -------------------------------------------------------------------------------------------------


def compare(before: tuple[list[Any], Summary], after: tuple[list[Any], Summary], folder: Path) -> dict[str, Any]:
    """The report: scores side by side, ten sample replies, a picture."""
    pairs = list(zip(before[0], after[0], strict=True))
    step = max(1, len(pairs) // SAMPLES)
    samples = [
        report.Sample(prompt=new.prompt[-1].content, reference=new.reference or "", before=old.text, after=new.text)
        for old, new in pairs[::step][:SAMPLES]
    ]
    comparison = report.Comparison(before=_scores(*before), after=_scores(*after), samples=samples)
    comparison.write(folder)
    return {key: value for key, value in comparison.to_json().items() if key != "samples"}


def _scores(replies: list[Any], summary: Summary) -> report.Scores:
    plain = [
        report.Reply(
            prompt=reply.prompt[-1].content,
            reference=reply.reference or "",
            reply=reply.text,
            ended=reply.finish == "stop",
        )
        for reply in replies
    ]
    return report.Scores.of(
        plain,
        bits_per_char_zh=summary.metrics["bits_per_char"],
        bits_per_char_en=summary.metrics["bits_per_char_en"],
        tokens_per_char=summary.metrics["tokens_per_char"],
    )
