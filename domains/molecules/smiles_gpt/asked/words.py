"""Numbers in sentences."""

from __future__ import annotations


def counted(count: int, one: str, many: str) -> str:
    """ "1 different one", "2 different ones"."""
    return f"{count:,} {one if count == 1 else many}"
