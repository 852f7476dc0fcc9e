"""What was seen, as a film: a GIF by Pillow anywhere, mp4 where the program ffmpeg is.

Axes: H rows, W columns of a frame.
"""

from __future__ import annotations

import shutil
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import UserError
from .picture import INK

MOST = 300
"""Frames of a film: a longer one leaves out every second frame, as often as it takes."""
FPS, SHOWN = 30.0, 25.0
"""Frames a second where nobody says how many there are, and those that are shown of more."""
WIDTH = 480
"""Pixels; wider frames are made smaller."""
STRIP = 26
"""Pixels below a frame for its caption."""
SUFFIXES = (".gif", ".mp4")


class Film:
    """Takes frames and writes one file when closed; used in a `with` block it closes itself, unless that failed.

    fps: frames a second as they are added (None: those of the environment that is filmed), of which about 25 are kept.
    Frames are kept packed, so that a long film needs little memory. Raises UserError for another ending than .gif and
    .mp4, and for .mp4 where there is no ffmpeg.
    """

    def __init__(self, path: str | Path, *, fps: float | None = None, most: int = MOST, width: int = WIDTH) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() not in SUFFIXES:
            raise UserError(f"A film cannot be written to {self.path.name}.", "Let the name end in .gif or .mp4.")
        if self.path.suffix.lower() == ".mp4" and not has_ffmpeg():
            raise UserError("There is no program ffmpeg, which writes mp4.", "Install it, or let the name end in .gif.")
        self.fps, self.most, self.width = fps, most, width
        self.size: tuple[int, int] | None = None
        self._frames: list[bytes] = []
        self._given, self._stride = 0, 0

    @property
    def frames(self) -> int:
        """How many are kept."""
        return len(self._frames)

    @property
    def seconds(self) -> float:
        """How long it plays."""
        return self._given / (self.fps or FPS)

    def add(self, frame: np.ndarray | Callable[[], np.ndarray], caption: str = "") -> None:
        """Take a frame [H, W, 3] uint8 (any size; the first one sets that of the film) with a line of text below it, or
        a function that draws it, which is called only for frames that are kept."""
        self._stride = self._stride or max(1, round((self.fps or FPS) / SHOWN))
        self._given += 1
        if (self._given - 1) % self._stride:
            return
        drawn = frame() if callable(frame) else frame
        self._frames.append(zlib.compress(self._fitted(drawn, caption).tobytes(), 1))
        if len(self._frames) > self.most:
            self._frames, self._stride = self._frames[::2], self._stride * 2

    def close(self) -> Path:
        """Write the file. Raises UserError where there is no frame, or the place cannot be written."""
        if not self._frames:
            raise UserError(f"There is no frame to write into {self.path.name}.")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._gif() if self.path.suffix.lower() == ".gif" else self._mp4()
        except OSError as error:
            raise UserError(f"The film {self.path} could not be written: {error.strerror or error}.") from error
        return self.path

    def __enter__(self) -> Film:
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        if kind is None and self._frames:
            self.close()

    def _fitted(self, frame: np.ndarray, caption: str) -> np.ndarray:
        """The frame in the film's size, even numbers of pixels, its caption below."""
        from PIL import Image, ImageDraw

        image = Image.fromarray(np.ascontiguousarray(np.asarray(frame, np.uint8)[..., :3]))
        if self.size is None:
            wide = min(self.width, image.width)
            tall = round(image.height * wide / image.width)
            self._captioned = bool(caption)
            self.size = (wide + wide % 2, tall + tall % 2 + STRIP * self._captioned)
        inner = (self.size[0], self.size[1] - STRIP * self._captioned)
        if image.size != inner:
            image = image.resize(inner)
        if not self._captioned:
            return np.asarray(image)
        whole = Image.new("RGB", self.size, "white")
        whole.paste(image, (0, 0))
        ImageDraw.Draw(whole).text((10, inner[1] + 5), caption, fill=INK, font=_font())
        return np.asarray(whole)

    def _pictures(self) -> list[np.ndarray]:
        assert self.size is not None
        shape = (self.size[1], self.size[0], 3)
        return [np.frombuffer(zlib.decompress(frame), np.uint8).reshape(shape) for frame in self._frames]

    @property
    def _rate(self) -> float:
        """Frames a second of those that are kept."""
        return (self.fps or FPS) / self._stride

    def _gif(self) -> None:
        """One palette for all frames, so that nothing flickers; it plays again and again."""
        from PIL import Image

        pictures = self._pictures()
        chosen = pictures[:: max(1, len(pictures) // 6)]
        palette = Image.fromarray(np.concatenate(chosen)).quantize(128, method=Image.Quantize.MEDIANCUT)
        frames = [Image.fromarray(picture).quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
        pause = max(20, round(1000 / self._rate / 10) * 10)  # ms; GIF counts hundredths, and shows < 20 ms slowly
        frames[0].save(self.path, save_all=True, append_images=frames[1:], duration=pause, loop=0, optimize=False)

    def _mp4(self) -> None:
        """Raw frames into ffmpeg's standard input."""
        assert self.size is not None
        words = ["ffmpeg", "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
        words += ["-s", f"{self.size[0]}x{self.size[1]}", "-r", f"{self._rate:g}", "-i", "-"]
        words += ["-an", "-pix_fmt", "yuv420p", "-movflags", "+faststart", str(self.path)]
        raw = b"".join(picture.tobytes() for picture in self._pictures())
        done = subprocess.run(words, input=raw, capture_output=True, check=False)
        if done.returncode:
            told = done.stderr.decode(errors="replace").strip().splitlines()
            raise UserError(f"ffmpeg could not write {self.path}: {(told or ['no reason given'])[-1]}")


def has_ffmpeg() -> bool:
    """Whether the program is there."""
    return shutil.which("ffmpeg") is not None


def _font() -> Any:
    """The type that matplotlib brings along."""
    import matplotlib as mpl
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), 13)
