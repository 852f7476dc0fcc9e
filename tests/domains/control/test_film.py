"""Films of what was seen."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tsuite.core.errors import UserError
from tsuite.domains.control.film import Film


def frame(number: int, height: int = 60, width: int = 90) -> np.ndarray:
    picture = np.full((height, width, 3), 255, np.uint8)
    picture[:, number % width] = (213, 94, 0)
    return picture


def shown(path: Path) -> tuple[int, tuple[int, int], list[int], int]:
    """Frames, size, milliseconds of each, how often it plays (0: for ever)."""
    with Image.open(path) as image:
        count: int = image.n_frames  # pyright: ignore[reportAttributeAccessIssue]
        pauses = []
        for number in range(count):
            image.seek(number)
            pauses.append(image.info["duration"])
        return count, image.size, pauses, image.info["loop"]


def test_a_gif_plays_at_its_pace_for_ever(tmp_path: Path) -> None:
    with Film(tmp_path / "new" / "a.gif", fps=20) as film:
        for number in range(10):
            film.add(frame(number))
    assert shown(film.path) == (10, (90, 60), [50] * 10, 0)
    assert film.seconds == 0.5
    with Image.open(film.path) as image:
        image.seek(7)
        red, green, blue = np.asarray(image.convert("RGB"))[30, 7].tolist()
    assert red > 180 > green > blue


def test_long_films_leave_frames_out_and_keep_their_length(tmp_path: Path) -> None:
    drawn: list[int] = []

    def draw(number: int) -> np.ndarray:
        drawn.append(number)
        return frame(number)

    with Film(tmp_path / "a.gif", fps=25, most=20) as film:
        for number in range(100):
            film.add(lambda number=number: draw(number))
    count, _, pauses, _ = shown(film.path)
    assert 10 <= count <= 20
    assert sum(pauses) == pytest.approx(4000, rel=0.1)
    assert len(drawn) < 50  # those that are left out are not drawn


def test_fast_environments_are_shown_at_25_frames_a_second(tmp_path: Path) -> None:
    with Film(tmp_path / "a.gif", fps=125) as film:
        for number in range(50):
            film.add(frame(number))
    assert shown(film.path)[0] == film.frames == 10


def test_large_frames_are_made_smaller_and_captions_stand_below(tmp_path: Path) -> None:
    with Film(tmp_path / "a.gif") as film:
        film.add(frame(0, 600, 961), "asked 200 · step 1")
        film.add(frame(1, 300, 481), "")
    assert shown(film.path)[1] == film.size == (480, 300 + 26)
    with Image.open(film.path) as image:
        assert np.asarray(image.convert("L"))[-24:].min() < 100  # there is something written


def test_what_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"\.gif or \.mp4"):
        Film(tmp_path / "a.avi")
    with pytest.raises(UserError, match="no frame"):
        Film(tmp_path / "a.gif").close()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="no program ffmpeg"):
        Film(tmp_path / "a.mp4")


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the program ffmpeg")
def test_mp4(tmp_path: Path) -> None:
    with Film(tmp_path / "a.mp4", fps=20) as film:
        for number in range(10):
            film.add(frame(number, 61, 91))
    assert film.path.read_bytes()[4:8] == b"ftyp"
