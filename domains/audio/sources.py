"""Sound while it is made: a microphone, a stream, a pipe, or a file as fast as it would be spoken.

A piece is (seconds since the beginning, samples [n] at SAMPLE_RATE). Where one begins later than the last one ended,
sound was lost: live sound goes on while nobody listens, and what cannot be heard in time is dropped, the oldest first.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from ...core.errors import UserError
from ...core.feed import Feed
from ...core.media import Place, is_live, opened, place
from .decoding import decoder_of
from .files import SAMPLE_RATE, Mix, blocks, mono_blocks

Piece = tuple[float, np.ndarray]
Samples = Generator[np.ndarray, None, None]

MICROPHONE, PIPE = "mic", "-"
BLOCK = SAMPLE_RATE // 10
"""Samples that are heard at a time."""
BEHIND = 300
"""Blocks of live sound that may wait. Then all of them are dropped: one gap of 30 s costs fewer words than 300 small
ones."""


@contextmanager
def pieces(source: str, *, reconnect: float, tell: Callable[[str], None]) -> Iterator[Iterable[Piece]]:
    """What is heard from `source`: mic, a file, a URL, or - for raw samples on stdin; it is closed at the end.

    reconnect: seconds to go on trying a microphone or stream that vanished; `tell` gets a sentence on that. Raises
    UserError for what cannot be opened, also while it is read.
    """
    if source == PIPE:
        yield _timed(_raw(sys.stdin.buffer))
    elif source == MICROPHONE:
        with _live(_Microphone(), "the microphone", reconnect, tell) as feed:
            yield feed
    elif "://" not in source:
        yield _timed(_paced(blocks(Path(source), BLOCK / SAMPLE_RATE)))
    else:
        where = place(source)
        if not _goes_on(where):
            yield _timed(_paced(_streamed(where)))
            return
        with _live(lambda: _streamed(where), where.name, reconnect, tell) as feed:
            yield feed


def _goes_on(where: Place) -> bool:
    """Whether a URL is live. Only the web has both kinds: the rest is not opened to see, for some serve but once."""
    if where.live is not None:
        return where.live
    with opened(where, "audio") as container:
        return is_live(where, container)


def _timed(parts: Iterator[np.ndarray]) -> Iterator[Piece]:
    done = 0
    for part in parts:
        yield done / SAMPLE_RATE, part
        done += len(part)


def _live(read: Callable[[], Samples], name: str, reconnect: float, tell: Callable[[str], None]) -> Feed[Piece]:
    """A feed of pieces, their times by the clock each time that the source is opened, then by their samples."""
    began, end = time.monotonic(), 0.0

    def timed() -> Generator[Piece, None, None]:
        nonlocal end
        for number, part in enumerate(read()):
            if not number and end:
                end = max(end, time.monotonic() - began)
            yield end, part
            end += len(part) / SAMPLE_RATE

    return Feed(timed, name=name, live=True, room=BEHIND, spill=BEHIND, reconnect=reconnect, tell=tell)


def _paced(parts: Iterator[np.ndarray]) -> Samples:
    """What is stored, as fast as it would be spoken."""
    start, given = time.perf_counter(), 0
    for part in parts:
        given += len(part)
        time.sleep(max(0.0, start + given / SAMPLE_RATE - time.perf_counter()))
        yield part


def _raw(stream: IO[bytes]) -> Samples:
    """16-bit little-endian mono samples at 16 kHz; the stream may close anywhere. Whoever writes waits for us, and what
    is lost is theirs to say (arecord does)."""
    while data := stream.read(2 * BLOCK):
        yield np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.float32) / 32768


def _streamed(where: Place) -> Samples:
    """The sound of a URL."""
    with opened(where, "audio") as container:
        decoder = decoder_of(container, where.name)
        yield from mono_blocks(decoder, Mix(decoder.channels), BLOCK / SAMPLE_RATE, where.name)


class _Microphone:
    """The default microphone, by the package sounddevice: each call opens it. UserError where there is none."""

    def __init__(self) -> None:
        self.known = False

    def __call__(self) -> Samples:
        hint = "Give a file, or pipe samples: arecord -q -f S16_LE -r 16000 -t raw | tsuite run audio.asr --source -"
        try:
            import sounddevice  # pyright: ignore[reportMissingImports]
        except (ImportError, OSError):  # OSError: the package is there, PortAudio's library is not
            raise UserError("The microphone needs the package sounddevice and PortAudio.", hint) from None
        try:
            if self.known:  # PortAudio lists the devices once; one that was plugged in again is another
                sounddevice._terminate()
                sounddevice._initialize()
            self.known = True
            form = {"samplerate": SAMPLE_RATE, "channels": 1, "dtype": "float32", "blocksize": BLOCK}
            with sounddevice.InputStream(**form) as source:
                while True:
                    yield source.read(BLOCK)[0][:, 0].copy()
        except sounddevice.PortAudioError as error:
            raise UserError(f"There is no microphone to listen to ({error}).", hint) from None
