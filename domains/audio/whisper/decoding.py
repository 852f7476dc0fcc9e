"""Decoding windows of sound: an answer for each, tried again where it goes in circles or is improbable.

    the shortest window that fits, likeliest tokens -> the full window -> the full window, drawn at rising temperatures

Radford et al. 2022, arXiv 2212.04356, section 4.5. Axes: B windows, N samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from .config import SAMPLE_RATE
from .listening import Listener, Said
from .model import Whisper, WindowCache
from .options import WhisperOptions
from .rules import compression, loop_at_end
from .timing import word_times
from .tokenizer import WhisperTokenizer

SHORTEST, MARGIN, GRID = 15, 4, 5
"""Seconds: a window shorter than about 15 is too far from what the model was trained on, one that the sound fills is
not believed to be over; and windows of few lengths can be decoded together."""
NOTHING = 2**-15
"""Samples below one step of 16 bits are silence, in which the model would imagine things."""
MUCH = 4
"""Tokens of a round, from which on a loop's first round is taken for something that was said."""


def window_seconds(seconds: float, options: WhisperOptions, longest: float) -> float:
    """How much the encoder hears for a piece of so many seconds."""
    if options.window == "full":
        return longest
    return min(longest, math.ceil(max(SHORTEST, seconds + MARGIN) / GRID) * GRID)


@torch.inference_mode()
def decode(
    model: Whisper, tokenizer: WhisperTokenizer, pieces: Sequence[np.ndarray], options: WhisperOptions
) -> list[Said]:
    """What was said in pieces of sound [N], float32 at 16 kHz, none longer than the model's window.

    Each answer depends on its own piece alone, however many are decoded together. Raises ValueError for a longer piece,
    UserError for a language or task that the model does not know.
    """
    listener, longest = Listener(model, tokenizer, options), model.config.seconds
    windows = [window_seconds(len(piece) / SAMPLE_RATE, options, longest) for piece in pieces]
    found = {place: Said() for place, piece in enumerate(pieces) if np.abs(piece).max(initial=0) < NOTHING}
    for window, places in _batches(windows, [n for n in range(len(pieces)) if n not in found], options.batch):
        tried = options.temperatures if window == longest else options.temperatures[:1]
        said = _settle(listener, [pieces[place] for place in places], window, tried)
        found.update(zip(places, said, strict=True))
    again = [place for place, window in enumerate(windows) if window < longest and _doubtful(found[place], options)]
    for window, places in _batches([longest] * len(pieces), again, options.batch):
        said = _settle(listener, [pieces[place] for place in places], window, options.temperatures)
        found.update(zip(places, said, strict=True))
    return [_without_loop(listener, found[place]) for place in range(len(pieces))]


def _batches(windows: Sequence[float], places: Sequence[int], most: int) -> list[tuple[float, list[int]]]:
    """Places of equal windows together, at most so many."""
    found = []
    for window in sorted({windows[place] for place in places}):
        same = [place for place in places if windows[place] == window]
        found += [(window, same[start : start + most]) for start in range(0, len(same), most)]
    return found


def _settle(
    listener: Listener, pieces: Sequence[np.ndarray], window: float, temperatures: Sequence[float]
) -> list[Said]:
    """The first answer to each piece in one window, or the first of a higher temperature that is not doubted."""
    model, options = listener.model, listener.options
    heard = model.listen(_stack(pieces, model.positions.device), round(window * SAMPLE_RATE))
    languages = listener.languages(heard)
    best: dict[int, Said] = {}
    pending = list(range(len(pieces)))
    for temperature in temperatures:
        answers = listener.answer(heard.rows(pending), [languages[row] for row in pending], temperature)
        for row, said in zip(pending, answers, strict=True):
            if row not in best or not _doubtful(said, options):
                best[row] = said
        pending = [row for row in pending if _doubtful(best[row], options)]
        for row in pending:
            best[row] = replace(best[row], no_speech=listener.no_speech(heard.rows([row]))[0])
        pending = [row for row in pending if not _silent(best[row], options)]
        if not pending:
            break
    return [
        _finished(listener, heard.rows([row]), replace(best[row], seconds=len(piece) / SAMPLE_RATE))
        for row, piece in enumerate(pieces)
    ]


def _finished(listener: Listener, heard: WindowCache, said: Said) -> Said:
    """Emptied where it was silence; with times of its words where they are wanted."""
    if _silent(said, listener.options):
        return replace(said, ids=(), probabilities=(), text="")
    if not listener.options.words:
        return said
    return replace(said, words=word_times(listener, heard, said))


def _doubtful(said: Said, options: WhisperOptions) -> bool:
    """Whether an answer goes in circles, or is improbable."""
    circles = said.looped or compression(said.text) > options.compression
    return circles or said.log_probability < options.log_probability


def _silent(said: Said, options: WhisperOptions) -> bool:
    """Whether an improbable answer came from silence."""
    return said.no_speech > options.no_speech and said.log_probability < options.log_probability


def _without_loop(listener: Listener, said: Said) -> Said:
    """An answer that went in circles whatever was tried, up to the circle; with one round of it if that says much."""
    loop = loop_at_end(said.ids) if said.looped else None
    if loop is None:
        return said
    kept = loop.start + (loop.period if loop.period >= MUCH else 0)
    rest = replace(said, ids=said.ids[:kept], probabilities=said.probabilities[:kept])
    if rest.log_probability < listener.options.log_probability:
        return replace(said, ids=(), probabilities=(), text="", words=())
    text, words, length = listener.tokenizer.decode(rest.ids), [], 0
    for word in said.words:
        length += len(word.text)
        if length <= len(text):
            words.append(word)
    return replace(rest, text=text, words=tuple(words))


def _stack(pieces: Sequence[np.ndarray], device: torch.device) -> Tensor:
    """[B, N], filled up with silence."""
    stacked = torch.zeros(len(pieces), max(len(piece) for piece in pieces))
    for row, piece in enumerate(pieces):
        stacked[row, : len(piece)] = torch.from_numpy(np.array(piece, dtype=np.float32))
    return stacked.to(device)
