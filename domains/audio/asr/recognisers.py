"""Two kinds of recogniser behind one face: pieces of a recording in, segments of text with times out.

    pieces -> CTCRecogniser      labels at every frame: greedy or beam search, words by forced alignment
    pieces -> WhisperRecogniser  an encoder and a decoder that writes

Axes: B batch, N samples, T frames, V labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ....core.errors import UserError
from .. import ctc
from ..beam import PrefixBeam
from ..files import SAMPLE_RATE
from ..fusion import Fusion
from ..ngram import NGram
from ..stitch import Piece, stitch
from ..subtitles import Segment, Word
from ..tokenizer import Labels
from ..whisper import WhisperOptions, WhisperTokenizer
from ..whisper.transcribe import transcribe_pieces
from .model import ConformerCTC
from .options import RunOptions

Sound = tuple[float, np.ndarray]
"""A piece of a recording: the second at which it begins, and its samples [N]."""
BEAMS = 16


class Recogniser(Protocol):
    """Writes down what is said."""

    network: Any

    @property
    def longest(self) -> float:
        """Seconds of the longest piece it takes."""
        ...

    def segments(self, pieces: Iterable[Sound], options: RunOptions) -> Iterator[Segment]:
        """What is said in the pieces of one recording, in their order."""
        ...


@dataclass
class CTCRecogniser:
    """A network that gives `CTCOutput` for waveforms, the labels it writes, and perhaps a language model of its own."""

    network: Any
    labels: Labels
    lm: NGram | None = None
    longest: float = 28.0
    _fusions: dict[tuple[Any, ...], Fusion | None] = field(default_factory=dict, repr=False)

    def log_probs(self, waveforms: Sequence[np.ndarray]) -> list[Tensor]:
        """[N] each -> log-probabilities [T, V] each."""
        device = next(self.network.parameters()).device
        padded = pad_sequence([torch.from_numpy(wave) for wave in waveforms], batch_first=True)
        return self._log_probs(padded.to(device), torch.tensor([len(wave) for wave in waveforms]).to(device))

    @torch.inference_mode()
    def _log_probs(self, waveforms: Tensor, lengths: Tensor) -> list[Tensor]:
        # Nothing is yet to come: every frame may look at all
        whole = self.network.seeing(None) if isinstance(self.network, ConformerCTC) else nullcontext()
        with whole:
            output = self.network(waveforms, lengths)
        return [row[:count].cpu() for row, count in zip(output.log_probs, output.lengths.tolist(), strict=True)]

    def plainly(self, waveforms: Tensor, lengths: Tensor) -> list[str]:
        """The likeliest labels of waveforms [B, N], lengths [B], as texts: what a training is judged by."""
        found = self._log_probs(waveforms, lengths)
        return [self.labels.decode(ctc.greedy(row, blank=self.labels.blank)) for row in found]

    def read(self, log_probs: Tensor, options: RunOptions) -> list[int]:
        """The labels [L] that log_probs [T, V] say."""
        fusion = self.fusion(options)
        if fusion is None and options.beams <= 1:
            return ctc.greedy(log_probs, blank=self.labels.blank)
        beam = PrefixBeam(self.labels, width=options.beams or BEAMS, fusion=fusion)
        beam.push(log_probs)
        return list(beam.hypotheses()[0].ids)

    def fusion(self, options: RunOptions) -> Fusion | None:
        """The language model and hot words that go into a beam search, made once for the same wishes."""
        key = (options.lm, options.lm_weight, options.word_bonus, options.hotwords)
        if key not in self._fusions:
            lm = self._language_model(options)
            words = hot_words(options.hotwords)
            bonus = options.word_bonus if lm else 0.0
            fusion = Fusion(self.labels, lm=lm, lm_weight=options.lm_weight, word_bonus=bonus, hotwords=words)
            self._fusions[key] = fusion if lm or words else None
        return self._fusions[key]

    def _language_model(self, options: RunOptions) -> NGram | None:
        if options.lm == "none" or (options.lm == "auto" and options.beams == 1):
            return None
        if options.lm == "auto":
            return self.lm
        path = Path(options.lm).expanduser()
        if not path.is_file():
            raise UserError(f"There is no language model {options.lm}.", "Give an ARPA file, or none.")
        return NGram.read(path)

    def segments(self, pieces: Iterable[Sound], options: RunOptions) -> Iterator[Segment]:
        waiting = (piece for piece in pieces if len(piece[1]))
        heard: list[Piece] = []
        while batch := list(islice(waiting, options.batch)):
            found = zip(batch, self.log_probs([samples for _, samples in batch]), strict=True)
            for (start, samples), log_probs in found:
                piece = Piece(
                    start=start,
                    end=start + len(samples) / SAMPLE_RATE,
                    words=self.words(log_probs, self.read(log_probs, options), start),
                )
                if heard and piece.start >= heard[-1].end:
                    yield from _segment(heard)
                    heard = []
                heard.append(piece)
        yield from _segment(heard)

    def words(self, log_probs: Tensor, ids: Sequence[int], start: float = 0.0) -> tuple[Word, ...]:
        """The words that labels [L] spell, with the times at which log_probs [T, V] have them."""
        if not ids:
            return ()
        spans = ctc.align(log_probs, ids, blank=self.labels.blank)
        return ctc.words(self.labels, ids, spans, self.network.seconds_per_frame, start)


def _segment(pieces: Sequence[Piece]) -> Iterator[Segment]:
    """Pieces that overlap as one segment, if anything was said."""
    words = stitch(pieces)
    if words:
        confidence = float(np.exp(np.mean([np.log(max(word.confidence, 1e-9)) for word in words])))
        text = " ".join(word.text for word in words)
        yield Segment(text=text, start=words[0].start, end=words[-1].end, words=tuple(words), confidence=confidence)


@dataclass
class WhisperRecogniser:
    """A Whisper model with its tokenizer."""

    network: Any
    tokenizer: WhisperTokenizer

    @property
    def longest(self) -> float:
        return min(28.0, self.network.config.seconds)

    def segments(self, pieces: Iterable[Sound], options: RunOptions) -> Iterator[Segment]:
        return transcribe_pieces(self.network, self.tokenizer, pieces, whisper_options(options))


def whisper_options(options: RunOptions) -> WhisperOptions:
    """What a person asked for, as the Whisper package takes it; hot words become the text before."""
    return WhisperOptions(
        language=options.language,
        task=options.task,  # pyright: ignore[reportArgumentType]
        beams=max(1, options.beams),
        words=options.words or options.picture,
        window=options.window,  # pyright: ignore[reportArgumentType]
        batch=options.batch,
        prompt=", ".join(hot_words(options.hotwords)),
    )


def hot_words(text: str) -> Mapping[str, float]:
    """`--hotwords "jetson,orin:9"` as words with their boosts in nats (5 where none is given)."""
    found: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        word, _, weight = part.partition(":")
        try:
            found[word.strip()] = float(weight) if weight else 5.0
        except ValueError:
            raise UserError(f"--hotwords: {weight!r} is no weight for {word!r}.", "For example: jetson:8") from None
    return found
