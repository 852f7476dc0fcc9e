"""Spectra, mel filters, rates, echoes: torchaudio's numbers without torchaudio."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch.testing import assert_close
from tsuite.domains.audio.ctc import align
from tsuite.domains.audio.frontend import LogMel
from tsuite.domains.audio.waves import convolve, mel_filters, power_spectrum, resample


def noise(*shape: int) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "sizes",  # mels, n_fft, low, high, scale, norm
    [
        (80, 512, 20.0, 8000.0, "htk", None),
        (40, 512, 20.0, 8000.0, "htk", None),
        (80, 400, 0.0, 8000.0, "slaney", "slaney"),
        (128, 400, 0.0, 8000.0, "slaney", "slaney"),
        (64, 1024, 50.0, 4000.0, "htk", "slaney"),
    ],
)
def test_mel_filters_equal_torchaudio(sizes: tuple) -> None:
    mels, n_fft, low, high, scale, norm = sizes
    reference = pytest.importorskip("torchaudio.functional").melscale_fbanks
    ours = mel_filters(mels, sample_rate=16_000, n_fft=n_fft, low=low, high=high, scale=scale, norm=norm)
    theirs = reference(n_fft // 2 + 1, low, high, mels, 16_000, norm, scale)
    # theirs is worked out in float32, where the corners lie up to a thousandth of a Hz beside
    assert_close(ours, theirs, rtol=0, atol=1e-4 * float(theirs.max()))


def test_mel_filters_of_another_scale_are_refused() -> None:
    with pytest.raises(ValueError, match="'bark' must be one of"):
        mel_filters(8, sample_rate=16_000, n_fft=64, low=0.0, high=8000.0, scale="bark", norm=None)


@pytest.mark.parametrize(("centred", "scale", "norm"), [(False, "htk", None), (True, "slaney", "slaney")])
def test_the_front_end_equals_torchaudio(centred: bool, scale: str, norm: str | None) -> None:
    transforms = pytest.importorskip("torchaudio.transforms")
    n_fft = 400 if centred else 512
    waves, window = noise(2, 4000), torch.hann_window(400)
    power = power_spectrum(waves, window, n_fft=n_fft, hop=160, centred=centred)
    expected = transforms.Spectrogram(n_fft, 400, 160, power=2.0, center=centred)(waves)
    assert_close(power, expected, rtol=1e-5, atol=1e-6)
    front = LogMel(n_fft=n_fft, centred=centred, scale=scale, norm=norm)
    there = transforms.MelScale(80, 16_000, 20.0, None, n_fft // 2 + 1, norm, scale)(expected).transpose(1, 2)
    ours = power.transpose(1, 2) @ front.filters
    assert_close(ours.clamp(min=1e-6).log(), there.clamp(min=1e-6).log(), rtol=0, atol=1e-4)
    assert float((ours - there).norm() / there.norm()) < 1e-5


@pytest.mark.parametrize(("old", "new"), [(8000, 16_000), (44_100, 16_000), (48_000, 16_000), (95, 100), (3, 3)])
@pytest.mark.parametrize("zeros", [6, 16])
def test_rates_equal_torchaudio(old: int, new: int, zeros: int) -> None:
    reference = pytest.importorskip("torchaudio.functional").resample
    waves = noise(2, 3001)
    ours = resample(waves, old, new, zeros=zeros)
    assert_close(ours, reference(waves, old, new, lowpass_filter_width=zeros), rtol=0, atol=1e-5)
    assert_close(resample(waves[0], old, new, zeros=zeros), ours[0])


def test_echoes_equal_torchaudio() -> None:
    reference = pytest.importorskip("torchaudio.functional").fftconvolve
    waves, echoes = noise(2, 500), noise(2, 77)
    assert_close(convolve(waves, echoes), reference(waves, echoes), rtol=0, atol=1e-6)


def test_alignment_equals_torchaudio() -> None:
    reference = pytest.importorskip("torchaudio.functional")
    rows = torch.randn(200, 12, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    ids = torch.randint(1, 12, (60,), generator=torch.Generator().manual_seed(1))
    path, scores = reference.forced_align(rows[None], ids[None].int(), blank=0)
    theirs = reference.merge_tokens(path[0], scores[0].exp(), blank=0)
    expected = [(each.start, each.end, pytest.approx(float(each.score), rel=1e-5)) for each in theirs]
    assert align(rows, ids.tolist()) == expected


@pytest.mark.slow
def test_the_default_run_needs_no_torchaudio() -> None:
    code = "import sys; sys.modules['torchaudio'] = None\nfrom tsuite.cli import main\nmain()"
    words = ["run", "audio.asr", "--checkpoint", "embedded", "--no-picture", "--json"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '"cer"' in done.stdout
