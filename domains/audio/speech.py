"""Speech found in recordings of any length, and long ones cut at pauses into pieces that a model can take.

    samples -> probability of speech every 32 ms -> spans of speech -> pieces of at most `longest` seconds

Axes: N samples at 16 kHz, T windows. Times are seconds from the recording's start.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ...core.errors import UserError
from .files import SAMPLE_RATE
from .voice import WINDOW, Detector, detector

STEP = WINDOW / SAMPLE_RATE
"""Seconds of one window."""


@dataclass(frozen=True)
class Span:
    """From `start` to `end`, in seconds."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How probabilities become spans. `threshold` begins speech and `threshold - 0.15` ends it (hysteresis).

    All in seconds: speech shorter than `shortest` is dropped; a silence of `pause` ends a span; `pad` is kept around
    it, for soft beginnings and ends; no piece is longer than `longest`; where that has to be cut without a pause, the
    two parts share `overlap`; a silence of more than `gap` is left out of a piece.
    """

    threshold: float = 0.5
    shortest: float = 0.1
    pause: float = 0.2
    pad: float = 0.3
    longest: float = math.inf
    overlap: float = 1.0
    gap: float = 3.0


def find_speech(
    samples: np.ndarray, *, threshold: float = 0.5, pad: float = 0.3, detect: Detector | None = None
) -> list[Span]:
    """Where in `samples` [N] somebody speaks; empty for silence, noise, tones.

    `detect` is a fresh detector (None: Silero's, or what there is instead of it; see `voice.detector`).
    """
    rule = Rule(threshold=threshold, pad=pad)
    spans = _Spans(rule)
    found = spans.feed((detect or detector()).feed(samples, last=True), last=True)
    return _padded(found, rule, len(samples) / SAMPLE_RATE)


def cut(
    samples: np.ndarray, *, longest: float = 28.0, threshold: float = 0.5, detect: Detector | None = None
) -> list[Span]:
    """Pieces of `samples` [N] that hold all its speech, in order, none longer than `longest` seconds.

    They end at pauses and overlap only where speech went on for longer than that without one.
    """
    return [span for span, _ in pieces([samples], longest=longest, threshold=threshold, detect=detect)]


def pieces(
    blocks: Iterable[np.ndarray], *, longest: float = 28.0, threshold: float = 0.5, detect: Detector | None = None
) -> Iterator[tuple[Span, np.ndarray]]:
    """As `cut`, on blocks [n] as they come (`files.blocks`), each piece with its samples; only about `longest`
    seconds are held, so that recordings of hours take no more memory than those of minutes."""
    if longest < 4:
        raise UserError(f"Pieces of at most {longest:g} seconds are too short to find pauses in.", "Give at least 4.")
    rule = Rule(threshold=threshold, longest=longest)
    detect = detect or detector()
    spans, gathered = _Spans(rule), _Pieces(rule)
    held, start = np.empty(0, np.float32), 0  # the samples from number `start` on

    def part(span: Span) -> tuple[Span, np.ndarray]:
        first, last = round(span.start * SAMPLE_RATE), round(span.end * SAMPLE_RATE)
        return span, held[first - start : last - start]

    for block in blocks:
        held = np.concatenate([held, block])
        spoken = spans.feed(detect.feed(block))
        now = (start + len(held)) / SAMPLE_RATE
        yield from map(part, gathered.feed(spoken, now=now, quiet=spans.quiet))
        keep = round(min(gathered.needed, spans.needed) * SAMPLE_RATE)
        if keep > start:
            held, start = held[keep - start :], keep
    spoken = spans.feed(detect.feed(np.empty(0, np.float32), last=True), last=True)
    yield from map(part, gathered.feed(spoken, now=(start + len(held)) / SAMPLE_RATE, last=True))


# -- probabilities to spans -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Run:
    """Windows `first` to `last` (not included) of speech; `joined`: it goes on without a pause in the next run."""

    first: int
    last: int
    joined: bool = False


class _Spans:
    """Probabilities as they come -> runs of speech that are over. Times it works in are numbers of windows."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.pause = max(1, round(rule.pause / STEP))
        room = rule.longest - max(2 * rule.pad, rule.overlap) - STEP
        self.most = math.inf if math.isinf(room) else max(4, math.floor(room / STEP))
        self.time = 0
        self.first = -1  # where the run began; -1: silence
        self.spoken = 0  # the window after the last one with speech
        self.inside: list[float] = []  # probabilities since the run began

    @property
    def needed(self) -> float:
        """Seconds before which nothing is looked at any more."""
        return max(0.0, self.quiet * STEP - self.rule.pad - self.rule.overlap)

    @property
    def quiet(self) -> int:
        """The window up to which every run is over."""
        return self.first if self.first >= 0 else self.time

    def feed(self, probabilities: np.ndarray, *, last: bool = False) -> list[_Run]:
        over: list[_Run] = []
        for value in probabilities.tolist():
            if self.first < 0 and value >= self.rule.threshold:
                self.first, self.inside = self.time, []
            self.time += 1
            if self.first < 0:
                continue
            self.inside.append(value)
            if value >= self.rule.threshold - 0.15:
                self.spoken = self.time
            elif self.time - self.spoken >= self.pause:
                over += self._end()
            if self.first >= 0 and len(self.inside) >= self.most:
                over.append(self._split())
        if last and self.first >= 0:
            over += self._end()
        return over

    def _end(self) -> list[_Run]:
        run, self.first = _Run(self.first, self.spoken), -1
        return [run] if (run.last - run.first) * STEP >= self.rule.shortest else []

    def _split(self) -> _Run:
        """Speech has gone on for too long: cut where, in its second half, it is least like speech: perhaps in a
        pause that was too short to end it."""
        half = len(self.inside) // 2
        smooth = np.convolve(self.inside, np.ones(5) / 5, mode="same")
        heard = math.ceil(self.rule.overlap / 2 / STEP)  # so much after the cut has to be there already
        place = half + int(smooth[half:-heard].argmin())
        run = _Run(self.first, self.first + place, joined=smooth[place] >= self.rule.threshold - 0.15)
        self.first, self.inside = self.first + place, self.inside[place:]
        return run


def _padded(runs: list[_Run], rule: Rule, seconds: float) -> list[Span]:
    """Runs with `pad` around them, of which neighbours share what lies between them fairly."""
    spans: list[Span] = []
    for number, run in enumerate(runs):
        before = runs[number - 1].last * STEP if number else -math.inf
        after = runs[number + 1].first * STEP if number + 1 < len(runs) else math.inf
        start, end = run.first * STEP, run.last * STEP
        start = max(0.0, start - rule.pad, (before + start) / 2)
        spans.append(Span(start, min(seconds, end + rule.pad, (end + after) / 2)))
    return spans


# -- spans to pieces --------------------------------------------------------------------------------------------------


class _Pieces:
    """Runs as they come -> pieces of several, as long as they may be; a piece that gets too long ends at its longest
    pause of the second half."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.runs: list[_Run] = []
        self.before = 0.0  # where the last piece ended
        self.joined = False  # … and whether that was in the middle of speech

    @property
    def needed(self) -> float:
        """Seconds before which nothing is looked at any more."""
        return max(0.0, self.runs[0].first * STEP - self.rule.pad - self.rule.overlap) if self.runs else math.inf

    def feed(self, runs: list[_Run], *, now: float, quiet: int = 0, last: bool = False) -> list[Span]:
        """Pieces that are complete, given further runs; `now`: the recording's length as far as it is known;
        `quiet`: the window up to which there are no other runs."""
        done: list[Span] = []
        for run in runs:
            if self.runs and (run.first - self.runs[-1].last) * STEP > self.rule.gap:
                done.append(self._piece(len(self.runs), now, run))
            self.runs.append(run)
            while self._seconds() > self.rule.longest:
                done.append(self._piece(self._pause(), now))
        if self.runs and (last or (quiet - self.runs[-1].last) * STEP > self.rule.gap):
            done.append(self._piece(len(self.runs), now))
        return done

    def _seconds(self) -> float:
        around = self._margin(self.joined) + self._margin(self.runs[-1].joined)
        return (self.runs[-1].last - self.runs[0].first) * STEP + around

    def _margin(self, joined: bool) -> float:
        """Where nobody paused, both sides hear half a second of the other; at a pause, a piece has silence around."""
        return self.rule.overlap / 2 if joined else self.rule.pad

    def _pause(self) -> int:
        """How many runs the piece takes: up to the longest pause, of those in its second half if there is one."""
        gaps = [after.first - run.last for run, after in zip(self.runs[:-1], self.runs[1:], strict=True)]
        middle = (self.runs[0].first + self.runs[-1].last) / 2
        late = [number for number, run in enumerate(self.runs[:-1]) if run.last >= middle] or list(range(len(gaps)))
        return max(late, key=lambda number: (gaps[number], number)) + 1

    def _piece(self, count: int, now: float, following: _Run | None = None) -> Span:
        """The first `count` runs as one piece; `following` is what comes next where that is not in `runs` yet."""
        taken, self.runs = self.runs[:count], self.runs[count:]
        following = self.runs[0] if self.runs else following
        start = taken[0].first * STEP - self._margin(self.joined)
        end = taken[-1].last * STEP + self._margin(taken[-1].joined)
        if following and not taken[-1].joined:
            end = min(end, (taken[-1].last + following.first) / 2 * STEP)
        if not self.joined:
            start = max(start, self.before)
        self.joined, self.before = taken[-1].joined, end
        return Span(max(0.0, start), min(end, now))
