"""What a row means: which of the common shapes it has, and the turns, preference or document in it.

alpaca        {"instruction", "input", "output"} and perhaps "system", "history": [[question, answer], …]
ShareGPT      {"conversations": [{"from": "human", "value": …}, {"from": "gpt", …}]} and perhaps "system"
messages      {"messages": [{"role": "user", "content": … or [{"type": "text", "text": …}]}, …]}
preference    {"prompt" or "instruction" or the turns, "chosen", "rejected"}, each a text, a turn or turns
question      {"question" or "prompt" or "query", "answer" or "response" or "completion" or …}
text          {"text"}
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ....core.errors import UserError, near
from ..conversation import Conversation, Document, Preference, Role, Turn
from .records import Record

Kind = Literal["chat", "preference", "document"]
Shape = Literal["alpaca", "ShareGPT", "messages", "preference", "question and answer", "text"]
AnyExample = Conversation | Preference | Document

KINDS: dict[Shape, Kind] = {"preference": "preference", "text": "document"}
"""The kind of example that a shape holds; chat where it is not named."""
QUESTIONS = ("question", "prompt", "query", "instruction", "input")
ANSWERS = ("answer", "response", "completion", "output", "reply")
TURNS: dict[str, Shape] = {"messages": "messages", "conversations": "ShareGPT", "conversation": "ShareGPT"}
SPEAKERS: dict[str, Role] = {
    "system": "system", "developer": "system", "user": "user", "human": "user", "assistant": "assistant",
    "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant", "model": "assistant",
}  # fmt: skip
_HALF = re.compile("[\ud800-\udfff]")


def shape_of(record: Record) -> Shape:
    """The shape of a row, by the names of its fields; raises `UserError` that lists them if none fits."""
    row = record.value
    if isinstance(row, list):
        return "messages"
    if not isinstance(row, dict):
        raise UserError(f"{record.where} is {_kind(row)}, not an object with fields.", SHAPES_HINT)
    has = {name for name, value in row.items() if value is not None}
    if has & {"chosen", "rejected"}:
        return "preference"
    for name, shape in TURNS.items():
        if name in has:
            return shape
    if {"instruction", "output"} <= has:
        return "alpaca"
    if has & set(QUESTIONS):
        return "question and answer"
    if "text" in has:
        return "text"
    raise UserError(
        f"{record.where} has no field that is known; it has: {', '.join(map(str, row)) or 'none'}.", SHAPES_HINT
    )


def example(record: Record, shape: Shape) -> AnyExample:
    """The row as what it means. Raises `UserError` that names file, row and field of what is missing or wrong."""
    row: dict[str, Any] = {"messages": record.value} if isinstance(record.value, list) else record.value
    if shape == "text":
        return Document(id=record.id, text=_said(row, "text", record))
    if shape == "preference":
        return _preference(row, record)
    if shape == "alpaca":
        turns = _alpaca(row, record)
    elif shape == "question and answer":
        turns = _exchange(row, record)
    else:
        turns = _with_system(row, record, _turns(row, next(name for name in TURNS if name in row), record))
    return Conversation(id=record.id, turns=_in_order(turns, record))


# -- shapes -----------------------------------------------------------------------------------------------------------


def _alpaca(row: Mapping[str, Any], record: Record) -> list[Turn]:
    turns = _history(row, record)
    turns.append(Turn(role="user", content=_instruction(row, record)))
    turns.append(Turn(role="assistant", content=_said(row, "output", record)))
    return _with_system(row, record, turns)


def _instruction(row: Mapping[str, Any], record: Record) -> str:
    """The instruction, and below it what it is about."""
    instruction, about = _said(row, "instruction", record), _optional(row, "input", record)
    return f"{instruction}\n{about}" if about.strip() else instruction


def _history(row: Mapping[str, Any], record: Record) -> list[Turn]:
    history = row.get("history") or []
    if not isinstance(history, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in history):
        raise UserError(f"{record.where}: the field 'history' is no list of [question, answer] pairs.")
    turns = []
    for pair in history:
        for role, content in zip(("user", "assistant"), pair, strict=True):
            turns.append(Turn(role=role, content=_text(content, "history", record)))
    return turns


def _exchange(row: Mapping[str, Any], record: Record) -> list[Turn]:
    """A question and, unless the row is only a prompt, its answer."""
    question = next(name for name in QUESTIONS if row.get(name) is not None)
    answer = next((name for name in ANSWERS if name in row), None)
    turns = _history(row, record)
    if question == "instruction":
        turns.append(Turn(role="user", content=_instruction(row, record)))
    else:
        turns.append(Turn(role="user", content=_said(row, question, record)))
    if answer is not None:
        turns.append(Turn(role="assistant", content=_said(row, answer, record)))
    return _with_system(row, record, turns)


def _preference(row: Mapping[str, Any], record: Record) -> Preference:
    chosen, rejected = _reply(row, "chosen", record), _reply(row, "rejected", record)
    field = next((name for name in ("messages", "conversations", "conversation", *QUESTIONS) if row.get(name)), None)
    if field is None:  # both sides tell the whole conversation, and differ in its end
        shared = [one for one, other in zip(chosen[:-1], rejected[:-1], strict=False) if one == other]
        if not shared or not len(shared) == len(chosen) - 1 == len(rejected) - 1:
            raise UserError(f"{record.where}: what was asked is missing.", f"Name the field {QUESTIONS[1]!r}.")
        turns = shared
    elif field == "instruction":
        turns = [*_history(row, record), Turn(role="user", content=_instruction(row, record))]
    elif isinstance(row[field], list):
        turns = _turns(row, field, record)
    else:
        turns = [Turn(role="user", content=_said(row, field, record))]
    turns = _in_order(_with_system(row, record, turns), record)
    if turns[-1].role != "user":
        raise UserError(f"{record.where}: the turns before the two replies do not end with the user's.")
    return Preference(id=record.id, turns=turns, chosen=chosen[-1].content, rejected=rejected[-1].content)


def _reply(row: Mapping[str, Any], field: str, record: Record) -> list[Turn]:
    """One side of a preference: a text, a turn, or turns of which the last is the reply."""
    value = row.get(field)
    if isinstance(value, dict):
        value = [value]
    if isinstance(value, list):
        turns = _turns({field: value}, field, record)
        if turns[-1].role != "assistant":
            raise UserError(f"{record.where}: the field {field!r} does not end with the assistant's reply.")
        return turns
    return [Turn(role="assistant", content=_said(row, field, record))]


# -- turns ------------------------------------------------------------------------------------------------------------


def _turns(row: Mapping[str, Any], field: str, record: Record) -> list[Turn]:
    """A list of {role or from, content or value}."""
    items = row[field]
    if isinstance(items, str) and items.lstrip().startswith("["):  # all that a cell of a CSV can hold
        with contextlib.suppress(json.JSONDecodeError):
            items = json.loads(items)
    if not isinstance(items, list):
        raise UserError(
            f"{record.where}: the field {field!r} is {_kind(items)}, not a list of turns.",
            "In a CSV the list stands in its cell as JSON.",
        )
    if not items:
        raise UserError(f"{record.where}: the field {field!r} has no turns.")
    return [_turn(item, f"{field}[{number}]", record) for number, item in enumerate(items)]


def _turn(item: Any, field: str, record: Record) -> Turn:
    if not isinstance(item, dict):
        raise UserError(f"{record.where}: {field} is {_kind(item)}, not an object with role and content.")
    speaker = next((name for name in ("role", "from") if item.get(name) is not None), None)
    said = next((name for name in ("content", "value") if name in item), None)
    if speaker is None or said is None:
        missing = "role (or from)" if speaker is None else "content (or value)"
        raise UserError(f"{record.where}: {field} has no field {missing}; it has: {', '.join(item) or 'none'}.")
    name = item[speaker]
    role = SPEAKERS.get(name.strip().lower()) if isinstance(name, str) else None
    if role is None:
        hint = near(str(name), SPEAKERS)
        raise UserError(f"{record.where}: {field}.{speaker} names the role {name!r}, which is not known.", hint)
    content = item[said]
    if isinstance(content, list):
        content = _parts(content, f"{field}.{said}", record)
    return Turn(role=role, content=_text(content, f"{field}.{said}", record))


def _parts(parts: Sequence[Any], field: str, record: Record) -> str:
    """Content in parts, as the OpenAI interface has it: their text, joined."""
    for part in parts:
        if not isinstance(part, dict) or part.get("type", "text") != "text" or "text" not in part:
            what = repr(part.get("type")) if isinstance(part, dict) else _kind(part)
            raise UserError(f"{record.where}: {field} holds a part that is no text: {what}.")
    return "".join(_text(part["text"], field, record) for part in parts)


def _with_system(row: Mapping[str, Any], record: Record, turns: list[Turn]) -> list[Turn]:
    """The turns after what the row's field `system` says, if it has one."""
    system = _optional(row, "system", record)
    return [Turn(role="system", content=system), *turns] if system.strip() else turns


def _in_order(turns: Sequence[Turn], record: Record) -> tuple[Turn, ...]:
    """The turns, after checking that user and assistant alternate behind at most one system turn."""
    spoken = list(turns)
    if spoken[0].role == "system":
        spoken = spoken[1:]
    if not spoken:
        raise UserError(f"{record.where}: nobody says anything after the system prompt.")
    for number, turn in enumerate(spoken):
        if turn.role == "system":
            raise UserError(f"{record.where}: a system turn stands after others.", "It can only be the first, once.")
        if turn.role != ("user", "assistant")[number % 2]:
            before = f"follows another {turn.role} turn" if number else "is the first"
            raise UserError(
                f"{record.where}: turn {number + 1} is the {turn.role}'s and {before}.",
                "User and assistant take turns, and the user begins.",
            )
    return tuple(turns)


# -- text -------------------------------------------------------------------------------------------------------------


def _said(row: Mapping[str, Any], field: str, record: Record) -> str:
    """The text of a field that has to say something."""
    if row.get(field) is None:
        known = ", ".join(name for name, value in row.items() if value is not None) or "none"
        raise UserError(f"{record.where}: the field {field!r} is missing; there are: {known}.")
    return _text(row[field], field, record)


def _optional(row: Mapping[str, Any], field: str, record: Record) -> str:
    value = row.get(field)
    return "" if value is None or value == "" else _text(value, field, record, empty=True)


def _text(value: Any, field: str, record: Record, *, empty: bool = False) -> str:
    if not isinstance(value, str):
        raise UserError(f"{record.where}: the field {field!r} is {_kind(value)}, not text.")
    if not empty and not value.strip():
        raise UserError(f"{record.where}: the field {field!r} is empty.")
    if _HALF.search(value):
        raise UserError(f"{record.where}: the field {field!r} holds half a character (a lone surrogate).")
    return value


def _kind(value: Any) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


SHAPES_HINT = (
    "Known are alpaca (instruction, output), ShareGPT (conversations), messages (messages), preferences (prompt, "
    "chosen, rejected), question and answer, and plain text (text)."
)
