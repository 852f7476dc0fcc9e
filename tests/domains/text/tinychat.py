"""A tokenizer with ChatML's marks, made on the spot, and rows in every format."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers
from tsuite.domains.text.conversation import Conversation, Turn
from tsuite.domains.text.tokenizer import Tokenizer

MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"]
TEXTS = [
    "你好，今天天气怎么样？",
    "今天晴朗，适合散步。",
    "Hello there, how are you today?",
    "user assistant system",
] * 4


@cache
def chat_tokenizer(*, template: str | None = None, marks: bool = True) -> Tokenizer:
    """A byte-level BPE; `marks` False: without ChatML's marks."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    names = MARKS if marks else ["<|endoftext|>", "<|pad|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=340, special_tokens=names, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(TEXTS, trainer)
    end, pad = (names.index(name) for name in ("<|im_end|>" if marks else "<|endoftext|>", "<|pad|>"))
    return Tokenizer(backend=backend, end_id=end, pad_id=pad, template=template)


def turns(*said: str, system: str = "") -> tuple[Turn, ...]:
    """Turns of user and assistant in turn, behind a system prompt if there is one."""
    first = [Turn(role="system", content=system)] if system else []
    roles = ("user", "assistant")
    return (*first, *(Turn(role=roles[number % 2], content=text) for number, text in enumerate(said)))


def talk(*said: str, system: str = "") -> Conversation:
    return Conversation(id="talk", turns=turns(*said, system=system))


def show(ids: list[int], tokenizer: Tokenizer) -> str:
    """The text of ids, special tokens spelled out."""
    return tokenizer.backend.decode(ids, skip_special_tokens=False)


def write_lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def alpaca(count: int) -> list[dict[str, str]]:
    return [{"instruction": f"问题 {number}？", "input": "", "output": f"答案 {number}。"} for number in range(count)]
