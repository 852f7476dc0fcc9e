"""Cues: exact SRT and WebVTT, nothing lost, nothing wider than the screen."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tsuite.domains.audio.subtitles import COLUMNS, Segment, Word, clock, cues, srt, vtt

LONG = (
    "Please enter your phone number, starting with the area code. Then press the pound key and wait for the tone, or "
    "hang up and try your call again later, when more agents are free to help you with your billing question."
)


def timed(text: str, seconds: float = 0.4) -> Segment:
    words = tuple(
        Word(text=word, start=place * seconds, end=(place + 0.9) * seconds, confidence=0.5)
        for place, word in enumerate(text.split())
    )
    return Segment(text=text, start=0.0, end=words[-1].end, words=words)


def test_srt_to_the_byte() -> None:
    segments = [Segment(text="  One  moment,\nplease. ", start=0.0, end=1.25), Segment(text="Done", start=61.5, end=62)]
    assert srt(segments) == (
        "1\n00:00:00,000 --> 00:00:01,250\nOne moment, please.\n\n2\n00:01:01,500 --> 00:01:02,000\nDone\n"
    )


def test_vtt_to_the_byte_with_what_would_be_markup() -> None:
    segments = [Segment(text="a <b> & --> c", start=0.0, end=1.0)]
    assert vtt(segments) == "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\na &lt;b&gt; &amp; --&gt; c\n"
    assert "a <b> & -> c" in srt(segments)


def test_no_speech() -> None:
    assert srt([]) == srt([Segment(text=" ", start=0, end=1)]) == ""
    assert vtt([]) == "WEBVTT\n"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "00:00:00,000"), (59.9996, "00:01:00,000"), (3599.9999, "01:00:00,000"),
                          (360000, "100:00:00,000"), (-0.1, "00:00:00,000")]
)  # fmt: skip
def test_clock(seconds: float, said: str) -> None:
    assert clock(seconds, ",") == said


def test_a_long_segment_is_divided_at_sentences_and_timed_by_its_words() -> None:
    segment = timed(LONG)
    shown = cues([segment])
    assert shown[0].text == "Please enter your phone number,\nstarting with the area code."
    assert shown[0].end == segment.words[9].end
    assert shown[1].start == segment.words[10].start
    assert " ".join(cue.text.replace("\n", " ") for cue in shown) == LONG
    assert all(cue.end - cue.start <= 7 for cue in shown)


def test_a_pause_divides() -> None:
    early = Word(text="Yes", start=0.0, end=0.3, confidence=1.0)
    late = Word(text="indeed", start=5.0, end=5.5, confidence=1.0)
    shown = cues([Segment(text="Yes indeed", start=0.0, end=5.5, words=(early, late))])
    assert [(cue.text, cue.start, cue.end) for cue in shown] == [("Yes", 0.0, 0.3), ("indeed", 5.0, 5.5)]


def test_words_that_are_not_in_the_text_as_they_stand() -> None:
    words = (Word(text=" tone", start=1.0, end=2.0, confidence=1.0), Word(text="absent", start=5, end=6, confidence=1))
    assert [cue.start for cue in cues([Segment(text="tone", start=0.0, end=9.0, words=words)])] == [1.0]


def test_han_takes_two_columns_and_marks_begin_no_line() -> None:
    shown = cues([Segment(text="你好，今天天气很好，我们去公园散步吧。" * 4, start=0.0, end=30.0)])
    lines = [line for cue in shown for line in cue.text.split("\n")]
    assert all(len(line) <= COLUMNS // 2 + 1 for line in lines)
    assert not any(line.startswith(("，", "。")) for line in lines)


def test_two_cues_at_once_are_made_one_after_the_other() -> None:
    shown = cues([Segment(text="a", start=0.0, end=3.0), Segment(text="b", start=2.0, end=4.0)])
    assert [(cue.start, cue.end) for cue in shown] == [(0.0, 2.0), (2.0, 4.0)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("abcdefg.,漢", min_size=1, max_size=60), max_size=25), st.floats(0, 1e4), st.floats(0, 60))
def test_nothing_is_lost_nothing_too_wide_and_time_only_rises(pieces: list[str], start: float, length: float) -> None:
    text = " ".join(pieces)
    shown = cues([Segment(text=text, start=start, end=start + length)])
    assert re.sub(r"\s", "", "".join(cue.text for cue in shown)) == re.sub(r"\s", "", text)
    for cue in shown:
        assert cue.text.count("\n") <= 1
        assert all(line and sum(2 if letter == "漢" else 1 for letter in line) <= COLUMNS + 1 for line in
                   cue.text.split("\n"))  # fmt: skip
        assert start <= cue.start < cue.end
    assert [cue.start for cue in shown] == sorted(cue.start for cue in shown)


def test_json() -> None:
    word = Word(text=" hi", start=0.12345, end=0.5, confidence=0.98765432)
    data = Segment(text=" hi ", start=0.12345, end=0.5, words=(word,), confidence=float("nan")).to_json()
    assert data == {
        "text": "hi", "start": 0.123, "end": 0.5, "confidence": None,
        "words": [{"text": "hi", "start": 0.123, "end": 0.5, "confidence": 0.9877}],
    }  # fmt: skip
