"""Pictures for people: predictions beside where the network looked, and confusion matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .classify import Prediction

INK, GOOD, BAD, QUIET = "#1c2733", "#1b7f4d", "#c0392b", "#8b97a3"


def _figure(width: float, height: float) -> Any:
    """A figure of inches that needs no screen."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=110, facecolor="white")


def draw_predictions(
    results: Sequence[Prediction], images: Sequence[Image.Image], maps: np.ndarray, path: Path, *, title: str
) -> Path:
    """One PNG: each picture with its attention map and the bars of its likeliest labels beside it.

    images as the network saw them; maps [N, rows, columns] sum to 1 each. At most three columns of results.
    """
    columns = min(3, math.ceil(len(results) / 2))
    rows = math.ceil(len(results) / columns)
    width, height = 4.1 * columns, 1.36 * rows + 0.5
    figure = _figure(width, height)
    figure.text(0.5, 1 - 0.22 / height, title, ha="center", va="center", fontsize=12, color=INK)
    grid = figure.add_gridspec(
        rows, 3 * columns, width_ratios=[1, 1, 1.35] * columns, left=0.1 / width, right=1, bottom=0.08 / height,
        top=1 - 0.62 / height, hspace=0.32, wspace=0.06,
    )  # fmt: skip
    for number, (result, image, seen) in enumerate(zip(results, images, maps, strict=True)):
        row, column = divmod(number, columns)
        cells = [figure.add_subplot(grid[row, 3 * column + place]) for place in range(3)]
        _draw_row(cells, result, image, seen)
    figure.savefig(path)
    return path


def _draw_row(cells: Sequence[Any], result: Prediction, image: Image.Image, seen: np.ndarray) -> None:
    picture, attention, bars = cells
    for axes in cells:
        axes.set_axis_off()
    picture.imshow(image, cmap="gray", vmin=0, vmax=255)
    picture.set_title(_short(result.id), fontsize=8, color=QUIET, pad=3)
    # The map is shown over a pale copy of the picture, smoothed to its size, so that shape and place can be seen.
    pale = np.asarray(image.convert("L"), dtype=float) / 255
    attention.imshow(pale, cmap="gray", vmin=-0.6, vmax=1.6)
    spread = (seen - seen.min()) / max(float(seen.max() - seen.min()), 1e-9)
    smooth = Image.fromarray(spread.astype(np.float32)).resize(image.size, Image.Resampling.BICUBIC)
    strength = np.asarray(smooth).clip(0, 1)
    attention.imshow(strength, cmap="inferno", vmin=0, vmax=1, alpha=0.2 + 0.6 * strength)
    attention.set_title("attention", fontsize=8, color=QUIET, pad=3)
    if not result.labels:
        bars.text(0, 0.5, "no classes:\na backbone", fontsize=9, color=QUIET, va="center")
        return
    colour = {True: GOOD, False: BAD, None: INK}[result.correct]
    bars.set_xlim(0, 1)
    bars.set_ylim(3, -0.62)
    for place, label in enumerate(result.labels[:3]):
        length = label.probability * 0.55
        text = f"{_short(label.name, 22)}  {label.probability:.1%}"
        inside = length > 0.056 * len(text)  # long enough to write on
        bars.barh(place, length, height=0.62, color=colour if place == 0 else "#cfd6dd")
        bars.text(
            0.02 if inside else length + 0.02,
            place,
            text,
            fontsize=9,
            va="center",
            color="white" if inside else INK,
            weight="bold" if place == 0 else "normal",
        )
    verdict = "" if result.truth is None else ("right" if result.correct else f"truth: {_short(result.truth, 22)}")
    if result.notices:
        verdict = "unlike the training data"
    bars.set_title(
        verdict, fontsize=8, color=BAD if result.notices or result.correct is False else GOOD, loc="left", pad=3
    )


def _short(text: str, most: int = 24) -> str:
    name = text.rsplit("/", 1)[-1]
    return name if len(name) <= most else name[: most - 1] + "…"


def draw_confusion(matrix: Sequence[Sequence[int]], classes: Sequence[str], path: Path, *, title: str) -> Path:
    """A confusion matrix as PNG: rows are the truth, columns what was said, colours the share of the row."""
    counts = np.asarray(matrix)
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    size = 2.2 + 0.45 * min(len(classes), 40)
    figure = _figure(size + 0.8, size)
    axes = figure.add_axes((0.2, 0.14, 0.76, 0.76))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [_short(name, 14) for name in classes]
    axes.set_xticks(range(len(names)), names, rotation=45 if max(map(len, names)) > 3 else 0, ha="center", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xlabel("predicted", color=INK)
    axes.set_ylabel("truth", color=INK)
    axes.set_title(title, fontsize=11, color=INK)
    if len(classes) <= 25:
        for row, column in np.ndindex(counts.shape):
            if counts[row, column]:
                colour = "white" if shares[row, column] > 0.5 else INK
                axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", fontsize=8, color=colour)
    figure.savefig(path)
    return path
