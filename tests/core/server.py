"""A web server on this machine, and a cache of its own for each test that fetches from it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

COMMIT = "c" * 40


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Server:
    """A web server on this machine: `pages` maps a path to its bytes; every request is noted with its Range."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.seen: list[tuple[str, str, str]] = []
        self.cut_after: int | None = None  # bytes after which the next answer breaks off
        self.pause = 0.0  # seconds between pieces of an answer
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            do_HEAD = do_GET

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.partition("?")[0]
        wanted = request.headers.get("Range", "")
        self.seen.append((request.command, path, wanted))
        content = self.pages.get(path)
        if content is None:
            request.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
        if wanted and start >= len(content):
            request.send_error(416)
            return
        request.send_response(206 if wanted else 200)
        request.send_header("Content-Length", str(len(content) - start))
        if wanted:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        for name, value in self.headers.get(path, {"Content-Type": "text/html"}).items():
            request.send_header(name, value)
        request.end_headers()
        if request.command == "HEAD":
            return
        body = content[start:]
        if self.cut_after is not None:
            body, self.cut_after = body[: self.cut_after], None
        with contextlib.suppress(OSError):
            for piece in range(0, len(body), 1 << 16):
                request.wfile.write(body[piece : piece + (1 << 16)])
                time.sleep(self.pause)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith(("PIP_", "HF_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TSUITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return tmp_path / "cache"


def kept(cache: Path) -> list[str]:
    """Names of the files in the cache, apart from locks and stamps."""
    files = (path for path in cache.rglob("*") if path.is_file())
    return sorted(path.name for path in files if path.suffix != ".lock" and not path.name.startswith(".stamp"))
