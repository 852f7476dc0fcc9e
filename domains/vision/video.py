"""Frames of a film, a camera or a stream, one by one as examples: nothing is ever held but what is being looked at.

    source --reader: decode, thin out--> Feed --taker: upright, in colour, fitted--> FrameExample

A film waits for the model, and each of its frames is seen once. A camera does not wait: while the model looks at one
frame the next takes the place of the last, so that what it looks at is never older than one look. Decoding costs less
than turning a frame into a picture, so only what is taken is turned.
"""

from __future__ import annotations

import csv
import struct
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...core.errors import UserError
from ...core.feed import Feed
from ...core.media import is_live, opened, place
from ...core.task import Example, Summary
from .classify import Prediction
from .pixels import MAX_PIXELS

WAITING = 4
"""Frames of a film that are decoded ahead."""
MOST_DAMAGED = 250
"""So many damaged frames on end are no film any more."""


@dataclass(frozen=True, kw_only=True)
class FrameExample(Example):
    """One frame: `image` as Preprocessing.fit gives it, for a batch of whole 4K frames would take a gigabyte.

    time: seconds since the source began. taken: the monotonic clock when it was decoded.
    """

    image: Image.Image
    time: float
    taken: float
    label: None = None


@dataclass(frozen=True, kw_only=True)
class FramePrediction(Prediction):
    """The likeliest labels of a frame `time` seconds after the source began."""

    time: float

    def to_json(self) -> dict[str, Any]:
        shown = super().to_json()
        return {"id": shown.pop("id"), "time": round(self.time, 3), **shown}


@dataclass(frozen=True, kw_only=True)
class Shot:
    """A decoded frame before it is a picture; `aspect` is its pixels' width over their height."""

    frame: Any
    aspect: float
    time: float
    taken: float


class Frames:
    """The frames of `source`, to be iterated once. Opened at once: UserError where that cannot be.

    fit: from a picture to what the network takes. fps: at most so many frames a second of the source's own time (0: all
    of them). most: ends after so many (0: with the source). reconnect: seconds to go on trying a live source.
    tell: gets a sentence on what happens meanwhile; it may be called from another thread.

    live: whether the source goes on while nobody reads. damaged: frames that could not be decoded and were left out.
    """

    def __init__(
        self,
        source: str,
        *,
        fit: Callable[[Image.Image], Image.Image],
        fps: float = 0.0,
        most: int = 0,
        reconnect: float = 60.0,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.place, self.fit, self.fps, self.most = place(source), fit, fps, most
        self.damaged = 0
        self.notices: list[str] = []
        self._start = time.monotonic()
        self._opened = ExitStack()
        container = self._opened.enter_context(opened(self.place, "vision"))
        self._streams: list[Any] = [self._stream(container)]
        self.live = is_live(self.place, container)
        self.seconds = container.duration / 1e6 if container.duration and not self.live else None
        self.feed = Feed(
            self._read,
            name=self.place.name,
            live=self.live,
            room=1 if self.live else WAITING,
            reconnect=reconnect,
            tell=tell,
        )

    def __length_hint__(self) -> int:
        """About how many there are, for a progress bar; 0 where nobody knows."""
        rate = float(self._streams[0].average_rate or 0) if self._streams else 0.0
        count = round((self.seconds or 0) * (min(self.fps, rate) if self.fps else rate))
        return min(self.most, count) if self.most and count else self.most or count

    def __iter__(self) -> Iterator[FrameExample]:
        with self.feed as feed:
            for number, shot in enumerate(feed, 1):
                yield self.example(shot)
                if number == self.most:
                    return

    def close(self) -> None:
        """Close a source that was never read."""
        self._opened.close()

    def example(self, shot: Shot) -> FrameExample:
        """A decoded frame as the model takes it."""
        name = f"{self.place.name}@{shot.time:.3f}s"
        image = self.fit(upright(shot.frame, name, shot.aspect))
        return FrameExample(id=name, image=image, time=shot.time, taken=shot.taken)

    def counts(self) -> dict[str, Any]:
        """What happened to the source, as plain data."""
        feed = self.feed
        return {
            "source": self.place.name,
            "live": self.live,
            "seen": feed.seen,
            "dropped": feed.dropped,
            "damaged": self.damaged,
            "reconnects": feed.reconnects,
        }

    # -- in the reader's thread ---------------------------------------------------------------------------------------

    def _read(self) -> Generator[Shot, None, None]:
        """Open the source, the first time that is done already, and give what is due until it ends."""
        with self._opened.pop_all() as held:
            stream = self._streams.pop() if self._streams else None
            if stream is None:
                stream = self._stream(held.enter_context(opened(self.place, "vision")))
            near = 0.5 / max(self.fps, float(stream.average_rate or 25))  # seconds: arrivals tremble around their time
            due = last = None
            aspect = min(4.0, max(0.25, float(stream.sample_aspect_ratio or 1)))
            for frame in self._decoded(stream):
                now = time.monotonic()
                last = now - self._start if self.live else self._time(frame, stream, last)
                if self.fps:
                    if due is not None and last < due - near:
                        continue
                    due = (last if due is None else max(due, last - near)) + 1 / self.fps
                yield Shot(frame=frame, aspect=aspect, time=last, taken=now)
            if last is None:
                raise UserError(f"{self.place.name} gives no picture that can be decoded.")
            if self.seconds is not None and last < self.seconds - max(1.0, 0.02 * self.seconds):
                self.notices.append(f"it ends after {last:.1f} s of {self.seconds:.1f} s: the film is cut short")

    def _stream(self, container: Any) -> Any:
        if not container.streams.video:
            raise UserError(f"There are no pictures in {self.place.name}.")
        stream = container.streams.video[0]
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        return stream

    def _decoded(self, stream: Any) -> Iterator[Any]:
        """Whole frames; damaged ones are counted."""
        from av.error import EOFError as Ended
        from av.error import InvalidDataError

        packets, bad = stream.container.demux(stream), 0
        while bad <= MOST_DAMAGED:
            try:
                frames = next(packets).decode()
            except (StopIteration, Ended):
                return
            except InvalidDataError:
                packets = stream.container.demux(stream)  # the one that failed has ended
                frames = [None]
            for frame in frames:
                if frame is None or frame.is_corrupt:
                    self.damaged, bad = self.damaged + 1, bad + 1
                else:
                    bad = 0
                    yield frame
        raise UserError(f"{self.place.name} is damaged: {MOST_DAMAGED} frames on end cannot be decoded.")

    def _time(self, frame: Any, stream: Any, last: float | None) -> float:
        """Seconds since a film began, by the frame's own time where it has one."""
        if frame.pts is not None and frame.time_base:
            return max(0.0, float((frame.pts - (stream.start_time or 0)) * frame.time_base))
        return 0.0 if last is None else last + 1 / float(stream.average_rate or 25)


# -- from a frame to a picture ----------------------------------------------------------------------------------------


def upright(frame: Any, name: str, aspect: float = 1.0) -> Image.Image:
    """A decoded frame, of whatever pixel format and depth, as an RGB picture the way it is meant to be seen; `aspect`
    is its pixels' width over their height.

    Of an interlaced frame one field is taken: the other is of another moment, and the comb between the two is an edge
    that no picture has. UserError, with `name` in it, for pixels that cannot be turned into colours.
    """
    from av.error import FFmpegError

    try:
        pixels = frame.to_ndarray(format="rgb24")  # [height, width, 3]
    except (FFmpegError, ValueError) as error:
        raise UserError(
            f"{name} has pixels ({frame.format.name}) that cannot be turned into colours: {error}"
        ) from None
    height, width = pixels.shape[0], max(1, round(pixels.shape[1] * aspect))
    if frame.interlaced_frame and height >= 4:
        pixels = pixels[::2]
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is not None:
        pixels, (height, width) = turned(pixels, bytes(matrix), (height, width))
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return image if image.size == (width, height) else image.resize((width, height), Image.Resampling.BILINEAR)


def turned(pixels: np.ndarray, matrix: bytes, size: tuple[int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    """`pixels` and their size (height, width) by a display matrix: quarter turns and mirrors, as phones write them.

    The nine numbers a b u c d v x y w take (p, q) to (a p + c q, b p + d q), x to the right and y down.
    """
    a, b, _, c, d, *_ = struct.unpack("=9i", matrix[:36])
    if abs(b) > abs(a):  # a quarter turn: rows become columns
        pixels, size = pixels.swapaxes(0, 1), (size[1], size[0])
        a, d = c, b
    return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1], size


# -- what comes of it -------------------------------------------------------------------------------------------------


def summarise(results: Sequence[Prediction], frames: Frames, unlike: float) -> Summary:
    """What happened to the source, and how many frames are further from the training data than `unlike`."""
    strange = sum(1 for result in results if result.unlikeness is not None and result.unlikeness > unlike)
    told = {"notices": frames.notices} if frames.notices else {}
    return Summary(conduct={"source": {**frames.counts(), "unfamiliar": strange, **told}})


def save_csv(results: Sequence[Prediction], path: Path) -> Path:
    """A table of each frame's time, its best label and that label's probability."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["seconds", "label", "probability"])
        for result in results:
            assert isinstance(result, FramePrediction)
            best = result.labels[0]
            writer.writerow([f"{result.time:.3f}", best.name, f"{best.probability:.6f}"])
    return path
