"""The network itself: sizes, gradients, attention maps, learning rates by layer, and its configuration's checks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import timm
import torch
from tsuite.core import registry
from tsuite.core.errors import UserError
from tsuite.core.task import Origin
from tsuite.core.weights import count_parameters
from tsuite.domains.vision.pixels import Preprocessing
from tsuite.domains.vision.vit import ViT, ViTConfig
from tsuite.domains.vision.vit.config import SIZES
from tsuite.domains.vision.vit.options import FinetuneOptions

from .pictures import task_class

GREY = ViTConfig(image_size=28, patch_size=7, channels=1, classes=10)
SMALL = ViTConfig(image_size=16, patch_size=4, channels=1, dim=24, depth=2, heads=2, mlp_dim=48, classes=5)


@pytest.mark.parametrize("size", ["tiny", "small", "base", "large"])
def test_parameter_counts_equal_timms(size: str) -> None:
    """At true size, without memory."""
    with torch.device("meta"):
        ours = count_parameters(ViT(replace(ViTConfig(), **SIZES[size])))
        theirs = count_parameters(timm.create_model(f"vit_{size}_patch16_224"))
    assert ours == theirs == registry.card("vision.vit").sizes[size]


def test_every_size_of_the_card() -> None:
    """Those of the usual sizes are checked above; micro is built for 28 x 28 grey pixels and 10 classes."""
    card = registry.card("vision.vit")
    assert set(card.sizes) == set(SIZES)
    with torch.device("meta"):
        micro = ViT(replace(GREY, **SIZES["micro"]))
    assert count_parameters(micro) == card.sizes["micro"] <= 1_500_000


SHAPES: list[dict[str, Any]] = [
    {},
    {"registers": 3},
    {"layer_scale": 0.1},
    {"qkv_bias": False},
    {"pooling": "mean"},
    {"pooling": "first+mean", "registers": 2},
    {"drop_path": 0.2, "dropout": 0.1},
    {"activation": "quick_gelu", "eps": 1e-12},
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_no_parameter_without_a_gradient(shape: dict[str, Any]) -> None:
    network = ViT(replace(SMALL, **shape))
    logits = network(torch.randn(3, 1, 16, 16))
    assert logits.shape == (3, 5)
    logits.square().sum().backward()
    without = [name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()]
    assert without == []


@pytest.mark.parametrize("shape", [{}, {"registers": 3}, {"pooling": "mean"}], ids=str)
@torch.inference_mode()
def test_attention_maps_sum_to_one(shape: dict[str, Any]) -> None:
    network = ViT(replace(SMALL, **shape)).eval()
    maps = network.attention(torch.randn(3, 1, 16, 16))
    assert maps.shape == (3, 4, 4)
    assert (maps >= 0).all()
    torch.testing.assert_close(maps.sum(dim=(1, 2)), torch.ones(3))


@torch.inference_mode()
def test_attention_without_preference_is_even() -> None:
    network = ViT(SMALL).eval()
    for block in network.encoder.blocks:
        block.get_parameter("attention.qkv.weight").zero_()
    maps = network.attention(torch.randn(1, 1, 16, 16))
    torch.testing.assert_close(maps, torch.full((1, 4, 4), 1 / 16))


def test_layers_near_the_pixels_learn_more_slowly() -> None:
    task = task_class()(
        network=ViT(SMALL),
        preprocessing=Preprocessing(
            size=16, channels=1, mean=(0.0,), std=(1.0,), crop=1.0, resize="squash", interpolation="bicubic"
        ),
        labels=tuple("abcde"),
        origin=Origin(),
    )
    groups = list(task.parameter_groups(FinetuneOptions(layer_decay=0.5, weight_decay=0.1)))
    names = {id(value): name for name, value in task.network.named_parameters()}
    seen = {names[id(value)]: group for group in groups for value in group["params"]}
    assert set(seen) == set(names.values())
    assert sum(len(group["params"]) for group in groups) == len(seen)
    scales = {name: group["lr_scale"] for name, group in seen.items()}
    assert scales["head.weight"] == scales["encoder.norm.weight"] == 1.0
    assert scales["encoder.blocks.1.mlp.up.weight"] == 0.5
    assert scales["encoder.blocks.0.mlp.up.weight"] == 0.25
    assert scales["positions"] == scales["class_token"] == scales["patches.projection.weight"] == 0.125
    decayed = {name for name, group in seen.items() if group["weight_decay"] == 0.1}
    assert "patches.projection.weight" in decayed
    assert not decayed & {"positions", "class_token", "head.bias", "encoder.norm.weight"}


@pytest.mark.parametrize(
    ("shape", "match"),
    [
        ({"image_size": 30}, "30 does not divide into patches of 16.*Try 16 or 32"),
        ({"heads": 5}, "dim 192 does not divide into 5 heads"),
        ({"depth": 0}, "depth must be at least 1, not 0"),
        ({"channels": 4}, "channels must be 1"),
        ({"classes": -1}, "classes cannot be negative"),
        ({"dropout": 1.5}, "dropout is a share"),
        ({"activation": "gel"}, "no activation 'gel'.*Did you mean.*gelu"),
    ],
)
def test_impossible_shapes(shape: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=match):
        ViTConfig(**shape)
