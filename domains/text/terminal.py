"""A chat in the terminal: it remembers the conversation, streams each reply, and obeys a few commands.

> 你好
你好！有什么可以帮你的吗？
> /system 用一句话回答。
> /save talk.json
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ...core.errors import UserError, near
from .conversation import Turn

STOPPED = "  (stopped)"

Answer = Callable[[Sequence[Turn]], Iterator[str]]
"""Gives the reply to a conversation piece by piece."""

HELP = {
    "/reset": "forget the conversation",
    "/system TEXT": "what the model is told first (no TEXT: nothing); forgets the conversation",
    "/save FILE": "write the conversation as JSON messages, which `tsuite finetune --data` reads",
    "/help": "this list",
    "/exit": "leave (Ctrl-D does too)",
}


class Chat:
    """One conversation with a person. `turns` is what was said so far."""

    def __init__(self, answer: Answer, *, system: str = "", console: Any) -> None:
        self.answer, self.console = answer, console
        self.turns: list[Turn] = []
        self.system = system
        self.reset()

    def reset(self) -> None:
        """Begin anew, under the same system text."""
        self.turns = [Turn(role="system", content=self.system)] if self.system else []

    def talk(self) -> None:
        """Read and reply until the person leaves. Ctrl-C stops a reply, never the chat."""
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 (gives input() line editing and the arrow keys)
        self.say("Type to chat. /help lists the commands, Ctrl-C stops a reply, Ctrl-D leaves.")
        while True:
            try:
                line = input("> " if sys.stdin.isatty() else "").strip()
            except EOFError:
                return
            except KeyboardInterrupt:
                self.say("\nNothing to stop. Leave with /exit or Ctrl-D.")
                continue
            if line in ("/exit", "/quit"):
                return
            try:
                self.obey(line) if line.startswith("/") else self.reply(line)
            except UserError as error:
                self.say(str(error))

    def reply(self, line: str) -> None:
        """Answer one line. A reply that Ctrl-C stops stays in the conversation as far as it came."""
        if not line:
            return
        asked = [*self.turns, Turn(role="user", content=line)]
        said = print_reply(self.answer(asked))
        self.turns = [*asked, Turn(role="assistant", content=said)] if said else self.turns

    def obey(self, line: str) -> None:
        """Carry out a command. Raises UserError for one that does not exist or cannot be done."""
        word, _, rest = line.partition(" ")
        rest = rest.strip()
        if word == "/reset":
            self.reset()
            self.say("The conversation is forgotten.")
        elif word == "/system":
            self.system = rest
            self.reset()
            self.say("The conversation begins anew" + (f" with: {rest}" if rest else ", with no system text."))
        elif word == "/save":
            self.save(rest)
        elif word == "/help":
            for name, what in HELP.items():
                self.say(f"  {name:<14} {what}")
        else:
            raise UserError(f"There is no command {word}.", near(word, [name.split()[0] for name in HELP]))

    def save(self, name: str) -> None:
        """Write the conversation to a new file."""
        if not name:
            raise UserError("/save needs the name of a file.", "For example: /save talk.json")
        path = Path(name).expanduser()
        messages = [{"role": turn.role, "content": turn.content} for turn in self.turns]
        try:
            with path.open("x", encoding="utf-8") as file:  # never over another file
                file.write(json.dumps([{"messages": messages}], ensure_ascii=False, indent=1) + "\n")
        except FileExistsError:
            raise UserError(f"{path} exists already.", "Choose another name.") from None
        except OSError as error:
            raise UserError(f"{path} could not be written: {error.strerror}.") from None
        self.say(f"saved {path}")

    def say(self, text: str, end: str = "\n") -> None:
        """Tell the person something that is not part of the conversation."""
        self.console.print(text, style="dim", highlight=False, markup=False, end=end)


def print_reply(pieces: Iterator[str]) -> str:
    """Print a reply while it comes, up to Ctrl-C; gives what was said."""
    said = ""
    try:
        for piece in pieces:
            said += piece
            sys.stdout.write(piece)
            sys.stdout.flush()
    except KeyboardInterrupt:
        sys.stderr.write(STOPPED)
    sys.stdout.write("\n")
    sys.stdout.flush()
    return said
