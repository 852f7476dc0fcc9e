"""The automaton of language model, hot words and lexicon against what the finished text is worth."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tsuite.domains.audio.fusion import Fusion
from tsuite.domains.audio.ngram import NGram, split
from tsuite.domains.audio.tokenizer import Labels

LETTERS = Labels(texts=["", " ", "a", "b", "c"])
PIECES = Labels(texts=["", " a", "b", " ab", "a", " ba"], kind="bpe")
WORDS = NGram.build(["a b", "ab a", "b b ab", "ab"], order=3)
SPELLED = NGram.build(["a b", "ab a", "b ab"], order=3, level="character")
IDS = st.tuples(st.sampled_from([LETTERS, PIECES]), st.lists(st.integers(1, 4), max_size=14))
HOT = {"ab": 3.0, "b a": 2.0, "a": -1.0, "ab ab": 1.5, "cab": 0.5}


def walk(labels: Labels, ids: list[int], **knowledge: Any) -> float:
    """The sum over all labels and the end; no step may gain more than the state had said."""
    fusion = Fusion(labels, **knowledge)
    state, total = fusion.start, 0.0
    for label in ids:
        value, after = fusion.move(state, label)
        assert value <= state.most + 1e-9
        state, total = after, total + value
    return total + fusion.finish(state)


@settings(max_examples=150, deadline=None)
@given(IDS)
def test_word_language_model_bonus_and_lexicon(given_ids: tuple[Labels, list[int]]) -> None:
    labels, ids = given_ids
    words = labels.decode(ids).split()
    strange = sum(word not in WORDS.words for word in words)
    expected = 0.7 * WORDS.sentence(" ".join(words)) + 0.4 * len(words) - 2.5 * strange
    assert walk(labels, ids, lm=WORDS, lm_weight=0.7, word_bonus=0.4, unknown=-2.5) == pytest.approx(expected)


@settings(max_examples=150, deadline=None)
@given(IDS)
def test_letter_language_model(given_ids: tuple[Labels, list[int]]) -> None:
    labels, ids = given_ids
    expected = 0.5 * SPELLED.sentence(labels.decode(ids))
    assert walk(labels, ids, lm=SPELLED) == pytest.approx(expected)


@settings(max_examples=150, deadline=None)
@given(IDS)
def test_hot_words_count_once_for_each_time_they_are_said(given_ids: tuple[Labels, list[int]]) -> None:
    """Doubled spaces aside, which break a phrase of two words while the text is still open."""
    labels, ids = given_ids
    raw = "".join(labels.texts[label] for label in ids)
    text = " ".join(raw.split())
    if "  " in raw:
        return
    words = text.split(" ")
    said = {
        phrase: sum(words[place : place + len(phrase.split())] == phrase.split() for place in range(len(words)))
        for phrase in HOT
    }
    expected = sum(HOT[phrase] * times for phrase, times in said.items())
    assert walk(labels, ids, hotwords=HOT) == pytest.approx(expected)


def test_a_boost_is_lent_letter_by_letter_and_taken_back() -> None:
    fusion = Fusion(LETTERS, hotwords={"abc": 3.0})
    state, gains = fusion.start, []
    for label in (2, 3, 3):  # abb
        value, state = fusion.move(state, label)
        gains.append(value)
    assert gains == pytest.approx([1.0, 1.0, -2.0])
    assert fusion.finish(state) == 0.0


def test_a_strange_word_is_charged_as_soon_as_no_word_begins_so_and_once() -> None:
    fusion = Fusion(LETTERS, lexicon=["abc"], unknown=-5.0)
    state, gains = fusion.start, []
    for label in (2, 4, 4, 1):  # "acc "
        value, state = fusion.move(state, label)
        gains.append(value)
    assert gains == [0.0, -5.0, 0.0, 0.0]
    unfinished = fusion.move(fusion.start, 2)[1]  # "a" begins "abc" but is no word
    assert fusion.finish(unfinished) == -5.0


def test_hot_words_are_in_the_lexicon_and_case_does_not_matter() -> None:
    loud = NGram.build(["AB A"], order=2)
    fusion = Fusion(LETTERS, lm=loud, hotwords={"CAB": 1.0})
    assert fusion.lexicon == {"a", "ab", "cab"}
    assert walk(LETTERS, LETTERS.encode("ab a"), lm=loud, lm_weight=1.0) == pytest.approx(loud.sentence("AB A"))


def test_forbidden() -> None:
    assert walk(LETTERS, LETTERS.encode("c"), lexicon=["a"], unknown=-math.inf) == -math.inf
    assert walk(LETTERS, LETTERS.encode("a"), lexicon=["a"], unknown=-math.inf) == 0.0


def test_split() -> None:
    assert split("a  bc", "character") == ["a", "<space>", "b", "c"]
