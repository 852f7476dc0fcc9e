"""Multiple choice: the answer that the model finds likeliest, from questions in a CSV or JSONL file.

    question,A,B,C,D,answer            {"question": "天空是什么颜色？", "choices": ["蓝色", "绿色"], "answer": 0}
    天空是什么颜色？,蓝色,绿色,红色,黑色,A

The answer is a letter, an index from 0, or the text of a choice.
"""

from __future__ import annotations

import csv
import json
import string
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import UserError
from ...core.task import Example
from .tokenizer import Tokenizer

LogProbability = Callable[[list[list[int]], list[list[int]]], Sequence[float]]
"""Prompts and answers as ids -> the summed log-probability of each answer after its prompt."""


@dataclass(frozen=True, kw_only=True)
class Item(Example):
    """A question; `answer` is the index of the right one of `choices`. id: `file:line`."""

    question: str
    choices: tuple[str, ...]
    answer: int


@dataclass(frozen=True, kw_only=True)
class ChoiceScores:
    """`accuracy` goes by the summed log-probability of a choice, `accuracy_per_char` by that over its characters.

    The second does not favour short choices. guess: what guessing would reach. predicted: the indices by the first.
    """

    accuracy: float
    accuracy_per_char: float
    guess: float
    n: int
    predicted: tuple[int, ...]
    predicted_per_char: tuple[int, ...]


def read(path: Path) -> list[Item]:
    """The questions of a .csv, .tsv or .jsonl file. Raises `UserError` that names the file, line and field."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no file {path}.")
    if path.suffix.lower() not in (".csv", ".tsv", ".jsonl"):
        raise UserError(f"{path} is neither .csv, .tsv nor .jsonl.", "Questions are read from these.")
    rows = _json_lines(path) if path.suffix.lower() == ".jsonl" else _table(path)
    try:
        items = [_item(row, path, line) for line, row in rows]
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8 text: {error.reason} at byte {error.start}.", "Save it as UTF-8."
        ) from None
    if not items:
        raise UserError(f"{path} holds no question.")
    return items


def score(
    items: Sequence[Item],
    tokenizer: Tokenizer,
    logprob: LogProbability,
    *,
    prompt: Callable[[Item], list[int]] | None = None,
) -> ChoiceScores:
    """Ask `logprob` about every choice. prompt: an item's ids before the choice (default: the question and a new line).

    Raises `UserError` where a choice or a prompt comes to no token.
    """
    prompts: list[list[int]] = []
    answers: list[list[int]] = []
    for item in items:
        before = prompt(item) if prompt else tokenizer.encode(f"{item.question}\n")
        prompts += [before] * len(item.choices)
        answers += [tokenizer.encode(choice) for choice in item.choices]
    values = iter(logprob(prompts, answers))
    summed: list[int] = []
    normalised: list[int] = []
    for item in items:
        found = [next(values) for _ in item.choices]
        summed.append(_best(found))
        normalised.append(_best([value / len(choice) for value, choice in zip(found, item.choices, strict=True)]))
    return ChoiceScores(
        accuracy=_accuracy(summed, items),
        accuracy_per_char=_accuracy(normalised, items),
        guess=sum(1 / len(item.choices) for item in items) / len(items),
        n=len(items),
        predicted=tuple(summed),
        predicted_per_char=tuple(normalised),
    )


def _best(values: Sequence[float]) -> int:
    return max(range(len(values)), key=values.__getitem__)


def _accuracy(predicted: Sequence[int], items: Sequence[Item]) -> float:
    return sum(index == item.answer for index, item in zip(predicted, items, strict=True)) / len(items)


# -- rows -> items --------------------------------------------------------------------------------------------------


def _table(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
        for row in reader:
            yield reader.line_num, row


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig") as file:
        for line, text in enumerate(file, start=1):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except json.JSONDecodeError as error:
                raise UserError(f"{path}:{line} is not JSON: {error.msg} at column {error.colno}.") from None
            if not isinstance(row, dict):
                raise UserError(f"{path}:{line} is not a JSON object.", 'Expected {"question": …, "choices": […], …}.')
            yield line, row


def _item(row: dict[str, Any], path: Path, line: int) -> Item:
    fields = {key.strip().lower(): value for key, value in row.items() if isinstance(key, str)}
    where = f"{path}:{line}"
    question = fields.get("question")
    if not isinstance(question, str) or not question.strip():
        raise UserError(
            f"{where}: the field question is missing or empty.", f"It has: {', '.join(fields) or 'nothing'}."
        )
    choices = _choices(fields, where)
    answer = _answer(fields.get("answer"), choices, where)
    return Item(id=where, question=question, choices=choices, answer=answer)


def _choices(fields: dict[str, Any], where: str) -> tuple[str, ...]:
    """The list under `choices` (in a CSV as JSON), or the columns A, B, C … up to the first that is empty."""
    listed = fields.get("choices")
    if isinstance(listed, str):
        try:
            listed = json.loads(listed)
        except json.JSONDecodeError:
            raise UserError(
                f"{where}: the field choices is not a JSON list: {listed!r}.", "Or use columns A, B, C, D."
            ) from None
    if listed is None:
        listed = []
        for letter in string.ascii_lowercase:
            if fields.get(letter) in (None, ""):
                break
            listed.append(fields[letter])
    if not isinstance(listed, list) or len(listed) < 2 or any(str(choice) == "" for choice in listed):
        raise UserError(
            f"{where}: there are not two choices or more, or one is empty.",
            "Give a list choices, or columns A, B, C, D.",
        )
    return tuple(str(choice) for choice in listed)


def _answer(value: Any, choices: tuple[str, ...], where: str) -> int:
    """The index that a letter, an index or a choice's own text means; the text goes first."""
    text = "" if value is None else str(value).strip()
    if text in choices and not isinstance(value, int):
        return choices.index(text)
    letters = string.ascii_uppercase[: len(choices)]
    if len(text) == 1 and text.upper() in letters:
        return letters.index(text.upper())
    if text.isdecimal() and int(text) < len(choices):
        return int(text)
    raise UserError(
        f"{where}: the answer {text!r} is none of the {len(choices)} choices.",
        f"Give a letter ({letters[0]} to {letters[-1]}), an index (0 to {len(choices) - 1}) or the text of a choice.",
    )
