"""Scores of text, as pure functions; characters are Unicode code points, so that they compare across vocabularies."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence

import numpy as np

HAN = (
    (0x2E80, 0x2E99), (0x2E9B, 0x2EF3), (0x2F00, 0x2FD5), (0x3005, 0x3005), (0x3007, 0x3007), (0x3021, 0x3029),
    (0x3038, 0x303B), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFA6D), (0xFA70, 0xFAD9), (0x16FE2, 0x16FE3),
    (0x16FF0, 0x16FF6), (0x20000, 0x2A6DF), (0x2A700, 0x2B81E), (0x2B820, 0x2CEAD), (0x2CEB0, 0x2EBE0),
    (0x2EBF0, 0x2EE5D), (0x2F800, 0x2FA1D), (0x30000, 0x3134A), (0x31350, 0x33479),
)  # fmt: skip
"""First and last code points of the script Han (Unicode 17, Scripts.txt): radicals, ideographs, extensions A to J."""

_STARTS = [start for start, _ in HAN]


def bits_per_character(nats: float, characters: int) -> float:
    """Summed negative log-likelihood in nats -> bits for each character of the text; NaN for no text.

    Unlike the loss of a token it compares models of different vocabularies.
    """
    return nats / math.log(2) / characters if characters else math.nan


def is_han(letter: str) -> bool:
    """Whether a character belongs to the script Han."""
    place = bisect_right(_STARTS, ord(letter)) - 1
    return place >= 0 and ord(letter) <= HAN[place][1]


def han_share(text: str) -> float:
    """Han characters among the letters and numbers of `text`; 0 where there are none (punctuation, spaces)."""
    counted = [is_han(letter) for letter in text if letter.isalnum() or is_han(letter)]
    return sum(counted) / len(counted) if counted else 0.0


def mostly_han(text: str) -> bool:
    """Whether more than half of the letters and numbers are Han."""
    return han_share(text) > 0.5


def rouge_l(reply: str, reference: str) -> float:
    """F1 of the longest common subsequence of characters, without spaces, 0 to 1 (Lin 2004, ROUGE-L, beta 1)."""
    left, right = _codes(reply), _codes(reference)
    if not left.size or not right.size:
        return float(left.size == right.size)
    common = longest_common(left, right)
    return 2 * common / (left.size + right.size)


def longest_common(left: np.ndarray, right: np.ndarray) -> int:
    """The length of the longest common subsequence of two rows of numbers.

    Row by row: a cell is one more than its upper left where the two agree, else the best of its upper and left
    neighbours; the best of the left ones is a running maximum.
    """
    row = np.zeros(right.size + 1, dtype=np.int32)
    for code in left:
        row[1:] = np.maximum.accumulate(np.maximum(row[1:], (row[:-1] + 1) * (right == code)))
    return int(row[-1])


def distinct(texts: Iterable[str], n: int) -> float:
    """Different n-grams of characters among all of them, over all texts (Li et al. 2016, distinct-n); 0 for none.

    Near 0 means that the replies repeat themselves.
    """
    grams = [text[place : place + n] for text in map(_squeezed, texts) for place in range(len(text) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def share(flags: Sequence[bool]) -> float:
    """How many are true, 0 to 1; NaN for none."""
    return sum(flags) / len(flags) if flags else math.nan


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _codes(text: str) -> np.ndarray:
    return np.array([ord(letter) for letter in text if not letter.isspace()], dtype=np.int32)
