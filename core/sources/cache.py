"""The one folder in which everything fetched is kept, under its sha256, safe against crashes and other processes.

    <cache>/objects/<sha256>/<name>     a verified file or folder, and beside it the stamp of its last check
    <cache>/parts/<key>                 a download under way, continued after a break
    <cache>/temp/<key>                  work of the process that holds the lock of that key
    <cache>/locks/<key>.lock

An entry appears by one rename, so there is never half of one. Its stamp holds sizes and times: as long as they are
the same the content is taken to be the same; if they differ it is hashed again, and fetched again if it is damaged.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import UserError
from .digest import Progress, files_below, sha256_of
from .errors import WrongHash

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENOENT, errno.ELOOP}


def cache_folder() -> Path:
    """Where fetched and converted files are kept: $TSUITE_CACHE, else $XDG_CACHE_HOME/tsuite, else ~/.cache/tsuite.

    Only a path: it may not exist yet.
    """
    if chosen := os.environ.get("TSUITE_CACHE"):
        return Path(chosen).expanduser().absolute()
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base).expanduser().absolute() / "tsuite"
    return Path("~/.cache/tsuite").expanduser().absolute()


@contextlib.contextmanager
def writing(folder: Path | None = None) -> Iterator[None]:
    """Turns a full disk or a folder that cannot be written into a `UserError` that names it and TSUITE_CACHE."""
    try:
        yield
    except OSError as error:
        place = folder or cache_folder()
        if error.errno in FULL:
            raise UserError(
                f"The disk that holds the cache {place} is full; nothing half-done was kept.",
                "Free some space, or set TSUITE_CACHE to a folder on another disk.",
            ) from error
        if error.errno in REFUSED:
            raise UserError(
                f"The cache folder {place} cannot be written: {error.strerror}.",
                "Set TSUITE_CACHE to a folder that you may write.",
            ) from error
        raise


def require_space(size: int) -> None:
    """Raise `UserError` when the cache's disk has fewer than `size` free bytes."""
    with writing():
        cache_folder().mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(cache_folder()).free
    if size > free:
        raise UserError(
            f"This needs {size / 1e6:,.0f} MB, and the disk that holds the cache {cache_folder()} "
            f"has {free / 1e6:,.0f} MB free.",
            "Free some space, or set TSUITE_CACHE to a folder on another disk.",
        )


@contextlib.contextmanager
def locked(key: str, progress: Progress, label: str) -> Iterator[None]:
    """Hold the lock of one cache key over all processes; waits for whoever has it."""
    from filelock import FileLock, Timeout

    path = cache_folder() / "locks" / f"{key}.lock"
    with writing():
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0.1)
        except Timeout:
            progress(0, None, f"waiting for another process that is fetching {label}")
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def workspace(key: str) -> Iterator[Path]:
    """An empty folder on the cache's disk, gone afterwards. The lock of `key` must be held."""
    folder = cache_folder() / "temp" / key
    with writing():
        shutil.rmtree(folder, ignore_errors=True)  # what a killed process left
        folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def part_path(key: str) -> Path:
    """Where the download called `key` grows until it is whole."""
    path = cache_folder() / "parts" / key
    with writing():
        path.parent.mkdir(parents=True, exist_ok=True)
    return path


def entry(sha256: str, name: str) -> Path | None:
    """The kept file or folder of that hash if it is there and whole, else None. Writes nothing but a new stamp."""
    path = _place(sha256, name)
    if not path.exists():
        return None
    return path if unchanged(path, sha256, _stamp_path(path), sha256_of) else None


def keep(sha256: str, name: str, label: str, produce: Callable[[Path], None], progress: Progress) -> Path:
    """The entry of that hash: the kept one, else what `produce(path)` writes, verified and moved into place.

    `produce` may make a file or a folder at `path`, or move one there. Two processes at once do the work once.
    Raises `WrongHash` if its hash is another, `UserError` if the cache cannot be written or its disk is full.
    """
    if found := entry(sha256, name):
        return found
    with locked(sha256, progress, label):
        if found := entry(sha256, name):
            return found
        with workspace(sha256) as work:
            fresh = work / "fresh"
            produce(fresh)
            if (digest := sha256_of(fresh)) != sha256:
                raise WrongHash(label, sha256, digest)
            target = _place(sha256, name)
            with writing():
                _remove(target)
                target.parent.mkdir(parents=True, exist_ok=True)
                _to_disk(fresh)
                os.replace(fresh, target)
                _to_disk(target.parent)
            unchanged(target, sha256, _stamp_path(target), lambda _: sha256)
    return target


def unchanged(path: Path, digest: str, stamp_path: Path, hash_path: Callable[[Path], str]) -> bool:
    """Whether `path` still has the content `digest`: at once if its stamp is the same, else by hashing it anew."""
    stamp = {"digest": digest, "files": _stamp(path)}
    with contextlib.suppress(OSError, ValueError):
        if json.loads(stamp_path.read_text(encoding="utf-8")) == stamp:
            return True
    if hash_path(path) != digest:
        return False
    # A cache that may only be read is still of use: then every use hashes again.
    with contextlib.suppress(OSError):
        stamp_path.parent.mkdir(parents=True, exist_ok=True)
        passing = stamp_path.with_name(f"{stamp_path.name}.{os.getpid()}")
        passing.write_text(json.dumps(stamp), encoding="utf-8")
        os.replace(passing, stamp_path)
    return True


def _stamp(path: Path) -> dict[str, list[int]]:
    """Size in bytes and time of change in nanoseconds of a file, or of every file below a folder."""
    files = files_below(path) if path.is_dir() else [path]
    facts = {file.relative_to(path).as_posix(): file.stat() for file in files}
    return {name: [fact.st_size, fact.st_mtime_ns] for name, fact in facts.items()}


def _place(sha256: str, name: str) -> Path:
    name = name.replace("/", "_").replace("\0", "_").strip()
    name = "content" if name in ("", ".", "..") else name
    while len(name.encode()) > 200:  # file systems take 255 bytes; the suffix, which readers look at, stays
        name = name[1:]
    return cache_folder() / "objects" / sha256 / name


def _stamp_path(path: Path) -> Path:
    return path.parent / f".stamp-{hashlib.sha256(path.name.encode()).hexdigest()[:16]}"


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    """Make sure that a power cut after the rename can't leave an entry with holes."""
    if path.is_dir() and any(path.iterdir()):
        os.sync()  # one call for thousands of files
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
