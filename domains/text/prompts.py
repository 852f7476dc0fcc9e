"""Prompts that a person has in a file: conversations in any format, or plain text with a prompt on each line."""

from __future__ import annotations

from pathlib import Path

from ...core.errors import UserError
from . import formats
from .conversation import Conversation, Document, Turn
from .formats.records import PLAIN


def read_prompts(path: Path) -> list[Conversation]:
    """The prompts of a file in order; last replies that it holds stay as references.

    Raises UserError that names the file, row and field where something is missing or malformed.
    """
    if not path.exists():
        raise UserError(f"There is no file {path}.", "Give --input a file of prompts.")
    if path.suffix.lower() in PLAIN:
        lines = _lines(path)
        return [_asked(f"{path.name}:{number}", line) for number, line in lines]
    found: list[Conversation] = []
    for item in formats.read(path):
        if isinstance(item, Conversation):
            found.append(item)
        elif isinstance(item, Document):
            found.append(_asked(item.id, item.text))
        else:
            raise UserError(f"{item.id} is a pair of replies, not a prompt.")
    return found


def _lines(path: Path) -> list[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no UTF-8 text ({error}).") from None
    found = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not found:
        raise UserError(f"{path} holds no prompt.")
    return found


def _asked(id: str, text: str) -> Conversation:
    return Conversation(id=id, turns=(Turn(role="user", content=text),))
