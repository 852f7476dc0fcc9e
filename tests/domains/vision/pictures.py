"""Real pictures that scikit-learn carries (handwritten digits, a photograph), a small model trained on them, and the
command line called inside this process.

Axes: B batch, K classes.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import shutil
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits, load_sample_image
from tsuite.cli.app import start
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


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on stdout; an error where there is more or less."""
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value


def tsuite(*words: Any, code: int | None = 0) -> Said:
    """`tsuite WORDS…` inside this process; checks the exit code."""
    arguments = [str(word) for word in words]
    out, err = io.StringIO(), io.StringIO()
    ended = 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr("sys.argv", ["tsuite", *arguments])
        patch.setenv("COLUMNS", "200")
        patch.setenv("ACCELERATE_USE_CPU", "true")
        try:
            start(arguments)
        except SystemExit as end:
            ended = end.code if isinstance(end.code, int) else int(end.code is not None)
    said = Said(code=ended, out=out.getvalue(), err=err.getvalue())
    assert code is None or ended == code, f"exit code {ended}\n{said.out}\n{said.err}"
    assert "Traceback" not in said.err
    return said
