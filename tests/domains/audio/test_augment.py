"""Augmentation does what it says, repeats itself bit by bit from a seed, and leaves padding alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from tsuite.core.errors import UserError
from tsuite.domains.audio.augment import (
    Augmentation,
    add_noise,
    augment,
    change_speed,
    join,
    reverberate,
    spec_augment,
    step_generator,
    telephone,
)

from .sounds import noise, tone


def batch() -> tuple[Tensor, Tensor]:
    """Three recordings of 1, 0.5 and 0.25 s."""
    lengths = torch.tensor([16_000, 8000, 4000])
    waveforms = torch.from_numpy(noise(3.0)).reshape(3, 16_000)
    return waveforms * (torch.arange(16_000) < lengths[:, None]), lengths


def test_the_same_seed_gives_the_same_bits() -> None:
    waveforms, lengths = batch()
    before = waveforms.clone()
    how = Augmentation(noisy=0.7, reverberant=0.7, telephone=0.5)
    one, sizes = augment(waveforms, lengths, how, step_generator(1, 7))
    again, _ = augment(waveforms, lengths, how, step_generator(1, 7))
    other, _ = augment(waveforms, lengths, how, step_generator(1, 8))
    assert torch.equal(one, again)
    assert one.shape != other.shape or not torch.equal(one, other)
    assert torch.equal(waveforms, before)
    assert one.abs().max() <= 1
    for row, size in zip(one, sizes, strict=True):
        assert not row[size:].any()
        assert row[:size].any()
    nothing = Augmentation(speed=(1, 1), gain=(0, 0), noisy=0, reverberant=0, telephone=0)
    assert torch.equal(augment(waveforms, lengths, nothing, step_generator(0, 0))[0], waveforms)


def test_speed_moves_pitch_and_length() -> None:
    waveforms = torch.from_numpy(tone(1.0, hertz=400)).repeat(2, 1)
    fast, lengths = change_speed(waveforms, torch.tensor([16_000, 8000]), (1.1, 1.1), step_generator(0, 0))
    assert lengths.tolist() == [14_546, 7273]
    spectrum = torch.fft.rfft(fast[0]).abs()
    assert int(spectrum.argmax()) * 16_000 / fast.shape[1] == pytest.approx(440, abs=2)
    assert not fast[1, 7273:].any()


def test_noise_is_as_loud_as_asked_for() -> None:
    waveforms, lengths = batch()
    snr = torch.tensor([0.0, 10.0, 20.0])
    for noises in ([], [torch.from_numpy(tone(0.1))]):
        added = add_noise(waveforms, lengths, snr, step_generator(0, 0), noises=noises) - waveforms
        found = 10 * (waveforms.square().sum(1) / added.square().sum(1)).log10()
        torch.testing.assert_close(found, snr, atol=1e-2, rtol=0)
    assert not add_noise(waveforms * 0, lengths, snr, step_generator(0, 0)).any()


def test_a_room_answers() -> None:
    click = torch.zeros(1, 16_000)
    click[0, 100] = 1
    wet = reverberate(click, torch.tensor([0.3]), step_generator(0, 0))[0]
    assert not wet[:100].abs().gt(1e-5).any()
    assert int(wet.abs().argmax()) == 100
    assert wet.square().sum().item() == pytest.approx(1, rel=1e-4)
    early, late = wet[200:1200].square().mean(), wet[200 + 2400 : 1200 + 2400].square().mean()
    assert 10 * (early / late).log10().item() == pytest.approx(30, abs=3)  # half of 0.3 s is half of 60 dB


def test_the_telephone_band() -> None:
    given = torch.stack([torch.from_numpy(tone(1.0, hertz=hertz)) for hertz in (100, 1000, 6000)])
    kept = telephone(given).square().sum(1) / given.square().sum(1)
    assert kept[0] < 0.02
    assert kept[1] > 0.98
    assert kept[2] < 0.02


def test_joining() -> None:
    one, two = torch.from_numpy(noise(0.2, level=0.01)), torch.from_numpy(tone(0.1))
    joined = join([one, two], [0.3], step_generator(0, 0))
    assert len(joined) == round(0.6 * 16_000)
    pause = joined[3200 : 3200 + 4800]
    assert 0.005 < pause.std() < 0.02
    assert torch.equal(joined[-1600:], two)


def test_spec_augment() -> None:
    mel = torch.randn(4, 200, 40) + 3
    lengths = torch.tensor([200, 150, 80, 10])
    found = spec_augment(mel, lengths, step_generator(0, 3))
    assert torch.equal(found, spec_augment(mel, lengths, step_generator(0, 3)))
    changed = found != mel
    for row in range(4):
        size = int(lengths[row])
        assert not changed[row, size:].any()
        assert found[row][changed[row]].unique().numel() <= 1
        bands, stretches = changed[row, :size].all(0).sum(), changed[row].all(1).sum()
        assert bands <= 2 * 15
        assert stretches <= 2 * min(25, 0.2 * size)
    assert changed.any()
    assert torch.equal(spec_augment(mel, lengths, step_generator(0, 0), channels=0, times=0), mel)


def test_every_place_can_be_hidden() -> None:
    mel, lengths = torch.randn(64, 50, 20), torch.full((64,), 50)
    changed = (spec_augment(mel, lengths, step_generator(0, 0), width=5) != mel).any(0)
    assert changed.any(0).all()
    assert changed.any(1).all()


def test_mistakes() -> None:
    with pytest.raises(UserError, match="share noisy"):
        Augmentation(noisy=1.5)
    with pytest.raises(UserError, match="range snr"):
        replace(Augmentation(), snr=(3.0, 1.0))


def test_noise_of_each_kind_in_any_number() -> None:
    """No row of a batch may get pink noise, or every row."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        waveforms = torch.randn(2, 5003, generator=generator)
        noisy = add_noise(waveforms, torch.tensor([5003, 4000]), torch.tensor([10.0, 20.0]), generator)
        assert torch.isfinite(noisy).all()
        assert (noisy[1, 4000:] == waveforms[1, 4000:]).all()
