"""Where somebody speaks: the probability of speech for every 32 ms, by Silero's network or, without it, by a rule.

Axes: N samples at 16 kHz, T windows of WINDOW samples.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...core.sources import Source, Unreachable
from .files import SAMPLE_RATE

WINDOW = 512
"""Samples of one window: 32 ms."""
CONTEXT = 64
"""Samples before a window that Silero's network looks at too."""
SILERO = (
    "pypi://faster-whisper==1.2.1/faster_whisper/assets/silero_vad_v6.onnx"
    "#4cbf549b8326f60f80f2536d9eefeb450a9abe83365a098031c89719f1be17d2"
)
"""Silero VAD version 6 (MIT, https://github.com/snakers4/silero-vad), out of the wheel of faster-whisper."""
BATCH = 2048
"""Windows that go through the network in one call (66 s)."""


class Detector(Protocol):
    """Gives speech probabilities for sound that arrives in parts; one detector hears one recording from its start."""

    notices: tuple[str, ...]

    def feed(self, samples: np.ndarray, *, last: bool = False) -> np.ndarray:
        """Probabilities [T] of the windows that `samples` [N] completes; `last` fills up the last one with silence."""
        ...


class _Windows:
    """Cuts what arrives into windows and keeps the rest, and the end of the last window, for the next time."""

    def __init__(self) -> None:
        self.held = np.empty(0, np.float32)
        self.before = np.zeros(CONTEXT, np.float32)

    def __call__(self, samples: np.ndarray, last: bool) -> np.ndarray:
        """Whole windows with their context [T, CONTEXT + WINDOW]."""
        held = np.concatenate([self.held, np.asarray(samples, np.float32)])
        if last and len(held) % WINDOW:
            held = np.pad(held, (0, WINDOW - len(held) % WINDOW))
        count = len(held) // WINDOW
        windows, self.held = held[: count * WINDOW].reshape(count, WINDOW), held[count * WINDOW :]
        ends = np.concatenate([self.before[None], windows[:, -CONTEXT:]])
        self.before = ends[-1].copy()
        return np.concatenate([ends[:-1], windows], axis=1)


class Silero:
    """Silero VAD: a small convolutional network and an LSTM, whose state runs on from part to part.

    Its ONNX graph runs the LSTM over a whole sequence of windows, so that a minute is one call.
    """

    notices: tuple[str, ...] = ()

    def __init__(self, session: Any) -> None:
        self.session, self.windows = session, _Windows()
        self.hidden = self.cell = np.zeros((1, 1, 128), np.float32)

    def feed(self, samples: np.ndarray, *, last: bool = False) -> np.ndarray:
        windows = self.windows(samples, last)
        parts = [np.empty(0, np.float32)]
        for start in range(0, len(windows), BATCH):
            given = {"input": windows[start : start + BATCH], "h": self.hidden, "c": self.cell}
            probabilities, self.hidden, self.cell = self.session.run(None, given)
            parts.append(probabilities.reshape(-1))
        return np.concatenate(parts)


class Loudness:
    """What is left without the network: a window is speech where it is louder than the quietest of the last seconds,
    is no noise (its spectrum is not flat) and no steady tone (its spectrum moves).

    An honest stand-in: it takes music, animals and machines for speech. Spectral flatness: J. D. Johnston, 1988.
    """

    MEMORY = 3 * SAMPLE_RATE // WINDOW
    """Windows (3 s) whose quietest one counts as the background."""

    def __init__(self, notices: tuple[str, ...] = ()) -> None:
        self.notices, self.windows = notices, _Windows()
        self.recent: list[float] = []
        self.spectrum, self.loud = np.zeros((CONTEXT + WINDOW) // 2 - 7), False

    def feed(self, samples: np.ndarray, *, last: bool = False) -> np.ndarray:
        windows = self.windows(samples, last)
        if not len(windows):
            return np.empty(0, np.float32)
        taper = np.hanning(windows.shape[1])
        power = np.abs(np.fft.rfft(windows * taper, axis=1)) ** 2 / (len(taper) * np.square(taper).sum() / 2)
        power = power[:, 4:-4] + 1e-12  # [T, F]: neither hum below 110 Hz nor the rim of the band
        level = 10 * np.log10(power.sum(axis=1))  # dB of full scale
        flatness = np.exp(np.log(power).mean(axis=1)) / power.mean(axis=1)
        loud = (level > self._background(level) + 12) & (level > -50) & (flatness < 0.35)
        shape = np.sqrt(power / power.sum(axis=1, keepdims=True))
        shapes = np.concatenate([self.spectrum[None], shape])
        changed = 1 - (shapes[1:] * shapes[:-1]).sum(axis=1) > 0.05  # Hellinger's distance of neighbouring spectra
        changed &= loud & np.concatenate([[self.loud], loud[:-1]])
        self.spectrum, self.loud = shape[-1], bool(loud[-1])
        # Speech changes all the time, a tone only where it begins and ends
        moving = np.convolve(changed, np.ones(9), mode="same")[: len(loud)] >= 3
        return (loud & moving).astype(np.float32)

    def _background(self, level: np.ndarray) -> np.ndarray:
        """The level [T] of the quietest window of the last seconds, at most -20 dB: speech without a pause counts."""
        heard = np.asarray([*self.recent, *level])
        padded = np.concatenate([np.full(self.MEMORY, -20.0), heard])
        lowest = np.lib.stride_tricks.sliding_window_view(padded, self.MEMORY + 1).min(axis=1)[-len(level) :]
        self.recent = [float(value) for value in heard[-self.MEMORY :]]
        return lowest


@lru_cache(maxsize=1)
def _weights() -> Path | Unreachable:
    """Silero's file, or why it cannot be had: asked once, for a network that does not answer takes its time."""
    try:
        return Source.parse(SILERO).fetch()
    except Unreachable as problem:
        return problem


@lru_cache(maxsize=1)
def _session() -> Any:
    """Silero's network, on one thread: its matrices are too small to share out."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    path = _weights()
    if isinstance(path, Unreachable):
        raise path
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def detector() -> Detector:
    """A fresh detector: Silero's where onnxruntime is installed and its weights can be had, else the rule, which says
    so in its notices."""
    try:
        return Silero(_session())
    except ModuleNotFoundError:
        why = "onnxruntime is not installed (pip install 'tsuite[audio]')"
    except Unreachable as problem:
        why = f"Silero's weights cannot be had: {problem.what}"
    return Loudness((f"Speech is found by loudness alone, because {why}.",))
