"""Checkpoints of timm and transformers: the same numbers as their own code, at their own size and at another; and
clear sentences for what is none of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel
from tsuite.core.errors import UserError

from .originals import ORIGINALS, Original, dinov2_backbone, shard, timm_vit, vit_classifier
from .pictures import load

Maker = Callable[[Path], Original]


def pixels(size: int) -> torch.Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))


def name_of(make: Maker) -> str:
    return make.__name__


def test_families_are_all_there() -> None:
    assert len(ORIGINALS) == 11


@pytest.mark.parametrize("make", ORIGINALS, ids=name_of)
@torch.inference_mode()
def test_same_numbers(make: Maker, tmp_path: Path) -> None:
    original = make(tmp_path)
    task = load(tmp_path, image_size=original.size)
    seen = pixels(original.size)
    expected = original.answer(seen)
    assert expected.std() > 0.01
    torch.testing.assert_close(task.network(seen), expected, atol=1e-4, rtol=1e-4)
    assert task.labels == original.labels
    assert task.network.config.classes == len(original.labels)


@pytest.mark.parametrize("larger", [False, True])
@pytest.mark.parametrize("make", ORIGINALS, ids=name_of)
@torch.inference_mode()
def test_same_numbers_at_another_size(make: Maker, larger: bool, tmp_path: Path) -> None:
    """Each family carries its position table over in its own way."""
    original = make(tmp_path)
    patch = 14 if original.size % 14 == 0 else 16
    size = original.size + 3 * patch if larger else original.size - (2 * patch if original.size > 2 * patch else patch)
    task = load(tmp_path, image_size=size)
    assert task.preprocessing.size == size
    seen = pixels(size)
    torch.testing.assert_close(task.network(seen), original.answer(seen), atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_ways_of_interpolating_differ(tmp_path: Path) -> None:
    """Else the tests above could not tell them apart."""
    timm_vit(tmp_path)
    answers = [load(tmp_path, image_size=32, interpolation=how).network(pixels(32)) for how in ("timm", "transformers")]
    assert (answers[0] - answers[1]).abs().max() > 1e-3


@torch.inference_mode()
def test_weights_in_several_files(tmp_path: Path) -> None:
    original = vit_classifier(tmp_path)
    shard(tmp_path)
    torch.testing.assert_close(
        load(tmp_path, image_size=32).network(pixels(32)), original.answer(pixels(32)), atol=1e-4, rtol=1e-4
    )


@torch.inference_mode()
def test_half_precision_weights_become_float32(tmp_path: Path) -> None:
    vit_classifier(tmp_path)
    tensors = {name: value.bfloat16() for name, value in load_file(tmp_path / "model.safetensors").items()}
    save_file(tensors, tmp_path / "model.safetensors")
    network = load(tmp_path, image_size=32).network
    assert {value.dtype for value in network.parameters()} == {torch.float32}
    assert network(pixels(32)).isfinite().all()


def test_backbone_says_that_it_has_no_classes(tmp_path: Path) -> None:
    dinov2_backbone(tmp_path)
    task = load(tmp_path, image_size=32)
    result = task(torch.zeros(40, 40, 3, dtype=torch.uint8).numpy())
    assert result.labels == ()
    assert len(result.embedding) == 128
    assert "without classes" in result.notices[0]
    assert result.to_json()["embedding"][0] == round(result.embedding[0], 6)


def test_first_mistakes_about_settings(tmp_path: Path) -> None:
    vit_classifier(tmp_path)
    with pytest.raises(UserError, match=r"no setting 'image_sise'.*Did you mean image_size"):
        load(tmp_path, image_sise=64)
    with pytest.raises(UserError, match="image_size takes a int, not 'big'"):
        load(tmp_path, image_size="big")
    with pytest.raises(UserError, match=r"33 does not divide into patches of 8.*Try 32 or 40"):
        load(tmp_path, image_size=33)
    with pytest.raises(UserError, match="A checkpoint's dim is 64 and cannot be set to 32"):
        load(tmp_path, dim=32)
    with pytest.raises(UserError, match="interpolation cannot be 'tim'"):
        load(tmp_path, interpolation="tim")


# -- what is no checkpoint of this model -------------------------------------------------------------------------------


def refused(folder: Path | str, match: str) -> None:
    with pytest.raises(UserError, match=match):
        load(folder)


def test_no_config(tmp_path: Path) -> None:
    vit_classifier(tmp_path)
    (tmp_path / "config.json").unlink()
    refused(tmp_path, r"is no checkpoint: it has no config\.json")
    refused(tmp_path / "model.safetensors", r"it has no config\.json")


@pytest.mark.parametrize("text", ["{", "[1]", '"vit"', '{"model_type": "vit"}', '{"architecture": "vit"}'])
def test_damaged_config(text: str, tmp_path: Path) -> None:
    vit_classifier(tmp_path)
    (tmp_path / "config.json").write_text(text)
    refused(tmp_path, r"cannot be read|incomplete or damaged|no plain vision Transformer")


def test_a_resnet(tmp_path: Path) -> None:
    network = timm.create_model("resnet18", num_classes=2)
    timm.models.save_for_hf(network, str(tmp_path), safe_serialization=True)
    refused(tmp_path, r"\(resnet18\) is no plain vision Transformer")


def test_a_vit_without_class_token(tmp_path: Path) -> None:
    network = timm.create_model(
        "vit_small_patch16_36x1_224", class_token=False, global_pool="avg", depth=1, img_size=32
    )
    timm.models.save_for_hf(network, str(tmp_path), safe_serialization=True)
    refused(tmp_path, "no plain vision Transformer")


def test_a_bert(tmp_path: Path) -> None:
    shape: dict[str, Any] = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    BertModel(BertConfig(vocab_size=20, **shape)).save_pretrained(tmp_path)
    refused(tmp_path, r"another model \(bert\).*vision\.vit reads timm")


def test_a_wrong_family_in_the_config(tmp_path: Path) -> None:
    vit_classifier(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"hidden_size": 32}))
    refused(tmp_path, "is of another model")


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    vit_classifier(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["vit.encoder.layer.1.attention.attention.key.weight"]
    save_file(tensors, tmp_path / "model.safetensors")
    refused(tmp_path, r"lacks 'vit\.encoder\.layer\.1\.attention\.attention\.key\.weight'")


def test_a_tensor_too_many_is_named(tmp_path: Path) -> None:
    vit_classifier(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    save_file({**tensors, "vit.adapter.weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    refused(tmp_path, r"no place for: vit\.adapter\.weight")


def test_truncated_weights(tmp_path: Path) -> None:
    vit_classifier(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    refused(tmp_path, "cannot be read as safetensors.*cut short")


def test_a_missing_shard(tmp_path: Path) -> None:
    vit_classifier(tmp_path)
    shard(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    refused(tmp_path, r"holds no model-00002-of-00002\.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text("{")
    refused(tmp_path, r"index\.json cannot be read")


@pytest.mark.parametrize("ending", [".pt", ".pth", ".bin", ".pkl", ".ckpt"])
def test_pickled_weights(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights{ending}"
    path.write_bytes(b"\x80\x04.")
    refused(path, r"may hold code that runs.*Convert it to safetensors")


def test_a_folder_with_pickled_weights_alone(tmp_path: Path) -> None:
    vit_classifier(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    refused(tmp_path, r"holds no model\.safetensors.*can run code")


def test_names_that_are_not_there(tmp_path: Path) -> None:
    refused("dinov2-smal", r"no checkpoint 'dinov2-smal'.*Did you mean dinov2-small\?")
    refused(tmp_path / "nothing", "no such path")
    refused("hg://timm/vit", "hg://")
