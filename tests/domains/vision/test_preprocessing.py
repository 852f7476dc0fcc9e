"""Pictures reach the network as they reached it where it was trained: compared with timm and transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data.config import resolve_data_config
from timm.data.transforms_factory import create_transform
from tsuite.domains.vision.pixels import Preprocessing

from .originals import dinov2_backbone, timm_vit, vit_classifier
from .pictures import load, photo

SIZES = [(320, 240), (241, 333), (640, 427), (30, 200), (64, 64), (100, 101)]

transformers = pytest.importorskip("transformers")


def ours(preprocessing: Preprocessing, image: Image.Image) -> torch.Tensor:
    return preprocessing.normalise(preprocessing.tensor([preprocessing.fit(image)]))[0]


def assert_alike(found: torch.Tensor, expected: torch.Tensor, *, mean: float = 0.01, most: float = 0.15) -> None:
    """Equal up to rounding to 8 bits (tensors of pixels / 255 / 0.2 are about 0.02 a level)."""
    assert found.shape == expected.shape
    difference = (found - expected).abs()
    assert float(difference.mean()) < mean
    assert float(difference.max()) < most


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("crop", [0.9, 0.875, 1.0])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_as_timm(size: tuple[int, int], crop: float, interpolation: str, tmp_path: Path) -> None:
    timm_vit(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["pretrained_cfg"] |= {"crop_pct": crop, "interpolation": interpolation, "mean": [0.4, 0.5, 0.6]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    facts = config["pretrained_cfg"]
    transform: Any = create_transform(
        input_size=64, crop_pct=crop, interpolation=interpolation, mean=facts["mean"], std=facts["std"]
    )
    image = photo(*size)
    assert_alike(ours(load(tmp_path).preprocessing, image), transform(image), mean=1e-5, most=1e-3)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224.augreg_in21k_ft_in1k", "vit_small_patch14_dinov2.lvd142m"])
def test_as_timm_configures_real_ones(name: str) -> None:
    """timm's own numbers for a famous checkpoint, through our reading of them."""
    facts = timm.get_pretrained_cfg(name)
    assert facts is not None
    preprocessing = Preprocessing(
        size=facts.input_size[-1],
        channels=3,
        mean=facts.mean,
        std=facts.std,
        crop=facts.crop_pct,
        resize="shorter",
        interpolation="bicubic",
    )
    resolved = resolve_data_config(pretrained_cfg=facts.to_dict())
    image = photo(640, 427)
    transform: Any = create_transform(**resolved)
    assert_alike(ours(preprocessing, image), transform(image), mean=1e-5, most=1e-3)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("resample", [2, 3])
def test_as_transformers_vit(size: tuple[int, int], resample: int, tmp_path: Path) -> None:
    vit_classifier(tmp_path)
    processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32}, resample=resample)
    processor.save_pretrained(tmp_path)
    image = photo(*size)
    expected = processor(image, return_tensors="pt")["pixel_values"][0]
    assert_alike(ours(load(tmp_path).preprocessing, image), expected)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("edge", [32, 40])
def test_as_transformers_dinov2(size: tuple[int, int], edge: int, tmp_path: Path) -> None:
    dinov2_backbone(tmp_path)
    processor = transformers.BitImageProcessor(
        size={"shortest_edge": edge},
        crop_size={"height": 32, "width": 32},
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )
    processor.save_pretrained(tmp_path)
    image = photo(*size)
    expected = processor(image, return_tensors="pt")["pixel_values"][0]
    assert_alike(ours(load(tmp_path).preprocessing, image), expected)


def test_without_a_processor_file_the_families_own_numbers(tmp_path: Path) -> None:
    vit_classifier(tmp_path)
    preprocessing = load(tmp_path).preprocessing
    assert (preprocessing.mean, preprocessing.resize, preprocessing.interpolation) == ((0.5,) * 3, "squash", "bilinear")
    dinov2_backbone(tmp_path)
    assert load(tmp_path).preprocessing.mean == (0.485, 0.456, 0.406)


def test_grey_pictures() -> None:
    plain = Preprocessing(
        size=16, channels=1, mean=(0.0,), std=(1.0,), crop=1.0, resize="shorter", interpolation="bicubic"
    )
    image = photo(16, 16)
    expected = np.asarray(image.convert("L"), dtype=np.float32) / 255
    torch.testing.assert_close(ours(plain, image)[0], torch.from_numpy(expected))


def test_means_must_fit_the_channels() -> None:
    with pytest.raises(Exception, match="3 means and deviations"):
        Preprocessing(size=16, channels=3, mean=(0.0,), std=(1.0,), crop=1.0, resize="squash", interpolation="bicubic")
