"""Byte-level BPE tokenizers small enough to learn on the spot, and Chinese whose words repeat."""

from __future__ import annotations

import random
from functools import cache

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers
from tsuite.domains.text.tokenizer import Tokenizer
from tsuite.domains.text.tokenizer_files import assemble

ENGLISH = (
    "The weather is fine today, and the river is blue. What is the answer to the question?  \t\tdef f(x): return x\n"
)
WORDS = [
    *"的了是在请问",
    "今天",
    "天气",
    "很好",
    "我们",
    "可以",
    "一起",
    "学习",
    "中文",
    "问题",
    "河水",
    "蓝色",
    "答案",
    "什么",
]
QWEN = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def chinese(count: int, seed: int = 0) -> list[str]:
    """Sentences whose words repeat, as those of a language do."""
    chance = random.Random(seed)
    return [
        "".join(chance.choices(WORDS, k=8)) + "，" + chance.choice(["OK 好。", "😀！", "3天？"]) for _ in range(count)
    ]


def cuts(kind: str) -> pre_tokenizers.PreTokenizer:
    """How the three kinds of byte-level tokenizers that are about cut text into words."""
    if kind == "gpt2":
        return pre_tokenizers.ByteLevel(add_prefix_space=False)
    if kind == "smollm":
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    split = pre_tokenizers.Split(tokenizers.Regex(QWEN), "isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


@cache
def base(kind: str = "gpt2") -> Tokenizer:
    """A tokenizer learnt on English and a little Chinese, with runs of spaces as added tokens as phi has them."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer, backend.decoder = cuts(kind), decoders.ByteLevel()
    if kind == "qwen":
        backend.normalizer = normalizers.NFC()
    trainer = trainers.BpeTrainer(
        vocab_size=330, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    backend.train_from_iterator([ENGLISH * 3, *chinese(3)], trainer)
    backend.add_special_tokens(["<|endoftext|>"])
    backend.add_tokens([" " * count for count in range(6, 1, -1)])
    end = backend.token_to_id("<|endoftext|>")
    return assemble(backend, bos=None, end=end, pad=None, stops=[], template=None, source="toy")
