"""Bytes from a network into a file that grows, continued where an earlier attempt was cut off."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from .cache import require_space, writing
from .digest import Progress, sha256_file
from .errors import Unreachable, WrongHash

ATTEMPTS = 3


class Broken(Exception):
    """The connection ended before the last byte; another attempt continues from there."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A server's answer to a request for the bytes from some offset on; header names are lower case."""

    status: int
    headers: dict[str, str]
    chunks: Iterator[bytes]


Open = Callable[[int], AbstractContextManager[Reply]]
"""Ask for the bytes from an offset on. Raises `Broken` or OSError when the connection fails."""


def transfer(
    open_at: Open, part: Path, label: str, progress: Progress, *, sha256: str = "", most_bytes: int | None = None
) -> None:
    """Fill `part` to its last byte, going on from what it holds, and compare its `sha256` (empty: not known).

    Raises `Unreachable` when the network fails `ATTEMPTS` times without a byte of progress (`part` is kept for the
    next time), and with `part` removed `WrongHash`, or `UserError` when the server refuses, the disk is full or there
    are more than `most_bytes`.
    """
    continued = _size(part) > 0
    _fill(open_at, part, label, progress, most_bytes)
    if not sha256:
        return
    if continued and sha256_file(part) != sha256:
        # The beginning may be that of a file which has changed since: once more from the first byte.
        part.unlink()
        _fill(open_at, part, label, progress, most_bytes)
    if (found := sha256_file(part)) != sha256:
        part.unlink()
        raise WrongHash(label, sha256, found)


def _fill(open_at: Open, part: Path, label: str, progress: Progress, most_bytes: int | None) -> None:
    failures, reached = 0, -1
    while error := _attempt(open_at, part, label, progress, most_bytes):
        failures = failures + 1 if _size(part) <= reached else 1
        reached = _size(part)
        if failures >= ATTEMPTS or (reached == 0 and not isinstance(error, Broken)):
            raise Unreachable(f"{label} cannot be reached: {reason(error)}.", advice(error)) from error
        time.sleep(0.2 * failures)


def _attempt(open_at: Open, part: Path, label: str, progress: Progress, most_bytes: int | None) -> Exception | None:
    """One request for what is missing; returns the failure of the connection, if any."""
    try:
        with open_at(_size(part)) as reply:
            _receive(reply, part, label, progress, most_bytes)
    except (Broken, OSError) as error:
        return error
    return None


def _receive(reply: Reply, part: Path, label: str, progress: Progress, most_bytes: int | None) -> None:
    """Append one answer to `part`; raises `Broken` when it ends early."""
    have = _size(part)
    if reply.status == 416 and have:  # nothing after the offset: whole already, or another file by now; the hash tells
        return
    check_status(reply.status, label)
    start, total = _range(reply, have)
    if start != have:  # the server sends from the beginning, whatever was asked for
        start = 0
    if most_bytes is not None and (total or 0) > most_bytes:
        raise UserError(f"{label} is refused: it has {total:,} bytes, and {most_bytes:,} were declared.")
    require_space((total or start) - start)
    done = start
    with _appending(part, start) as write:
        for chunk in reply.chunks:
            done += len(chunk)
            if most_bytes is not None and done > most_bytes:
                raise UserError(f"{label} is refused: it has more than the {most_bytes:,} bytes that were declared.")
            write(chunk)
            progress(done, total, label)
    if total is not None and done < total:
        raise Broken(f"it ended after {done:,} of {total:,} bytes")


@contextlib.contextmanager
def _appending(part: Path, start: int) -> Iterator[Callable[[bytes], None]]:
    """A function that writes to `part` from `start` on; `part` is removed on a full disk or any other `UserError`."""

    def write(chunk: bytes) -> None:
        rest = memoryview(chunk)
        with writing():
            while rest:
                rest = rest[file.write(rest) :]

    try:
        with writing():
            file = open(part, "ab" if start else "wb", buffering=0)  # noqa: SIM115
        with file:
            yield write
            with writing():
                os.fsync(file.fileno())
    except UserError:
        part.unlink(missing_ok=True)
        raise


def _range(reply: Reply, have: int) -> tuple[int, int | None]:
    """The offset of the first byte that comes and the size of the whole in bytes (None: not said)."""
    if reply.status == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", reply.headers.get("content-range", "").strip())
        if not match or int(match[1]) != have:
            raise UserError("A server answered with another part of the file than was asked for.", "Try again.")
        return have, None if match[2] == "*" else int(match[2])
    length = reply.headers.get("content-length", "")
    # A compressed body has another length than the file
    plain = reply.headers.get("content-encoding", "identity") == "identity"
    return 0, int(length) if length.isdigit() and plain else None


def check_status(status: int, label: str) -> None:
    """Raise `Unreachable` where waiting or another network may help, `UserError` where only another address does."""
    if status in (200, 206):
        return
    if status in (401, 403, 407, 408, 425, 429, 451) or status >= 500:
        raise Unreachable(
            f"{label} cannot be reached: the server or a proxy in between answered {status}.",
            "Try again later, or from another network.",
        )
    raise UserError(f"{label} cannot be fetched: the server answered {status}.", "Check the address.")


def _size(part: Path) -> int:
    try:
        return part.stat().st_size
    except FileNotFoundError:
        return 0


def is_network(error: BaseException) -> bool:
    """Whether an exception of an HTTP library, whichever it is built on, tells of a connection that failed."""
    libraries = {"httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3"}
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in libraries


def reason(error: BaseException) -> str:
    """Why a connection failed, in a few words."""
    cause = getattr(error, "reason", None) or error
    text = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return re.sub(r"^\[[^\]]*\]\s*", "", str(text)).rstrip(".")


def advice(error: BaseException) -> str:
    """What to try about a failed connection."""
    if "certificate" in str(error).lower():
        return "If your network has its own certificates, set SSL_CERT_FILE to the file that holds them."
    return "Check the network and the proxy settings, then try again: what has arrived is kept."


def certificates(*files: str | None) -> ssl.SSLContext:
    """A context that checks servers against the system's certificates (SSL_CERT_FILE, SSL_CERT_DIR) and `files`.

    The variables by which pip and its kin name a file of certificates count too.
    """
    context = ssl.create_default_context()
    variables = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    for name in dict.fromkeys([*files, *(os.environ.get(variable) for variable in variables)]):
        if not name:
            continue
        place = Path(name).expanduser()
        try:
            context.load_verify_locations(**({"capath": str(place)} if place.is_dir() else {"cafile": str(place)}))
        except (OSError, ssl.SSLError) as error:
            raise UserError(f"The file of certificates {name} cannot be read: {reason(error)}.") from error
    if not context.cert_store_stats()["x509_ca"] and not os.environ.get("SSL_CERT_DIR"):
        with contextlib.suppress(ImportError):  # some Pythons come without any
            context.load_verify_locations(cafile=importlib.import_module("certifi").where())
    return context
