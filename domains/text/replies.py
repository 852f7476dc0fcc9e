"""Replies as people read them: text that grows by whole characters, the result of a prompt, tables of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...core.task import Result
from .conversation import Turn
from .tokenizer import Tokenizer

FINISHES = {"stop": "ended", "string": "stopped at a stop string", "length": "cut off at the limit"}


class ReplyText:
    """The text of one reply while its tokens arrive: whole characters only, and nothing from a stop string on.

    What could be the beginning of a stop string is held back until it is known not to be one.
    """

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str] = ()) -> None:
        self._stream, self._stops = tokenizer.stream(), tuple(stop for stop in stops if stop)
        self.text, self._held, self._read, self.stopped = "", "", 0, False

    def push(self, token: int) -> None:
        """Take up a token."""
        self._take(self._stream.push(token))

    def flush(self) -> None:
        """Take up what was held back, once no token follows."""
        if not self.stopped:
            self._take(self._stream.flush())
            rest, self._held = self._held, ""
            self.text += rest

    def news(self) -> str:
        """The text that came since this was asked last."""
        new, self._read = self.text[self._read :], len(self.text)
        return new

    def _take(self, piece: str) -> None:
        if self.stopped:
            return
        whole = self._held + piece
        cut = min((place for stop in self._stops if (place := whole.find(stop)) >= 0), default=None)
        if cut is not None:
            self.stopped, self._held, certain = True, "", whole[:cut]
        else:
            keep = max((_overlap(whole, stop) for stop in self._stops), default=0)
            certain, self._held = whole[: len(whole) - keep], whole[len(whole) - keep :]
        self.text += certain


def _overlap(text: str, stop: str) -> int:
    """How many of the last characters of `text` begin `stop`."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)


@dataclass(frozen=True, kw_only=True)
class TokenChoice:
    """One token of a reply, its probability, and the (text, probability) of the runners-up."""

    text: str
    probability: float
    others: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Reply(Result):
    """The answer to one prompt.

    finish: "stop" (the model ended it), "string" (a stop string did) or "length" (cut off). tokens: how many it took.
    reference: the reply that people gave; nats and characters: minus its log-probability under the model, and its
    length, from which bits per character follow. choices: only with --show-probs.
    """

    prompt: tuple[Turn, ...]
    text: str
    finish: str
    tokens: int
    reference: str | None = None
    nats: float | None = None
    characters: int = 0
    choices: tuple[TokenChoice, ...] = ()

    def to_json(self) -> dict[str, Any]:
        plain: dict[str, Any] = {
            "id": self.id,
            "prompt": [{"role": turn.role, "content": turn.content} for turn in self.prompt],
            "reply": self.text,
            "finish": self.finish,
            "tokens": self.tokens,
        }
        if self.reference is not None:
            plain["reference"] = self.reference
        if self.choices:
            plain["probabilities"] = [
                {
                    "token": choice.text,
                    "probability": choice.probability,
                    "others": [list(pair) for pair in choice.others],
                }
                for choice in self.choices
            ]
        return plain | ({"notices": list(self.notices)} if self.notices else {})


@dataclass(frozen=True, kw_only=True)
class Scored(Result):
    """How likely a text is to the model: `nats` (minus its log-probability) over `tokens` that stand for
    `characters`; of a preference pair also the margin of its rewards."""

    nats: float
    tokens: int
    characters: int = 0
    margin: float | None = None


def choice_line(choice: TokenChoice) -> str:
    """A token, its probability and the runners-up, for a terminal."""
    others = "  ".join(f"{text!r} {probability:.3f}" for text, probability in choice.others)
    return f"{choice.probability:7.3f}  {choice.text!r:<14} {others}"


def reply_table(replies: Sequence[Reply]) -> Any:
    """Prompts and replies side by side."""
    from rich.table import Table

    table = Table(header_style="bold", show_lines=True)
    table.add_column("prompt", overflow="fold", ratio=2)
    table.add_column("reply", overflow="fold", ratio=3)
    for reply in replies:
        asked = reply.prompt[-1].content if reply.prompt else ""
        note = "" if reply.finish == "stop" else f"\n({FINISHES[reply.finish]})"
        table.add_row(_plain(_short(asked, 200)), _plain(_short(reply.text, 600) + note))
    return table


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _plain(text: str) -> Any:
    from rich.text import Text

    return Text(text)
