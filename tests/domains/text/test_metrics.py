"""Scores of text, against values worked out by hand and against the slow way."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tsuite.domains.text import metrics

SHORT = st.text("今天气好ab ", max_size=12)


def test_bits_per_character() -> None:
    assert metrics.bits_per_character(math.log(2) * 12, 4) == pytest.approx(3.0)
    assert math.isnan(metrics.bits_per_character(0.0, 0))


@pytest.mark.parametrize("letter", [*"中々〇〡⺀㐀鿿豈", "\U00020000", "\U0002ebf0", "\U00030000", "\U00031350"])
def test_han_with_its_extensions(letter: str) -> None:
    assert metrics.is_han(letter)


@pytest.mark.parametrize("letter", [*"a1 。，「あアー한é😀㌀", "\u2e9a", "\U0002a6e0", "\U0010ffff"])
def test_what_is_not_han(letter: str) -> None:
    assert not metrics.is_han(letter)


@pytest.mark.parametrize(
    ("text", "share"),
    [("今天，天气。", 1.0), ("今天 OK！", 0.5), ("sunny", 0.0), ("", 0.0), ("。！ 😀", 0.0), ("共3个", 2 / 3)],
)
def test_share_of_han_counts_letters_and_numbers_alone(text: str, share: float) -> None:
    assert metrics.han_share(text) == pytest.approx(share)
    assert metrics.mostly_han(text) is (share > 0.5)


def slow_lcs(left: str, right: str) -> int:
    """The table of Wagner and Fischer, cell by cell."""
    table = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for row, one in enumerate(left):
        for column, other in enumerate(right):
            best = max(table[row][column + 1], table[row + 1][column])
            table[row + 1][column + 1] = table[row][column] + 1 if one == other else best
    return table[-1][-1]


@given(SHORT, SHORT)
def test_longest_common_subsequence(left: str, right: str) -> None:
    codes = [np.array([ord(letter) for letter in text], dtype=np.int32) for text in (left, right)]
    assert metrics.longest_common(codes[0], codes[1]) == slow_lcs(left, right)


class ByCharacter:
    """The rouge-score package knows words of Latin letters only, unless it is given a tokenizer."""

    def tokenize(self, text: str) -> list[str]:
        return [letter for letter in text if not letter.isspace()]


@settings(deadline=None)  # the package takes its time to import
@given(SHORT, SHORT)
def test_rouge_l_is_that_of_the_package(reply: str, reference: str) -> None:
    rouge = pytest.importorskip("rouge_score.rouge_scorer")
    scorer = rouge.RougeScorer(["rougeL"], tokenizer=ByCharacter())
    if reply.strip() and reference.strip():
        assert metrics.rouge_l(reply, reference) == pytest.approx(scorer.score(reference, reply)["rougeL"].fmeasure)


def test_rouge_l_of_nothing() -> None:
    assert metrics.rouge_l("", "") == 1.0
    assert metrics.rouge_l("", "好") == metrics.rouge_l("好", " ") == 0.0


def test_distinct() -> None:
    assert metrics.distinct(["哈哈哈哈"], 1) == 0.25
    assert metrics.distinct(["哈哈哈哈"], 2) == pytest.approx(1 / 3)
    assert metrics.distinct(["今天", "今 天"], 2) == 0.5  # spaces do not count, and no pair crosses texts
    assert metrics.distinct(["好"], 2) == 0.0


def test_share() -> None:
    assert metrics.share([True, False, False, True]) == 0.5
    assert math.isnan(metrics.share([]))
