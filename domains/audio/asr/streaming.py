"""Speech written down while it is spoken: whatever `sources` gives, a microphone, a stream, a file at its own pace.

samples -> gate: only speech -> network, chunk by chunk -> final text, which stays, and partial text, which may not
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ....core.errors import UserError
from ....core.jetson.watch import Watch
from ..files import SAMPLE_RATE
from ..listening import Heard, Listening
from ..sources import pieces
from ..subtitles import Segment, clock
from ..voice import WINDOW, Detector, detector
from .model import ConformerCTC
from .options import RunOptions
from .recognisers import BEAMS, CTCRecogniser, WhisperRecogniser

SILENCE = 0.28
"""Seconds without a letter that end an utterance."""
TREMBLE = 0.05
"""Seconds that clocks may disagree by before sound counts as lost."""


class Gate:
    """Silence in place of whatever is no speech, so that tones and noise are never written down.

    Speech opens it from `before` seconds earlier on, for the detector is late on soft beginnings, and keeps it open for
    `after` seconds. While open it delays nothing; while closed what comes out is `before` seconds behind.
    """

    def __init__(self, detect: Detector, *, before: float = 0.3, after: float = 0.7) -> None:
        self.detect = detect
        self.waiting: deque[np.ndarray] = deque()
        self.delay, self.hold = round(before * SAMPLE_RATE / WINDOW), round(after * SAMPLE_RATE / WINDOW)
        self.open = 0
        self.held = np.empty(0, np.float32)

    def __call__(self, samples: np.ndarray, *, last: bool = False) -> np.ndarray:
        """Samples [n] as they come -> samples that are sure; with `last` all of them."""
        self.held = np.concatenate([self.held, samples])
        sure = [np.empty(0, np.float32)]
        for probability in self.detect.feed(samples, last=last).tolist():
            window, self.held = self.held[:WINDOW], self.held[WINDOW:]
            if probability >= 0.5:
                self.open = self.hold + 1
                sure += self.waiting
                self.waiting.clear()
            if self.open:
                self.open -= 1
                sure.append(window)
            else:
                self.waiting.append(window)
                sure += self._shut(self.delay)
        return np.concatenate([*sure, *(self._shut(0) if last else [])])

    def _shut(self, most: int) -> list[np.ndarray]:
        """Silence for the windows that waited for too long; `most` may wait on."""
        return [np.zeros_like(self.waiting.popleft()) for _ in range(len(self.waiting) - most)]


class Stream:
    """A network that can stream, and what it has heard so far. Raises UserError for one that cannot."""

    def __init__(
        self, recogniser: CTCRecogniser | WhisperRecogniser, options: RunOptions, *, silence: float = SILENCE
    ) -> None:
        network = recogniser.network
        if not isinstance(recogniser, CTCRecogniser) or not isinstance(network, ConformerCTC):
            raise UserError(
                "This model hears whole pieces and cannot stream.", "Leave out --checkpoint, or --stream and --source."
            )
        if network.config.chunk is None:
            raise UserError("This model was trained on whole recordings.", "Train one with --chunk 8 to stream.")
        fusion = recogniser.fusion(options)
        width = options.beams or (BEAMS if fusion else 1)
        self.network = network
        self.listening = Listening(
            labels=recogniser.labels,
            seconds_per_frame=network.seconds_per_frame,
            silence=silence,
            width=width,
            fusion=fusion,
        )
        self.gate = Gate(detector()) if options.speech == "auto" else None
        self.notices = self.gate.detect.notices if self.gate else ()
        self.state, self.seconds = network.new_stream(), 0.0

    @torch.inference_mode()
    def hear(self, samples: np.ndarray, *, last: bool = False) -> Heard:
        """The next samples [n]; `last`: there are no more, and an unfinished word is taken as it is."""
        self.seconds += len(samples) / SAMPLE_RATE
        if self.gate is not None:
            samples = self.gate(samples, last=last)
        heard = self.listening.push(self.network.step(torch.from_numpy(samples), self.state, last=last))
        if not last:
            return heard
        end = self.end()
        return replace(end, ended=(*heard.ended, *end.ended))

    def end(self) -> Heard:
        """The utterance under way as it stands: whatever has not been heard yet is left out."""
        self.state.ended = True
        return replace(self.listening.finish(), final="", partial="")


def listen(recogniser: CTCRecogniser | WhisperRecogniser, source: str, options: RunOptions, console: Any) -> None:
    """Write down what `source` gives until it ends; Ctrl-C ends it too. Final lines go to stdout, partial ones to
    `console`. Where sound was lost, what came before is finished and hearing begins anew."""
    stream, began, lost = Stream(recogniser, options), 0.0, 0.0
    lines = Lines(console)
    for notice in stream.notices:
        lines.say(notice)
    board = Watch(lines.say)
    computing, start, seconds = 0.0, time.perf_counter(), 0.0
    try:
        with pieces(source, reconnect=options.reconnect, tell=lines.say) as heard:
            for at, samples in heard:
                gap = at - began - stream.seconds
                if gap > TREMBLE:
                    lines.show(stream.end(), began)
                    lines.say(f"{gap:.1f} s of sound were lost {clock(at, '.')[3:-2]} after the beginning")
                    stream, began, lost = Stream(recogniser, options), at, lost + gap
                computing += lines.take(stream, samples, began)
                seconds += len(samples) / SAMPLE_RATE
                board.look()
        computing += lines.take(stream, np.empty(0, np.float32), began, last=True)
    except KeyboardInterrupt:
        lines.finish(stream, began)
    except UserError:  # the source is gone for good: what it said is not
        lines.finish(stream, began)
        raise
    finally:
        lines.end(seconds=seconds, lost=lost, computing=computing, took=time.perf_counter() - start)


class Lines:
    """Final utterances as lines on stdout; what may still change on one line of a terminal below them."""

    def __init__(self, console: Any) -> None:
        self.told = console
        self.console = console if console is not None and console.is_terminal else None

    def _clear(self) -> None:
        if self.console is not None:
            self.console.file.write("\r\x1b[2K")

    def take(self, stream: Stream, samples: np.ndarray, began: float, *, last: bool = False) -> float:
        """Let `stream`, which began at `began` seconds, hear `samples`, and show what it makes of them; gives the
        seconds that hearing took."""
        start = time.perf_counter()
        heard = stream.hear(samples, last=last)
        took = time.perf_counter() - start
        self.show(heard, began)
        return took

    def finish(self, stream: Stream, began: float) -> None:
        """Show what is left of a stream that was broken off."""
        if not stream.state.ended:
            self.show(stream.end(), began)

    def say(self, text: str) -> None:
        """A sentence beside the transcript."""
        if self.told is not None:
            self._clear()
            self.told.print(text, style="dim", highlight=False, markup=False)

    def show(self, heard: Heard, began: float = 0.0) -> None:
        self._clear()
        for segment in heard.ended:
            print(_line(segment, began), flush=True)  # noqa: T201 (the result itself)
        if self.console is not None:
            self.console.file.write(f"\x1b[2m{heard.text[-(self.console.width - 1) :]}\x1b[0m")
            self.console.file.flush()

    def end(self, *, seconds: float, lost: float, computing: float, took: float) -> None:
        self._clear()
        if seconds and (self.console is not None or lost):
            self.say(
                f"{seconds:.1f} s heard in {took:.1f} s, of which computing took {computing:.2f} s "
                f"({computing / seconds:.3f} of real time)" + (f"; {lost:.1f} s were lost" if lost else "")
            )


def _line(segment: Segment, began: float) -> str:
    return f"{clock(began + segment.start, '.')[3:-2]}  {segment.text}"
