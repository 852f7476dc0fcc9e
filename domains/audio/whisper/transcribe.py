"""Recordings of any length, by pieces that hold speech: decoded some at a time, no word lost or told twice.

segments = transcribe(model, tokenizer, recording.samples, WhisperOptions(words=True), cut(recording.samples))
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Protocol

import numpy as np

from ..subtitles import Segment
from .config import SAMPLE_RATE
from .decoding import decode
from .model import Whisper
from .options import WhisperOptions
from .segments import join, segments_of
from .tokenizer import WhisperTokenizer


class Stretch(Protocol):
    """A stretch of a recording, in seconds from its beginning."""

    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float: ...


Piece = tuple[float, np.ndarray]
"""Where a piece begins in the recording, in seconds, and its samples [N]."""


def transcribe(
    model: Whisper,
    tokenizer: WhisperTokenizer,
    samples: np.ndarray,
    options: WhisperOptions | None = None,
    spans: Sequence[Stretch] | None = None,
) -> list[Segment]:
    """The segments of a recording, samples [N] float32 in -1..1 at 16 kHz, in the order of time.

    spans: where there is speech, none longer than the model's window (30 s); they may overlap. None: all of the
    recording, in windows side by side. Nothing is heard outside of them.
    Raises ValueError for a longer span, UserError for a language or a task that the model does not know.
    """
    seconds, longest = len(samples) / SAMPLE_RATE, model.config.seconds
    bounds = [(span.start, span.end) for span in spans or ()]
    if spans is None:
        bounds = [(start, start + longest) for start in np.arange(0, seconds, longest).tolist()]
    pieces = ((start, samples[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]) for start, end in bounds)
    return list(transcribe_pieces(model, tokenizer, pieces, options))


def transcribe_pieces(
    model: Whisper, tokenizer: WhisperTokenizer, pieces: Iterable[Piece], options: WhisperOptions | None = None
) -> Iterator[Segment]:
    """As `transcribe`, for pieces that come one after the other: `options.batch` of them are held at a time."""
    options = options or WhisperOptions()
    waiting = (piece for piece in pieces if len(piece[1]))
    held: list[Segment] = []  # of the piece before, which the next one may overlap
    reached = 0.0
    while batch := list(islice(waiting, options.batch)):
        ends = [start + len(samples) / SAMPLE_RATE for start, samples in batch]
        overlaps = any(start < end for end, (start, _) in zip([reached, *ends], batch, strict=False))
        asked = replace(options, words=options.words or overlaps)
        answers = decode(model, tokenizer, [samples for _, samples in batch], asked)
        for (start, _), end, said in zip(batch, ends, answers, strict=True):
            segments = segments_of(tokenizer, said, start, timestamps=options.timestamps)
            if start < reached:
                held, segments = join(held, segments, (start, end), reached)
            yield from (_plain(segment, options) for segment in held)
            held, reached = segments, max(reached, end)
    yield from (_plain(segment, options) for segment in held)


def _plain(segment: Segment, options: WhisperOptions) -> Segment:
    """As people read it: without spaces around texts, and words only where they were asked for."""
    words = tuple(replace(word, text=word.text.strip()) for word in segment.words) if options.words else ()
    return replace(segment, text=segment.text.strip(), words=words)
