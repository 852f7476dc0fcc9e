"""Sound files as a model takes them: mono, 16,000 samples a second, float32, with a word on whatever is odd.

Axes: n, N samples in time, C channels. `read_file` gives a whole recording, `blocks` a long one piece by piece.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...core.errors import UserError
from ...core.task import Example
from .decoding import CONTAINERS, Decoder, open_sound, packet_seconds
from .waves import resample

SAMPLE_RATE = 16_000
SUFFIXES = frozenset(CONTAINERS)
BLOCK = 30.0
"""Seconds decoded at a time."""
SILENT = 1e-4
"""A recording whose largest sample is smaller (-80 dB) is silent."""


@dataclass(frozen=True, kw_only=True)
class Recording(Example):
    """Sound as a model hears it: `samples` [N] float32 mono at SAMPLE_RATE, in -1..1.

    `transcript` is the truth where it is known; `notices` what to be aware of (clipped, cut short, was 12 channels).
    """

    samples: np.ndarray
    transcript: str | None = None
    notices: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        return len(self.samples) / SAMPLE_RATE


def read_file(path: str | Path, *, transcript: str | None = None, id: str | None = None) -> Recording:
    """The whole of a sound file (WAV, FLAC, MP3, Ogg, Opus, G.722, M4A, WebM, the sound of a video).

    Raises UserError for what is missing, empty, no sound, or holds samples that are no numbers. What is odd but of use
    (cut short, clipped, silent, many channels, another ending than its content) becomes a notice.
    """
    return _read(Path(path).expanduser(), id or str(path), transcript)


def read_bytes(content: bytes, *, id: str, transcript: str | None = None) -> Recording:
    """As `read_file`, of a sound file's bytes; `id` is its name."""
    return _read(content, id, transcript)


def _read(source: Path | bytes, name: str, transcript: str | None) -> Recording:
    with open_sound(source, name) as decoder:
        mix = Mix(decoder.channels)
        samples = _joined(mono_blocks(decoder, mix, BLOCK, name))
        notices = [*decoder.notices, *mix.notices]
    if not len(samples):
        raise UserError(f"{name} holds no sound: it has 0 samples.")
    notices += _oddities(samples, mix.clipped)
    return Recording(id=name, samples=samples, transcript=transcript, notices=tuple(notices))


def read_samples(
    samples: np.ndarray | Tensor, rate: int, *, id: str = "recording", transcript: str | None = None
) -> Recording:
    """A recording from samples [N], [C, N] or [N, C] at `rate` Hz: floating point in -1..1, or signed integers.

    Raises UserError for another shape or kind, no samples, samples that are no numbers, a rate below 1,000.
    """
    array = samples.detach().cpu().numpy() if isinstance(samples, Tensor) else np.asarray(samples)
    if array.ndim not in (1, 2) or array.dtype.kind not in "fiu":
        raise UserError(
            f"{id} is an array of {array.dtype} {array.shape}, and no sound.", "Give numbers as [samples] or [C, N]."
        )
    if not 1000 <= rate <= 768_000:
        raise UserError(f"{id}: a rate of {rate} Hz cannot be.", "Give the number of samples a second.")
    if not array.size:
        raise UserError(f"{id} holds no sound: it has 0 samples.")
    if array.ndim == 2 and array.shape[0] < array.shape[1]:
        array = array.T
    if array.dtype.kind == "f":
        array = array.astype(np.float32)
        if (peak := float(np.abs(array).max())) > 16 and math.isfinite(peak):
            raise UserError(f"{id} holds values up to {peak:g}; samples lie in -1..1.", "Divide by 32768.")
    else:
        half = float(2 ** (8 * array.dtype.itemsize - 1))
        array = (array.astype(np.float32) - (half if array.dtype.kind == "u" else 0.0)) / half
    frames = array.reshape(len(array), -1)
    mix = Mix(frames.shape[1])
    mono = _joined(resampled(iter([mix(frames, id, 0.0)]), rate))
    notices = [*mix.notices, *_oddities(mono, mix.clipped)]
    return Recording(id=id, samples=mono, transcript=transcript, notices=tuple(notices))


def blocks(path: str | Path, seconds: float = BLOCK) -> Iterator[np.ndarray]:
    """The file as float32 blocks [n] of `seconds` (the last one shorter), decoded as they are asked for.

    Joined they are the samples of `read_file`. Raises UserError as that does.
    """
    size = max(1, round(seconds * SAMPLE_RATE))
    with open_sound(Path(path).expanduser(), str(path)) as decoder:
        held = np.empty(0, np.float32)
        for part in mono_blocks(decoder, Mix(decoder.channels), min(seconds, BLOCK), str(path)):
            held = np.concatenate([held, part])
            while len(held) >= size:
                yield held[:size]
                held = held[size:]
        if len(held):
            yield held


def duration(path: str | Path) -> float:
    """Seconds of sound by the file's header, or by its packets' times where that does not say; nothing is decoded."""
    place = Path(path).expanduser()
    with open_sound(place, str(path)) as decoder:
        seconds = decoder.declared
    if seconds is None:
        seconds = packet_seconds(place, str(path))
    return seconds if seconds is not None else sum(map(len, blocks(place))) / SAMPLE_RATE


def sound_files(folder: str | Path) -> list[Path]:
    """Every sound and video file below `folder`, in order. Raises UserError where there is none."""
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise UserError(f"There is no folder {folder}.")
    found = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    found = [path for path in found if not any(part.startswith(".") for part in path.relative_to(root).parts)]
    if not found:
        raise UserError(f"The folder {folder} holds no sound files.", f"Known endings: {', '.join(sorted(SUFFIXES))}.")
    return found


# -- one channel ------------------------------------------------------------------------------------------------------


class Mix:
    """Channels [n, C] mixed into one [n], block after block; `notices` says how, `clipped` counts samples at the rim.

    All channels count the same. Two that cancel each other (one is the other upside down) would leave silence: then
    the loudest is taken alone. The first block with sound decides.
    """

    def __init__(self, channels: int) -> None:
        self.channels, self.only, self.decided = channels, -1, channels == 1
        self.clipped = 0
        self.notices = [f"its channels 1 to {channels} were mixed into one"] if channels > 2 else []

    def __call__(self, frames: np.ndarray, name: str, start: float) -> np.ndarray:
        """Mono [n] of frames [n, C] that begin `start` seconds into `name`."""
        if not np.isfinite(frames).all():
            row, channel = np.argwhere(~np.isfinite(frames))[0]
            raise UserError(
                f"{name} holds samples that are no numbers: the first is {frames[row, channel]}, sample {row:,} "
                f"after {start:.1f} s.",
                "Write it again; whatever made it divided by zero.",
            )
        # Runs at the rim: a single sample of 1.0 is only loud
        rim = np.abs(frames) >= 0.9999
        self.clipped += int((rim[1:-1] & rim[2:] & rim[:-2]).sum()) if len(rim) > 2 else 0
        if not self.decided:
            self._decide(frames)
        return frames[:, self.only] if self.only >= 0 else frames.mean(axis=1, dtype=np.float32)

    def _decide(self, frames: np.ndarray) -> None:
        loudness = np.sqrt(np.square(frames, dtype=np.float64).mean(axis=0))  # [C]
        if loudness.max() < SILENT:
            return
        self.decided = True
        if np.sqrt(np.square(frames.mean(axis=1), dtype=np.float64).mean()) < 0.02 * loudness.max():
            self.only = int(loudness.argmax())
            self.notices = [f"its channels cancel each other, so channel {self.only + 1} was taken alone"]


def _oddities(samples: np.ndarray, clipped: int) -> list[str]:
    """Notices on the sound itself."""
    if float(np.abs(samples).max()) < SILENT:
        return ["it is silent"]
    if clipped > 10 and clipped > 1e-4 * len(samples):
        return [f"it is clipped: {clipped:,} samples are cut off at the largest value"]
    return []


def mono_blocks(decoder: Decoder, mix: Mix, seconds: float, name: str) -> Iterator[np.ndarray]:
    """Blocks [n] at SAMPLE_RATE of what `decoder` reads."""

    def mixed() -> Iterator[np.ndarray]:
        done = 0
        for frames in decoder.blocks(max(1, round(seconds * decoder.rate))):
            yield mix(frames, name, done / decoder.rate)
            done += len(frames)

    return resampled(mixed(), decoder.rate)


def _joined(parts: Iterable[np.ndarray]) -> np.ndarray:
    found = list(parts)
    return np.concatenate(found) if found else np.empty(0, np.float32)


# -- one rate ---------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=32)
def _ratio(rate: int) -> tuple[int, int]:
    """`rate` and SAMPLE_RATE in small whole numbers: a rate like 44,099 would need a filter of gigabytes, so it is
    taken for its nearest neighbour, at most one part in a million away."""
    ratio = Fraction(SAMPLE_RATE, rate).limit_denominator(1000)
    return ratio.denominator, ratio.numerator


def resampled(parts: Iterator[np.ndarray], rate: int) -> Iterator[np.ndarray]:
    """Blocks [n] at `rate` as blocks at SAMPLE_RATE, band-limited, without a seam: each block is filtered with its
    neighbours' ends at its side, so that the result is that of the whole at once."""
    if rate == SAMPLE_RATE:
        yield from (np.ascontiguousarray(part) for part in parts)
        return
    old, new = _ratio(rate)
    width = 16  # zero crossings of the filter on each side
    side = math.ceil(2 * width * max(1, old / new) / old) * old  # whole periods, so that outputs fall on the same times

    def filtered(samples: np.ndarray) -> np.ndarray:
        return resample(torch.from_numpy(samples), old, new, zeros=width).numpy()

    held, before = np.empty(0, np.float32), 0
    for part in parts:
        held = np.concatenate([held, part])
        ready = (len(held) - before - side) // old * old  # periods that have their right neighbour
        if ready <= 0:
            continue
        out = filtered(held[: before + ready + side])
        yield out[before // old * new : (before + ready) // old * new]
        keep = max(0, before + ready - side)
        held, before = held[keep:], before + ready - keep
    if len(held) > before:
        yield filtered(held)[before // old * new :]
