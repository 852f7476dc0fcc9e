"""Prefix beam search against all paths, against the plain algorithm, and with everything that can be fused."""

from __future__ import annotations

import itertools
import math
import time
from typing import Any

import numpy as np
import pytest
import torch
from tsuite.domains.audio.beam import NO_PRUNING, PrefixBeam, Pruning, beam_search
from tsuite.domains.audio.fusion import Fusion
from tsuite.domains.audio.ngram import NGram
from tsuite.domains.audio.tokenizer import Labels

from .paths import every_reading, plain_beam, random_rows

LETTERS = Labels(texts=["", " ", "a", "b"])
PIECES = Labels(texts=["", " a", "b", " ab", "a"], kind="bpe")
WORDS = NGram.build(["a b", "ab a", "b b ab", "ab"], order=2)
KNOWLEDGE: list[dict[str, Any]] = [
    {"lm": WORDS, "lm_weight": 0.7, "word_bonus": 0.4},
    {"hotwords": {"ab": 3.0, "b a": 2.0, "aab": -1.0}},
    {"lm": WORDS, "hotwords": {"ba": 2.5, "ab ab": 4.0}, "word_bonus": -0.3, "unknown": -1.5},
    {"lexicon": ["ab", "b"], "unknown": -2.0, "word_bonus": 1.0},
    {"lm": NGram.build(["a b", "ab a"], order=3, level="character")},
]


@pytest.mark.parametrize("seed", range(5))
def test_equals_all_paths(seed: int) -> None:
    rows = random_rows(5, 4, seed)
    expected = every_reading(rows)
    found = beam_search(torch.from_numpy(rows), LETTERS, width=1000, pruning=NO_PRUNING)
    assert {tuple(one.ids): pytest.approx(one.score) for one in found} == {
        ids: score for ids, score in expected.items() if score > -math.inf
    }
    assert found[0].score == max(expected.values()) or math.isclose(found[0].score, max(expected.values()))
    assert found[0].text == LETTERS.decode(found[0].ids)


def slow_score(labels: Labels, ids: tuple[int, ...], knowledge: dict[str, Any], *, done: bool) -> float:
    """What the automaton should have added to a prefix: by walking it from the start."""
    fusion = Fusion(labels, **knowledge)
    total, state = 0.0, fusion.start
    for label in ids:
        value, state = fusion.move(state, label)
        total += value
    return total + (fusion.finish(state) if done else 0.0)


@pytest.mark.parametrize("knowledge", KNOWLEDGE, ids=["lm", "hot", "all", "lexicon", "letters"])
@pytest.mark.parametrize("labels", [LETTERS, PIECES], ids=["letters", "pieces"])
@pytest.mark.parametrize("width", [1, 3, 7])
def test_asking_only_the_promising_changes_nothing(labels: Labels, width: int, knowledge: dict[str, Any]) -> None:
    for seed in range(4):
        rows = random_rows(7, len(labels), seed)
        expected = plain_beam(
            rows,
            width,
            lambda ids: slow_score(labels, ids, knowledge, done=False),
            lambda ids: slow_score(labels, ids, knowledge, done=True),
        )
        found = beam_search(rows, labels, width=width, fusion=Fusion(labels, **knowledge), pruning=NO_PRUNING)
        assert [tuple(one.ids) for one in found] == [ids for ids, _ in expected]
        assert [one.score for one in found] == pytest.approx([score for _, score in expected])


def test_the_language_model_decides_what_sounds_alike() -> None:
    labels = Labels.characters(["their there dog is"])
    rows = np.full((24, len(labels)), -12.0)
    rows[:, 0] = -6.0
    for frame, letter in enumerate("there dog"):
        rows[2 * frame, labels.encode(letter) if letter != " " else 1] = 0.0
        rows[2 * frame + 1, 0] = 0.0
    rows[6, labels.encode("i")[0]] = rows[8, labels.encode("r")[0]] = -0.1  # "their" is nearly as likely
    lm = NGram.build(["their dog is", "their dog"], order=2)
    plain, knowing = beam_search(rows, labels)[0].text, beam_search(rows, labels, lm=lm, lm_weight=1.0)[0].text
    assert plain == "there dog"
    assert knowing == "their dog"


def test_a_hot_word_is_heard_and_its_boost_is_kept_only_when_complete() -> None:
    labels = Labels.characters(["kate cat"])
    rows = np.full((8, len(labels)), -9.0)
    rows[1::2, 0] = 0.0
    for frame, letters in enumerate(["ck", "a", "t", "e"]):
        for loud, letter in enumerate(letters):
            rows[2 * frame, labels.encode(letter)[0]] = -0.3 * loud
    assert beam_search(rows, labels)[0].text == "cate"
    found = beam_search(rows, labels, hotwords={"Kate": 2.0})
    assert found[0].text == "kate"
    assert found[0].score == pytest.approx(2.0 - 0.3, abs=1e-2)
    short = beam_search(rows[:6], labels, hotwords={"Kate": 2.0})  # "kat" is not the hot word
    assert short[0].text == "cat"


def test_frames_one_by_one_are_the_same_and_what_is_settled_stays() -> None:
    rows = random_rows(60, 4, 3, sharp=3.0)
    beam, settled = PrefixBeam(LETTERS, width=5, fusion=Fusion(LETTERS, lm=WORDS)), []
    for row in rows:
        beam.push(row[None])
        assert beam.settled()[: len(settled)] == settled
        settled = beam.settled()
        assert all(one.ids[: len(settled)] == settled for one in beam.hypotheses())
    assert len(settled) > 5
    assert beam.hypotheses() == beam_search(rows, LETTERS, width=5, lm=WORDS)


def test_nothing_heard() -> None:
    found = beam_search(torch.zeros(0, 4), LETTERS, lm=WORDS)
    assert [one.ids for one in found] == [[]]
    silence = torch.tensor([[0.0, -50.0, -50.0, -50.0]]).repeat(20, 1)
    assert beam_search(silence, LETTERS)[0].text == ""


def test_words_that_are_forbidden_leave_something() -> None:
    fusion = Fusion(LETTERS, lexicon=["b"], unknown=-math.inf)
    rows = random_rows(6, 4, 1)
    found = beam_search(rows, LETTERS, fusion=fusion, pruning=NO_PRUNING)
    assert set(found[0].text.split()) <= {"b"}
    assert found[0].score > -math.inf


def test_pruning_by_labels_and_by_spread() -> None:
    rows = random_rows(6, 4, 2)
    one = Pruning(labels=1, floor=-np.inf, spread=np.inf)
    likeliest = [1 + int(row[1:].argmax()) for row in rows]
    for found in beam_search(rows, LETTERS, width=100, pruning=one):
        assert set(found.ids) <= set(likeliest)
    close = beam_search(rows, LETTERS, width=100, pruning=Pruning(spread=1.0))
    assert len(close) < len(beam_search(rows, LETTERS, width=100, pruning=NO_PRUNING))


def test_wrong_sizes() -> None:
    with pytest.raises(ValueError, match="4 labels"):
        beam_search(torch.zeros(3, 5), LETTERS)
    with pytest.raises(ValueError, match="width 0"):
        PrefixBeam(LETTERS, width=0)
    with pytest.raises(ValueError, match="lm_weight"):
        Fusion(LETTERS, lm_weight=-1.0)


def test_fast_enough() -> None:
    """T=500, V=29, width 16, a trigram model and hot words: well under a second; here with room for a busy machine."""
    letters = "abcdefghijklmnopqrstuvwxyz'"
    labels = Labels.characters([letters])
    words = ["".join(pair) for pair in itertools.product(letters[:20], letters[:10])]
    lm = NGram.build([" ".join(words[place : place + 8]) for place in range(len(words) - 8)])
    fusion = Fusion(labels, lm=lm, hotwords={"abba": 4.0, "hello there": 4.0})
    rows = random_rows(500, len(labels), 0, sharp=2.0)
    start = time.process_time()
    beam_search(rows, labels, width=16, fusion=fusion)
    assert time.process_time() - start < 1.5
