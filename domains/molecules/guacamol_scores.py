"""What the goals of GuacaMol are made of: a number of a molecule, and how good that number is, from 0 to 1.

Brown, Fiscato, Segler, Vaucher 2019 (doi 10.1021/acs.jcim.8b00839), section "Goal-directed benchmarks" and appendix.
Every part is plain data and may be handed to another process; rdkit's objects are made where they are used and kept.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, Protocol

from .chem import Chem

Kind = Literal["ECFP4", "ECFP6", "FCFP4", "AP", "PHCO"]
"""Fingerprints: circular ones by atoms (E) or by features (F), of diameter 4 or 6; atom pairs up to 10 bonds apart;
pharmacophores of two and three points (Gobbi, Poppinger 1998). All but the last count how often."""

Quantity = Literal["logp", "tpsa", "bertz", "rings", "aromatic rings", "fluorine"]


class Modifier(Protocol):
    """From a number of a molecule to how good it is, 0 to 1."""

    def __call__(self, value: float, /) -> float: ...


@dataclass(frozen=True)
class Gaussian:
    """1 at `mean`, falling like a normal distribution's density with `sigma`; on one side only if `best` says that more
    ("above") or less ("below") than the mean is as good."""

    mean: float
    sigma: float
    best: Literal["at", "above", "below"] = "at"

    def __call__(self, value: float, /) -> float:
        if (self.best == "above" and value > self.mean) or (self.best == "below" and value < self.mean):
            return 1.0
        return math.exp(-0.5 * ((value - self.mean) / self.sigma) ** 2)


@dataclass(frozen=True)
class UpTo:
    """Rises straight from 0 at 0 to 1 at `full`, and stays there."""

    full: float = 1.0

    def __call__(self, value: float, /) -> float:
        return min(max(value / self.full, 0.0), 1.0)


class Part(Protocol):
    """A score of one rdkit molecule, 0 to 1."""

    def score(self, mol: Any) -> float: ...


@dataclass(frozen=True)
class Similar:
    """How similar to a molecule: the Tanimoto coefficient of two fingerprints of a kind, as the modifier sees it."""

    smiles: str
    kind: Kind
    modifier: Modifier = field(default_factory=UpTo)

    def score(self, mol: Any) -> float:
        from rdkit.DataStructs import TanimotoSimilarity

        return self.modifier(TanimotoSimilarity(_fingerprint(mol, self.kind), _target(self.smiles, self.kind)))


@dataclass(frozen=True)
class Number:
    """A computed quantity, as the modifier sees it."""

    quantity: Quantity
    modifier: Modifier

    def score(self, mol: Any) -> float:
        return self.modifier(_quantities()[self.quantity](mol))


@dataclass(frozen=True)
class Formula:
    """How near to a molecular formula: the geometric mean over its elements (Gaussian, sigma 1) and the number of all
    atoms (sigma 2), hydrogens too."""

    formula: str

    def score(self, mol: Any) -> float:
        wanted = counts_of(self.formula)
        symbols = [atom.GetSymbol() for atom in Chem.AddHs(mol).GetAtoms()]
        found = [Gaussian(count, 1.0)(symbols.count(element)) for element, count in wanted.items()]
        return geometric_mean([*found, Gaussian(sum(wanted.values()), 2.0)(len(symbols))])


@dataclass(frozen=True)
class Pattern:
    """1 where a SMARTS pattern is there (or, not `wanted`, is not there), else 0."""

    smarts: str
    wanted: bool = True

    def score(self, mol: Any) -> float:
        return float(mol.HasSubstructMatch(_pattern(self.smarts)) == self.wanted)


def geometric_mean(values: list[float]) -> float:
    """The n-th root of the product of n numbers, 0 if one is."""
    return math.prod(values) ** (1 / len(values))


def counts_of(formula: str) -> dict[str, int]:
    """{"C": 2, "H": 4} for "C2H4"."""
    return {element: int(count or 1) for element, count in re.findall(r"([A-Z][a-z]?)(\d*)", formula)}


def quantity(smiles: str, name: Quantity) -> float:
    """A quantity of a known molecule, which a goal aims at."""
    return _quantities()[name](_known(smiles))


def _known(smiles: str) -> Any:
    mol = Chem.MolFromSmiles(smiles)
    assert mol is not None, smiles
    return mol


@lru_cache(maxsize=64)
def _target(smiles: str, kind: Kind) -> Any:
    return _fingerprint(_known(smiles), kind)


@lru_cache(maxsize=64)
def _pattern(smarts: str) -> Any:
    return Chem.MolFromSmarts(smarts)


@lru_cache(maxsize=1)
def _quantities() -> dict[str, Callable[[Any], float]]:
    from rdkit.Chem import Crippen, GraphDescriptors, rdMolDescriptors

    return {
        "logp": Crippen.MolLogP,  # pyright: ignore[reportAttributeAccessIssue]
        "tpsa": rdMolDescriptors.CalcTPSA,
        "bertz": GraphDescriptors.BertzCT,
        "rings": rdMolDescriptors.CalcNumRings,
        "aromatic rings": rdMolDescriptors.CalcNumAromaticRings,
        "fluorine": lambda mol: sum(atom.GetAtomicNum() == 9 for atom in mol.GetAtoms()),
    }


def _fingerprint(mol: Any, kind: Kind) -> Any:
    if kind == "PHCO":
        from rdkit.Chem.Pharm2D import Generate, Gobbi_Pharm2D

        return Generate.Gen2DFingerprint(mol, Gobbi_Pharm2D.factory)
    return _generator(kind).GetSparseCountFingerprint(mol)


@lru_cache(maxsize=8)
def _generator(kind: Kind) -> Any:
    from rdkit.Chem import rdFingerprintGenerator as generators

    if kind == "AP":
        return generators.GetAtomPairGenerator(maxDistance=10)
    by = {"atomInvariantsGenerator": generators.GetMorganFeatureAtomInvGen()} if kind.startswith("F") else {}
    return generators.GetMorganGenerator(radius=int(kind[-1]) // 2, **by)
