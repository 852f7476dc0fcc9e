"""Text from log-probabilities that arrive in parts: what is settled, what may still change, where an utterance ends.

    frames ->  please enter your ext       final "please enter your ", partial "ext"
    frames ->  please enter your extension    (silence)      -> the utterance ends: a Segment with the words' times

The settled text never changes. With greedy decoding only the last word is open; with a beam, all that its prefixes do
not share. An utterance ends after `silence` seconds in which no label but the blank or a space was likeliest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from .beam import PrefixBeam, Pruning
from .ctc import align, words
from .fusion import Fusion
from .subtitles import Segment
from .tokenizer import Labels

HURRIED = 0.08
"""Seconds of silence that end an utterance which has become too long."""


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What is known at `time` (seconds of sound heard): the utterance under way as `final` text, which only grows, and
    `partial`, which may change; `ended`: the utterances that came to their end since the last time."""

    final: str
    partial: str
    time: float
    ended: tuple[Segment, ...] = ()

    @property
    def text(self) -> str:
        """The utterance under way, as far as it is known."""
        return f"{self.final}{self.partial}".strip()


class Decoder(Protocol):
    """Hears frames [T, V]; `settled` label ids never change, `best` begins with them."""

    def push(self, log_probs: Tensor) -> None: ...
    def settled(self) -> list[int]: ...
    def best(self) -> list[int]: ...


class Greedy:
    """The likeliest label of each frame, repeats made one; all of it is settled at once."""

    def __init__(self, blank: int = 0) -> None:
        self.blank, self._last, self._ids = blank, blank, []

    def push(self, log_probs: Tensor) -> None:
        for label in log_probs.argmax(dim=-1).tolist():
            if label not in (self._last, self.blank):
                self._ids.append(label)
            self._last = label

    def settled(self) -> list[int]:
        return list(self._ids)

    best = settled


class Beam:
    """Prefix beam search as a decoder of parts."""

    def __init__(self, labels: Labels, *, width: int, fusion: Fusion | None, pruning: Pruning | None) -> None:
        self._beam = PrefixBeam(labels, width=width, fusion=fusion, pruning=pruning)

    def push(self, log_probs: Tensor) -> None:
        self._beam.push(log_probs)

    def settled(self) -> list[int]:
        return self._beam.settled()

    def best(self) -> list[int]:
        return self._beam.hypotheses()[0].ids


@dataclass(kw_only=True)
class Listening:
    """Utterances out of a stream of log-probabilities.

    seconds_per_frame: of the frames. silence: seconds that end an utterance. longest: seconds after which a short
    pause ends it too; after twice as many it ends anyway. width: 1 decodes greedily, more by prefix beam search with
    `fusion`.
    """

    labels: Labels
    seconds_per_frame: float
    silence: float = 0.5
    longest: float = 20.0
    width: int = 1
    fusion: Fusion | None = None
    pruning: Pruning | None = None
    _frames: list[Tensor] = field(default_factory=list, init=False, repr=False)
    _heard: int = field(default=0, init=False)
    """Frames so far, and of those before the utterance under way."""
    _before: int = field(default=0, init=False)
    _quiet: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        silent = [label for label, text in enumerate(self.labels.texts) if not text.strip()]
        self._silent = torch.tensor(silent)
        self._decoder = self._new_decoder()

    def push(self, log_probs: Tensor) -> Heard:
        """Hear log_probs [T, V], T of any length, 0 too."""
        log_probs = log_probs.detach().cpu().float()
        quiet = torch.isin(log_probs.argmax(dim=-1), self._silent).tolist() if len(log_probs) else []
        ended: list[Segment] = []
        start = 0
        for place, silent in enumerate(quiet, start=1):
            self._heard += 1
            self._quiet = self._quiet + 1 if silent else 0
            if self._over():
                self._take(log_probs[start:place])
                ended += self._close()
                start = place
        self._take(log_probs[start:])
        return self._now(ended)

    def finish(self) -> Heard:
        """The stream has ended, and with it the utterance under way, even in the middle of a word."""
        return self._now(self._close())

    def _new_decoder(self) -> Decoder:
        if self.width == 1 and self.fusion is None:
            return Greedy(self.labels.blank)
        return Beam(self.labels, width=self.width, fusion=self.fusion, pruning=self.pruning)

    def _over(self) -> bool:
        """Whether the utterance under way ends here."""
        length = (self._heard - self._before) * self.seconds_per_frame
        needed = self.silence if length < self.longest else min(HURRIED, self.silence)
        return self._quiet * self.seconds_per_frame >= needed or length >= 2 * self.longest

    def _take(self, frames: Tensor) -> None:
        if len(frames):
            self._decoder.push(frames)
            self._frames.append(frames)

    def _close(self) -> list[Segment]:
        """End the utterance and begin another; nothing where no word was heard."""
        ids = self._decoder.best()
        found = []
        if text := self.labels.decode(ids):
            rows, offset = torch.cat(self._frames), self._before * self.seconds_per_frame
            spans = align(rows, ids, blank=self.labels.blank)
            timed = words(self.labels, ids, spans, self.seconds_per_frame, offset)
            sure = sum(word.confidence for word in timed) / len(timed)
            found.append(Segment(text=text, start=timed[0].start, end=timed[-1].end, words=timed, confidence=sure))
        self._decoder, self._frames = self._new_decoder(), []
        self._before, self._quiet = self._heard, 0
        return found

    def _now(self, ended: list[Segment]) -> Heard:
        settled, best = self._text(self._decoder.settled()), self._text(self._decoder.best())
        if " " in self.labels.alphabet:  # the last word may go on
            settled = settled[: settled.rfind(" ") + 1]
        return Heard(
            final=settled, partial=best[len(settled) :].rstrip(), time=self._heard * self.seconds_per_frame,
            ended=tuple(ended),
        )  # fmt: skip

    def _text(self, ids: list[int]) -> str:
        """The labels' text with single spaces, one at its end too."""
        text = "".join(self.labels.texts[label] for label in ids)
        return " ".join(text.split()) + (" " if text.endswith(" ") and text.strip() else "")
