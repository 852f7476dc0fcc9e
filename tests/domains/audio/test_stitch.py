"""Pieces of a recording joined without a word lost or doubled."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tsuite.domains.audio.stitch import Piece, stitch
from tsuite.domains.audio.subtitles import Word


def row(text: str, start: float = 0.0, step: float = 0.5) -> list[Word]:
    """Words of 0.4 s, one every `step` seconds."""
    return [
        Word(text=word, start=start + place * step, end=start + place * step + 0.4, confidence=1.0)
        for place, word in enumerate(text.split())
    ]


def said(words: list[Word]) -> str:
    return " ".join(word.text for word in words)


WHOLE = row("one two three four five six seven eight nine ten")


def piece(words: list[Word], start: float, end: float) -> Piece:
    return Piece(start=start, end=end, words=[word for word in words if word.start >= start and word.end <= end])


def test_an_overlap_is_heard_once() -> None:
    assert stitch([piece(WHOLE, 0, 3.0), piece(WHOLE, 1.5, 5.0)]) == WHOLE


def test_order_of_the_pieces_does_not_matter() -> None:
    pieces = [piece(WHOLE, 3.0, 5.0), piece(WHOLE, 0, 2.5), piece(WHOLE, 1.5, 4.0)]
    assert stitch(pieces) == WHOLE


@pytest.mark.parametrize("pieces", [[], [Piece(start=0, end=9, words=())] * 3])
def test_nothing(pieces: list[Piece]) -> None:
    assert stitch(pieces) == []


def test_an_empty_piece_between() -> None:
    pieces = [piece(WHOLE, 0, 2.0), Piece(start=1.5, end=3.0, words=()), piece(WHOLE, 2.5, 5.0)]
    found = said(stitch(pieces))
    assert found == "one two three four six seven eight nine ten"  # "five" lay in the silent piece only


def test_pieces_that_only_touch_are_put_together_as_they_are() -> None:
    again = row("tone tone")
    assert said(stitch([Piece(start=0, end=1, words=again), Piece(start=1, end=2, words=row("tone", 1.0))])) == (
        "tone tone tone"
    )


def test_a_word_cut_by_the_border_is_taken_from_the_piece_that_heard_it_whole() -> None:
    left = [*row("leave a message after the"), Word(text="to", start=2.5, end=2.7, confidence=0.3)]
    right = [Word(text="sage", start=1.2, end=1.4, confidence=0.3), *row("after the tone please", 1.5)]
    found = stitch([Piece(start=0, end=2.7, words=left), Piece(start=1.2, end=4.0, words=right)])
    assert said(found) == "leave a message after the tone please"


def test_repeated_words_are_matched_by_their_time() -> None:
    """ "no no no no": counted right although every word matches every other."""
    whole = row("oh no no no no yes", step=0.3)
    pieces = [piece(whole, 0, 1.3), piece(whole, 0.5, 3.0)]
    assert stitch(pieces, tolerance=0.4) == whole


def test_times_that_differ_a_little_and_case_and_marks() -> None:
    left = row("Please hold, the line")
    right = [
        Word(text=w.text.upper().strip(","), start=w.start + 0.15, end=w.end + 0.2, confidence=1) for w in left[1:]
    ]
    right += row("now", 2.2)
    found = stitch([Piece(start=0, end=2.0, words=left), Piece(start=0.5, end=3.0, words=right)])
    assert said(found).lower().replace(",", "") == "please hold the line now"


def test_disagreement_in_the_overlap_neither_loses_nor_doubles() -> None:
    left = row("one two free")
    right = row("tree four", 1.02)  # the same word, heard otherwise, a little later
    found = said(stitch([Piece(start=0, end=1.5, words=left), Piece(start=1.0, end=3.0, words=right)]))
    assert found in ("one two free four", "one two tree four")


@pytest.mark.parametrize("shift", [-0.1, 0.0, 0.1])
def test_a_word_on_the_middle_of_the_overlap(shift: float) -> None:
    """Heard as two words that do not agree, at about the middle, on either side of it."""
    left = [Word(text="to", start=0.8, end=1.2, confidence=1)]
    right = [Word(text="two", start=0.8 + shift, end=1.2 + shift, confidence=1)]
    found = stitch([Piece(start=0, end=1.5, words=left), Piece(start=0.5, end=2.0, words=right)])
    assert len(found) == 1


def test_exact_ties_and_a_piece_within_another() -> None:
    tie = [Word(text=text, start=1.0, end=1.0, confidence=1) for text in ("a", "b", "a")]
    assert said(stitch([Piece(start=0, end=2, words=tie), Piece(start=0, end=2, words=tie)])) == "a b a"
    assert stitch([piece(WHOLE, 0, 5), piece(WHOLE, 1, 3)]) == WHOLE
    assert said(stitch([Piece(start=0, end=2, words=tie), Piece(start=0.5, end=3, words=tie)])) == "a b a"


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sampled_from(["no", "yes", "a", "b", "one"]), min_size=1, max_size=40),
       st.floats(0.9, 3.0), st.floats(2.0, 4.0), st.floats(-0.05, 0.05))  # fmt: skip
def test_any_cutting_gives_all_words_back(words: list[str], overlap: float, hop: float, drift: float) -> None:
    """Pieces that hear the same words at nearly the same times."""
    whole = row(" ".join(words), step=0.45)
    end = whole[-1].end
    pieces, start, number = [], 0.0, 0
    while start < end:
        inside = [
            Word(text=w.text, start=w.start + drift * number, end=w.end + drift * number, confidence=1)
            for w in whole
            if start <= w.start and w.end <= start + hop + overlap
        ]
        pieces.append(Piece(start=start, end=start + hop + overlap, words=inside))
        start, number = start + hop, (number + 1) % 2
    assert said(stitch(pieces)) == " ".join(words)
