"""Reading /proc, /sys and /etc, where any file may be missing, damaged, locked or asleep: nothing here raises."""

from __future__ import annotations

import re
from pathlib import Path

MOST = 256 * 1024
"""Bytes read of a file at most; what these files say is far shorter."""


def text(path: Path) -> str:
    """What the file says, without zero bytes and the space around; "" where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(MOST).replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except (OSError, ValueError):
        return ""


def number(path: Path) -> int | None:
    """The whole number that the file begins with; None where there is none."""
    found = re.match(r"-?\d{1,18}(?!\d)", text(path))
    return int(found.group()) if found else None


def entries(folder: Path, pattern: str) -> list[Path]:
    """What the folder holds by the name `pattern`, hwmon2 before hwmon10; empty where it cannot be listed."""
    try:
        found = list(folder.glob(pattern))
    except (OSError, ValueError):
        return []
    return sorted(found, key=lambda path: [int(part) if part.isdigit() else part for part in _parts(path.name)])


def _parts(name: str) -> list[str]:
    """Words and numbers in turns, always a word first, so that names compare."""
    return re.split(r"(\d+)", name)
