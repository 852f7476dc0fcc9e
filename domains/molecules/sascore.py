"""The synthetic accessibility score: 1, easy to make, to 10, hard (Ertl and Schuffenhauer 2009, doi
10.1186/1758-2946-1-8), with rdkit's two changes to it (macrocycles, symmetry), and equal to rdkit's own.

How common a fragment is in PubChem lies in rdkit's Contrib folder as a gzipped pickle of the oldest kind, a text:
numbers, and letters that open and close lists. The numbers are read as text; nothing is unpickled, and a file that
holds anything else is refused.
"""

from __future__ import annotations

import gzip
import math
from functools import lru_cache
from pathlib import Path
from typing import Any

from ...core.errors import UserError
from .chem import Chem

UNKNOWN = -4.0
"""The contribution of a fragment that is not in the table."""


def sa_score(mol: Any) -> float:
    """The score of an rdkit molecule with atoms. UserError where this rdkit comes without the table of fragments."""
    from rdkit.Chem import rdMolDescriptors

    table = fragment_scores()
    found = _generator().GetSparseCountFingerprint(mol).GetNonzeroElements()
    common = sum(table.get(bit, UNKNOWN) * count for bit, count in found.items()) / sum(found.values())
    atoms = mol.GetNumAtoms()
    large = any(len(ring) > 8 for ring in mol.GetRingInfo().AtomRings())
    complexity = (
        atoms**1.005
        - atoms
        + math.log10(len(Chem.FindMolChiralCenters(mol, includeUnassigned=True)) + 1)
        + math.log10(rdMolDescriptors.CalcNumSpiroAtoms(mol) + 1)
        + math.log10(rdMolDescriptors.CalcNumBridgeheadAtoms(mol) + 1)
        + math.log10(2) * large
    )
    symmetry = math.log(atoms / len(found)) / 2 if atoms > len(found) else 0.0
    score = 11 - (common - complexity + symmetry + 5) / 6.5 * 9  # the raw value lies between -4 and 2.5
    if score > 8:
        score = 8 + math.log(score - 8)
    return min(max(score, 1.0), 10.0)


@lru_cache(maxsize=1)
def _generator() -> Any:
    from rdkit.Chem import rdFingerprintGenerator

    return rdFingerprintGenerator.GetMorganGenerator(radius=2)


@lru_cache(maxsize=1)
def fragment_scores() -> dict[int, float]:
    """The contribution of each of 705,292 circular fragments, by its Morgan bit; read once, half a second."""
    from rdkit.Chem import RDConfig

    path = Path(RDConfig.RDContribDir) / "SA_Score" / "fpscores.pkl.gz"
    try:
        with gzip.open(path, "rt", encoding="ascii") as file:
            text = file.read()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UserError(
            f"rdkit's table for the SA score, {path}, cannot be read: {error}.",
            "The rdkit of pip holds it; leave the property sa out otherwise.",
        ) from error
    return read_numbers(text, str(path))


def read_numbers(text: str, where: str = "the table") -> dict[int, float]:
    """Lists of a score and the bits that have it, out of a pickle's text. UserError for anything but numbers."""
    scores: dict[int, float] = {}
    score = 0.0
    for line in text.split("\n"):
        word = line.lstrip("a")  # append to the list before
        if word[:1] == "I" and word[1:].isdigit():
            scores[int(word[1:])] = score
        elif word[:1] == "F":
            score = _number(word[1:], where)
        elif word not in ("", ".") and not (word.lstrip("(l")[:1] == "p" and word.lstrip("(lp").isdigit()):
            raise UserError(f"{where} holds something else than numbers: {line[:40]!r}. It is not read.")
    if not scores:
        raise UserError(f"{where} holds no scores.")
    return scores


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError(f"{where} holds something else than numbers: {text[:40]!r}. It is not read.") from None
