"""`deb://package/path#sha256`: a file or folder out of a Debian or Ubuntu package, through this machine's apt.

The package is downloaded and unpacked, not installed: none of its scripts runs, and nobody needs to be root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from ..errors import UserError
from .archive import DAMAGED, extract, tar_entries
from .cache import writing
from .digest import Progress
from .errors import Unreachable

_OFFLINE = ("Could not resolve", "Temporary failure", "Unable to connect", "Could not connect", "timed out",
            "Network is unreachable", "Failed to fetch", "Connection failed", "No route to host")  # fmt: skip


def download(package: str, member: str, target: Path, progress: Progress, most_bytes: int | None = None) -> None:
    """Write one member (a folder if it ends in '/') of the package to `target`.

    Raises `Unreachable` without a network, `UserError` without apt or for an unknown package or member.
    """
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise UserError(
            f"The source deb://{package}/… needs apt-get and dpkg-deb, which only Debian, Ubuntu and their kin have.",
            "Fetch the file on such a machine and give its path here instead.",
        )
    label = f"{member} of the package {package}"
    with writing(), tempfile.TemporaryDirectory(dir=target.parent, prefix="deb-") as folder:
        progress(0, None, f"the package {package}")
        _apt_download(package, Path(folder))
        archive = next(Path(folder).glob("*.deb"))
        _unpack(archive, member, target, label=label, progress=progress, most_bytes=most_bytes)


def _apt_download(package: str, folder: Path) -> None:
    command = ["apt-get", "download", "-qq", "-o", "Acquire::Retries=1"]
    for scheme in ("http", "https"):
        command += ["-o", f"Acquire::{scheme}::Timeout=20"]
    done = subprocess.run(
        [*command, "--", package],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C", "LANGUAGE": "C"},  # its messages are read below
        check=False,
    )
    if done.returncode == 0 and any(folder.glob("*.deb")):
        return
    told = next((line[3:] for line in done.stderr.splitlines() if line.startswith("E: ")), "apt-get failed")
    if any(words in done.stderr for words in _OFFLINE):
        raise Unreachable(f"The package {package} cannot be fetched: {told}", "Check the network and the proxy of apt.")
    raise UserError(
        f"The package {package} cannot be fetched: {told}.",
        "If the name is right, the lists of apt may be missing or old: sudo apt-get update",
    )


def _unpack(
    archive: Path, member: str, target: Path, *, label: str, progress: Progress, most_bytes: int | None
) -> None:
    with subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as unpacker:
        try:
            with tarfile.open(fileobj=unpacker.stdout, mode="r|") as files:
                extract(tar_entries(files), member, target, label=label, progress=progress, most_bytes=most_bytes)
        except DAMAGED as error:
            raise UserError(f"The package {archive.name} cannot be read: {error}.") from error
        finally:
            unpacker.kill()  # the rest of the package is not of interest
