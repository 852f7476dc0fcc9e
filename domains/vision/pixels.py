"""From a picture to the tensor a checkpoint was trained on: one function for training, evaluation and prediction.

Axes: B batch, channels, height and width in pixels.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from ...core.errors import UserError

MAX_PIXELS = 89_478_485
"""Pictures with more pixels are refused before they are unpacked (a quarter of a gigabyte in RGB)."""

_RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
}


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How pictures reach the network; saved with its weights, for other numbers silently cost accuracy.

    size: of the square input, in pixels. resize: `shorter` scales the shorter side to size / crop and cuts the middle,
    `squash` scales both sides to size. mean, std: for each channel, of values from 0 to 1. floor: where the middle
    lies between two pixels it is the lower one (transformers), else the even one (torchvision, timm).
    """

    size: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop: float
    resize: Literal["shorter", "squash"]
    interpolation: Literal["bilinear", "bicubic", "nearest"]
    floor: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", tuple(self.mean))
        object.__setattr__(self, "std", tuple(self.std))
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise UserError(
                f"Preprocessing needs {self.channels} means and deviations, not {self.mean} and {self.std}."
            )

    def fit(self, image: Image.Image) -> Image.Image:
        """The picture upright, in the right colours and of the right size."""
        image = ImageOps.exif_transpose(image)
        image = _flatten(image).convert("L" if self.channels == 1 else "RGB")
        if image.size == (self.size, self.size) and self.crop == 1.0:
            return image
        sampling = _RESAMPLING[self.interpolation]
        if self.resize == "squash":
            return image.resize((self.size, self.size), sampling)
        image = _middle(image)
        target = int(self.size / self.crop + 1e-6)
        width, height = (target * side // min(image.size) for side in image.size)
        image = image.resize((width, height), sampling)
        left, top = (
            int(free / 2) if self.floor else round(free / 2) for free in (width - self.size, height - self.size)
        )
        return image.crop((left, top, left + self.size, top + self.size))

    def tensor(self, images: Sequence[Image.Image]) -> Tensor:
        """Fitted pictures as values from 0 to 1, [B, channels, size, size]."""
        array = np.stack([np.asarray(image, dtype=np.uint8) for image in images])
        pixels = torch.from_numpy(array).float().div_(255)
        return pixels[:, None] if self.channels == 1 else pixels.permute(0, 3, 1, 2).contiguous()

    def normalise(self, pixels: Tensor) -> Tensor:
        """Values from 0 to 1 shifted and scaled to what the network expects."""
        mean, std = (torch.tensor(values, device=pixels.device)[:, None, None] for values in (self.mean, self.std))
        return (pixels - mean) / std


def _middle(image: Image.Image) -> Image.Image:
    """Of a very long picture the middle alone: scaled up whole, 4000 x 3 pixels would take a quarter of a gigabyte."""
    most = 8 * min(image.size)
    left, top = (max(0, side - most) // 2 for side in image.size)
    return image.crop((left, top, image.width - left, image.height - top)) if left or top else image


def _flatten(image: Image.Image) -> Image.Image:
    """Transparency laid on white, 16-bit grey scaled down to 8."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        array = np.asarray(image, dtype=np.float64)
        scale = 255 / 65535 if image.mode.startswith("I;16") or array.max(initial=0) > 255 else 1.0
        return Image.fromarray((array * scale).clip(0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        over = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)
    return image


def open_image(source: Any, name: str) -> Image.Image:
    """A picture from a path, bytes, an array [height, width(, channels)] or a Pillow image, fully decoded.

    Raises UserError, with `name` in it, for what is missing, empty, truncated, no picture, or too large to unpack.
    """
    if isinstance(source, Image.Image):
        return source
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim not in (2, 3) or source.shape[2:] not in ((), (3,), (4,)):
            raise UserError(
                f"{name} is an array of {source.dtype} {source.shape}, and no picture.",
                "Give uint8 values from 0 to 255 as [height, width] or [height, width, 3].",
            )
        return Image.fromarray(source)
    if isinstance(source, Path):
        if not source.exists():
            raise UserError(f"There is no file {name}.")
        if source.stat().st_size == 0:
            raise UserError(f"{name} is empty.")
    elif not isinstance(source, bytes):
        raise UserError(
            f"{name} is a {type(source).__name__}, and no picture.", "Give a path, a uint8 array or a Pillow image."
        )
    elif not source:
        raise UserError(f"{name} is empty.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large pictures; ours are measured below
            with Image.open(source if isinstance(source, Path) else io.BytesIO(source)) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise UserError(
                        f"{name} has {width} x {height} pixels, more than the {MAX_PIXELS:,} that are safe to unpack.",
                        "Scale it down first.",
                    )
                image.load()
                return image.copy()
    except UnidentifiedImageError:
        raise UserError(f"{name} is no picture that can be read.", "JPEG, PNG, WebP, BMP, GIF and TIFF can.") from None
    except Image.DecompressionBombError as error:
        raise UserError(f"{name} is too large to unpack safely: {error}") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise UserError(f"{name} cannot be read; it may be cut short or damaged ({error}).") from None
