"""Recordings as people can check them: the log-mel spectrogram with each word over the moment it was said.

Inches are the unit of layout: the figure grows with what it shows, so that nothing is ever squeezed.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .files import SAMPLE_RATE
from .normalise import basic
from .subtitles import Word, end_of

INK, QUIET, RULE, ACCENT, BAD = "#1c2733", "#7d8995", "#dfe5ea", "#1f6f8b", "#c0392b"
SHADES = ["#ffffff", "#eef4f7", "#b9d5df", "#5f9fb5", "#1f6f8b", "#123c4d"]
"""From silence to the loudest, on a light ground."""
WIDTH, LEFT, RIGHT = 11.0, 0.66, 0.3
ACROSS = WIDTH - LEFT - RIGHT
SPECTRUM, LANE, BAR, HEAD, NOTE, CLOCK = 1.05, 0.21, 0.14, 0.3, 0.22, 0.42
"""Heights: a spectrogram, a row of words, the words' bars, a heading, a line below it, a time axis."""
MELS, RANGE = 80, 65.0
"""Mel bands; decibels from the loudest down to white."""
SIZE = 8.5
"""Points of the words' type."""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One recording for the picture: samples [N] in -1..1 at 16 kHz, the words heard with their times, and what was
    said where that is known (words that differ from it are red)."""

    id: str
    samples: np.ndarray
    words: Sequence[Word]
    truth: str | None = None

    @property
    def seconds(self) -> float:
        return len(self.samples) / SAMPLE_RATE


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A word, the second that its text is centred on, and whether it is wrong."""

    word: Word
    centre: float
    wrong: bool

    @property
    def middle(self) -> float:
        return (self.word.start + self.word.end) / 2


@dataclass(frozen=True, kw_only=True)
class Strip:
    """One row of the picture: `start` … `end` seconds of a recording, its log-mel [frames, MELS] in decibels below the
    recording's loudest, and rows of words."""

    of: Recorded
    start: float
    end: float
    image: np.ndarray
    lanes: list[list[Placed]]

    @property
    def head(self) -> float:
        """The height of the heading, which only a recording's first strip has."""
        return 0.0 if self.start else HEAD + (NOTE if self.of.truth is not None else 0.0)

    @property
    def height(self) -> float:
        return self.head + LANE * max(1, len(self.lanes)) + BAR + SPECTRUM + CLOCK


def draw_recordings(
    recordings: Sequence[Recorded], path: Path, *, title: str = "", line: float = 8.0, lines: int = 12
) -> Path:
    """Write one PNG of all recordings, with one time scale for all.

    line: seconds in a row; a longer recording goes on in the next. lines: rows at most; what is left out is said.
    """
    from matplotlib.figure import Figure

    longest = max((one.seconds for one in recordings), default=line)
    scale = min(line, max(3.0, longest))  # seconds across; short clips are not blown up
    strips: list[Strip] = []
    for one in recordings:
        strips += _strips(one, line, scale, lines - len(strips))
    left_out = sum(_rows(one, line) for one in recordings) - len(strips)
    top, foot = (0.7 if title else 0.2), (0.3 if left_out else 0.05)
    height = top + sum(strip.height for strip in strips) + foot
    figure = Figure(figsize=(WIDTH, height), dpi=140, facecolor="white")
    if title:
        figure.text(LEFT / WIDTH, 1 - 0.34 / height, title, fontsize=15, fontweight="bold", color=INK, va="center")
    level = height - top
    for strip in strips:
        _head(figure, strip, level)
        _draw(figure, strip, level - strip.height + CLOCK, scale)
        level -= strip.height
    if left_out:
        text = f"{left_out} more rows of {line:g} s are not shown"
        figure.text(LEFT / WIDTH, 0.2 / height, text, fontsize=9, color=QUIET, va="center")
    figure.savefig(path)
    return path


def _rows(recording: Recorded, line: float) -> int:
    return max(1, math.ceil(recording.seconds / line - 1e-6))


def _strips(recording: Recorded, line: float, scale: float, most: int) -> list[Strip]:
    """A recording in at most `most` rows of `line` seconds; a word belongs to the row in which its middle lies."""
    rows = _rows(recording, line)
    marked = list(zip(recording.words, wrong(recording.words, recording.truth), strict=True))
    image = log_mel(recording.samples[: round(max(most, 0) * line * SAMPLE_RATE)])
    frames = max(1, round(line * SAMPLE_RATE / 160))
    found = []
    for row in range(min(rows, most)):
        start, end = row * line, max(min((row + 1) * line, recording.seconds), row * line + 0.01)
        last = math.inf if row == rows - 1 else end
        inside = [(word, bad) for word, bad in marked if start <= (word.start + word.end) / 2 < last]
        lanes = place_words(inside, start, start + scale, scale / ACROSS)
        part = image[row * frames : (row + 1) * frames]
        found.append(Strip(of=recording, start=start, end=end, image=part, lanes=lanes))
    return found


def place_words(words: Sequence[tuple[Word, bool]], start: float, end: float, inch: float) -> list[list[Placed]]:
    """Words (and whether they are wrong) in as few rows as keep their texts apart within `start` … `end` seconds.

    inch: seconds that an inch stands for. A word goes to the lowest row that has room.
    """
    lanes: list[list[Placed]] = []
    taken: list[float] = []  # how far each row is written
    for word, bad in words:
        half = _inches(word.text) * inch / 2
        centre = max(start + half, min((word.start + word.end) / 2, end - half))
        lane = next((number for number, until in enumerate(taken) if centre - half > until), len(lanes))
        if lane == len(lanes):
            lanes.append([])
            taken.append(0.0)
        lanes[lane].append(Placed(word=word, centre=centre, wrong=bad))
        taken[lane] = centre + half + 0.12 * inch
    return lanes


def _inches(text: str, *, size: float = SIZE, weight: str = "normal") -> float:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    shape = TextPath((0, 0), text.strip(), size=size, prop=FontProperties(weight=weight))
    return shape.get_extents().width / 72 if text.strip() else 0.0


def wrong(words: Sequence[Word], truth: str | None) -> list[bool]:
    """Which words the truth does not have there, without regard to case and punctuation."""
    if truth is None:
        return [False] * len(words)
    heard = [(part, place) for place, word in enumerate(words) for part in basic(word.text).split()]
    matcher = difflib.SequenceMatcher(None, basic(truth).split(), [part for part, _ in heard], autojunk=False)
    right = {place for block in matcher.get_matching_blocks() for place in range(block.b, block.b + block.size)}
    bad = {word for place, (_, word) in enumerate(heard) if place not in right}
    return [place in bad for place in range(len(words))]


def _head(figure: Any, strip: Strip, level: float) -> None:
    """What a recording is called, how long it is, and the truth where it is known; `level` inches from the bottom."""
    if strip.start:
        return
    height, one = figure.get_figheight(), strip.of
    at = (level - HEAD / 2) / height
    name = end_of(one.id, 80)
    figure.text(LEFT / WIDTH, at, name, fontsize=10.5, fontweight="bold", color=INK, va="center")
    beside = LEFT + 0.14 + _inches(name, size=10.5, weight="bold")
    figure.text(beside / WIDTH, at, f"{one.seconds:.1f} s", fontsize=9.5, color=QUIET, va="center")
    if one.truth is not None:
        same = basic(" ".join(word.text for word in one.words)) == basic(one.truth)
        text = "as the transcript says" if same else f"transcript: {_short(one.truth, 140)}"
        at = (level - HEAD - NOTE / 2 + 0.03) / height
        figure.text(LEFT / WIDTH, at, text, fontsize=9, color=QUIET, va="center")


def _draw(figure: Any, strip: Strip, bottom: float, scale: float) -> None:
    """The spectrogram at `bottom` inches, and over it the words."""
    height = figure.get_figheight()
    share = (strip.end - strip.start) / scale
    axes = figure.add_axes((LEFT / WIDTH, bottom / height, ACROSS * share / WIDTH, SPECTRUM / height))
    _spectrum(axes, strip)
    above = BAR + LANE * max(1, len(strip.lanes))
    over = figure.add_axes((LEFT / WIDTH, (bottom + SPECTRUM) / height, ACROSS / WIDTH, above / height))
    over.set_xlim(strip.start, strip.start + scale)
    over.set_ylim(0, above)
    over.set_axis_off()
    if not strip.lanes:
        over.text(strip.start, BAR + LANE / 2, "no words", fontsize=SIZE, color=QUIET, va="center", style="italic")
    for lane, row in enumerate(strip.lanes):
        for placed in row:
            _word(over, placed, BAR + LANE * (lane + 0.5))
            for edge in (placed.word.start, placed.word.end):
                if strip.start < edge < strip.end:
                    axes.axvline(edge, color=BAD if placed.wrong else ACCENT, linewidth=0.5, alpha=0.3)


def _word(axes: Any, placed: Placed, level: float) -> None:
    """The text at `level`, a bar over the time it takes (paler where the model was unsure), and what joins the two."""
    word, colour = placed.word, BAD if placed.wrong else ACCENT
    sure = 1.0 if math.isnan(word.confidence) else min(1.0, max(0.0, word.confidence))
    axes.barh(0.07, max(word.end - word.start, 0.01), left=word.start, height=0.06, color=colour,
              alpha=0.2 + 0.8 * sure**2, linewidth=0)  # fmt: skip
    if level > BAR + LANE:
        axes.plot([placed.middle, placed.centre], [0.1, level], color=RULE, linewidth=0.8, zorder=1)
    axes.text(placed.centre, level, word.text, fontsize=SIZE, color=BAD if placed.wrong else INK, ha="center",
              va="center", zorder=3, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8})  # fmt: skip


def _spectrum(axes: Any, strip: Strip) -> None:
    """The log-mel spectrogram with seconds below and kHz beside it."""
    from matplotlib.colors import LinearSegmentedColormap

    shades = LinearSegmentedColormap.from_list("quiet to loud", SHADES)
    where = (strip.start, strip.end, 0, MELS)
    axes.imshow(strip.image.T, origin="lower", aspect="auto", cmap=shades, vmin=-RANGE, vmax=0, extent=where)
    marks = (0.5, 1, 2, 4)
    axes.set_yticks([mel(1000 * mark) / mel(SAMPLE_RATE / 2) * MELS for mark in marks], [f"{m:g} kHz" for m in marks])
    step = 1.0 if strip.end - strip.start > 2 else 0.5
    ticks = np.arange(math.ceil(strip.start / step) * step, strip.end + 1e-6, step)
    axes.set_xticks(ticks, [_clock(tick) for tick in ticks])
    axes.tick_params(labelsize=7.5, colors=QUIET, length=2.5, pad=2)
    for side in axes.spines.values():
        side.set_color(RULE)


def log_mel(samples: np.ndarray) -> np.ndarray:
    """Mel power [frames of 10 ms, MELS] in decibels below the loudest; all is white where there is only silence."""
    import torch

    from .frontend import LogMel

    front = LogMel(mels=MELS, low=0.0, centred=True)
    padded = np.pad(samples.astype(np.float32), (0, max(0, 800 - len(samples))))  # mirrored ends need that many
    with torch.inference_mode():
        power = front.power(torch.from_numpy(padded)[None])[0].numpy()
    return 10 * np.log10(np.maximum(power, 1e-12) / max(float(power.max()), 1e-4))


def mel(hertz: float) -> float:
    """The mel scale (O'Shaughnessy 1987)."""
    return 2595 * math.log10(1 + hertz / 700)


def _clock(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < 60 else f"{int(seconds // 60)}:{seconds % 60:02.0f}"


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
