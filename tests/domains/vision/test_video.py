"""Frames of films: times, turns, fields, depths, damage; and of a camera: always the newest, also after it was gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from operator import length_hint
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from tsuite.core import feed as feeds
from tsuite.core.errors import UserError
from tsuite.domains.vision import video
from tsuite.domains.vision.video import WAITING, Frames

from .films import Camera, film, grey

CORNERS = np.zeros((48, 64, 3), np.uint8)  # red, green
CORNERS[:24, :32], CORNERS[:24, 32:], CORNERS[24:, :32] = (255, 0, 0), (0, 255, 0), (0, 0, 255)  # blue, black


def opened(path: Any, fit: Callable[[Image.Image], Image.Image] = lambda image: image, **options: Any) -> Frames:
    return Frames(str(path), fit=fit, **options)


def damaged(folder: Path, which: slice) -> Path:
    """A film of 20 frames, some of them overwritten with zeros."""
    noise = np.random.default_rng(0).integers(0, 255, (20, 48, 64, 3)).astype(np.uint8)
    path = film(folder / "film.mkv", noise, codec="mjpeg", pixels="yuvj420p")
    with av.open(str(path)) as container:
        places = [(packet.pos or 0, packet.size) for packet in container.demux() if packet.size]
    content = bytearray(path.read_bytes())
    for start, size in places[which]:
        content[start + 50 : start + size] = bytes(size - 50)
    path.write_bytes(bytes(content))
    return path


def shade(image: Image.Image) -> float:
    return float(np.asarray(image).mean())


def corners(image: Image.Image) -> str:
    """The colours of the four corners, row by row."""
    pixels, (width, height) = np.asarray(image).astype(int), image.size
    places = [(y, x) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]
    return "".join("rgbk"[int(np.argmax([*pixels[place], 100]))] for place in places)


def test_a_film_gives_each_frame_once_with_its_time(tmp_path: Path) -> None:
    frames = opened(film(tmp_path / "film.mp4", [grey(5 * number) for number in range(30)]))
    assert length_hint(frames) == 30
    found = list(frames)
    assert [shade(item.image) for item in found] == pytest.approx([5 * number for number in range(30)], abs=3)
    assert [item.time for item in found] == pytest.approx([number / 25 for number in range(30)])
    assert found[7].id == f"{tmp_path}/film.mp4@0.280s"
    assert not frames.live
    assert (frames.counts()["seen"], frames.counts()["dropped"], frames.notices) == (30, 0, [])


def test_a_variable_rate(tmp_path: Path) -> None:
    times = [0, 40, 60, 500, 520, 1000]  # ms
    path = film(tmp_path / "phone.mkv", [grey(40 * number) for number in range(6)], rate=1000, times=times)
    assert [item.time for item in opened(path)] == pytest.approx([number / 1000 for number in times])
    assert [item.time for item in opened(path, fps=4)] == pytest.approx([0, 0.5, 1.0])


@pytest.mark.parametrize(("fps", "count"), [(5, 10), (25, 50), (1000, 50), (0.5, 1), (7, 14)])
def test_so_many_a_second(tmp_path: Path, fps: float, count: int) -> None:
    path = film(tmp_path / "film.mp4", [grey(0) for _ in range(50)])
    frames = opened(path, fps=fps)
    assert abs(length_hint(frames) - count) <= 1
    assert len(list(frames)) == count


def test_only_the_first_ones(tmp_path: Path) -> None:
    frames = opened(film(tmp_path / "film.mp4", [grey(0) for _ in range(50)]), most=7)
    assert length_hint(frames) == 7
    assert len(list(frames)) == 7
    assert not frames.feed._thread.is_alive()


@pytest.mark.parametrize(
    ("turn", "seen"),
    [
        ({}, "rgbk"), ({"rotation": 90}, "gkrb"), ({"rotation": 180}, "kbgr"), ({"rotation": -90}, "brkg"),
        ({"mirror": True}, "grkb"), ({"rotation": 90, "mirror": True}, "kgbr"),
    ],
)  # fmt: skip
def test_a_phone_held_any_way(tmp_path: Path, turn: dict[str, Any], seen: str) -> None:
    first = next(iter(opened(film(tmp_path / "phone.mp4", [CORNERS] * 2, **turn))))
    assert corners(first.image) == seen
    assert first.image.size == ((48, 64) if turn.get("rotation") in (90, -90) else (64, 48))


def test_of_interlaced_frames_one_field(tmp_path: Path) -> None:
    comb = grey(0)
    comb[1::2] = 255  # another moment in every other line
    frames = opened(film(tmp_path / "tv.mpg", [comb] * 5, codec="mpeg2video", interlaced=True))
    image = list(frames)[2].image
    assert image.size == (64, 48)
    assert shade(image) < 60  # between the two it would be 128
    assert np.asarray(image).std() < 20


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    assert next(iter(opened(film(tmp_path / "dv.mkv", [CORNERS] * 2, aspect=(2, 1))))).image.size == (128, 48)


@pytest.mark.parametrize(
    ("codec", "pixels"),
    [("libx264", "yuv420p10le"), ("libx264", "yuv444p"), ("ffv1", "gbrp10le"), ("ffv1", "yuva420p"), ("ffv1", "bgr0"),
     ("mjpeg", "yuvj422p"), ("prores_ks", "yuv422p10le")],
)  # fmt: skip
def test_pixels_of_other_kinds(tmp_path: Path, codec: str, pixels: str) -> None:
    path = film(tmp_path / "film.mkv", [CORNERS] * 3, codec=codec, pixels=pixels, strict="unofficial")
    assert [corners(item.image) for item in opened(path)] == ["rgbk"] * 3


def test_grey_pixels_and_an_odd_size(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mkv", [grey(200, (63, 47))] * 3, codec="ffv1", pixels="gray")
    (first, *_) = opened(path)
    assert first.image.size == (63, 47)
    assert shade(first.image) == pytest.approx(200, abs=2)


def test_damaged_frames_are_left_out_and_counted(tmp_path: Path) -> None:
    frames = opened(damaged(tmp_path, slice(5, 9)))
    assert len(list(frames)) == 16
    assert frames.damaged == 4


def test_a_film_of_damage_alone_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "MOST_DAMAGED", 5)
    with pytest.raises(UserError, match="damaged: 5 frames on end"):
        list(opened(damaged(tmp_path, slice(3, 20))))


def test_a_film_cut_short_says_so(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mkv", [grey(number) for number in range(100)], codec="mjpeg", pixels="yuvj420p")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames = opened(path)
    assert 30 < len(list(frames)) < 70
    (notice,) = frames.notices
    assert "of 4.0 s: the film is cut short" in notice


def test_what_holds_no_pictures(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    film(path, [grey(1)] * 20)
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(UserError, match=r"film.mp4 cannot be read"):
        opened(path)


def test_a_long_film_is_not_held_in_memory(tmp_path: Path) -> None:
    frames = opened(film(tmp_path / "film.mp4", [grey(0)] * 60))
    for item in frames:
        time.sleep(0.002)
        seen = round(item.time * 25) + 1
        assert frames.counts()["seen"] - seen <= WAITING + 1


# -- a camera ---------------------------------------------------------------------------------------------------------


def test_a_slow_taker_gets_the_newest_frame() -> None:
    with Camera(rate=50) as camera:
        frames = opened(camera.url, most=8)
        assert frames.live
        start, ages = None, []
        for item in frames:
            start = item.taken if start is None else start
            time.sleep(0.07)  # the model: three frames and a half
            ages.append(time.monotonic() - item.taken)
    counts = frames.counts()
    assert max(ages) < 0.07 + 2 / 50 + 0.1  # one look, one frame and the machine's trembling: it does not queue
    assert counts["dropped"] >= 10
    assert 8 <= counts["seen"] - counts["dropped"] <= 10  # two may have come when nobody looked any more
    assert not frames.feed._thread.is_alive()


@pytest.mark.slow
def test_a_camera_that_is_unplugged_and_plugged_in_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "FIRST_WAIT", 0.1)
    told: list[str] = []
    with Camera() as camera:
        frames = opened(camera.url, reconnect=1.5, tell=told.append)
        threading.Timer(0.5, camera.stop).start()
        threading.Timer(1.0, camera.start).start()
        threading.Timer(2.0, camera.stop).start()
        times: list[float] = []
        with pytest.raises(UserError, match=r"has been gone for 1.5 s \(cannot be read: Connection refused\)"):
            times.extend(item.time for item in frames)
    assert frames.counts()["reconnects"] == 1
    assert [("is gone" in text, "is back" in text) for text in told] == [(True, False), (False, True), (True, False)]
    gaps = np.diff(times)
    assert (gaps > 0.3).sum() == 1  # times go on through the gap
    assert not frames.feed._thread.is_alive()


def test_a_film_on_a_server_is_a_film(tmp_path: Path) -> None:
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    film(tmp_path / "film.mp4", [grey(2 * number) for number in range(30)])

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(tmp_path))

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        frames = opened(f"http://127.0.0.1:{server.server_address[1]}/film.mp4")
        assert not frames.live
        assert len(list(frames)) == 30
        server.shutdown()
