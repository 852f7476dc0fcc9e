"""From L4T, which a Jetson tells of itself, to JetPack, which people and packages go by."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Release:
    """A JetPack. cuda and tensorrt are "" where they are not known here; exact: whether the L4T is in the table, else
    this is the nearest one that is."""

    jetpack: str
    l4t: str
    ubuntu: str
    python: str
    cuda: str
    tensorrt: str = ""
    exact: bool = True

    @property
    def line(self) -> str:
        """The first two numbers: what packages are built for ("6.2" of 6.2.1)."""
        return ".".join(self.jetpack.split(".")[:2])


_TABLE = (
    # JetPack, L4T, Ubuntu, Python, CUDA, TensorRT
    ("5.1", "35.2.1", "20.04", "3.8", "11.4", "8.5"),
    ("5.1.1", "35.3.1", "20.04", "3.8", "11.4", "8.5"),
    ("5.1.2", "35.4.1", "20.04", "3.8", "11.4", "8.5"),
    ("5.1.3", "35.5.0", "20.04", "3.8", "11.4", "8.5"),
    ("5.1.4", "35.6.0", "20.04", "3.8", "11.4", "8.5"),
    ("5.1.5", "35.6.1", "20.04", "3.8", "11.4", "8.5"),
    ("5.1.5", "35.6.2", "20.04", "3.8", "11.4", "8.5"),
    ("5.1.6", "35.6.4", "20.04", "3.8", "11.4", "8.5"),
    ("6.0", "36.3.0", "22.04", "3.10", "12.2", "8.6"),
    ("6.1", "36.4.0", "22.04", "3.10", "12.6", "10.3"),
    ("6.2", "36.4.3", "22.04", "3.10", "12.6", "10.3"),
    ("6.2.1", "36.4.4", "22.04", "3.10", "12.6", "10.3"),
    ("6.2.1", "36.4.7", "22.04", "3.10", "12.6", "10.3"),
    ("6.2.2", "36.5.0", "22.04", "3.10", "12.6", "10.3"),
    ("6.2.3", "36.5.2", "22.04", "3.10", "12.6", "10.3"),
    ("7.0", "38.2.0", "24.04", "3.12", "13.0", ""),
    ("7.0", "38.2.1", "24.04", "3.12", "13.0", ""),
    ("7.1", "38.4.0", "24.04", "3.12", "13.0", ""),
    ("7.2", "39.2.0", "24.04", "3.12", "13.2", "10.16"),
    ("7.2.1", "39.2.1", "24.04", "3.12", "13.2", "10.16"),
)
RELEASES: tuple[Release, ...] = tuple(
    Release(jetpack=jetpack, l4t=l4t, ubuntu=ubuntu, python=python, cuda=cuda, tensorrt=tensorrt)
    for jetpack, l4t, ubuntu, python, cuda, tensorrt in _TABLE
)


def l4t_of(text: str) -> str:
    """The L4T that /etc/nv_tegra_release tells ("# R36 (release), REVISION: 4.3, …" is 36.4.3); "" where it tells none.

    A revision that cannot be read is left out: "36".
    """
    major = re.search(r"#\s*R(\d{1,3})\s*\(release\)", text)
    revision = re.search(r"REVISION:\s*(\d{1,3}(?:\.\d{1,3}){0,2})\b", text)
    if not major:
        return ""
    return major.group(1) + (f".{revision.group(1)}" if revision else "")


def release_of(l4t: str) -> Release | None:
    """The JetPack of an L4T; of one that is not in the table the nearest that is (`exact` False); None for no L4T.

    Nearest is the latest before it of the same main number, else the first of that number, else the nearest number.
    """
    if not re.fullmatch(r"\d+(\.\d+)*", l4t):
        return None
    asked = _key(l4t)
    for known in RELEASES:
        if _key(known.l4t) == asked:
            return known
    closest = min((known for known in RELEASES), key=lambda known: abs(_key(known.l4t)[0] - asked[0]))
    same = [known for known in RELEASES if _key(known.l4t)[0] == _key(closest.l4t)[0]]
    before = [known for known in same if _key(known.l4t) < asked]
    return replace(before[-1] if before else same[0], exact=False)


def _key(l4t: str) -> tuple[int, int, int]:
    numbers = [*(int(part) for part in l4t.split(".")), 0, 0]
    return numbers[0], numbers[1], numbers[2]
