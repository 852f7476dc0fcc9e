"""Speech written down while it is spoken: from a file at its own pace, raw samples on stdin, or the microphone.

samples -> gate: only speech -> network, chunk by chunk -> final text, which stays, and partial text, which may not
"""

from __future__ import annotations

import itertools
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from ....core.errors import UserError
from ..files import SAMPLE_RATE, blocks
from ..listening import Heard, Listening
from ..subtitles import Segment, clock
from ..voice import WINDOW, Detector, detector
from .model import ConformerCTC
from .options import RunOptions
from .recognisers import BEAMS, CTCRecogniser, WhisperRecogniser

BLOCK = SAMPLE_RATE // 10
"""Samples that are heard at a time."""
SILENCE = 0.28
"""Seconds without a letter that end an utterance."""


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
            raise UserError("This model hears whole pieces and cannot stream.", "Leave --checkpoint out, or --stream.")
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


def listen(
    recogniser: CTCRecogniser | WhisperRecogniser, inputs: Sequence[Any], options: RunOptions, console: Any
) -> None:
    """Write down what comes until it ends; Ctrl-C ends it too. Final lines go to stdout, partial ones to `console`."""
    stream = Stream(recogniser, options)
    lines = Lines(console)
    if console is not None:
        for notice in stream.notices:
            console.print(notice, style="dim", highlight=False)
    computing, start = 0.0, time.perf_counter()
    try:
        for samples in itertools.chain(_source(inputs), (None,)):
            began = time.perf_counter()
            heard = stream.hear(np.empty(0, np.float32) if samples is None else samples, last=samples is None)
            computing += time.perf_counter() - began
            lines.show(heard)
    except KeyboardInterrupt:
        if not stream.state.ended:
            lines.show(stream.end())
    lines.end(seconds=stream.seconds, computing=computing, took=time.perf_counter() - start)


class Lines:
    """Final utterances as lines on stdout; what may still change on one line of a terminal below them."""

    def __init__(self, console: Any) -> None:
        self.console = console if console is not None and console.is_terminal else None

    def show(self, heard: Heard) -> None:
        if self.console is not None:
            self.console.file.write("\r\x1b[2K")
        for segment in heard.ended:
            print(_line(segment), flush=True)  # noqa: T201 (the result itself)
        if self.console is not None:
            self.console.file.write(f"\x1b[2m{heard.text[-(self.console.width - 1) :]}\x1b[0m")
            self.console.file.flush()

    def end(self, *, seconds: float, computing: float, took: float) -> None:
        if self.console is not None:
            self.console.file.write("\r\x1b[2K")
        if self.console is not None and seconds:
            self.console.print(
                f"{seconds:.1f} s heard in {took:.1f} s, of which computing took {computing:.2f} s "
                f"({computing / seconds:.3f} of real time)",
                style="dim",
            )


def _line(segment: Segment) -> str:
    return f"{clock(segment.start, '.')[3:-2]}  {segment.text}"


# -- where sound comes from -------------------------------------------------------------------------------------------


def _source(inputs: Sequence[Any]) -> Iterator[np.ndarray]:
    if not inputs:
        return _microphone()
    if len(inputs) > 1:
        raise UserError(f"--stream listens to one source, not {len(inputs)}.")
    return _raw(sys.stdin.buffer) if str(inputs[0]) == "-" else _file(Path(inputs[0]))


def _file(path: Path) -> Iterator[np.ndarray]:
    """A file as fast as it would be spoken."""
    start, given = time.perf_counter(), 0
    for block in blocks(path, BLOCK / SAMPLE_RATE):
        given += len(block)
        time.sleep(max(0.0, start + given / SAMPLE_RATE - time.perf_counter()))
        yield block


def _raw(stream: IO[bytes]) -> Iterator[np.ndarray]:
    """16-bit little-endian mono samples at 16 kHz; the stream may close anywhere."""
    while data := stream.read(2 * BLOCK):
        yield np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.float32) / 32768


def _microphone() -> Iterator[np.ndarray]:
    """The default microphone, by the package sounddevice. Raises UserError where there is none."""
    hint = "Give a file, or pipe raw samples: arecord -q -f S16_LE -r 16000 -t raw | tsuite run audio.asr - --stream"
    try:
        import sounddevice  # pyright: ignore[reportMissingImports]
    except (ImportError, OSError):  # OSError: the package is there, PortAudio's library is not
        raise UserError("The microphone needs the package sounddevice and PortAudio.", hint) from None
    try:
        with sounddevice.InputStream(samplerate=SAMPLE_RATE, channels=1, dtype="float32", blocksize=BLOCK) as source:
            while True:
                yield source.read(BLOCK)[0][:, 0]
    except sounddevice.PortAudioError as error:
        raise UserError(f"There is no microphone to listen to ({error}).", hint) from None
