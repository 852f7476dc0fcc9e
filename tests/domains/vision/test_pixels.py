"""Pictures of every kind become what the network takes; those that cannot are named in one sentence."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tsuite.core.errors import UserError
from tsuite.domains.vision.pixels import Preprocessing, open_image

from .pictures import encoded, photo

GREY = Preprocessing(size=16, channels=1, mean=(0.5,), std=(0.5,), crop=1.0, resize="shorter", interpolation="bicubic")
COLOUR = Preprocessing(
    size=16, channels=3, mean=(0.5,) * 3, std=(0.5,) * 3, crop=0.9, resize="shorter", interpolation="bicubic"
)


def seen(content: bytes | Path, preprocessing: Preprocessing = COLOUR) -> np.ndarray:
    """What the network would see, from 0 to 1: [height, width, channels]."""
    pixels = preprocessing.tensor([preprocessing.fit(open_image(content, "it"))])
    assert pixels.shape == (1, preprocessing.channels, 16, 16)
    return pixels[0].permute(1, 2, 0).numpy()


def refused(content: object, match: str) -> None:
    with pytest.raises(UserError, match=match):
        open_image(content, "photo.png")


def bomb(width: int, height: int) -> bytes:
    """A PNG of some hundred bytes that says it is enormous."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"\0" * 1000)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


# -- what cannot be used ----


def test_missing_and_empty(tmp_path: Path) -> None:
    refused(tmp_path / "none.png", r"There is no file photo\.png")
    (tmp_path / "empty.png").touch()
    refused(tmp_path / "empty.png", r"photo\.png is empty")
    refused(b"", r"photo\.png is empty")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
def test_truncated(kind: str) -> None:
    content = encoded(photo(), kind)
    refused(content[: len(content) // 2], r"photo\.png (cannot be read; it may be cut short|is no picture)")


def test_damaged_inside() -> None:
    content = bytearray(encoded(photo()))
    content[len(content) // 2] ^= 0xFF
    refused(bytes(content), "cut short or damaged")


def test_no_picture_at_all() -> None:
    refused(b"just words", r"photo\.png is no picture that can be read.*JPEG, PNG")


@pytest.mark.parametrize("size", [(50_000, 50_000), (12_000, 12_000)])
def test_decompression_bomb(size: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(*size))
    assert path.stat().st_size < 1000
    refused(path, r"photo\.png (has|is too large)")


def test_a_large_picture_below_the_limit_is_no_warning() -> None:
    refused(bomb(9_000, 9_000), "cut short")


@pytest.mark.parametrize("value", [1.5, torch.zeros(3, 8, 8), [1, 2], None])
def test_what_is_no_source(value: object) -> None:
    refused(value, r"photo\.png is a \w+, and no picture")


@pytest.mark.parametrize("shape", [(4,), (4, 4, 2), (1, 4, 4, 3)])
def test_arrays_of_a_wrong_shape(shape: tuple[int, ...]) -> None:
    refused(np.zeros(shape, dtype=np.uint8), "no picture.*uint8 values")
    refused(np.zeros((4, 4)), "array of float64")


# -- what can ----


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM"])
def test_the_ending_says_nothing(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.jpeg"
    path.write_bytes(encoded(photo(), kind))
    assert np.abs(seen(path) - seen(encoded(photo()))).mean() < 0.05


def test_grey_for_colour_and_the_reverse() -> None:
    grey = encoded(photo().convert("L"))
    values = seen(grey, COLOUR)
    assert (values == values[..., :1]).all()
    assert np.abs(seen(encoded(photo()), GREY) - seen(grey, GREY)).mean() < 0.005


def test_transparency_is_laid_on_white() -> None:
    clear = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    assert (seen(encoded(clear)) == 1).all()
    half = Image.new("RGBA", (20, 20), (0, 0, 0, 128))
    assert np.abs(seen(encoded(half)) - 0.5).max() < 0.01
    assert (seen(encoded(Image.new("LA", (20, 20), (0, 0))), GREY) == 1).all()


def test_palette_with_and_without_transparency() -> None:
    picture = photo().convert("P", palette=Image.Palette.ADAPTIVE)
    assert np.abs(seen(encoded(picture)) - seen(encoded(photo()))).mean() < 0.05
    blank = Image.new("P", (20, 20), 0)
    assert (seen(encoded(blank, transparency=0)) == 1).all()


@pytest.mark.parametrize("preprocessing", [GREY, COLOUR])
def test_cmyk(preprocessing: Preprocessing) -> None:
    """Pillow has no colour profile to go by: roughly the same picture."""
    found = seen(encoded(photo().convert("CMYK"), "JPEG"), preprocessing)
    assert np.abs(found - seen(encoded(photo()), preprocessing)).mean() < 0.1


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_sixteen_bits(order: str, kind: str) -> None:
    grey = np.asarray(photo().convert("L"))
    wide = (grey.astype(np.uint32) * 257).astype(order)
    image = Image.frombytes("I;16" if order == "<u2" else "I;16B", wide.shape[::-1], wide.tobytes())
    if kind == "PNG" and order == ">u2":
        pytest.skip("PNG has one order of bytes")
    expected = seen(encoded(photo().convert("L")), GREY)
    assert np.abs(seen(encoded(image, kind), GREY) - expected).max() < 0.01


def test_dark_sixteen_bits_stay_dark() -> None:
    dark = Image.fromarray(np.full((20, 20), 200, dtype=np.uint16))
    assert seen(encoded(dark), GREY).max() < 0.01


def test_black_and_white() -> None:
    assert set(np.unique(seen(encoded(Image.new("1", (16, 16), 1)), GREY))) == {1.0}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_pictures_are_turned_upright(orientation: int, kind: str) -> None:
    upright = photo(240, 240)
    turns = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = encoded(upright.transpose(turns[orientation]), kind, exif=exif)
    assert np.abs(seen(turned) - seen(encoded(upright))).mean() < 0.03
    assert np.abs(seen(encoded(upright.transpose(turns[orientation]))) - seen(encoded(upright))).mean() > 0.05


@pytest.mark.parametrize("preprocessing", [GREY, COLOUR])
@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1), (4000, 3), (3, 4000), (16, 17), (15, 16)])
def test_tiny_and_thin(size: tuple[int, int], preprocessing: Preprocessing) -> None:
    values = seen(encoded(Image.new("RGB", size, (255, 0, 255))), preprocessing)
    assert values.std(axis=(0, 1)).max() < 1e-6


def test_a_thin_picture_takes_no_memory() -> None:
    large = Preprocessing(
        size=224, channels=3, mean=(0.0,) * 3, std=(1.0,) * 3, crop=1.0, resize="shorter", interpolation="bicubic"
    )
    tracemalloc.start()
    image = large.fit(Image.new("RGB", (60_000, 2)))  # scaled whole it would have a billion pixels
    assert image.size == (224, 224)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_the_middle_of_a_thin_picture() -> None:
    """Cutting before scaling gives what cutting after it gives."""
    stripes = np.zeros((4, 400, 3), dtype=np.uint8)
    stripes[:, 198:202] = 255
    values = seen(encoded(Image.fromarray(stripes)))
    assert values[8, 8].min() > 0.9
    assert np.abs(values - values[:, ::-1]).max() < 0.02


def test_arrays_and_pillow_images() -> None:
    array = np.asarray(photo())
    assert open_image(array, "x").size == photo().size
    assert open_image(array[..., 0], "x").mode == "L"
    image = photo()
    assert open_image(image, "x") is image
