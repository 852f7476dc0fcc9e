"""Pieces of a long recording joined into one row of words, where neighbours overlap.

    piece 1   … leave a message after the to|
    piece 2               message after the tone please |
                          ^^^^^^^^^^^^^^^^^ the longest run of words that both heard at about the same time

The join is in the middle of that run: words near a cut were heard without what follows (or goes before) them. Where no
word agrees, the first piece keeps what lies before the middle of the overlap, the second what comes after those words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .subtitles import Word


@dataclass(frozen=True, kw_only=True)
class Piece:
    """The words heard in a piece, in their order, and the seconds of the recording at which it begins and ends; the
    words' times are the recording's too."""

    start: float
    end: float
    words: Sequence[Word]


def stitch(pieces: Iterable[Piece], *, tolerance: float = 0.4) -> list[Word]:
    """All words once, in the order of the recording.

    tolerance: seconds by which two pieces may disagree about when a word was said.
    """
    ordered = sorted(pieces, key=lambda piece: (piece.start, piece.end))
    joined: list[Word] = []
    reached = float("-inf")  # seconds that have been heard
    for piece in ordered:
        if piece.start >= reached:  # they do not overlap: nothing can have been heard twice
            joined += piece.words
        elif piece.end > reached:  # else it lies within what was heard already
            joined = _join(joined, list(piece.words), piece.start, reached, tolerance)
        reached = max(reached, piece.end)
    return joined


def _join(left: list[Word], right: list[Word], start: float, end: float, tolerance: float) -> list[Word]:
    """Two rows of words of which both heard the seconds `start` … `end`."""
    first = len(left)
    while first and left[first - 1].end > start - tolerance:
        first -= 1
    stop = next((place for place, word in enumerate(right) if word.start >= end + tolerance), len(right))
    run = _longest_run(left[first:], right[:stop], tolerance)
    if run:
        place, other, length = run
        half = (length + 1) // 2
        return left[: first + place + half] + right[other + half :]
    middle = (start + end) / 2
    kept = left[:first] + [word for word in left[first:] if _centre(word) < middle]
    spoken = kept[-1].end if kept else start  # not the middle: a word that both heard there would be lost or doubled
    return kept + [word for word in right if _centre(word) >= spoken]


def _longest_run(left: Sequence[Word], right: Sequence[Word], tolerance: float) -> tuple[int, int, int] | None:
    """(place in left, place in right, length) of the run of equal words that agrees best.

    A word counts the more the closer its two times are: in "no no no" a shorter run at the right times is worth more
    than a longer one that is a word off.
    """
    best = (0.0, 0, 0, 0)
    runs: dict[tuple[int, int], tuple[float, int]] = {}  # worth and length of the run that ends at a pair
    for i, one in enumerate(left):
        for j, other in enumerate(right):
            apart = abs(_centre(one) - _centre(other))
            if apart < tolerance and _plain(one) == _plain(other):
                worth, length = runs.get((i - 1, j - 1), (0.0, 0))
                worth, length = worth + 1 - apart / tolerance, length + 1
                runs[i, j] = worth, length
                best = max(best, (worth, -i, i - length + 1, j - length + 1), key=lambda found: found[:2])
    return (best[2], best[3], 1 - best[1] - best[2]) if best[0] else None


def _plain(word: Word) -> str:
    """What is compared: letters and figures in lower case; a mark alone stays itself."""
    text = word.text.strip().lower()
    return re.sub(r"[^\w]", "", text) or text


def _centre(word: Word) -> float:
    return (word.start + word.end) / 2
