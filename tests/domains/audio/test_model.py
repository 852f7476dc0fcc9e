"""The recogniser: padding never counts, a stream says the same as the whole, and it learns."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor
from torch.testing import assert_close
from tsuite.core.errors import UserError
from tsuite.core.weights import count_parameters, load_into, without_weights
from tsuite.domains.audio.asr.config import ConformerConfig
from tsuite.domains.audio.asr.model import ConformerCTC

TINY: dict[str, Any] = {"labels": 7, "dim": 16, "depth": 3, "heads": 2, "kernel": 5, "channels": 4, "mels": 20}
VARIANTS: dict[str, dict[str, Any]] = {
    "conformer": {},
    "batch norm": {"convolution_norm": "batch"},
    "transformer": {"kind": "transformer"},
    "self-conditioned": {"intermediate": (1, 2), "self_conditioned": True},
    "by eight": {"subsampling": 8},
}


def make(name: str, seed: int = 0, **options: Any) -> ConformerCTC:
    torch.manual_seed(seed)
    return ConformerCTC(ConformerConfig(**{**TINY, **VARIANTS[name], **options})).eval()


def sound(*lengths: int) -> tuple[Tensor, Tensor]:
    """Noise of these lengths, padded with other noise that must not matter."""
    return 0.1 * torch.randn(len(lengths), max(lengths)), torch.tensor(lengths)


@pytest.mark.parametrize("chunk", [None, 3])
@pytest.mark.parametrize("name", VARIANTS)
@torch.inference_mode()
def test_padding_changes_nothing(name: str, chunk: int | None) -> None:
    model = make(name, chunk=chunk, left=3)
    waveforms, lengths = sound(1, 700, 3210, 5000, 9000)
    batched = model(waveforms, lengths)
    assert_close(batched.log_probs.exp().sum(-1), torch.ones(batched.log_probs.shape[:2]))
    for row, length in enumerate(lengths.tolist()):
        alone = model(waveforms[row : row + 1, :length], lengths[row : row + 1])
        count = int(alone.lengths)
        assert count == batched.lengths[row] == alone.log_probs.shape[1]
        assert count == -(-length // (160 * model.config.subsampling))
        assert_close(batched.log_probs[row : row + 1, :count], alone.log_probs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [160, 777, 4000, 20_000])
@pytest.mark.parametrize("chunk", [1, 4, 50])
@pytest.mark.parametrize("name", VARIANTS)
@torch.inference_mode()
def test_stream_equals_the_whole(name: str, chunk: int, size: int) -> None:
    model = make(name, chunk=chunk, left=3)
    waveforms, lengths = sound(10_001)
    state = model.new_stream()
    parts = [model.step(piece, state) for piece in waveforms[0].split(size)]
    parts.append(model.step(torch.zeros(0), state, last=True))
    assert_close(torch.cat(parts), model(waveforms, lengths).log_probs[0], rtol=0, atol=1e-4)


@torch.inference_mode()
def test_a_stream_answers_chunk_by_chunk() -> None:
    model = make("conformer", chunk=4, left=8)
    state = model.new_stream()
    counts = [len(model.step(0.1 * torch.randn(640), state)) for _ in range(9)]
    assert counts == [0, 0, 0, 4, 0, 0, 0, 4, 0]
    assert model.seconds_per_frame == 0.04
    assert len(model.step(torch.zeros(10), state, last=True)) == 2
    with pytest.raises(ValueError, match="has ended"):
        model.step(torch.zeros(640), state)
    assert model.step(torch.zeros(0), model.new_stream(), last=True).shape == (0, 7)
    with pytest.raises(ValueError, match="cannot stream"):
        make("conformer").new_stream()


@torch.inference_mode()
def test_nothing_at_all_has_no_frame() -> None:
    model = make("conformer")
    output = model(torch.zeros(1, 0), torch.tensor([0]))
    assert output.lengths.tolist() == [0]
    output = model(*sound(0, 3000))
    assert output.lengths.tolist() == [0, 5]
    assert bool(output.log_probs.isfinite().all())


@pytest.mark.parametrize("chunk", [None, 4])
@torch.inference_mode()
def test_lower_precision(chunk: int | None) -> None:
    model = make("self-conditioned", chunk=chunk)
    waveforms, lengths = sound(3000)
    exact = model(waveforms, lengths).log_probs
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_close(model(waveforms, lengths).log_probs, exact, rtol=0, atol=0.05)
    model.bfloat16()
    assert_close(model(waveforms, lengths).log_probs, exact, rtol=0, atol=0.05)
    if chunk:
        assert_close(model.step(waveforms[0], model.new_stream(), last=True), exact[0], rtol=0, atol=0.05)


@torch.inference_mode()
def test_chunk_may_be_changed() -> None:
    model, other = make("conformer", chunk=4, left=8), make("conformer", chunk=2, left=2)
    model.encoder.chunk, model.encoder.left = 2, 2
    waveforms, lengths = sound(8000)
    assert_close(model(waveforms, lengths), other(waveforms, lengths))
    model.encoder.chunk = None
    assert (model(waveforms, lengths).log_probs - other(waveforms, lengths).log_probs).abs().max() > 1e-4


@pytest.mark.parametrize("name", ["conformer", "transformer"])
def test_intermediate_answers(name: str) -> None:
    plain, inner = make(name), make(name, intermediate=(1, 2), dropout=0.0)
    waveforms, lengths = sound(4000)
    assert_close(plain(waveforms, lengths), inner(waveforms, lengths))  # same weights, nobody asks in evaluation
    output = inner.train()(waveforms, lengths)
    assert len(output.intermediate) == 2
    assert all(part.shape == output.log_probs.shape for part in output.intermediate)
    conditioned = make(name, intermediate=(1,), self_conditioned=True)
    assert len(conditioned(waveforms, lengths).intermediate) == 1


def utterances() -> tuple[Tensor, Tensor, list[list[int]]]:
    """Four utterances whose labels are tones: label n is 0.1 s at 300 n Hz."""
    texts = [[1, 2, 3], [3, 1], [4, 2, 4, 1], [2, 3]]
    time = torch.arange(1600) / 16_000
    sounds = [torch.cat([0.1 * torch.sin(2 * torch.pi * 300 * label * time) for label in text]) for text in texts]
    lengths = torch.tensor([len(sound) for sound in sounds])
    return torch.nn.utils.rnn.pad_sequence(sounds, batch_first=True), lengths, texts


@pytest.mark.parametrize("name", ["conformer", "batch norm", "transformer"])
def test_learns_by_heart(name: str) -> None:
    model = make(name, dim=32, dropout=0.0, chunk=8, left=8).train()
    waveforms, lengths, texts = utterances()
    targets, counts = (
        torch.tensor([label for text in texts for label in text]),
        torch.tensor([len(text) for text in texts]),
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    loss = torch.tensor(0.0)
    for _ in range(50):
        output = model(waveforms, lengths)
        loss = F.ctc_loss(output.log_probs.transpose(0, 1), targets, output.lengths, counts)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    assert loss.item() < 0.1
    output = model.eval()(waveforms, lengths)
    for row, text in enumerate(texts):
        best = output.log_probs[row, : output.lengths[row]].argmax(-1).unique_consecutive()
        assert best[best > 0].tolist() == text


def test_the_default_fits_in_eight_megabytes() -> None:
    with without_weights():
        model = ConformerCTC(ConformerConfig(labels=500))
    assert 3e6 < count_parameters(model) < 4e6
    half = {name: torch.zeros(value.shape, dtype=torch.float16) for name, value in model.state_dict().items()}
    assert io.BytesIO(save(half)).getbuffer().nbytes <= 8e6


def test_weights_and_config_as_plain_data() -> None:
    model = make("self-conditioned")
    config = ConformerConfig(**{**dataclasses.asdict(model.config), "intermediate": [1, 2]})
    assert config == model.config
    with without_weights():
        again = ConformerCTC(config).eval()
    load_into(again, model.state_dict())
    assert_close(again(*sound(3000)).log_probs.shape, (1, 5, 7))
    waveforms, lengths = sound(3000, 2000)
    assert_close(again(waveforms, lengths), model(waveforms, lengths))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"labels": 1}, "labels must be at least 2"),
        ({"dim": 15}, "dim 15"),
        ({"subsampling": 3}, "2, 4 or 8"),
        ({"kind": "konformer"}, "Did you mean conformer"),
        ({"convolution_norm": "group"}, "no convolution_norm"),
        ({"kernel": 4}, "Try 5"),
        ({"intermediate": (3,)}, "1 to 2"),
        ({"self_conditioned": True}, r"intermediate=\(1,\)"),
        ({"chunk": 0}, "chunk must be"),
        ({"left": -1}, "left cannot"),
        ({"dropout": 1.0}, "dropout is a share"),
    ],
)
def test_wrong_shapes_are_named(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        ConformerConfig(**{**TINY, **wrong})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("chunk", [None, 4])
def test_export_with_any_size(chunk: int | None) -> None:
    model = make("conformer", chunk=chunk)
    auto = torch.export.Dim.AUTO
    shapes = ({0: auto, 1: auto}, {0: auto})
    program = torch.export.export(model, sound(3000, 4000), dynamic_shapes=shapes)
    waveforms, lengths = sound(2000, 9000, 5555)
    exported, expected = program.module()(waveforms, lengths), model(waveforms, lengths)
    assert_close(exported[1], expected.lengths)
    assert_close(exported[0][2, :9], expected.log_probs[2, :9], rtol=0, atol=1e-5)
    assert_close(exported[0][1], expected.log_probs[1], rtol=0, atol=1e-5)
