"""From sound to the frames that a network reads: log-mel spectra, made inside the model so that an export carries them.

    causal (ours)                                       centred (Whisper's)
    zeros |  samples . . . . . . . . . . . |            mirrored | samples . . . . . . . . . . | mirrored
      [-- frame 0 --]                                      [-- frame 0 --]
              [-- frame 1 --]                                      [-- frame 1 --]

A causal frame t ends with sample (t + 1) hop: it never waits for sound to come, and a stream gives the same frames.

Axes: B batch, N samples, F frames, M mel bands.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...core.masks import padding_mask
from ...core.rehearsal import arithmetic
from .waves import mel_filters, power_spectrum

FLOOR = 1e-6
"""Power below which all is silence: some ten times the rounding noise of 16-bit samples in a band."""


class GlobalNorm(nn.Module):
    """Natural logarithm of mel power, each band brought to mean 0 and deviation 1 over the training data.

    The statistics are fixed numbers kept with the weights, so that no frame depends on another; those to begin with
    are typical of close speech.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((mels,), -4.0))
        self.register_buffer("std", torch.full((mels,), 4.0))

    def forward(self, power: Tensor) -> Tensor:
        """[B, F, M] -> [B, F, M]."""
        return (power.clamp(min=FLOOR).log() - self.mean.float()) / self.std.float()


class WhisperRange(nn.Module):
    """Decimal logarithm, at most eight below the loudest of its window, shifted to about -1..1."""

    def forward(self, power: Tensor) -> Tensor:
        """[B, F, M] -> [B, F, M]."""
        log = power.clamp(min=1e-10).log10()
        return (torch.maximum(log, log.amax(dim=(1, 2), keepdim=True) - 8.0) + 4.0) / 4.0


class LogMel(nn.Module):
    """Log-mel spectra of waveforms.

    mels: bands between `low` and `high` Hz. window, hop: in samples (25 and 10 ms at 16 kHz). n_fft: of the transform,
    at least `window`. scale, norm: of the mel filters (`waves.mel_filters`). centred: a frame lies around its sample,
    mirrored at the ends, rather than before it; not for streams. compression: from power to what the network sees, by
    default `GlobalNorm`.

    Raises ValueError for sizes that do not fit.
    """

    window: Tensor
    filters: Tensor

    def __init__(
        self,
        *,
        mels: int = 80,
        sample_rate: int = 16_000,
        window: int = 400,
        hop: int = 160,
        n_fft: int = 512,
        low: float = 20.0,
        high: float | None = None,
        scale: str = "htk",
        norm: str | None = None,
        centred: bool = False,
        compression: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if not 0 < hop <= window <= n_fft:
            raise ValueError(f"hop {hop} <= window {window} <= n_fft {n_fft} must hold")
        self.mels, self.sample_rate, self.hop, self.n_fft, self.centred = mels, sample_rate, hop, n_fft, centred
        edge = (n_fft - window) // 2  # the window stands in the middle of the transform
        self.before, self.after = (0, 0) if centred else (edge + window - hop, n_fft - window - edge)
        with torch.device("cpu"):  # tables that no checkpoint holds have values even in a network without weights
            high = sample_rate / 2 if high is None else high
            filters = mel_filters(
                mels, sample_rate=sample_rate, n_fft=n_fft, low=low, high=high, scale=scale, norm=norm
            )
            self.register_buffer("window", torch.hann_window(window), persistent=False)
            self.register_buffer("filters", filters, persistent=False)  # [bins, M]
        self.compression = GlobalNorm(mels) if compression is None else compression
        if (device := torch.empty(0).device).type != "meta":
            self.reset_buffers(device)

    @classmethod
    def whisper(cls, *, mels: int = 80) -> LogMel:
        """Whisper's front end (Radford et al. 2022, arXiv 2212.04356), equal to transformers' and openai's.

        It reads whole windows: pad the waveforms with zeros to the window (30 s) beforehand.
        """
        return cls(
            mels=mels, n_fft=400, low=0.0, scale="slaney", norm="slaney", centred=True, compression=WhisperRange()
        )

    def reset_buffers(self, device: torch.device) -> None:
        """Put the tables, which no checkpoint holds, where the network is."""
        self.window, self.filters = self.window.to(device), self.filters.to(device)

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Take mean and deviation [M] of the natural logarithm of power (as `log_power` gives it) for normalising.

        Raises ValueError where they do not fit, or this front end has none.
        """
        if not isinstance(self.compression, GlobalNorm):
            raise ValueError("this front end normalises by no statistics")
        if mean.shape != (self.mels,) or std.shape != (self.mels,) or not bool((std > 0).all()):
            raise ValueError(f"mean {tuple(mean.shape)} and positive std {tuple(std.shape)} must be [{self.mels}] each")
        self.compression.mean.copy_(mean)
        self.compression.std.copy_(std)

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """waveforms [B, N] in -1..1, lengths [B] in samples -> mel [B, F, M], lengths [B] in frames.

        What lies behind a waveform's length never counts. Causal: F = N / hop, rounded up; frames behind the length
        are zero. Centred: F = N / hop, rounded down; silence behind the length is part of the window.
        """
        if not waveforms.shape[1]:
            waveforms = F.pad(waveforms, (0, 1))  # nothing at all is one frame of padding
        real = padding_mask(lengths, waveforms.shape[1])
        frames = self._frames(lengths)
        power = self.power(waveforms.masked_fill(~real, 0.0))
        mel = self.compression(power)
        if not self.centred:
            mel = mel.masked_fill(~padding_mask(frames, mel.shape[1])[..., None], 0.0)
        return mel, frames

    def power(self, waveforms: Tensor) -> Tensor:
        """Mel power of whole waveforms [B, N] -> [B, F, M], in float32 whatever the precision around it."""
        if self.centred:
            return self._spectrum(waveforms)[:, : waveforms.shape[1] // self.hop]
        return self._spectrum(F.pad(waveforms, (self.before, -waveforms.shape[1] % self.hop + self.after)))

    def log_power(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        """The natural logarithms that `set_statistics` is about, of all real frames in one row: [frames, M]."""
        power = self.power(waveforms.masked_fill(~padding_mask(lengths, waveforms.shape[1]), 0.0))
        return power.clamp(min=FLOOR).log()[padding_mask(self._frames(lengths), power.shape[1])]

    def step(self, samples: Tensor, history: Tensor | None, *, last: bool = False) -> tuple[Tensor, Tensor]:
        """The frames that samples [B, n] of a stream complete: mel [B, f, M], and the history for the next call.

        history: None at the beginning. last: the stream ends here, and a broken last frame is filled up with zeros.
        All frames in a row equal those of `forward`. Raises ValueError for a centred front end.
        """
        if self.centred:
            raise ValueError("a centred front end needs the whole waveform")
        if history is None:
            history = samples.new_zeros(samples.shape[0], self.before)
        heard = torch.cat([history, samples], dim=1)
        if last:
            heard = F.pad(heard, (0, (self.before - heard.shape[1]) % self.hop))
        ready = (heard.shape[1] - self.before) // self.hop
        if not ready:
            return samples.new_zeros(samples.shape[0], 0, self.mels), heard
        used = heard[:, : self.before + ready * self.hop]
        return self.compression(self._spectrum(F.pad(used, (0, self.after)))), heard[:, ready * self.hop :]

    def _frames(self, lengths: Tensor) -> Tensor:
        """Frames that hold any of so many samples."""
        return (lengths + self.hop - 1) // self.hop

    def _spectrum(self, waveforms: Tensor) -> Tensor:
        with torch.autocast(arithmetic(waveforms.device.type), enabled=False):
            power = power_spectrum(waveforms.float(), self.window, n_fft=self.n_fft, hop=self.hop, centred=self.centred)
            if torch.compiler.is_compiling():  # no product that is narrowed to 8 bits: power has a range of 80 dB
                return F.conv1d(power, self.filters.T[..., None]).transpose(1, 2)
            return power.transpose(1, 2) @ self.filters

    def _apply(self, fn, recurse: bool = True):  # type: ignore[no-untyped-def]
        """Where a network is cast to half precision, its tables are not: a logarithm needs them exact."""
        exact = {"window": self.window, "filters": self.filters}
        super()._apply(fn, recurse)
        for name, table in exact.items():
            if (moved := self.get_buffer(name)).dtype != torch.float32:
                setattr(self, name, table.to(moved.device))
        return self
