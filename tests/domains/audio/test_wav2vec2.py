"""wav2vec 2.0 against transformers: the same numbers from its files, in any batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.testing import assert_close
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC
from tsuite.core.errors import UserError
from tsuite.domains.audio.tokenizer import Labels
from tsuite.domains.audio.wav2vec2 import load
from tsuite.domains.audio.wav2vec2.model import TimeNorm

TINY: dict[str, Any] = {
    "vocab_size": 12,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "conv_dim": (16, 16, 24),
    "conv_kernel": (10, 3, 2),
    "conv_stride": (5, 2, 2),
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
}
KINDS: dict[str, dict[str, Any]] = {
    "base": {},
    "large": {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True},
    "mixed": {"feat_extract_norm": "layer", "num_conv_pos_embeddings": 7, "pad_token_id": 11},
}
NAMES = ["<s>", "</s>", "<unk>", "|", *"etaonih"]


def original(folder: Path, kind: str) -> Wav2Vec2ForCTC:
    """A tiny random model with its files in `folder`."""
    torch.manual_seed(0)
    config = Wav2Vec2Config(**{**TINY, **KINDS[kind]})
    model = Wav2Vec2ForCTC(config).eval()
    for value in model.parameters():
        value.data += 0.2 * torch.randn_like(value)
    model.save_pretrained(folder)
    names = list(NAMES)
    names.insert(config.pad_token_id or 0, "<pad>")
    (folder / "vocab.json").write_text(json.dumps({name: number for number, name in enumerate(names)}))
    return model


def sound(*lengths: int) -> tuple[Tensor, Tensor]:
    """Noise of these lengths with an offset, padded with other noise that must not matter."""
    return 0.1 * torch.randn(len(lengths), max(lengths)) + 0.05, torch.tensor(lengths)


def expect(model: Wav2Vec2ForCTC, waveform: Tensor) -> Tensor:
    """What the original says to one waveform [N], blank first: [1, T, V]."""
    values = Wav2Vec2FeatureExtractor()(waveform.numpy(), sampling_rate=16_000, return_tensors="pt").input_values
    log_probs = model(values).logits.log_softmax(-1)
    blank = model.config.pad_token_id
    order = [blank, *(label for label in range(12) if label != blank)]
    return log_probs[..., order]


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_equals_transformers_in_any_batch(kind: str, tmp_path: Path) -> None:
    theirs = original(tmp_path, kind)
    ours, labels = load(tmp_path)
    assert labels.blank == 0
    assert labels.decode([7, 6, 4, 5, 6]) == "at et"
    waveforms, lengths = sound(3000, 1234, 34)
    output = ours(waveforms, lengths)
    assert output.lengths.tolist() == [149, 61, 1]
    for row, length in enumerate(lengths.tolist()):
        expected = expect(theirs, waveforms[row, :length])
        assert expected.std() > 0.1
        assert_close(output.log_probs[row : row + 1, : expected.shape[1]], expected, rtol=0, atol=1e-4)
        alone = ours(waveforms[row : row + 1, :length], lengths[row : row + 1])
        assert_close(alone.log_probs, output.log_probs[row : row + 1, : expected.shape[1]], rtol=0, atol=1e-5)


@torch.inference_mode()
def test_the_original_lets_padding_in(tmp_path: Path) -> None:
    """Else the test above would not tell that ours does not."""
    theirs = original(tmp_path, "base")
    waveform = sound(1500)[0]
    padded = torch.nn.functional.pad(waveform, (0, 1500))
    assert (theirs(padded).logits[:, :20] - theirs(waveform).logits[:, :20]).abs().max() > 0.01


@torch.inference_mode()
def test_older_names_of_the_weight_norm(tmp_path: Path) -> None:
    original(tmp_path, "base")
    ours, _ = load(tmp_path)
    tensors, place = load_file(tmp_path / "model.safetensors"), "wav2vec2.encoder.pos_conv_embed.conv"
    tensors[f"{place}.weight_g"] = tensors.pop(f"{place}.parametrizations.weight.original0")
    tensors[f"{place}.weight_v"] = tensors.pop(f"{place}.parametrizations.weight.original1")
    save_file(tensors, tmp_path / "model.safetensors")
    waveforms, lengths = sound(2000)
    assert_close(load(tmp_path)[0](waveforms, lengths), ours(waveforms, lengths))


def test_labels_and_settings_from_the_files(tmp_path: Path) -> None:
    original(tmp_path, "mixed")
    (tmp_path / "preprocessor_config.json").write_text('{"do_normalize": false}')
    vocabulary = {name: number for number, name in enumerate(["#", "e", "t", "a", "o"])}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "added_tokens.json").write_text('{"<s>": 5, "too far": 40}')
    (tmp_path / "tokenizer_config.json").write_text('{"word_delimiter_token": "#"}')
    ours, labels = load(tmp_path)
    assert not ours.config.normalise
    assert len(labels) == ours.config.labels == 12
    assert labels.texts[:7] == ["", " ", "e", "t", "a", "o", ""]
    assert ours.seconds_per_frame == 20 / 16_000


@torch.inference_mode()
def test_nothing_is_too_short(tmp_path: Path) -> None:
    original(tmp_path, "base")
    ours, _ = load(tmp_path)
    assert ours.config.field == 30
    output = ours(torch.randn(2, 29), torch.tensor([29, 0]))
    assert output.lengths.tolist() == [0, 0]
    assert bool(output.log_probs.isfinite().all())


def test_new_labels_and_learning(tmp_path: Path) -> None:
    """What was only pretrained has no head, and is fine-tuned with one for other labels."""
    original(tmp_path, "base")
    tensors = load_file(tmp_path / "model.safetensors")
    tensors = {name: value for name, value in tensors.items() if not name.startswith("lm_head")}
    tensors["quantizer.codevectors"] = torch.zeros(1, 2, 3)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="pretrained only"):
        load(tmp_path)
    ours, labels = load(tmp_path, labels=Labels.characters(["abc"]))
    output = ours.train()(*sound(2000, 1000))
    assert output.log_probs.shape[2] == len(labels) == 5
    output.log_probs[..., 1].sum().backward()
    assert all(value.grad is not None and bool(value.grad.isfinite().all()) for value in ours.parameters())


def test_time_norm_is_group_norm_without_padding() -> None:
    norm = TimeNorm(6)
    torch.nn.init.normal_(norm.weight)
    x = torch.randn(2, 6, 50) * 3 + 1
    expected = torch.nn.functional.group_norm(x[:, :, :40], 6, norm.weight, norm.bias)
    assert_close(norm(x, torch.arange(50)[None].expand(2, 50) < 40)[:, :, :40], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "hubert"}, "another model"),
        ({"adapter_attn_dim": 16}, "adapters"),
        ({"feat_extract_norm": "batch"}, "feat_extract_norm 'batch'"),
        ({"hidden_size": None}, "incomplete or damaged"),
        ({"hidden_act": "gleu"}, "Did you mean gelu"),
        ({"pad_token_id": 12}, "outside its 12 labels"),
        ({"conv_stride": [5, 2]}, "as many"),
    ],
)
def test_what_cannot_be_read_is_named(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    original(tmp_path, "base")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(UserError, match=said):
        load(tmp_path)


def test_vocabularies_that_cannot_be_read(tmp_path: Path) -> None:
    original(tmp_path, "base")
    (tmp_path / "vocab.json").write_text('{"eng": {"a": 1}}')
    with pytest.raises(UserError, match="Several languages"):
        load(tmp_path)
    (tmp_path / "vocab.json").unlink()
    with pytest.raises(UserError, match=r"no vocab\.json"):
        load(tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("kind", ["base", "large"])
def test_export_with_any_size(kind: str, tmp_path: Path) -> None:
    original(tmp_path, kind)
    ours, _ = load(tmp_path)
    auto = torch.export.Dim.AUTO
    program = torch.export.export(ours, sound(800, 1000), dynamic_shapes=({0: auto, 1: auto}, {0: auto}))
    waveforms, lengths = sound(500, 1700, 900)
    exported, expected = program.module()(waveforms, lengths), ours(waveforms, lengths)
    assert_close(exported[0][1], expected.log_probs[1], rtol=0, atol=1e-5)
    assert_close(exported[1], expected.lengths)
