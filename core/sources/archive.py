"""Take named members out of a zip or tar archive as plain bytes. Nothing else of the archive is touched, or ever run.

Refused: paths that lead outside, symbolic and hard links, devices, the same name twice, more bytes than declared.
"""

from __future__ import annotations

import contextlib
import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..errors import UserError, near
from .cache import require_space, writing
from .digest import CHUNK, Progress
from .errors import NoSuchMember

DAMAGED = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError, RuntimeError)
"""What reading a damaged archive raises; RuntimeError is what zipfile says of an encrypted or unknown compression."""

MOST_BYTES = 64 << 30
MOST_FILES = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One member of an archive: its name with '/' between parts, its declared size in bytes, what it is."""

    name: str
    size: int
    kind: str  # "file", "folder" or what it is instead ("a symbolic link to …")
    open: Callable[[], contextlib.AbstractContextManager[IO[bytes]]]


def check_member(path: str) -> str:
    """`path` without leading './' and '/'; raises `UserError` if it leads outside of its archive."""
    clean = path
    while clean.startswith(("/", "./")):
        clean = clean.removeprefix("./").lstrip("/")
    parts = clean.removesuffix("/").split("/")
    if any(part in ("", ".", "..") for part in parts) or "\\" in clean or "\0" in clean:
        raise UserError(f"The path {path!r} inside an archive is refused: it is empty or leads outside.")
    return clean


@contextlib.contextmanager
def open_archive(path: Path) -> Iterator[Iterable[Entry]]:
    """The entries of a wheel, zip or tar file; raises `UserError` if it is none of them or damaged."""
    try:
        # By its name: a tar file may well end in the bytes of a zip
        if path.suffix.lower() in (".whl", ".zip", ".egg"):
            with zipfile.ZipFile(path) as archive:
                yield [_zip_entry(archive, info) for info in archive.infolist()]
        else:
            with tarfile.open(path, "r:*") as archive:
                yield tar_entries(archive)
    except DAMAGED as error:
        raise UserError(f"The archive {path.name} cannot be read: {error}.") from error


def _zip_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Entry:
    mode = info.external_attr >> 16
    kind = "folder" if info.is_dir() else "file"
    if stat.S_IFMT(mode) and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        kind = "a symbolic link" if stat.S_ISLNK(mode) else "a special file"
    # orig_filename: what the archive says, before zipfile cuts a name at a NUL
    return Entry(name=info.orig_filename, size=info.file_size, kind=kind, open=lambda: archive.open(info))


def tar_entries(archive: tarfile.TarFile) -> Iterator[Entry]:
    """The entries of an open tar file in order; of a streamed one, each must be used before the next is asked for."""
    for member in archive:
        kind = "file" if member.isreg() else "folder" if member.isdir() else "a special file"
        if member.issym() or member.islnk():
            kind = f"a link to {member.linkname}"

        def content(member: tarfile.TarInfo = member) -> IO[bytes]:
            file = archive.extractfile(member)
            if file is None:
                raise UserError(f"The member {member.name} has no content.")
            return file

        yield Entry(name=member.name, size=member.size, kind=kind, open=content)


def extract(
    entries: Iterable[Entry],
    member: str,
    target: Path,
    *,
    label: str,
    progress: Progress,
    most_bytes: int | None = None,
    roots: Callable[[str], tuple[str, ...]] = lambda name: (name,),
) -> None:
    """Write the member to `target`; one that ends in '/' becomes a folder with everything below it.

    `roots(name)` gives the names under which an entry may be asked for (a source archive wraps all in one folder).
    `most_bytes` is the declared size: more is refused. Raises `NoSuchMember` or `UserError`; what it wrote by then
    lies below `target` and is the caller's to remove.
    """
    folder, member = member.endswith("/"), check_member(member)
    limit = MOST_BYTES if most_bytes is None else most_bytes
    unpacking = f"unpacking {label}"
    seen: set[str] = set()
    written, taken = 0, 0
    for item in entries:
        place = next((name for name in roots(_plain(item.name)) if _wanted(name, member, folder)), None)
        if place is None:
            seen.add(_plain(item.name))
            continue
        check_member(item.name)
        inside = place[len(member) :] if folder else ""
        if item.kind == "folder":
            if not folder:
                raise NoSuchMember(f"{label} is a folder.", f"Write {member}/, with a slash, to take all of it.")
            continue
        if item.kind != "file":
            raise UserError(f"The member {item.name} is refused: it is {item.kind}, not a plain file.")
        if written + item.size > limit:
            raise UserError(
                f"{label} is refused: it unpacks to more than the {limit:,} bytes that "
                + ("are allowed." if most_bytes is None else "were declared.")
            )
        require_space(item.size)
        path = target / inside if folder else target
        with item.open() as source:
            written += _copy(
                source, path, item, label, lambda done, before=written: progress(before + done, None, unpacking)
            )
        if not folder:
            return
        taken += 1
        if taken > MOST_FILES:
            raise UserError(f"{label} is refused: it holds more than {MOST_FILES:,} files.")
    if not taken:
        name = member.rstrip("/")
        below = any(root.startswith(f"{name}/") for item in seen for root in roots(item))
        hint = f"It is a folder: write {name}/ to take all of it." if below and not folder else near(name, seen)
        raise NoSuchMember(f"There is no {member} for {label}.", hint)


def _plain(name: str) -> str:
    return name.removeprefix("./")


def _wanted(name: str, member: str, folder: bool) -> bool:
    return name.startswith(member) if folder else name.rstrip("/") == member


def _copy(source: IO[bytes], path: Path, item: Entry, label: str, report: Callable[[int], None]) -> int:
    """Stream one member to a new file and return its size; more bytes than it declares are refused."""
    done = 0
    with writing():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = open(path, "xb")  # noqa: SIM115
        except FileExistsError as error:
            raise UserError(f"The archive of {label} is refused: it holds {item.name} twice.") from error
        with file:
            while chunk := source.read(CHUNK):
                done += len(chunk)
                if done > item.size:
                    raise UserError(f"The member {item.name} is refused: it is longer than it declares.")
                file.write(chunk)
                report(done)
    if done != item.size:
        raise UserError(f"The member {item.name} is shorter than its archive declares: the archive is damaged.")
    return done
