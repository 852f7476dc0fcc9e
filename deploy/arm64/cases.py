"""What is run on both machines: a small command for each of the six domains, and the files it reads.

Small because an emulated processor is some ten to fifty times slower; default checkpoints, so that it is the product
that is tried.
"""

from __future__ import annotations

import math
from pathlib import Path

CASES: dict[str, list[str]] = {
    "vision": ["vision.vit", "three.png", "four.png", "--no-picture"],
    "text": ["text.phi15_zh", "你好", "--max-new", "12", "--show-probs"],
    "audio": ["audio.asr", "--checkpoint", "embedded", "--no-picture"],
    "timeseries": ["timeseries.patchtst", "load.csv", "--horizon", "12", "--no-picture"],
    "control": ["control.decision_transformer", "50", "--episodes", "1", "--no-film"],
    "molecules": ["molecules.smiles_gpt", "--n", "4", "--picture", "none", "--workers", "1", "--compared", "0"],
}
"""Domain -> what follows `tsuite run`."""


def make_inputs(folder: Path) -> None:
    """Write the files that the commands read: two handwritten digits (of scikit-learn's), a half-hourly series."""
    folder.mkdir(parents=True, exist_ok=True)
    write_digits(folder)
    write_load(folder / "load.csv")


def write_digits(folder: Path) -> None:
    """A three and a four as three.png and four.png, 64 x 64."""
    from PIL import Image
    from sklearn.datasets import load_digits

    pixels, _ = load_digits(return_X_y=True)  # [1797, 64], 0 to 16; the first ten are 0 to 9
    for name, number in (("three", 3), ("four", 4)):
        picture = Image.fromarray((pixels[number].reshape(8, 8) * (255 / 16)).astype("uint8"))
        picture.resize((64, 64), Image.Resampling.NEAREST).save(folder / f"{name}.png")


def write_load(path: Path, days: int = 30) -> None:
    """A load of a day's and a week's rhythm, MW, every half hour."""
    lines = ["time,load"]
    for step in range(48 * days):
        day, half = divmod(step, 48)
        value = 5000 + 800 * math.sin(2 * math.pi * step / 48) + 200 * math.cos(2 * math.pi * step / 336)
        lines.append(f"2024-01-{day + 1:02d} {half // 2:02d}:{half % 2 * 30:02d}:00,{value:.3f}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
