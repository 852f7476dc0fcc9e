"""Large named sets of strings that are canonical already: a sample is read, and the rest believed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...core.manifest import Manifest
from ...core.sources import Progress
from ...core.sources.digest import listener
from .files import Rejected, opened, write_rejected
from .parallel import spread
from .smiles import Cleaned, clean_smiles
from .splits import PARTS, by_hash, ranks
from .stored import write_facts, write_part

CANONICAL = "canonical SMILES"
"""What `kind` of a manifest's only column says of such strings."""
CHECKED = 1_000
"""Strings of each file that are read."""
ENOUGH = 0.99
"""Share of them that has to be as rdkit writes them today (its canonical form changes a little over the years)."""
VALIDATION = 10_000
"""Strings of train, at most a twentieth, by which a training is judged."""


def store_believed(folder: Path, found: Manifest, *, workers: int = 1, progress: Progress | None = None) -> bool:
    """Write the parts of a set whose manifest says that it is canonical, reading only a sample of each file (all of it
    where the sample says otherwise); False, and nothing written, for any other set.

    Each file is a part, as the split rule has it; of several files of test, those not called test are parts of their
    own. What is in a later file is left out of an earlier one; validation is taken out of train, by hash."""
    if len(found.columns) != 1 or found.columns[0].kind != CANONICAL or found.split.rule != "source":
        return False
    report = listener(progress)
    files = found.fetch(progress)
    parts: dict[str, list[str]] = {}
    rejected: list[Rejected] = []
    told = [f"{found.name}:"]
    for source, path in files.items():
        report(len(parts), len(files), f"molecules of {found.name}")
        with opened(path) as file:
            given = file.read().split()[1:]
        sample = given[:: max(1, len(given) // CHECKED)]
        same = sum(clean_smiles(one).smiles == one for one in sample)
        told.append(f"of {len(sample):,} strings read in {source}, {same:,} are as rdkit writes them today;")
        if same < ENOUGH * len(sample):
            told[-1] = told[-1][:-1] + ", so all were read;"
            given = _read(given, source, rejected, workers)
        lines = dict.fromkeys(given)
        parts = {name: [one for one in earlier if one not in lines] for name, earlier in parts.items()}
        part = found.part(key=source)
        parts[source if part == "test" and source != "test" else part] = list(lines)
    _write(folder, parts)
    write_rejected(folder / "rejected.csv", rejected)
    sizes = ", ".join(f"{len(lines):,} {part}" for part, lines in parts.items())
    left = f" Left out: {len(rejected):,}, first {rejected[0].given!r}: {rejected[0].reason}." if rejected else ""
    write_facts(folder, list(parts), (), [f"{' '.join(told)[:-1]}.{left}", f"Parts: {sizes}."])
    return True


def _read(given: list[str], source: str, rejected: list[Rejected], workers: int) -> list[str]:
    """All strings as rdkit writes them today; those that are no molecules go to `rejected`."""
    kept = []
    cleaned = (one for chunk in spread(_clean, given, workers=workers) for one in chunk)
    for line, (one, text) in enumerate(zip(cleaned, given, strict=True), start=2):
        if one.reason:
            rejected.append(Rejected(file=source, line=line, given=text, reason=one.reason))
        else:
            kept.append(one.smiles)
    return kept


def _clean(chunk: Sequence[str]) -> list[Cleaned]:
    return [clean_smiles(one) for one in chunk]


def _write(folder: Path, parts: dict[str, list[str]]) -> None:
    """Shuffle each part, take validation out of train where there is none, and write them."""
    for part in PARTS:
        parts.setdefault(part, [])
    for part in list(parts):
        order = ranks(parts[part])
        if part == "train" and not parts["validation"]:
            held = by_hash(order, (0.95, 0.05, 0.0), most=VALIDATION) == 1
            parts["validation"] = [one for one, out in zip(parts[part], held, strict=True) if out]
            parts[part] = [one for one, out in zip(parts[part], held, strict=True) if not out]
            order = order[~held]
        parts[part] = [parts[part][row] for row in np.argsort(order, kind="stable")]
        write_part(folder, part, parts[part])
