"""The chat in the terminal: it remembers, obeys, and survives Ctrl-C."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from rich.console import Console
from tsuite.domains.text.conversation import Turn
from tsuite.domains.text.replies import ReplyText
from tsuite.domains.text.terminal import Chat

from .tinychat import chat_tokenizer


class Echo:
    """Answers with what was said, piece by piece; a line with a bang is interrupted half-way."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, turns: Sequence[Turn]) -> Iterator[str]:
        self.asked.append([turn.content for turn in turns])
        yield "you said "
        if "!" in turns[-1].content:
            raise KeyboardInterrupt
        yield turns[-1].content


def talk(monkeypatch: pytest.MonkeyPatch, *lines: str, system: str = "") -> tuple[Chat, Echo, str]:
    said, echo = io.StringIO(), Echo()
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    chat = Chat(echo, system=system, console=Console(file=said, width=200))
    chat.talk()
    return chat, echo, said.getvalue()


def test_it_remembers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _, echo, _ = talk(monkeypatch, "one", "two")
    assert echo.asked[1] == ["one", "you said one", "two"]
    assert capsys.readouterr().out == "you said one\nyou said two\n"


def test_interrupt_stops_the_reply_and_not_the_chat(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, echo, _ = talk(monkeypatch, "stop!", "go on")
    assert echo.asked[1] == ["stop!", "you said ", "go on"]
    assert "(stopped)" in capsys.readouterr().err


def test_reset_and_system(monkeypatch: pytest.MonkeyPatch) -> None:
    _, echo, _ = talk(monkeypatch, "one", "/reset", "two", "/system be brief", "three", "/system", "four", system="hi")
    assert echo.asked == [["hi", "one"], ["hi", "two"], ["be brief", "three"], ["four"]]


def test_save_never_writes_over_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "talk.json"
    _, _, said = talk(monkeypatch, "one", f"/save {file}", f"/save {file}", "/save", "/unknown", "/help")
    (saved,) = json.loads(file.read_text(encoding="utf-8"))
    assert saved["messages"] == [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "you said one"},
    ]
    for words in ("exists already", "needs the name of a file", "no command /unknown", "/system TEXT"):
        assert words in said


@pytest.mark.parametrize(
    ("stops", "expected"), [((), "今天晴朗，OK"), (("，O",), "今天晴朗"), (("晴天",), "今天晴朗，OK")]
)
def test_text_grows_by_whole_characters_up_to_a_stop(stops: tuple[str, ...], expected: str) -> None:
    tokenizer = chat_tokenizer()
    text = ReplyText(tokenizer, stops)
    shown = ""
    for token in tokenizer.encode("今天晴朗，OK"):
        text.push(token)
        shown += text.news()
        assert "\ufffd" not in shown
        assert expected.startswith(shown)
    text.flush()
    assert shown + text.news() == text.text == expected
