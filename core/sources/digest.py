"""Hashes of files and folders, and how progress is reported."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Protocol

CHUNK = 1 << 20
"""Bytes read, written and hashed at a time."""


class Progress(Protocol):
    """Called now and then during long work: bytes done, bytes in all (None: not known) and what is being fetched."""

    def __call__(self, done: int, total: int | None, label: str, /) -> None: ...


def silent(done: int, total: int | None, label: str, /) -> None:
    """The progress report that nobody reads."""


_listener: ContextVar[Progress] = ContextVar("listener", default=silent)


@contextmanager
def reporting_to(progress: Progress) -> Iterator[None]:
    """Whatever is fetched inside, however deep, tells `progress`, unless the fetch was given another."""
    token = _listener.set(progress)
    try:
        yield
    finally:
        _listener.reset(token)


def listener(progress: Progress | None) -> Progress:
    """Who is told: `progress` where it is given, else who `reporting_to` named, else nobody."""
    return progress or _listener.get()


def sha256_file(path: str | Path) -> str:
    """The sha256 of a file's bytes, as 64 lower-case hexadecimal digits."""
    return _hash(path, hashlib.sha256())


def git_blob_file(path: str | Path) -> str:
    """The id that git gives a file (40 hexadecimal digits): how the model hub names its small files."""
    size = Path(path).stat().st_size
    return _hash(path, hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False))


def _hash(path: str | Path, state: hashlib._Hash) -> str:
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            state.update(chunk)
    return state.hexdigest()


def tree_sha256(folder: str | Path) -> str:
    """One sha256 for a folder: that of its sorted lines `<sha256 of file>  <relative path>\\n`.

    The same as `find -type f -printf '%P\\n' | xargs -d '\\n' sha256sum | LC_ALL=C sort | sha256sum` inside it.
    Empty folders, times and permissions do not count.
    """
    root = Path(folder)
    lines = sorted(f"{sha256_file(path)}  {path.relative_to(root).as_posix()}\n" for path in files_below(root))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def sha256_of(path: Path) -> str:
    """`sha256_file` of a file, `tree_sha256` of a folder."""
    return tree_sha256(path) if path.is_dir() else sha256_file(path)


def files_below(folder: Path) -> list[Path]:
    """Every file below `folder`, in order; symbolic links to files count, links to folders are not followed."""
    return sorted(path for path in folder.rglob("*") if path.is_file())
