"""Small films, made here with PyAV, and a camera of the kind that serves its pictures over HTTP at real pace."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
import time
from collections.abc import Iterable, Sequence
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from .pictures import digits


def grey(value: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    """A frame [height, width, 3] of one grey: what it is can be read from it again."""
    return np.full((size[1], size[0], 3), value, np.uint8)


def film(
    path: Path,
    frames: Iterable[np.ndarray],
    *,
    codec: str = "mpeg4",
    pixels: str = "yuv420p",
    rate: int = 25,
    times: Sequence[int] | None = None,
    rotation: int = 0,
    mirror: bool = False,
    interlaced: bool = False,
    aspect: tuple[int, int] | None = None,
    **options: str,
) -> Path:
    """Write frames [height, width, 3]; `times` are in units of 1 / rate seconds where they are not 0, 1, 2 …"""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=rate)
        for number, pixels_of in enumerate(frames):
            if number == 0:
                stream.height, stream.width = pixels_of.shape[:2]
                stream.pix_fmt, stream.options, stream.bit_rate = pixels, options, 4_000_000
                if rotation or mirror:
                    stream.set_display_rotation(rotation, hflip=mirror)
                if aspect:
                    stream.sample_aspect_ratio = Fraction(*aspect)
                if interlaced:
                    stream.codec_context.flags |= 0x00040000 | 0x20000000  # of FFmpeg: ILDCT, ILME
            frame = av.VideoFrame.from_ndarray(pixels_of, format="rgb24")
            frame.pts = times[number] if times else number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def digit_film(path: Path, labels: Sequence[int], *, per: int = 5, **options: Any) -> Path:
    """Each label's first handwritten digit for `per` frames."""
    images, truth = digits()
    chosen = [np.asarray(images[truth.index(label)].resize((64, 64)).convert("RGB")) for label in labels]
    return film(path, [image for image in chosen for _ in range(per)], **options)


class Camera:
    """A camera at `url` that serves `multipart/x-mixed-replace` JPEGs, as cameras do: frame n of a connection is shown
    n / rate seconds after its begin, whether it is read or not, and is as grey as the time is late: 2 a frame.

    `stop` cuts its cable, `start` puts it back in.
    """

    def __init__(self, rate: float = 25.0, *, size: tuple[int, int] = (64, 48), port: int = 0) -> None:
        self.rate, self.size, self.port = rate, size, port
        self.clients: list[socket.socket] = []
        self.served = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/stream"

    def start(self) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.clients.append(self.connection)
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                try:
                    outer.serve(self.wfile)
                except OSError:
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.on = True
        ThreadingHTTPServer.allow_reuse_address = True
        self.http = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.http.daemon_threads = True
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def serve(self, file: Any) -> None:
        start, number = time.monotonic(), 0
        while self.on:
            time.sleep(max(0.0, start + number / self.rate - time.monotonic()))
            stream = io.BytesIO()
            Image.fromarray(grey(min(255, 2 * number), self.size)).save(stream, "JPEG", quality=95)
            content = stream.getvalue()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(content)}\r\n\r\n"
            file.write(head.encode() + content + b"\r\n")
            number += 1
            self.served += 1

    def stop(self) -> None:
        self.on = False
        self.http.shutdown()
        self.http.server_close()
        for client in self.clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        self.clients.clear()

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *error: Any) -> None:
        self.stop()
