"""The front end: Whisper's own numbers, no word from the padding, and a stream that says the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from transformers import WhisperFeatureExtractor
from tsuite.core.weights import load_into, without_weights
from tsuite.domains.audio.frontend import GlobalNorm, LogMel


def sound(*lengths: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noise of these lengths, padded with other noise that must not matter."""
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(len(lengths), max(lengths), generator=generator), torch.tensor(lengths)


@pytest.mark.parametrize("mels", [80, 128])
def test_whisper_equals_transformers(mels: int) -> None:
    waveforms, lengths = sound(32_000, 32_000)
    waveforms[0, 20_000:] = 0.0
    extractor = WhisperFeatureExtractor(feature_size=mels, chunk_length=2)
    expected = extractor(list(waveforms.numpy()), sampling_rate=16_000, return_tensors="np")["input_features"]
    mel, frames = LogMel.whisper(mels=mels)(waveforms, lengths)
    assert mel.shape == (2, 200, mels)
    assert frames.tolist() == [200, 200]
    assert_close(mel.transpose(1, 2), torch.from_numpy(np.asarray(expected)), rtol=0, atol=1e-4)


def test_padding_changes_nothing() -> None:
    front = LogMel()
    waveforms, lengths = sound(1, 159, 160, 161, 399, 4000)
    mel, frames = front(waveforms, lengths)
    assert frames.tolist() == [1, 1, 1, 2, 3, 25]
    assert mel.shape == (6, 25, 80)
    for row, length in enumerate(lengths.tolist()):
        alone, count = front(waveforms[row : row + 1, :length], lengths[row : row + 1])
        assert count.item() == alone.shape[1] == frames[row]
        assert_close(mel[row : row + 1, : alone.shape[1]], alone, rtol=1e-5, atol=1e-5)
        assert not mel[row, alone.shape[1] :].any()


def test_a_frame_hears_nothing_of_the_future() -> None:
    front = LogMel()
    waveforms, lengths = sound(1600)
    changed = waveforms.clone()
    changed[:, 800:] = 0.0
    before, after = front(waveforms, lengths)[0], front(changed, lengths)[0]
    assert_close(before[:, :5], after[:, :5], rtol=0, atol=0)
    assert (before[:, 5] - after[:, 5]).abs().max() > 0.01


@pytest.mark.parametrize("size", [1, 100, 160, 1000, 5000])
def test_stream_equals_the_whole(size: int) -> None:
    front = LogMel(mels=40)
    waveforms, lengths = sound(1234)
    history, parts = None, []
    pieces = waveforms.split(size, dim=1)
    for number, piece in enumerate(pieces):
        mel, history = front.step(piece, history, last=number == len(pieces) - 1)
        parts.append(mel)
    assert_close(torch.cat(parts, dim=1), front(waveforms, lengths)[0], rtol=1e-5, atol=1e-5)


def test_statistics_are_kept_with_the_weights() -> None:
    front = LogMel(mels=40)
    waveforms, lengths = sound(8000, 16_000)
    logs = front.log_power(waveforms, lengths)
    assert logs.shape == (150, 40)
    front.set_statistics(logs.mean(0), logs.std(0))
    mel, frames = front(waveforms, lengths)
    real = torch.cat([row[:count] for row, count in zip(mel, frames, strict=True)])
    assert_close(real.mean(0), torch.zeros(40), rtol=0, atol=1e-4)
    assert_close(real.std(0), torch.ones(40), rtol=0, atol=1e-4)
    assert sorted(front.state_dict()) == ["compression.mean", "compression.std"]
    with without_weights():
        again = LogMel(mels=40)
        again.weight = torch.nn.Parameter(torch.empty(1))  # a network of no parameters tells no device
    load_into(again, {**front.state_dict(), "weight": torch.ones(1)})
    assert_close(again(waveforms, lengths)[0], mel)


def test_wrong_use_is_named() -> None:
    with pytest.raises(ValueError, match="hop 500"):
        LogMel(hop=500)
    with pytest.raises(ValueError, match="whole waveform"):
        LogMel.whisper().step(torch.zeros(1, 160), None)
    with pytest.raises(ValueError, match="no statistics"):
        LogMel.whisper().set_statistics(torch.zeros(80), torch.ones(80))
    with pytest.raises(ValueError, match=r"\[80\] each"):
        LogMel().set_statistics(torch.zeros(80), torch.zeros(80))


def test_half_precision_does_not_reach_the_tables() -> None:
    front = LogMel().bfloat16()
    waveforms, lengths = sound(4000)
    assert isinstance(front.compression, GlobalNorm)
    assert_close(front(waveforms, lengths)[0], LogMel()(waveforms, lengths)[0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_close(front(waveforms, lengths)[0], LogMel()(waveforms, lengths)[0])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_export_with_any_length() -> None:
    front = LogMel(mels=40)
    waveforms, lengths = sound(3000, 4000)
    auto = torch.export.Dim.AUTO
    program = torch.export.export(front, (waveforms, lengths), dynamic_shapes=({0: auto, 1: auto}, {0: auto}))
    waveforms, lengths = sound(2000, 7001, 5000, seed=1)
    for ours, exported in zip(front(waveforms, lengths), program.module()(waveforms, lengths), strict=True):
        assert_close(exported, ours, rtol=1e-5, atol=1e-5)
