"""Numbers that were measured of molecules: which entries have none, and one value for what was measured repeatedly."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from .cleaning import Kept
from .files import Entry

NO_NUMBER = "which is no number"


def measured_only(rows: Iterable[tuple[Entry, int]], targets: Sequence[str]) -> Iterator[tuple[Entry, int]]:
    """The entries with nothing but their numbers in `targets`; one that has none of them says so as its error."""
    for entry, part in rows:
        values = {name: entry.values[name] for name in targets if name in entry.values}
        error = entry.error or ("" if values else "; ".join(_why(entry, name) for name in targets))
        yield replace(entry, values=values, error=error), part


def _why(entry: Entry, name: str) -> str:
    text = entry.texts.get(name, "")
    return f"its {name} is {text[:40]!r}, {NO_NUMBER}" if text else f"it has no {name}"


def averaged(kept: Kept) -> None:
    """Give each molecule that came more than once the mean of what was measured of it, and say how far it was apart."""
    apart: tuple[float, str, str] = (0.0, "", "")
    count = 0
    for place, further in kept.again.items():
        every = [kept.values[place], *further]
        count += 1
        for name in dict.fromkeys(name for values in every for name in values):
            found = [values[name] for values in every if name in values]
            kept.values[place][name] = math.fsum(found) / len(found)
            apart = max(apart, (max(found) - min(found), name, kept.smiles[place]))
    if count:
        width, name, smiles = apart
        widest = f", at most {width:.4g} apart ({name} of {smiles})" if width else ", always alike"
        kept.told.append(f"Measured more than once: {count:,}, of which the mean is taken{widest}.")
