"""Tokens on disk are the tokens in memory, nothing half-written is ever read, and memory stays small."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tsuite.core.errors import UserError
from tsuite.core.task import Split
from tsuite.domains.text import tokens
from tsuite.domains.text.chat import encode, encode_document, encode_preference
from tsuite.domains.text.conversation import Document, Preference
from tsuite.domains.text.data import collect
from tsuite.domains.text.template import CHATML
from tsuite.domains.text.tokens import Tokens, pairs, tokenise

from .tinychat import alpaca, chat_tokenizer, talk, turns, write_lines

TALKS = [talk("你好" * (number % 5 + 1), "今天" * (number % 7 + 1)) for number in range(40)]


def split(examples: list, sha256: str = "a") -> Split:
    return Split(name="talks", part="train", examples=examples, sha256=sha256)


def test_what_is_read_is_what_was_encoded(tmp_cache: Path) -> None:
    tokenizer = chat_tokenizer()
    made = tokenise(split(TALKS), tokenizer, length=999)
    expected = [encode(item.turns, tokenizer) for item in TALKS]
    assert list(made) == expected == made[:]
    assert made[-1] == expected[-1]
    assert made.lengths.tolist() == [len(one.ids) for one in expected]
    assert made.notices == ()
    with pytest.raises(IndexError):
        made[40]
    (folder,) = (tmp_cache / "tokens").iterdir()
    assert (folder / "ids.bin").stat().st_size == 2 * made.lengths.sum()


def test_it_is_made_once(tmp_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = chat_tokenizer()
    first = tokenise(split(TALKS), tokenizer, length=999)
    with monkeypatch.context() as patch:
        patch.setattr(tokens, "_write", lambda *_: pytest.fail("made again"))
        assert list(tokenise(split(TALKS), tokenizer, length=999)) == list(first)
    others = [
        tokenise(split(TALKS, "b"), tokenizer, length=999),
        tokenise(split(TALKS), tokenizer, length=998),
        tokenise(split(TALKS), chat_tokenizer(template=CHATML + " "), length=999),
        tokenise(split(TALKS[:20]), tokenizer, length=999),
        tokenise(split(TALKS[20:]), tokenizer, length=999),
    ]
    assert len(list((tmp_cache / "tokens").iterdir())) == 1 + len(others)


def test_what_does_not_fit(tmp_cache: Path) -> None:
    tokenizer = chat_tokenizer()
    talks = [talk("你好", "好"), talk("你好", "好", "你好", "好" * 99), talk("你好" * 99, "好")]
    made = tokenise(split(talks), tokenizer, length=60)
    assert len(made) == 2
    assert made[0] == made[1]
    assert "1 examples were left out" in made.notices[0]
    assert "1 conversations were cut" in made.notices[1]
    with pytest.raises(UserError, match="Not one example fits into 5 tokens"):
        tokenise(split(talks), tokenizer, length=5)
    assert not any((tmp_cache / "temp").iterdir())


def test_documents_and_preferences(tmp_cache: Path) -> None:
    tokenizer = chat_tokenizer()
    document = Document(id="d", text="今天晴朗。" * 20)
    made = tokenise(split([document] * 2), tokenizer, length=32)
    assert list(made) == list(encode_document(document.text, tokenizer, 32)) * 2
    item = Preference(id="p", turns=turns("你好"), chosen="好", rejected="不好")
    paired = pairs(split([item, item], "p"), tokenizer, length=99)
    assert paired[0] == paired[-1] == encode_preference(item, tokenizer, 99)
    assert paired.lengths.tolist() == [len(paired[0].chosen.ids) + len(paired[0].rejected.ids)] * 2


def test_a_large_vocabulary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(chat_tokenizer()), "__len__", lambda _: 2**16 + 1)
    tokens._write(tmp_path, TALKS[:3], chat_tokenizer(), 999)
    assert list(Tokens(tmp_path)) == [encode(item.turns, chat_tokenizer()) for item in TALKS[:3]]
    assert (tmp_path / "ids.bin").stat().st_size == 4 * Tokens(tmp_path).lengths.sum()


KILLED = """
import itertools, os, signal, sys
from tsuite.domains.text import tokens
from tsuite.domains.text.data import collect
from tinychat import chat_tokenizer

real, count = tokens._encoded, itertools.count()

def killing(*arguments):
    if next(count) == 500:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments)

tokens._encoded = killing
tokens.tokenise(collect(sys.argv[1]).split("train"), chat_tokenizer(), length=99)
"""


@pytest.mark.slow
def test_killed_half_way(tmp_cache: Path, tmp_path: Path) -> None:
    path = str(write_lines(tmp_path / "a.jsonl", alpaca(1000)))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    ended = subprocess.run([sys.executable, "-c", KILLED, path], check=False, env=environment)
    assert ended.returncode == -signal.SIGKILL
    assert not (tmp_cache / "tokens").exists()
    assert any((tmp_cache / "temp").iterdir())
    train = collect(path).split("train")
    made = tokenise(train, chat_tokenizer(), length=99)
    assert list(made) == [encode(item.turns, chat_tokenizer()) for item in train.examples]
    assert not any((tmp_cache / "temp").iterdir())


GROWTH = """
import json, resource, sys
from tsuite.domains.text.data import collect
from tsuite.domains.text.tokens import tokenise
from tinychat import chat_tokenizer

collect(sys.argv[1])
tokenizer = chat_tokenizer()
tokenise(collect(sys.argv[1]).split("train"), tokenizer, length=512)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
made = tokenise(collect(sys.argv[2]).split("train"), tokenizer, length=512)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps([len(made), int(made.lengths.sum()), grown / 1024]))
"""


@pytest.mark.slow
def test_memory_stays_small(tmp_cache: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, count in (("small", 50), ("large", 20_000)):
        with open(tmp_path / f"{name}.jsonl", "w", encoding="utf-8") as file:
            for number in range(count):
                reply = "".join(map(chr, rng.integers(0x4E00, 0x9FA5, 120)))
                file.write(json.dumps({"instruction": f"问题 {number}", "output": reply}) + "\n")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    paths = [str(tmp_path / f"{name}.jsonl") for name in ("small", "large")]
    printed = subprocess.run(
        [sys.executable, "-c", GROWTH, *paths], check=True, env=environment, capture_output=True, text=True
    ).stdout
    count, size, grown = json.loads(printed)
    assert 18_500 < count < 19_500
    assert size > 6e6
    assert grown < 60  # MB; the lists alone would take several hundred
