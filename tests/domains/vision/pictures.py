"""Real pictures that scikit-learn carries (handwritten digits, a photograph), a small model trained on them, and the
command line called inside this process.

Axes: B batch, K classes.
"""

from __future__ import annotations

import atexit
import io
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits, load_sample_image
from tsuite.core import finetune, flow, registry
from tsuite.domains.vision.vit import ViTTask
from tsuite.domains.vision.vit.options import FinetuneOptions

MICRO = {"dim": "48", "depth": "2", "heads": "3", "mlp_dim": "96", "drop_path": "0"}
"""Settings of a network that learns digits in seconds."""

QUICK: dict[str, Any] = {"epochs": 1, "batch_size": 8, "lr": 1e-3, "augment": "none"}


def photo(width: int = 320, height: int = 240, seed: int = 0) -> Image.Image:
    """A part of a real photograph, in colour."""
    picture = Image.fromarray(load_sample_image("china.jpg"))
    left = (37 * seed) % (picture.width - width + 1)
    return picture.crop((left, 20, left + width, 20 + height))


@lru_cache(maxsize=1)
def digits() -> tuple[list[Image.Image], list[int]]:
    """1,797 handwritten digits (UCI, 8 x 8) scaled up to 16 x 16 grey pixels, and what they are."""
    found: Any = load_digits()
    images = [Image.fromarray((values * 15.9).astype(np.uint8)).resize((16, 16)) for values in found.images]
    return images, [int(label) for label in found.target]


def digit_folder(folder: Path, *, every: int = 1, classes: int = 10, parts: bool = True) -> Path:
    """Class folders with each `every`-th digit; with `parts`, a fifth of them under test/ and the rest under train/."""
    chosen = [pair for pair in zip(*digits(), strict=True) if pair[1] < classes][::every]
    for number, (image, label) in enumerate(chosen):
        part = ("test" if number % 5 == 4 else "train") if parts else ""
        place = folder / part / str(label)
        place.mkdir(parents=True, exist_ok=True)
        image.save(place / f"{number}.png")
    return folder


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def task_class() -> type[ViTTask]:
    """`ViTTask` with its card, as the commands get it."""
    return registry.card("vision.vit").load_task()


def load(checkpoint: Any, **settings: Any) -> ViTTask:
    task = task_class().load(str(checkpoint), settings={name: str(value) for name, value in settings.items()})
    task.network.eval()
    return task


def train(folder: Path, data: Path | str, *, checkpoint: Path | str | None = None, resume: bool = False, **values: Any):
    """A training run as `tsuite finetune` does it, with the tiny network where it starts from scratch."""
    settings = {} if checkpoint else MICRO
    request = flow.Request(
        name="vision.vit", data=str(data), checkpoint=str(checkpoint) if checkpoint else None, settings=settings
    )
    report = finetune.finetune(request, FinetuneOptions(**(QUICK | values)), folder, resume=resume)
    assert report is not None
    return report


@lru_cache(maxsize=1)
def trained() -> tuple[Path, Path]:
    """The digits' folder, and a run that learned them to some 95 %; made once."""
    home = Path(tempfile.mkdtemp(prefix="tsuite-digits-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    data = digit_folder(home / "digits")
    with torch.random.fork_rng(devices=[]):
        train(home / "run", data, epochs=10, batch_size=48, lr=4e-3)
    return data, home / "run"
