"""What training adds to recordings so that a few minutes of one voice last longer. All of it on batches, all of it
driven by one generator, so that a run that is resumed goes on bit by bit as if it had never stopped.

Axes: B recordings, N samples at 16 kHz (padded with zeros at the end), F frames, M mel channels.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ...core.errors import UserError
from .files import SAMPLE_RATE
from .waves import convolve, resample


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How much of each. Shares are of recordings; ranges are (lowest, highest) and drawn evenly.

    speed: times as fast (pitch moves with it). gain, snr: dB. reverberation: seconds until the echo has fallen by 60
    dB. telephone: share that loses all but 300 to 3,400 Hz.
    """

    speed: tuple[float, float] = (0.9, 1.1)
    gain: tuple[float, float] = (-12.0, 6.0)
    noisy: float = 0.4
    snr: tuple[float, float] = (5.0, 30.0)
    reverberant: float = 0.3
    reverberation: tuple[float, float] = (0.1, 0.6)
    telephone: float = 0.1

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if isinstance(value, float) and not 0 <= value <= 1:
                raise UserError(f"The share {item.name} lies from 0 to 1, which {value} does not.")
            if isinstance(value, tuple) and not value[0] <= value[1]:
                raise UserError(f"The range {item.name} ends before it begins: {value}.")


def augment(
    waveforms: Tensor,
    lengths: Tensor,
    how: Augmentation,
    generator: Generator,
    *,
    noises: Sequence[Tensor] = (),
) -> tuple[Tensor, Tensor]:
    """Waveforms [B, N] and lengths [B] after speed, room, noise, telephone and gain; what lies behind a length stays 0.

    `noises` are recordings of noise [n]; white and pink noise is made where there are none.
    """
    waveforms, lengths = change_speed(waveforms, lengths, how.speed, generator)
    if not waveforms.shape[1]:
        return waveforms, lengths
    chosen = _chance(how.reverberant, len(waveforms), generator)
    if chosen.any():
        waveforms = waveforms.clone()
        waveforms[chosen] = reverberate(
            waveforms[chosen], _between(how.reverberation, int(chosen.sum()), generator), generator
        )
    chosen = _chance(how.noisy, len(waveforms), generator)
    if chosen.any():
        snr = _between(how.snr, int(chosen.sum()), generator)
        waveforms = waveforms.clone()
        waveforms[chosen] = add_noise(waveforms[chosen], lengths[chosen], snr, generator, noises=noises)
    chosen = _chance(how.telephone, len(waveforms), generator)
    if chosen.any():
        waveforms = waveforms.clone()
        waveforms[chosen] = telephone(waveforms[chosen])
    level = 10 ** (_between(how.gain, len(waveforms), generator) / 20)
    return masked((waveforms * level[:, None]).clamp(-1, 1), lengths), lengths


def _between(limits: tuple[float, float], count: int, generator: Generator) -> Tensor:
    """`count` numbers drawn evenly."""
    return limits[0] + (limits[1] - limits[0]) * torch.rand(count, generator=generator)


def _chance(share: float, count: int, generator: Generator) -> Tensor:
    """Which of `count` are chosen, each with the probability `share` [count]."""
    return torch.rand(count, generator=generator) < share


def masked(waveforms: Tensor, lengths: Tensor) -> Tensor:
    """Zeros behind each recording's end."""
    return waveforms * (torch.arange(waveforms.shape[1]) < lengths[:, None])


# -- speed ------------------------------------------------------------------------------------------------------------


def change_speed(
    waveforms: Tensor, lengths: Tensor, limits: tuple[float, float], generator: Generator
) -> tuple[Tensor, Tensor]:
    """Each recording faster or slower by its own factor, in steps of a hundredth, its pitch with it (T. Ko et al.:
    Audio augmentation for speech recognition. Interspeech 2015). Equal factors are resampled together."""
    percent = torch.round(_between(limits, len(waveforms), generator) * 100).long()  # 95: takes 1 / 0.95 of the time
    percent = percent.clamp(50, 200)
    if bool((percent == 100).all()):
        return waveforms, lengths
    changed = [_resampled(waveforms[percent == speed], int(speed), 100) for speed in percent.unique()]
    out = waveforms.new_zeros(len(waveforms), max(part.shape[1] for part in changed))
    for speed, part in zip(percent.unique(), changed, strict=True):
        out[percent == speed, : part.shape[1]] = part
    lengths = torch.div(lengths * 100 + percent - 1, percent, rounding_mode="floor").clamp(max=out.shape[1])
    longest = int(lengths.max()) if len(lengths) else 0
    return masked(out, lengths)[:, :longest], lengths


def _resampled(waveforms: Tensor, old: int, new: int) -> Tensor:
    return resample(waveforms, old, new)


# -- rooms and lines --------------------------------------------------------------------------------------------------


def reverberate(waveforms: Tensor, seconds: Tensor, generator: Generator) -> Tensor:
    """Waveforms [B, N] as a room of that reverberation time [B] (s, to -60 dB) returns them, as loud as before.

    The room is a direct sound and noise that dies away exponentially behind it (J. A. Moorer, 1979), 3 to 12 dB
    softer; what lasts longer than the recording is cut.
    """
    count = max(1, int(seconds.max() * SAMPLE_RATE))
    time = torch.arange(count) / SAMPLE_RATE
    tail = torch.randn(len(waveforms), count, generator=generator) * 10 ** (-3 * time / seconds[:, None])
    tail[:, : SAMPLE_RATE // 500] = 0  # no wall is nearer than 2 ms
    softer = 10 ** (-_between((3.0, 12.0), len(waveforms), generator) / 20)
    tail = tail * (softer / tail.norm(dim=1).clamp_min(1e-9))[:, None]
    tail[:, 0] = 1
    wet = convolve(waveforms, tail)[:, : waveforms.shape[1]]
    return wet * (_energy(waveforms) / _energy(wet).clamp_min(1e-12)).sqrt()[:, None]


def telephone(waveforms: Tensor) -> Tensor:
    """Waveforms [B, N] of which only 300 to 3,400 Hz are left, with slopes a tenth as wide as the band's ends."""
    count = _fast(waveforms.shape[1])
    frequency = torch.fft.rfftfreq(count, 1 / SAMPLE_RATE)
    rise = ((frequency - 270) / 30).clamp(0, 1)
    fall = ((3740 - frequency) / 340).clamp(0, 1)
    return torch.fft.irfft(torch.fft.rfft(waveforms, n=count) * rise * fall, n=count)[:, : waveforms.shape[1]]


def _fast(count: int) -> int:
    """A length from `count` on that the FFT is fast for."""
    return -(-count // 4096) * 4096


# -- noise ------------------------------------------------------------------------------------------------------------


def add_noise(
    waveforms: Tensor, lengths: Tensor, snr: Tensor, generator: Generator, *, noises: Sequence[Tensor] = ()
) -> Tensor:
    """Waveforms [B, N] with noise `snr` [B] dB softer than they are; silent ones stay silent.

    The noise is a piece of one of `noises` [n] (repeated where it is shorter), else white or pink, half and half.
    """
    rows, count = waveforms.shape
    if noises:
        noise = torch.stack([_piece(noises, count, generator) for _ in range(rows)])
    else:
        noise = torch.randn(rows, count, generator=generator)
        pink = _chance(0.5, rows, generator)
        noise[pink] = _pink(noise[pink])
    noise = masked(noise, lengths)
    level = _energy(waveforms) / _energy(noise).clamp_min(1e-12) * 10 ** (-snr / 10)
    return waveforms + noise * level.sqrt()[:, None]


def _energy(waveforms: Tensor) -> Tensor:
    """Sum of squares [B]; padding adds nothing."""
    return waveforms.square().sum(dim=1)


def _pink(white: Tensor) -> Tensor:
    """White noise [B, N] with its power falling as 1 / frequency."""
    if not len(white):  # no FFT takes an empty batch
        return white
    count = _fast(white.shape[1])
    spectrum = torch.fft.rfft(white, n=count)
    slope = torch.arange(spectrum.shape[1]).clamp_min(1).rsqrt()
    return torch.fft.irfft(spectrum * slope, n=count)[:, : white.shape[1]]


def _piece(noises: Sequence[Tensor], count: int, generator: Generator) -> Tensor:
    """A piece [count] of one of `noises`, from anywhere in it."""
    noise = noises[int(torch.randint(len(noises), (), generator=generator))]
    start = int(torch.randint(max(1, len(noise)), (), generator=generator))
    return noise.roll(-start).repeat(math.ceil(count / len(noise)))[:count]


# -- joining ----------------------------------------------------------------------------------------------------------


def join(waveforms: Sequence[Tensor], pauses: Sequence[float], generator: Generator) -> Tensor:
    """Short recordings [n] one behind the other, with a pause of that many seconds between each two: faint noise at
    the level of their quietest parts, for a digital silence is what no microphone gives."""
    floor = min(
        float(wave.square().unfold(0, min(320, len(wave)), min(320, len(wave))).mean(-1).min()) for wave in waveforms
    )
    parts = [waveforms[0]]
    for pause, wave in zip(pauses, waveforms[1:], strict=True):
        parts += [torch.randn(int(pause * SAMPLE_RATE), generator=generator) * math.sqrt(floor), wave]
    return torch.cat(parts)


# -- spectrograms -----------------------------------------------------------------------------------------------------


def spec_augment(
    mel: Tensor,
    lengths: Tensor,
    generator: Generator,
    *,
    channels: int = 2,
    width: int = 15,
    times: int = 2,
    span: int = 25,
    share: float = 0.2,
) -> Tensor:
    """Log-mel features [B, F, M] with bands and stretches replaced by the recording's mean (D. S. Park et al.:
    SpecAugment. Interspeech 2019, without time warping).

    Up to `channels` bands of up to `width` channels, and up to `times` stretches of up to `span` frames, each of which
    is at most the part `share` of the recording's `lengths` [B] frames.
    """
    rows, frames, count = mel.shape
    known = lengths.cpu()  # the generator's device: the same masks on every other
    limit = (known * share).floor().clamp(max=span)
    across = _stripes(torch.full((rows,), count), torch.full((rows,), min(width, count)), channels, count, generator)
    along = _stripes(known, limit, times, frames, generator)
    real = torch.arange(frames) < known[:, None]  # [B, F]
    hidden = ((across[:, None, :] | along[..., None]) & real[..., None]).to(mel.device)
    real = real.to(mel)[..., None]
    mean = (mel * real).sum((1, 2)) / (real.sum((1, 2)) * count).clamp_min(1)
    return torch.where(hidden, mean[:, None, None], mel)


def _stripes(lengths: Tensor, widest: Tensor, count: int, size: int, generator: Generator) -> Tensor:
    """Which of `size` places are hidden [B, size]: `count` stripes a row of 0 to `widest` [B] places, all inside its
    length [B]."""
    rows = len(lengths)
    width = (torch.rand(rows, count, generator=generator) * (widest[:, None] + 1)).floor()
    start = (torch.rand(rows, count, generator=generator) * (lengths[:, None] - width + 1)).floor()
    place = torch.arange(size)
    inside = (place >= start[..., None]) & (place < (start + width)[..., None])  # [B, count, size]
    return inside.any(1)


def step_generator(seed: int, step: int) -> Generator:
    """The generator of one training step: the same for the same seed and step, so that a resumed run needs no state."""
    return torch.Generator().manual_seed((seed * 1_000_003 + step) % (1 << 63))
