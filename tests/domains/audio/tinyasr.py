"""A recogniser that learns a language of four letters and a space, each a tone, in seconds."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from tsuite.core import finetune, flow, registry
from tsuite.domains.audio.asr.options import FinetuneOptions
from tsuite.domains.audio.asr.task import ASRTask

from .sounds import save, tone

NAME = "audio.asr"
PITCH = {" ": 200.0, "d": 350.0, "o": 700.0, "r": 1400.0, "e": 2800.0}
WORDS = ("do", "re", "doe", "rod", "ore")
SHAPE = {"dim": "32", "depth": "2", "heads": "2", "kernel": "5", "channels": "8", "mels": "24", "dropout": "0"}
QUICK: dict[str, Any] = {
    "epochs": 20, "batch_size": 8, "lr": 5e-3, "speed": 0.0, "noise": 0.0, "mask": 0.0, "join": 0.0, "chunk": 4,
    "intermediate": 0.0, "lm_order": 2,
}  # fmt: skip


def card() -> registry.Card:
    return registry.card(NAME)


def task_class() -> type[ASRTask]:
    return card().load_task()


def say(text: str) -> np.ndarray:
    """Samples [N] at 16 kHz: 0.16 s for each letter, or space, and 0.04 s of silence."""
    rest = np.zeros(1600, np.float32)
    letters = [tone(0.16, hertz=PITCH[letter]) for letter in text]
    return np.concatenate([rest, *(part for letter in letters for part in (letter, rest[:640])), rest])


@cache
def data(count: int = 60) -> Path:
    """A folder with recordings and metadata.csv; made once."""
    folder = Path(tempfile.mkdtemp(prefix="tsuite-asr-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    random = np.random.default_rng(0)
    rows = ["path,transcript"]
    for number in range(count):
        text = " ".join(random.choice(WORDS, size=1 + number % 3))
        save(folder / f"{number}.wav", say(text))
        rows.append(f"{number}.wav,{text}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def train(folder: Path, *, checkpoint: Any = None, **options: Any) -> Any:
    """Fine-tune through the flow of the command; gives its report."""
    request = flow.Request(
        name=NAME, data=str(data() / "manifest.csv"), checkpoint=checkpoint and str(checkpoint), device="cpu",
        threads=1, settings={} if checkpoint else SHAPE,
    )  # fmt: skip
    return finetune.finetune(request, FinetuneOptions(**{**QUICK, **options}), folder)


@cache
def trained() -> Path:
    """A run folder whose best weights know the language; made once."""
    folder = Path(tempfile.mkdtemp(prefix="tsuite-asr-run-")) / "run"
    atexit.register(shutil.rmtree, folder.parent, ignore_errors=True)
    train(folder)
    return folder
