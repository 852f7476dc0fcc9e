"""Changes to training pictures that leave their class alone, by kornia; and mixup, which mixes classes with pictures.

Axes: B batch, K classes; pixels are values from 0 to 1, [B, channels, height, width].
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ...core.errors import missing_extra

Augmentation = Callable[[Tensor], Tensor]


def augmentation(kind: str, size: int, channels: int) -> Augmentation:
    """The augmentation called `kind` for pictures of `size` pixels: none, symbols or photos.

    symbols: turned up to 15 degrees, shifted, scaled, sheared and bent; never mirrored, for a mirrored 2 is none.
    photos: a random part scaled up, mirrored, brightness, contrast and colour changed.
    """
    if kind == "none":
        return lambda pixels: pixels
    try:
        import kornia.augmentation as kornia
    except ImportError:
        raise missing_extra("kornia", "vision") from None
    if kind == "symbols":
        turn = kornia.RandomAffine(degrees=15.0, translate=(0.09, 0.09), scale=(0.86, 1.16), shear=(-14.0, 14.0), p=1.0)
        reach = max(3, size // 4 * 2 + 1)
        bend = kornia.RandomElasticTransform(
            kernel_size=(reach, reach), sigma=(size / 8, size / 8), alpha=(0.5, 0.5), p=0.7
        )
        return kornia.AugmentationSequential(turn, bend, data_keys=["input"])
    crop = kornia.RandomResizedCrop((size, size), scale=(0.5, 1.0), ratio=(0.8, 1.25), p=1.0)
    mirror = kornia.RandomHorizontalFlip(p=0.5)
    hue = 0.02 if channels == 3 else 0.0
    saturation = 0.2 if channels == 3 else 0.0
    if channels == 3:
        light = kornia.ColorJiggle(brightness=0.2, contrast=0.2, saturation=saturation, hue=hue, p=0.8)
    else:
        light = kornia.AugmentationSequential(
            kornia.RandomBrightness((0.8, 1.2), p=0.8), kornia.RandomContrast((0.8, 1.2), p=0.8), data_keys=["input"]
        )
    return kornia.AugmentationSequential(crop, mirror, light, data_keys=["input"])


def targets(labels: Tensor, classes: int, *, smoothing: float) -> Tensor:
    """Labels [B] as probabilities [B, K], with `smoothing` of each spread evenly over all classes."""
    return F.one_hot(labels, classes).float() * (1 - smoothing) + smoothing / classes


def mixup(pixels: Tensor, target: Tensor, *, alpha: float) -> tuple[Tensor, Tensor]:
    """Each picture blended with another of the batch, and its target likewise (Zhang et al. 2018, arXiv 1710.09412)."""
    if not alpha or len(pixels) < 2:
        return pixels, target
    share = torch.distributions.Beta(alpha, alpha).sample((len(pixels),)).to(pixels)
    other = torch.randperm(len(pixels), device=pixels.device)
    wide = share[:, None, None, None]
    return pixels * wide + pixels[other] * (1 - wide), target * share[:, None] + target[other] * (1 - share[:, None])
