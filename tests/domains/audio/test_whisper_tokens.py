"""Whisper's tokens: what is asked, what may follow, loops, and words with their times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tsuite.core.errors import UserError
from tsuite.domains.audio.subtitles import Word
from tsuite.domains.audio.whisper.listening import Said
from tsuite.domains.audio.whisper.rules import Loop, Suppress, Timestamps, compression, loop_at_end
from tsuite.domains.audio.whisper.segments import join, segments_of
from tsuite.domains.audio.whisper.timing import path_starts, token_starts
from tsuite.domains.audio.whisper.tokenizer import WhisperTokenizer

from .whispers import LANGUAGES, tokenizer

NEVER = float("-inf")


@pytest.fixture(scope="module")
def tokens() -> WhisperTokenizer:
    return WhisperTokenizer(tokenizer(), multilingual=True)


# -- what is asked ----------------------------------------------------------------------------------------------------


def test_requests(tokens: WhisperTokenizer) -> None:
    named = tokens.backend.token_to_id
    asked = tokens.request("de", "translate", timestamps=False)
    assert asked == [named("<|de|>"), named("<|translate|>"), named("<|notimestamps|>")]
    assert tokens.request("en", "transcribe", timestamps=True) == [named("<|en|>"), named("<|transcribe|>")]
    assert set(tokens.languages) == set(LANGUAGES)
    assert tokens.first_time == named("<|0.00|>")
    assert tokens.seconds(tokens.first_time + 60) == pytest.approx(1.2)
    assert tokens.seconds(5) is None


def test_a_model_of_english_alone() -> None:
    english = WhisperTokenizer(tokenizer(), multilingual=False)
    assert english.request("auto", "transcribe", timestamps=False) == [english.no_timestamps]
    with pytest.raises(UserError, match="cannot translate"):
        english.request("en", "translate", timestamps=False)
    with pytest.raises(UserError, match="cannot understand 'de'"):
        english.request("de", "transcribe", timestamps=False)


def test_texts_come_back_without_special_tokens(tokens: WhisperTokenizer) -> None:
    text = " déjà vu, 你好。"
    ids = tokens.encode(text)
    assert tokens.decode([tokens.first_time, *ids, tokens.first_time + 3, tokens.end]) == text


@pytest.mark.parametrize("text", [' He was not, "an" ill-disposed man!', " déjà vu, 你好。", "a b", ""])
def test_words_are_the_text(tokens: WhisperTokenizer, text: str) -> None:
    ids = tokens.encode(text)
    for language in ("en", "zh"):
        words = tokens.words(ids, language)
        assert "".join(word for word, _ in words) == text
        assert sum(count for _, count in words) == len(ids)


def test_words_have_their_punctuation(tokens: WhisperTokenizer) -> None:
    words = tokens.words(tokens.encode(' He was (not), "an" old man!'))
    assert [word for word, _ in words] == [" He", " was", " (not),", ' "an"', " old", " man!"]
    assert [word for word, _ in tokens.words(tokens.encode("你好。"), "zh")] == ["你", "好。"]


def test_tokenizers_of_older_folders(tmp_path: Path, tokens: WhisperTokenizer) -> None:
    ids = tokens.encode(" not an ill-disposed man")
    plain = json.loads(tokens.backend.to_str())
    added = {entry["content"]: entry["id"] for entry in plain["added_tokens"]}
    (tmp_path / "vocab.json").write_text(json.dumps(plain["model"]["vocab"]))
    merges = [" ".join(pair) for pair in plain["model"]["merges"]]
    (tmp_path / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    (tmp_path / "added_tokens.json").write_text(json.dumps(added))
    older = WhisperTokenizer.from_folder(tmp_path, multilingual=True, suppress=None, first=None)
    assert older.encode(" not an ill-disposed man") == ids
    assert (older.start, older.no_timestamps, older.languages) == (tokens.start, tokens.no_timestamps, tokens.languages)
    listed = tmp_path / "listed"
    listed.mkdir()
    names = [tokens.backend.id_to_token(number) for number in range(tokens.backend.get_vocab_size())]
    (listed / "vocabulary.json").write_text(json.dumps(names))
    bare = WhisperTokenizer.from_folder(listed, multilingual=True, suppress=[], first=[])
    assert bare.decode(ids) == " not an ill-disposed man"
    assert bare.no_timestamps == tokens.no_timestamps


def test_other_tokenizers_are_told(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models

    with pytest.raises(UserError, match="holds no tokenizer"):
        WhisperTokenizer.from_folder(tmp_path, multilingual=True, suppress=None, first=None)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        WhisperTokenizer.from_folder(tmp_path, multilingual=True, suppress=None, first=None)
    with pytest.raises(UserError, match="not Whisper's"):
        WhisperTokenizer(Tokenizer(models.BPE()), multilingual=True)


# -- what may follow --------------------------------------------------------------------------------------------------


def test_suppressed_tokens(tokens: WhisperTokenizer) -> None:
    some = WhisperTokenizer(tokens.backend, multilingual=True, suppress=[3, 5, tokens.end], suppress_first=[9])
    rule = Suppress(some, 400, [2, 4], torch.device("cpu"))
    changed = rule([0, 1], [[1, 1], [1, 1, 1, 1, 6]], torch.zeros(2, 400))
    assert (changed[0] == NEVER).nonzero().flatten().tolist() == [3, 5, 9]
    assert (changed[1] == NEVER).nonzero().flatten().tolist() == [3, 5], "not the first, and the end is never forbidden"


def test_timestamps_follow_the_rule_of_transformers(tokens: WhisperTokenizer) -> None:
    import transformers
    from transformers.generation.logits_process import WhisperTimeStampLogitsProcessor

    settings: Any = transformers.GenerationConfig(eos_token_id=tokens.end, bos_token_id=tokens.end)
    settings.no_timestamps_token_id, settings.max_initial_timestamp_index = tokens.no_timestamps, 50
    vocabulary = tokens.backend.get_vocab_size()
    theirs: Any = WhisperTimeStampLogitsProcessor(settings, begin_index=3)
    ours = Timestamps(tokens, vocabulary, [3, 3], torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    rows = [[tokens.start, 1, 2], [tokens.start, 1, 2]]
    seen = set()
    for _ in range(60):
        logits = torch.randn(2, vocabulary, generator=generator) * 3
        logits[:, tokens.first_time :] += 3 * torch.randn(2, 1, generator=generator)
        changed = ours([0, 1], rows, logits)
        torch.testing.assert_close(changed, theirs(torch.tensor(rows), logits))
        for row, token in zip(
            rows, changed.softmax(dim=-1).multinomial(1, generator=generator)[:, 0].tolist(), strict=True
        ):
            seen.add(token >= tokens.first_time)
            row.append(min(token, tokens.first_time + len(row)) if token >= tokens.first_time else token)
    assert seen == {True, False}


@pytest.mark.parametrize(
    ("ids", "loop"),
    [
        ([7] * 12, Loop(0, 1)),
        ([1, 2, *[5] * 20], Loop(2, 1)),
        ([1, *[2, 3, 4] * 4], Loop(1, 3)),
        ([9, 9, *[1, 2, 3, 4, 5] * 4, 1, 2], Loop(2, 5)),
        ([5] * 11, None),
        ([1, 2, 3, 4] * 3, None),
        ([*[1, 2, 3] * 4, 9], None),
        ([], None),
    ],
)
def test_loops(ids: list[int], loop: Loop | None) -> None:
    assert loop_at_end(ids) == loop


def test_compression_tells_repetition() -> None:
    assert compression("thank you very much for calling us today") < 1.2
    assert compression("Beep beep " * 40) > 5
    assert compression("") == 1.0


# -- words with times -------------------------------------------------------------------------------------------------


def test_the_cheapest_path_is_that_of_the_plain_algorithm() -> None:
    draw = np.random.default_rng(0)
    for shape in ((1, 1), (1, 6), (6, 1), (4, 9), (9, 30), (12, 5)):
        cost = draw.normal(size=shape)
        starts = path_starts(cost)
        assert starts[0] == 0
        assert path_cost(cost, starts) == pytest.approx(plain_cost(cost))


def plain_cost(cost: np.ndarray) -> float:
    total = np.full((cost.shape[0] + 1, cost.shape[1] + 1), np.inf)
    total[0, 0] = 0
    for row, column in np.ndindex(*cost.shape):
        before = min(total[row, column], total[row, column + 1], total[row + 1, column])
        total[row + 1, column + 1] = cost[row, column] + before
    return total[-1, -1]


def path_cost(cost: np.ndarray, starts: np.ndarray) -> float:
    """Of the best path that enters each row where `starts` says: it leaves the row there or one before the next."""
    total = 0.0
    for row, start in enumerate(starts):
        if row + 1 == len(starts):
            return total + cost[row, start:].sum()
        following = starts[row + 1]
        steep, diagonal = cost[row, start : following + 1].sum(), cost[row, start:following].sum()
        total += min(steep, diagonal) if following > start else steep
    return total


def test_tokens_begin_where_the_decoder_listened() -> None:
    weights = torch.full((2, 5, 100), 1e-4)
    begins = [0, 12, 40, 66, 90]
    for token, (begin, end) in enumerate(zip(begins, [*begins[1:], 100], strict=True)):
        weights[:, token, begin:end] = 1 / (end - begin)
    assert token_starts(weights).tolist() == pytest.approx(begins, abs=1)


def said(tokens: WhisperTokenizer, parts: list[str | float], **facts: object) -> Said:
    ids = []
    for part in parts:
        ids += tokens.encode(part) if isinstance(part, str) else [tokens.first_time + round(part / 0.02)]
    words = [Word(text=f" {word}", start=n, end=n + 0.8, confidence=1.0) for n, word in enumerate(_words(parts))]
    times = {"words": tuple(words)} if facts.pop("timed", False) else {}
    return Said(ids=tuple(ids), probabilities=(0.5,) * (len(ids) + 1), seconds=9.0, **times)  # type: ignore[arg-type]


def _words(parts: list[str | float]) -> list[str]:
    return [word for part in parts if isinstance(part, str) for word in part.split()]


def test_segments_are_divided_by_timestamps(tokens: WhisperTokenizer) -> None:
    found = segments_of(tokens, said(tokens, [0.0, " He was", 0.4, 0.8, " not.", 1.2]), 100.0, timestamps=True)
    assert [(s.text, round(s.start, 2), round(s.end, 2)) for s in found] == [
        (" He was", 100.0, 100.4),
        (" not.", 100.8, 101.2),
    ]
    assert found[0].confidence == pytest.approx(0.5)
    open_end = segments_of(tokens, said(tokens, [0.2, " He was"]), 0.0, timestamps=True)
    assert [(s.start, s.end) for s in open_end] == [(pytest.approx(0.2), 9.0)]
    assert segments_of(tokens, Said(), 0.0, timestamps=True) == []


def test_segments_have_their_words(tokens: WhisperTokenizer) -> None:
    found = segments_of(
        tokens, said(tokens, [0.0, " He was", 0.4, 0.8, " not.", 1.2], timed=True), 10.0, timestamps=True
    )
    assert [[word.text for word in segment.words] for segment in found] == [[" He", " was"], [" not."]]
    assert (found[1].start, found[1].end) == (12.0, 12.8), "words know better"


def test_overlapping_segments_are_joined(tokens: WhisperTokenizer) -> None:
    left = segments_of(tokens, said(tokens, [" He was not an"], timed=True), 0.0, timestamps=True)
    right = segments_of(tokens, said(tokens, [" not an old man"], timed=True), 2.0, timestamps=True)
    joined = join(left, right, (1.8, 6.0), 4.0)
    assert "".join(segment.text for part in joined for segment in part) == " He was not an old man"
    assert joined[0][0].end <= joined[1][0].start
