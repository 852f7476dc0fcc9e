"""Films, cameras and streams as FFmpeg (PyAV) opens them: what a name means, and that nothing waits for ever.

0, /dev/video0                   a camera, by Video4Linux
rtsp:// rtmp:// udp:// tcp:// …  live by nature: they go on whether anybody reads or not
http:// https://                 live where the server tells no length, else a film that happens to lie elsewhere
anything else                    a file
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import UserError, missing_extra

LIVE = ("rtsp", "rtsps", "rtmp", "rtmps", "rtp", "srt", "tcp", "udp")
WEB = ("http", "https")
OPENING, READING = 10.0, 5.0
"""Seconds that opening a source and waiting for its next piece may take before it counts as gone."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A source by name: `url` is FFmpeg's, `name` is shown and never holds a password. live: None where that is known
    only once it is open."""

    url: str = field(repr=False)
    name: str
    live: bool | None
    format: str | None = None


def place(source: str) -> Place:
    """What `source` names. UserError for a file or camera that is not there, and for a scheme that nobody knows."""
    scheme = (re.match(r"([a-zA-Z][a-zA-Z0-9+.-]*)://", source) or ["", ""])[1].lower()
    if scheme in LIVE or scheme in WEB:
        name = re.sub(r"://[^/@]*@", "://", source)
        return Place(url=source, name=name, live=True if scheme in LIVE else None)
    if scheme and scheme != "file":
        raise UserError(f"Nothing is known of {scheme}:// as a source.", f"Known are: {', '.join((*LIVE, *WEB))}.")
    if re.fullmatch(r"\d{1,3}", source) and not Path(source).exists():
        source = f"/dev/video{source}"
    path = Path(source.removeprefix("file://")).expanduser().absolute()
    if not path.exists():
        if path.parent == Path("/dev"):
            raise UserError(f"There is no camera {path}.", cameras())
        raise UserError(f"There is no file {source}.", "A source is a file, a camera (0, /dev/video0) or a URL.")
    if stat.S_ISCHR(path.stat().st_mode):
        return Place(url=str(path), name=str(path), live=True, format="v4l2")
    if path.is_dir():
        raise UserError(f"{source} is a folder, and no source.", "Give a film, a camera or a URL.")
    if path.is_file() and not path.stat().st_size:
        raise UserError(f"{source} is empty (0 bytes).")
    return Place(url=str(path), name=source, live=False)


def cameras() -> str:
    """A sentence on the cameras there are, and who may use them."""
    found = sorted(str(path) for path in Path("/dev").glob("video*"))
    there = f"There are: {', '.join(found)}." if found else "This machine has no /dev/video*."
    return f"{there} Whoever uses one must be in the group video (sudo usermod -aG video $USER, then log in again)."


@contextmanager
def opened(where: Place, extra: str) -> Iterator[Any]:
    """PyAV's container of a source, closed at the end. UserError where it cannot be opened, also later on where it
    breaks off: whatever FFmpeg complains of inside the block. `extra` is the group of packages that PyAV belongs to.
    """
    try:
        from av.error import FFmpegError
    except ModuleNotFoundError:
        raise missing_extra("av", extra) from None
    try:
        with _open(where) as container:
            yield container
    except FFmpegError as error:
        raise _told(where, error) from None


def _open(where: Place) -> Any:
    import av

    asked: dict[str, Any] = {"format": where.format, "options": _options(where), "timeout": (OPENING, READING)}
    try:
        return av.open(where.url, metadata_errors="ignore", **asked)
    except TypeError:  # from version 19 on nothing else is done with broken texts
        return av.open(where.url, **asked)


def is_live(where: Place, container: Any) -> bool:
    """Whether an open source goes on while nobody reads, and has no end."""
    return container.duration is None if where.live is None else where.live


def _options(where: Place) -> dict[str, str]:
    """FFmpeg's. A playlist may name further places: those of a file may not lie in the network, nor those of a server
    on this machine."""
    if where.format == "v4l2":
        return {}
    if where.live is False:
        return {"protocol_whitelist": "file,crypto,data"}
    options = {"protocol_whitelist": "crypto,data,http,https,httpproxy,tls,tcp,udp,rtp,rtsp,srtp,srt,rtmp,rtmps"}
    if where.live is None:
        return options | {"reconnect": "1", "reconnect_delay_max": "4"}  # a film goes on where it broke off
    if where.url.lower().startswith("rtsp"):
        return options | {"rtsp_flags": "prefer_tcp"}  # over UDP a lost packet is a grey picture
    return options


def _told(where: Place, error: Any) -> UserError:
    """FFmpeg's complaint as a sentence, without the URL that it repeats: there may be a password in it."""
    import av.error

    if where.format == "v4l2":
        busy = "it is in use by another program" if error.errno == 16 else error.strerror
        return UserError(f"The camera {where.name} cannot be read: {busy}.", cameras())
    if isinstance(error, (av.error.ExitError, av.error.TimeoutError)):
        return UserError(f"{where.name} does not answer.", "Look at its address, and whether it is switched on.")
    if isinstance(error, av.error.PermissionError):
        return UserError(f"{where.name} may not be read.", "Check its permissions.")
    if where.live is False:
        return UserError(f"{where.name} cannot be read: {error.strerror}.", "It may be cut short, or no film at all.")
    return UserError(f"{where.name} cannot be read: {error.strerror}.", "Look at its address, name and password.")
