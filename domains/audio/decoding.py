"""Sound files as blocks of samples, whatever they are called: soundfile reads the plain formats, PyAV the others.

Axes: n samples in time, C channels. Samples are float32 in -1..1.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import UserError, missing_extra

CONTAINERS = {
    ".wav": ("wav", "wavex", "rf64"), ".flac": ("flac",), ".ogg": ("ogg",), ".oga": ("ogg",), ".opus": ("ogg",),
    ".mp3": ("mp3",), ".aiff": ("aiff",), ".aif": ("aiff",), ".au": ("au",), ".caf": ("caf",), ".w64": ("w64",),
    ".g722": ("g722",), ".m4a": ("mov",), ".mp4": ("mov",), ".mov": ("mov",), ".3gp": ("mov",), ".aac": ("aac", "mov"),
    ".webm": ("matroska",), ".mkv": ("matroska",), ".mka": ("matroska",), ".avi": ("avi",), ".ts": ("mpegts",),
    ".wma": ("asf",), ".wmv": ("asf",), ".amr": ("amr",),
}  # fmt: skip
"""Endings of sound and video files, and what their content may be."""
UNSAID = 0x7FF00000
"""Sizes in a WAV header from here on mean "written to a pipe, not known", not that something is missing."""


class Decoder:
    """An open sound: its `rate` in Hz, `channels`, `container` ("wav", "mov", …) and the seconds that its header
    declares (None: it does not say). `notices` grows while `blocks` is read."""

    rate: int
    channels: int
    container: str
    declared: float | None

    def __init__(self) -> None:
        self.notices: list[str] = []

    def blocks(self, frames: int) -> Iterator[np.ndarray]:
        """Blocks [n, C] of about `frames` samples, in order. Of a damaged file what comes before the damage."""
        raise NotImplementedError


@contextlib.contextmanager
def open_sound(source: Path | bytes, name: str) -> Iterator[Decoder]:
    """The sound in a file or in a file's bytes, recognised by its content.

    Raises UserError, with `name` in it, for what is missing, empty, without sound, or no sound file at all.
    """
    suffix = (source if isinstance(source, Path) else Path(name)).suffix.lower()
    if isinstance(source, Path):
        if not source.exists():
            raise UserError(f"There is no file {name}.")
        if source.is_dir():
            raise UserError(f"{name} is a folder, and no sound file.")
        if source.stat().st_size == 0:
            raise UserError(f"{name} is empty (0 bytes).")
    elif not source:
        raise UserError(f"{name} is empty (0 bytes).")
    try:
        with (
            open(source, "rb") if isinstance(source, Path) else io.BytesIO(source) as file,
            _decoder(source, file, suffix, name) as decoder,
        ):
            if decoder.container not in CONTAINERS.get(suffix, (decoder.container,)):
                decoder.notices.append(f"its content is {decoder.container}, although its name ends in {suffix}")
            yield decoder
    except PermissionError:
        raise UserError(f"{name} may not be read.", "Check its permissions.") from None


@contextlib.contextmanager
def _decoder(source: Path | bytes, file: Any, suffix: str, name: str) -> Iterator[Decoder]:
    """soundfile where it can, else PyAV. MP3 goes to PyAV, which notices where one was cut short."""
    try:
        import soundfile
    except ModuleNotFoundError:
        raise missing_extra("soundfile", "audio") from None
    head = file.read(4096)
    file.seek(0)
    plain = None
    if not _is_mpeg(head):
        # A descriptor, not the path: its ending would decide over the content
        with contextlib.suppress(soundfile.LibsndfileError, TypeError, OverflowError):
            plain = soundfile.SoundFile(file.fileno() if isinstance(source, Path) else file, closefd=False)
    if plain is not None:
        with plain:
            yield _SoundFile(plain, source)
        return
    if suffix == ".g722" and all(9 <= byte < 127 for byte in head):  # text: this raw format would decode it, to noise
        raise _unreadable(name)
    with _opened(source, suffix, head, name) as container:
        yield _PyAV(container, name)


def _is_mpeg(head: bytes) -> bool:
    """Whether these are the first bytes of an MP3 (or AAC): its tag, or the 11 bits that begin each frame."""
    return head.startswith(b"ID3") or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0)


def _unreadable(name: str) -> UserError:
    return UserError(f"{name} is no sound file that can be read.", "WAV, FLAC, MP3, Ogg, Opus, M4A and WebM can.")


# -- soundfile ------------------------------------------------------------------------------------------------------


class _SoundFile(Decoder):
    """What libsndfile reads: WAV, FLAC, Ogg (Vorbis and Opus), AIFF, CAF and more."""

    def __init__(self, file: Any, source: Path | bytes) -> None:
        super().__init__()
        self.file, self.source = file, source
        self.rate, self.channels = int(file.samplerate), int(file.channels)
        self.container = str(file.format).lower()
        self.declared = file.frames / self.rate if 0 <= file.frames < 2**62 else None

    def blocks(self, frames: int) -> Iterator[np.ndarray]:
        import soundfile

        done, held = 0, []
        try:
            # Small bites: a read that meets damage gives nothing of what came before it
            while len(bite := self.file.read(4096, dtype="float32", always_2d=True)):
                held.append(bite)
                done += len(bite)
                if len(held) * 4096 >= frames:
                    yield np.concatenate(held)
                    held = []
            damaged = False
        except soundfile.LibsndfileError:
            damaged = True
        if held:
            yield np.concatenate(held)
        if damaged or self._cut_short(done):
            what = "damaged there" if damaged else "cut short"
            self.notices.append(f"it ends after {done / self.rate:.1f} s: the file is {what}")

    def _cut_short(self, done: int) -> bool:
        """Whether the file ends before its header (of FLAC, WAV) or its last page (of Ogg) says so."""
        if self.declared is not None and done < self.declared * self.rate - 1:
            return True
        if self.container == "ogg":
            return not _ends_properly(self.source)
        found = re.search(r"data *: *(\d+) *\(should be (\d+)\)", self.file.extra_info or "")
        return bool(found) and int(found[2]) < int(found[1]) < UNSAID


def _ends_properly(source: Path | bytes) -> bool:
    """Whether the last page of an Ogg file says that it is the last (bit 4 of the page's flags)."""
    if isinstance(source, bytes):
        tail = source[-(1 << 17) :]
    else:
        with open(source, "rb") as file:
            file.seek(max(0, source.stat().st_size - (1 << 17)))
            tail = file.read()
    page = tail[max(0, tail.rfind(b"OggS")) :]
    if len(page) < 27 or len(page) < 27 + page[26]:
        return False
    return bool(page[5] & 4) and len(page) >= 27 + page[26] + sum(page[27 : 27 + page[26]])


# -- PyAV -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _opened(source: Path | bytes, suffix: str, head: bytes, name: str) -> Iterator[Any]:
    try:
        import av
        from av.error import FFmpegError
    except ModuleNotFoundError:
        raise missing_extra("av", "audio") from None
    place = str(source) if isinstance(source, Path) else io.BytesIO(source)
    # Raw G.722 has no header by which it could be recognised; 16 kHz is the only rate it has
    kind = "g722" if suffix == ".g722" else None
    try:
        try:
            container = av.open(place, format=kind, metadata_errors="ignore")
        except TypeError:  # from version 19 on nothing else is done with broken names of songs
            container = av.open(place, format=kind)
    except FFmpegError:
        if head[4:8] == b"ftyp":  # MPEG-4 keeps the list of its frames at the end
            raise UserError(f"{name} is cut short: the part that says how to read it is missing.") from None
        raise _unreadable(name) from None
    with container:
        yield container


def decoder_of(container: Any, name: str) -> Decoder:
    """What PyAV has opened, a stream for example, as sound. UserError where there is none in it."""
    return _PyAV(container, name)


class _PyAV(Decoder):
    """What FFmpeg reads: MP3, M4A, WebM, the sound of video files, G.722."""

    def __init__(self, container: Any, name: str) -> None:
        super().__init__()
        if not container.streams.audio:
            raise UserError(f"There is no sound in {name}.")
        self.input, self.stream = container, container.streams.audio[0]
        self.rate, self.channels = int(self.stream.rate or 0), int(self.stream.channels or 0)
        if not (self.rate and self.channels):
            raise _unreadable(name)
        self.container = container.format.name.split(",")[0]
        self.declared = self._declared()

    def _declared(self) -> float | None:
        if self.stream.duration is not None and self.stream.time_base is not None:
            return float(self.stream.duration * self.stream.time_base)
        return self.input.duration / 1e6 if self.input.duration else None

    def blocks(self, frames: int) -> Iterator[np.ndarray]:
        parts: list[np.ndarray] = []
        held, done = 0, 0
        for part in self._frames():
            parts.append(part)
            held += len(part)
            done += len(part)
            if held >= frames:
                yield np.concatenate(parts)
                parts, held = [], 0
        if parts:
            yield np.concatenate(parts)
        short = self.declared is not None and done < (self.declared - 0.25) * self.rate
        if short and self.container != "aac":  # raw AAC has no header: its length is a guess
            self.notices.append(
                f"it ends after {done / self.rate:.1f} s of {self.declared:.1f} s: the file is cut short"
            )

    def _frames(self) -> Iterator[np.ndarray]:
        """Every decoded frame [n, C]; packets that are damaged are passed over, and that is noted."""
        from av.error import EOFError as Ended
        from av.error import FFmpegError

        damaged = 0
        packets = self.input.demux(self.stream)
        while True:
            try:
                packet = next(packets)
                yield from map(self._samples, packet.decode())
            except (StopIteration, Ended):
                break
            except FFmpegError:
                damaged += 1
                if damaged > 100:  # no sound left: do not search a disk's worth of it
                    break
        if damaged:
            self.notices.append("parts of it are damaged and were left out")

    def _samples(self, frame: Any) -> np.ndarray:
        """One frame as float32 [n, C]; packed formats come as [1, n * C], planar ones as [C, n]."""
        array = frame.to_ndarray()
        array = array.T if frame.format.is_planar else array.reshape(-1, self.channels)
        if array.dtype.kind == "f":
            return array.astype(np.float32)
        middle = 128 if array.dtype == np.uint8 else 0
        return (array.astype(np.float32) - middle) / float(2 ** (8 * array.dtype.itemsize - 1))


def packet_seconds(source: Path, name: str) -> float | None:
    """The length of a file whose header does not say it, by its packets' times: nothing is decoded."""
    with _opened(source, source.suffix.lower(), b"", name) as container:
        stream = container.streams.audio[0]
        ends = [packet.pts + (packet.duration or 0) for packet in container.demux(stream) if packet.pts is not None]
        return float(max(ends) * stream.time_base) if ends and stream.time_base else None
