"""Ranges of numbers as a person writes them. Imports no torch."""

from __future__ import annotations

import math
import re

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})?\s*\.\.\s*({_NUMBER})?", re.IGNORECASE)
_ALONE = re.compile(_NUMBER, re.IGNORECASE)


def span(text: str) -> tuple[float, float] | None:
    """The ends of `2..3`, `..350`, `20..` or `2` (twice the same), infinite where one is left out.

    None for what is neither a number nor a range, has no end at all, or a number too large for a float."""
    text = text.strip()
    found = _RANGE.fullmatch(text)
    if not found and not _ALONE.fullmatch(text):
        return None
    ends = [float(end) for end in (found.groups() if found else (text, text)) if end]
    if not ends or not all(map(math.isfinite, ends)):
        return None
    low, high = (found[1], found[2]) if found else (text, text)
    return float(low or -math.inf), float(high or math.inf)
