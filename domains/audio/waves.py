"""Arithmetic of sound: power spectra, mel filters, another sample rate, echoes. Nothing but torch and numpy is needed.

torchaudio has all of it too. But its builds fit one torch each, and a board's own torch is seldom that one.

Axes: B batch, N samples, F frames, M mel bands.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def power_spectrum(waveforms: Tensor, window: Tensor, *, n_fft: int, hop: int, centred: bool) -> Tensor:
    """Squared magnitudes of the short-time Fourier transform: [B, N] -> [B, n_fft / 2 + 1, F].

    window [W]: stands in the middle of the transform. centred: frames lie around their sample, mirrored at the ends.
    """
    if torch.compiler.is_compiling():  # an exporter: not every runtime has a Fourier transform, and few a quick one
        return _power_by_products(waveforms, window, n_fft=n_fft, hop=hop, centred=centred)
    spectrum = torch.stft(
        waveforms, n_fft, hop, len(window), window, center=centred, pad_mode="reflect", return_complex=True
    )
    return spectrum.abs().square()


def _power_by_products(waveforms: Tensor, window: Tensor, *, n_fft: int, hop: int, centred: bool) -> Tensor:
    """As `power_spectrum`, by a convolution with cosines and sines under the window."""
    if centred:
        waveforms = F.pad(waveforms[:, None], (n_fft // 2, n_fft // 2), mode="reflect")[:, 0]
    before = (n_fft - len(window)) // 2
    behind = n_fft - len(window) - before
    turns = np.outer(np.arange(n_fft // 2 + 1), np.arange(before, n_fft - behind)) % n_fft * (2 * math.pi / n_fft)
    waves = torch.from_numpy(np.concatenate([np.cos(turns), np.sin(turns)]).astype(np.float32))  # [2 bins, W]
    frames = F.conv1d(waveforms[:, None, before : waveforms.shape[1] - behind], (waves * window)[:, None], stride=hop)
    return sum(part.square() for part in frames.chunk(2, dim=1))  # pyright: ignore[reportReturnType]


def mel_filters(
    mels: int, *, sample_rate: int, n_fft: int, low: float, high: float, scale: str, norm: str | None
) -> Tensor:
    """Triangles that sum a power spectrum into bands: [n_fft / 2 + 1, M].

    Their corners lie evenly on a mel scale from `low` to `high` Hz. scale: "htk" (O'Shaughnessy 1987) or "slaney"
    (M. Slaney, Auditory Toolbox, 1998). norm: "slaney" gives all bands the same area; None the same height, 1.
    Raises ValueError for another scale or norm.
    """
    if scale not in _SCALES or norm not in {None, "slaney"}:
        raise ValueError(f"scale {scale!r} must be one of {sorted(_SCALES)}, norm {norm!r} 'slaney' or None")
    to_mel, to_hertz = _SCALES[scale]
    ends = to_mel(np.array([low, high], np.float64))
    corners = to_hertz(np.linspace(ends[0], ends[1], mels + 2))  # [M + 2], Hz
    bins = np.linspace(0, sample_rate / 2, n_fft // 2 + 1)[:, None]
    rise = (bins - corners[:-2]) / (corners[1:-1] - corners[:-2])
    fall = (corners[2:] - bins) / (corners[2:] - corners[1:-1])
    filters = np.maximum(0, np.minimum(rise, fall))
    if norm == "slaney":
        filters *= 2 / (corners[2:] - corners[:-2])
    return torch.from_numpy(filters.astype(np.float32))


def resample(waveforms: Tensor, old: int, new: int, *, zeros: int = 6) -> Tensor:
    """Waveforms [B, N] or [N] at the rate `old` as they are at `new`: N new / old samples, rounded up.

    Band-limited interpolation (J. O. Smith, Digital Audio Resampling): a sinc below the lower rate's half, that a Hann
    window ends after so many zeros on each side.
    """
    common = math.gcd(old, new)
    old, new = old // common, new // common
    if old == new:
        return waveforms
    filters, side = _interpolators(old, new, zeros)  # [new, taps]: one for each output of a period
    kernel = torch.from_numpy(filters).to(waveforms)[:, None]
    count = waveforms.shape[-1]
    rows = F.pad(waveforms.reshape(-1, 1, count), (side, side + old))
    made = F.conv1d(rows, kernel, stride=old).transpose(1, 2)  # [B, periods, new]
    return made.reshape(*waveforms.shape[:-1], -1)[..., : -(-new * count // old)]


def convolve(waveforms: Tensor, echoes: Tensor) -> Tensor:
    """Each waveform [B, N] with its echo [B, E], by Fourier transform: [B, N + E - 1]."""
    count = waveforms.shape[-1] + echoes.shape[-1] - 1
    product = torch.fft.rfft(waveforms, count) * torch.fft.rfft(echoes, count)
    return torch.fft.irfft(product, count)


# -- scales and filters -----------------------------------------------------------------------------------------------

LINEAR, STEP = 1000.0, math.log(6.4) / 27
"""Slaney's scale is linear up to 1000 Hz, 3 mel every 200 Hz, then 27 mel for each factor of 6.4."""


def _htk_mel(hertz: np.ndarray) -> np.ndarray:
    return 2595 * np.log10(1 + hertz / 700)


def _htk_hertz(mel: np.ndarray) -> np.ndarray:
    return 700 * (10 ** (mel / 2595) - 1)


def _slaney_mel(hertz: np.ndarray) -> np.ndarray:
    above = 15 + np.log(np.maximum(hertz, LINEAR) / LINEAR) / STEP
    return np.where(hertz < LINEAR, 3 * hertz / 200, above)


def _slaney_hertz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, 200 * mel / 3, LINEAR * np.exp(STEP * (np.maximum(mel, 15) - 15)))


_SCALES = {"htk": (_htk_mel, _htk_hertz), "slaney": (_slaney_mel, _slaney_hertz)}


@lru_cache(maxsize=16)
def _interpolators(old: int, new: int, zeros: int) -> tuple[np.ndarray, int]:
    """The filters [new, taps] that make a period of `new` samples out of `old` and of `side` more at either end."""
    band = 0.99 * min(old, new)  # a little below what the lower rate can hold, so that the slope fits
    side = math.ceil(zeros * old / band)
    taps = np.arange(-side, side + old) / old
    outputs = np.arange(new)[:, None] / new
    time = np.clip((taps - outputs) * band, -zeros, zeros)
    filters = np.sinc(time) * np.cos(math.pi * time / (2 * zeros)) ** 2 * (band / old)
    return filters.astype(np.float32), side
