"""Entries of files to molecules that can be learnt from: read, cleaned, each once; and what was left out, with why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from .files import Entry, Rejected
from .parallel import spread
from .smiles import FRAGMENTS, ISOTOPES, MAPS, Cleaned, clean_block, clean_smiles

SHOWN = 200
"""Letters of what was given that a list of rejected lines repeats."""
TAKEN = {
    FRAGMENTS: "Of several fragments (salts, solvents, mixtures), of which the largest was kept, uncharged",
    ISOTOPES: "With isotope labels, which were removed",
    MAPS: "With atom numbers, which were removed",
}


@dataclass
class Kept:
    """Molecules in the order they were read: SMILES, key, what was given where it differs, name, values, part; `again`:
    the numbers of those that came more than once; `told`: what else a person should know."""

    smiles: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    given: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    values: list[dict[str, float]] = field(default_factory=list)
    parts: list[int] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    taken: Counter[str] = field(default_factory=Counter)
    again: dict[int, list[dict[str, float]]] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    repeated: int = 0
    lines: int = 0

    @property
    def unreadable(self) -> int:
        return len(self.rejected) - self.repeated

    def notices(self, name: str) -> list[str]:
        """What a person should know of how `lines` became molecules."""
        told = [f"{name}: {len(self.smiles):,} different molecules in {self.lines:,} entries."]
        if self.unreadable:
            first = next(one for one in self.rejected if not one.reason.startswith(REPEATED))
            told.append(
                f"Left out: {self.unreadable:,}, first {first.file}, line {first.line}, {first.given[:60]!r}: "
                f"{first.reason}."
            )
        if self.repeated:
            told.append(f"Repeated (equal InChIKey), each kept once: {self.repeated:,}.")
        told += [f"{words}: {self.taken[what]:,}." for what, words in TAKEN.items() if self.taken[what]]
        return [*told, *self.told]


REPEATED = "the same molecule as "


def clean_entries(
    entries: Iterable[tuple[Entry, int]], *, keep_stereo: bool = True, workers: int = 1
) -> Kept:  # fmt: skip
    """All entries (each with the index of its part, -1: none yet) read and cleaned; equal InChIKeys once.

    A molecule that is in several parts stays in that of the highest index: what is tested on is not learnt from."""
    kept = Kept()
    seen: dict[str, int] = {}
    places: list[str] = []
    work = partial(_clean_chunk, keep_stereo=keep_stereo)
    for rows in spread(work, entries, workers=workers):
        for (entry, part), cleaned in rows:
            kept.lines += 1
            if cleaned.reason:
                kept.rejected.append(_rejected(entry, cleaned.reason))
                continue
            at = seen.setdefault(cleaned.key, len(kept.smiles))
            if at < len(kept.smiles):
                kept.repeated += 1
                kept.rejected.append(_rejected(entry, f"{REPEATED}{places[at]}"))
                kept.again.setdefault(at, []).append(dict(entry.values))
                kept.parts[at] = max(kept.parts[at], part)
                continue
            places.append(entry.where)
            _keep(kept, entry, part, cleaned)
    return kept


def _keep(kept: Kept, entry: Entry, part: int, cleaned: Cleaned) -> None:
    given = "" if entry.block else entry.text
    kept.smiles.append(cleaned.smiles)
    kept.keys.append(cleaned.key)
    kept.given.append("" if given == cleaned.smiles else given)
    kept.names.append(entry.name or entry.where)
    kept.values.append(dict(entry.values))
    kept.parts.append(part)
    kept.taken.update(cleaned.taken)


def _clean_chunk(
    chunk: Sequence[tuple[Entry, int]], *, keep_stereo: bool
) -> list[tuple[tuple[Entry, int], Cleaned]]:  # fmt: skip
    return [((entry, part), _clean(entry, keep_stereo)) for entry, part in chunk]


def _clean(entry: Entry, keep_stereo: bool) -> Cleaned:
    if entry.error:
        return Cleaned(reason=entry.error)
    return (clean_block if entry.block else clean_smiles)(entry.text, keep_stereo=keep_stereo)


def _rejected(entry: Entry, reason: str) -> Rejected:
    given = (entry.name if entry.block else entry.text).strip()
    return Rejected(file=entry.file, line=entry.line, given=given[:SHOWN], reason=reason)


def with_part(entries: Iterable[Entry], part: int) -> Iterator[tuple[Entry, int]]:
    return ((entry, part) for entry in entries)
