"""Small sounds made on the spot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile


def tone(seconds: float = 1.0, *, rate: int = 16_000, hertz: float = 440.0, level: float = 0.5) -> np.ndarray:
    """A sine [N] in float32."""
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def noise(seconds: float = 1.0, *, rate: int = 16_000, level: float = 0.1, seed: int = 0) -> np.ndarray:
    """White noise [N] in float32."""
    return (level * np.random.default_rng(seed).normal(size=round(seconds * rate))).astype(np.float32)


def save(
    path: Path, samples: np.ndarray, rate: int = 16_000, subtype: str | None = None, kind: str | None = None
) -> Path:
    """Write samples [N] or [N, C]; `kind` is soundfile's format where the name's ending is to lie."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype=subtype, format=kind)
    return path


def encode(path: Path, samples: np.ndarray, codec: str, rate: int = 48_000) -> Path:
    """Write mono samples [N] by PyAV: .m4a, .webm, .mp4, .g722."""
    import av

    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=rate)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(
            format=stream.format, layout="mono", rate=rate, frame_size=stream.frame_size or 1024
        )
        for part in resampler.resample(frame) + resampler.resample(None):
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return path
