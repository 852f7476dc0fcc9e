"""Words and segments with times, and the files that players read: SubRip (SRT) and WebVTT.

A cue is at most two lines of 42 columns and seldom longer than seven seconds (the BBC's and Netflix's guides agree on
about that); a longer segment is divided where the fewest sentences are torn, never inside a word that fits a line.
"""

from __future__ import annotations

import html
import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

COLUMNS, LINES_A_CUE, LONGEST, PAUSE = 42, 2, 7.0, 1.0
"""Columns a line, lines a cue, seconds that a cue should not outlast, seconds of silence that divide two cues."""

_INSIDE = 0.25
"""Where in its first and last character a word begins and ends, so that neighbours without a space stay apart."""


@dataclass(frozen=True, kw_only=True)
class Word:
    """One word; `start` and `end` in seconds from the beginning of the recording, `confidence` 0 to 1."""

    text: str
    start: float
    end: float
    confidence: float

    def to_json(self) -> dict[str, Any]:
        """Plain data, times to the millisecond."""
        return {"text": self.text.strip(), **_numbers(self)}


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A stretch of speech: `text` as people read it, and its words where their times are known."""

    text: str
    start: float
    end: float
    words: tuple[Word, ...] = ()
    confidence: float = 1.0

    def to_json(self) -> dict[str, Any]:
        """Plain data, times to the millisecond."""
        return {"text": self.text.strip(), **_numbers(self), "words": [word.to_json() for word in self.words]}


def srt(segments: Iterable[Segment]) -> str:
    """The segments as a SubRip file: a number, the times, the lines, an empty line; "" for no speech.

    The format has no way to escape an arrow, so that "-->" within a text becomes "->".
    """
    blocks = []
    for number, cue in enumerate(cues(segments), start=1):
        times = f"{clock(cue.start, ',')} --> {clock(cue.end, ',')}"
        blocks.append(f"{number}\n{times}\n{cue.text.replace('-->', '->')}\n")
    return "\n".join(blocks)


def vtt(segments: Iterable[Segment]) -> str:
    """The segments as a WebVTT file (W3C), with "&", "<" and ">" escaped."""
    blocks = ["WEBVTT\n"]
    for cue in cues(segments):
        times = f"{clock(cue.start, '.')} --> {clock(cue.end, '.')}"
        blocks.append(f"{times}\n{html.escape(cue.text, quote=False)}\n")
    return "\n".join(blocks)


def clock(seconds: float, point: str) -> str:
    """Hours, minutes, seconds and milliseconds; `point` stands before the milliseconds.

    >>> clock(3661.0005, ",")
    '01:01:01,000'
    """
    whole = max(0, round(seconds * 1000))
    rest, milliseconds = divmod(whole, 1000)
    minutes, second = divmod(rest, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{second:02d}{point}{milliseconds:03d}"


def cues(segments: Iterable[Segment]) -> list[Segment]:
    """The segments divided into what fits the screen; each text holds its line break, none is empty, times only rise.

    Where a segment's words are known a cue begins and ends with its words, else in proportion to its characters.
    """
    shown: list[Segment] = []
    for segment in segments:
        shown += _divide(segment)
    for place, (this, following) in enumerate(pairwise(shown)):
        if this.start < following.start < this.end:  # players differ in what they do with two cues at once
            shown[place] = Segment(text=this.text, start=this.start, end=following.start, confidence=this.confidence)
    return shown


def _divide(segment: Segment) -> list[Segment]:
    """The cues of one segment: the division of the least cost, by dynamic programming over its atoms."""
    text = " ".join(segment.text.split())
    atoms = _atoms(text)
    begins, ends = _times(text, atoms, segment)
    best: list[tuple[float, int]] = [(0.0, 0)]  # cheapest division of the first n atoms, and where its last cue begins
    for last in range(len(atoms)):
        offers = []
        for first in range(last, -1, -1):
            lines = _lines(text, atoms[first : last + 1])
            if not lines:
                break
            pauses = sum(begins[n + 1] - ends[n] > PAUSE for n in range(first, last))
            cost = _cost("".join(lines), ends[last] - begins[first], pauses)
            offers.append((best[first][0] + cost, first))
        best.append(min(offers))
    found: list[Segment] = []
    stop = len(atoms)
    while stop:
        first = best[stop][1]
        lines = "\n".join(_lines(text, atoms[first:stop]))
        start, end = begins[first], max(ends[stop - 1], begins[first] + 0.001)
        found.append(Segment(text=lines, start=start, end=end, confidence=segment.confidence))
        stop = first
    return found[::-1]


def _cost(text: str, seconds: float, pauses: int) -> float:
    """What a cue costs: itself, the room it wastes, a sentence torn at its end, silence within, and being too long."""
    spare = max(0.0, 1 - _columns(text) / (COLUMNS * LINES_A_CUE))
    torn = 0.0 if text[-1] in ".?!…。？！" else 0.2 if text[-1] in ",;:–—，；：、" else 0.5
    return 1 + spare**2 + torn + 3 * pauses + max(0.0, seconds - LONGEST)


def _atoms(text: str) -> list[tuple[int, int]]:
    """What is never divided, as ranges of characters: words; single letters of scripts without spaces; the pieces of
    a word longer than a line."""
    ranges: list[tuple[int, int]] = []
    for match in re.finditer(r"\S+", text):
        start = match.start()
        for place in range(match.start() + 1, match.end()):
            closes = unicodedata.category(text[place]) in ("Pe", "Pf", "Po")  # never begins a line
            wide = (_wide(text[place]) or _wide(text[place - 1])) and not closes
            if wide or place - start >= COLUMNS:
                ranges.append((start, place))
                start = place
        ranges.append((start, match.end()))
    return ranges


def _lines(text: str, atoms: Sequence[tuple[int, int]]) -> list[str]:
    """The atoms on one line, or on two as equal as can be; empty where they do not fit."""
    whole = text[atoms[0][0] : atoms[-1][1]]
    if _columns(whole) <= COLUMNS:
        return [whole]
    if len(atoms) == 1 or _columns(whole) > COLUMNS * LINES_A_CUE + 1:
        return []
    pairs = [(text[atoms[0][0] : left[1]], text[right[0] : atoms[-1][1]]) for left, right in pairwise(atoms)]
    halves = min(pairs, key=lambda pair: max(map(_columns, pair)))
    return list(halves) if max(map(_columns, halves)) <= COLUMNS else []


def _times(text: str, atoms: Sequence[tuple[int, int]], segment: Segment) -> tuple[list[float], list[float]]:
    """Seconds at which each atom begins and ends, between the words that were found in the text in their order."""
    places, seconds, reached = [], [], 0
    for word in segment.words:
        spelled = " ".join(word.text.split())
        at = text.find(spelled, reached) if spelled else -1
        if at >= 0:
            reached = at + len(spelled)
            places += [at + _INSIDE, reached - _INSIDE]
            seconds += [word.start, word.end]
    if not places:
        places, seconds = [_INSIDE, max(len(text), 1) - _INSIDE], [segment.start, segment.end]
    rising = np.maximum.accumulate(seconds)
    begins = np.interp([start + _INSIDE for start, _ in atoms], places, rising)
    ends = np.interp([end - _INSIDE for _, end in atoms], places, rising)
    return begins.tolist(), ends.tolist()


def end_of(name: str, most: int) -> str:
    """A name of at most so many characters: of a long path its end, which tells the files apart.

    >>> end_of("a/very/long/path/to/talk.wav", 12)
    '…to/talk.wav'
    """
    return name if len(name) <= most else f"…{name[1 - most :]}"


def _wide(letter: str) -> bool:
    """Whether a letter takes two columns: Han, kana, hangul and full-width forms."""
    return unicodedata.east_asian_width(letter) in "WF"


def _columns(text: str) -> int:
    return sum(2 if _wide(letter) else 1 for letter in text)


def _numbers(timed: Word | Segment) -> dict[str, float | None]:
    confidence = None if math.isnan(timed.confidence) else round(timed.confidence, 4)
    return {"start": round(timed.start, 3), "end": round(timed.end, 3), "confidence": confidence}
