"""`https://…#sha256`: one file from a web server, continued after a break and verified."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from ..errors import UserError
from .cache import part_path
from .digest import CHUNK, Progress
from .transfer import Broken, Reply, certificates, transfer

TIMEOUT = 20.0
"""Seconds without a byte after which a connection counts as broken."""


class _RefusePlain(urllib.request.BaseHandler):
    """Stands where the handler of plain http would: a redirect may not lead away from https."""

    def http_open(self, request: urllib.request.Request) -> None:
        raise UserError(f"The address leads on to {request.full_url}, without https, which is refused.")

    ftp_open = http_open


def build_opener() -> urllib.request.OpenerDirector:
    """An opener for https alone that honours the proxy variables and the machine's certificates."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPSHandler(context=certificates()),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        _RefusePlain(),
    ):
        opener.add_handler(handler)
    return opener


def download(url: str, target: Path, *, sha256: str, progress: Progress, most_bytes: int | None = None) -> None:
    """Fetch `url` and move it to `target` once it is whole and its hash is `sha256` (empty: whatever it is).

    Raises `Unreachable`, `WrongHash` or `UserError`; a broken download stays in the cache and is continued next time.
    """
    opener = build_opener()
    part = part_path(hashlib.sha256(f"{url}#{sha256}".encode()).hexdigest())
    label = url.rpartition("/")[2].partition("?")[0] or url

    @contextlib.contextmanager
    def open_at(start: int) -> Iterator[Reply]:
        headers = {"User-Agent": "tsuite", "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        request = urllib.request.Request(url, headers=headers)
        try:
            response = opener.open(request, timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            response = error  # an answer all the same: its status is judged with the others
        except http.client.HTTPException as error:
            raise Broken(str(error) or type(error).__name__) from error
        with response:
            names = {name.lower(): value for name, value in response.headers.items()}
            yield Reply(status=response.status or 0, headers=names, chunks=_chunks(response))

    transfer(open_at, part, label, progress, sha256=sha256, most_bytes=most_bytes)
    part.replace(target)


def _chunks(response: http.client.HTTPResponse | urllib.error.HTTPError) -> Iterator[bytes]:
    try:
        while chunk := response.read(CHUNK):
            yield chunk
    except http.client.HTTPException as error:
        raise Broken(str(error) or type(error).__name__) from error
