"""What the text domain works on, before any token: conversations, preferences, documents.

system     You are a helpful assistant.
user       今天天气怎么样?
assistant  今天晴朗，适合散步。        <- the reply that is learnt, or compared with
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...core.task import Example

Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant")


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What one side said."""

    role: Role
    content: str


@dataclass(frozen=True, kw_only=True)
class Conversation(Example):
    """Turns in order. One that ends with the assistant can be learnt from; one that ends with the user is a prompt.

    id: where it comes from, as `file:line` or `name[number]`.
    """

    turns: tuple[Turn, ...]

    @property
    def prompt(self) -> tuple[Turn, ...]:
        """The turns before the last reply."""
        return self.turns[:-1] if self.reference is not None else self.turns

    @property
    def reference(self) -> str | None:
        """The last reply; None where the user has the last word."""
        last = self.turns[-1] if self.turns else None
        return last.content if last is not None and last.role == "assistant" else None


@dataclass(frozen=True, kw_only=True)
class Preference(Example):
    """Turns that end with the user, the reply that people preferred, and the one that they did not."""

    turns: tuple[Turn, ...]
    chosen: str
    rejected: str


@dataclass(frozen=True, kw_only=True)
class Document(Example):
    """Plain text, every token of which is learnt (continued pre-training, perplexity)."""

    text: str
