"""How messages put numbers and other programs' complaints into words."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """1 row, 2,000 rows: a number with its noun."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def reason(error: BaseException) -> str:
    """What an exception says, on one line and without its full stop, to stand inside a sentence; of the system's
    complaints what the system says, without its number."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, KeyError):
        return f"it has no {error}"
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
