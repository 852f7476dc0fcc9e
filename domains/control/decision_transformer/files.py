"""What is written for people: the film of an episode, a table of all, the picture of achieved against asked."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import picture
from ..film import has_ffmpeg
from ..words import counted
from .checkpoints import Around
from .plays import Played, Theatre


def write(
    results: Sequence[Any], folder: Path, around: Around, theatre: Theatre | None, others: Mapping[str, Any]
) -> list[Path]:
    """The files for these results; `others`: scores of what they are compared with."""
    if not results or not isinstance(results[0], Played):
        return []
    files = [_table(results, folder / "episodes.csv"), _picture(results, folder / "returns.png", around, others)]
    film = theatre.film if theatre else None
    if film is not None and film.frames:
        for suffix in (".gif", *[".mp4"] * has_ffmpeg()):
            film.path = folder / f"episode{suffix}"
            files.append(film.close())
    return files


def _table(results: Sequence[Played], path: Path) -> Path:
    """A row for each episode."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["seed", "asked", "return", "steps", "ended"])
        for item in results:
            asked = "" if item.asked is None else f"{item.asked:g}"
            writer.writerow([item.seed, asked, f"{item.achieved:g}", item.steps, item.ended])
    return path


def _picture(results: Sequence[Played], path: Path, around: Around, others: Mapping[str, Any]) -> Path:
    """Achieved against asked where several returns were asked for, else episode by episode."""
    title = f"{around.setting.env}, {counted(len(results), 'episode')}"
    asked, achieved = [item.asked for item in results], [item.achieved for item in results]
    threshold, data = around.setting.threshold, around.data
    if None in asked or len(set(asked)) == 1:
        return picture.draw_episodes(
            path, achieved, asked=None if None in asked else asked, title=title, threshold=threshold
        )
    baselines = {name: line["mean"] for name, line in others.items()}
    span = None if data is None else (data.low, data.high)
    return picture.draw_asked(path, asked, achieved, baselines=baselines, title=title, data=span, threshold=threshold)
