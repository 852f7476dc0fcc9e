"""What the MOSES suite asks of one molecule: validity, fingerprint, fragments, scaffold, filters, four properties.

All of it is rdkit's work, a molecule at a time, and so it is done in worker processes.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ....core.errors import UserError
from ..chem import Chem, rdBase

ALLOWED = frozenset({"C", "N", "S", "O", "F", "Cl", "Br", "H"})
"""The elements that MOSES' molecules are made of; with any other one a molecule does not pass the filters."""

LARGEST_RING = 7


@dataclass(frozen=True, kw_only=True)
class Traits:
    """One valid molecule. `prints` is its fingerprint (Morgan, radius 2, 1,024 bits in 128 bytes), `fragments` its
    BRICS fragments as SMILES, `scaffold` its Murcko scaffold if that has two rings or more, `passes` whether it passes
    MOSES' filters, `properties` its logP, SA, QED and weight (g/mol)."""

    smiles: str
    prints: bytes
    fragments: tuple[str, ...]
    scaffold: str | None
    passes: bool
    properties: tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Files of SMARTS that a molecule may not match: medicinal chemistry filters, and PAINS (Baell, Holloway 2010)."""

    mcf: Path
    pains: Path

    def smarts(self) -> list[str]:
        """All patterns, 22 and 480. Raises `UserError` on a file without them."""
        try:
            with self.mcf.open(encoding="utf-8", newline="") as file:
                found = [row["smarts"] for row in csv.DictReader(file)]
            with self.pains.open(encoding="utf-8", newline="") as file:
                return found + [row[0].strip() for row in csv.reader(file) if row]
        except (KeyError, OSError, UnicodeDecodeError) as error:
            raise UserError(f"The filters {self.mcf} and {self.pains} cannot be read: {error}.") from error


def traits(smiles: str, filters: Filters) -> Traits | None:
    """The traits of one molecule; None if it is not valid."""
    chem = _chemistry(filters)
    given = chem.read(smiles)
    if given is None:
        return None
    canonical = chem.write(given)
    molecule = chem.read(canonical)  # as the reference does: everything is asked of the canonical form
    if molecule is None:
        return None
    return Traits(
        smiles=canonical,
        prints=chem.prints(molecule),
        fragments=tuple(chem.fragments(molecule)),
        scaffold=chem.scaffold(molecule),
        passes=chem.passes(molecule),
        properties=(chem.logp(molecule), chem.sa(molecule), chem.qed(molecule), chem.weight(molecule)),
    )


def work(smiles: Sequence[str], *, filters: Filters) -> list[Traits | None]:
    """The traits of some molecules: what one worker process is asked for at a time."""
    with rdBase.BlockLogs():
        return [traits(text, filters) for text in smiles]


@dataclass(frozen=True)
class _Chemistry:
    """rdkit's functions, looked up once a process."""

    read: Callable[[str], Any]
    write: Callable[[Any], str]
    prints: Callable[[Any], bytes]
    fragments: Callable[[Any], list[str]]
    scaffold: Callable[[Any], str | None]
    passes: Callable[[Any], bool]
    logp: Callable[[Any], float]
    sa: Callable[[Any], float]
    qed: Callable[[Any], float]
    weight: Callable[[Any], float]


@lru_cache(maxsize=2)
def _chemistry(filters: Filters) -> _Chemistry:
    from rdkit.Chem import QED, Crippen, Descriptors, rdFingerprintGenerator

    from ..sascore import sa_score

    morgan = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    patterns = [Chem.MolFromSmarts(text) for text in filters.smarts()]

    def prints(molecule: Any) -> bytes:
        import numpy as np

        return np.packbits(morgan.GetFingerprintAsNumPy(molecule)).tobytes()

    def read(text: str) -> Any | None:
        found = Chem.MolFromSmiles(text)
        return found if found is not None and found.GetNumAtoms() else None

    return _Chemistry(
        read=read,
        write=Chem.MolToSmiles,
        prints=prints,
        fragments=lambda molecule: Chem.MolToSmiles(Chem.FragmentOnBRICSBonds(molecule)).split("."),
        scaffold=_scaffold,
        passes=lambda molecule: _passes(molecule, patterns),
        logp=Crippen.MolLogP,  # pyright: ignore
        sa=sa_score,
        qed=QED.qed,
        weight=Descriptors.MolWt,  # pyright: ignore
    )


def _scaffold(molecule: Any) -> str | None:
    """The SMILES of the Murcko scaffold if it has at least two rings."""
    from rdkit.Chem.Scaffolds import MurckoScaffold

    try:
        scaffold = MurckoScaffold.GetScaffoldForMol(molecule)
    except (ValueError, RuntimeError):
        return None
    return Chem.MolToSmiles(scaffold) if scaffold.GetRingInfo().NumRings() >= 2 else None


def _passes(molecule: Any, patterns: Sequence[Any]) -> bool:
    """No ring of eight or more, no charge, no other element, and none of the patterns (hydrogens written out)."""
    if any(len(ring) > LARGEST_RING for ring in molecule.GetRingInfo().AtomRings()):
        return False
    if any(atom.GetFormalCharge() or atom.GetSymbol() not in ALLOWED for atom in molecule.GetAtoms()):
        return False
    whole = Chem.AddHs(molecule)
    return not any(whole.HasSubstructMatch(pattern) for pattern in patterns)
