"""What an optimisation remembers: scaffolds that it has had enough of, and the best molecules so far."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from ...chem import Chem
from ...smiles import parse
from ...splits import scaffolds


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A molecule as it was drawn: its ids (begin, and end where there is one), its score, and minus its log-probability
    by the prior, in nats."""

    smiles: str
    ids: tuple[int, ...]
    score: float
    prior: float


class ScaffoldFilter:
    """A molecule pays once, and a scaffold `bucket` times (0: both for ever); from then on they are worth nothing
    (Blaschke et al. 2020, doi 10.1186/s13321-020-00473-0). Only molecules that score `least` fill a bucket."""

    def __init__(self, *, bucket: int = 25, least: float = 0.4) -> None:
        self.bucket, self.least = bucket, least
        self.counts: Counter[str] = Counter()
        self._scaffolds: dict[str, str] = {}

    def scaffold(self, smiles: str) -> str:
        """What a molecule is counted under: see `scaffold_of`."""
        return self._scaffolds[smiles] if smiles in self._scaffolds else scaffold_of(smiles)

    def reward(self, smiles: str, score: float) -> float:
        """What the molecule is worth now: its score, or 0 where it was had before or its bucket was full."""
        if not self.bucket:
            return score
        if smiles in self._scaffolds:
            return 0.0
        found = self._scaffolds[smiles] = scaffold_of(smiles)
        if score < self.least:
            return score
        self.counts[found] += 1
        return 0.0 if self.counts[found] > self.bucket else score

    @property
    def full(self) -> int:
        """Scaffolds that are worth nothing any more."""
        return sum(count > self.bucket for count in self.counts.values()) if self.bucket else 0


def scaffold_of(smiles: str) -> str:
    """The Murcko scaffold; of a molecule without a ring its skeleton (every atom carbon, every bond single), so that
    not all such molecules share one."""
    found = scaffolds([smiles])[0]
    if found:
        return found
    from rdkit.Chem.Scaffolds import MurckoScaffold

    mol = parse(smiles)
    return "" if mol is None else Chem.MolToSmiles(MurckoScaffold.MakeScaffoldGeneric(mol))


class Replay:
    """The `most` best molecules so far, from which some are learnt again."""

    def __init__(self, *, most: int = 100, seed: int = 0) -> None:
        self.most = most
        self._best: dict[str, Kept] = {}
        self._random = random.Random(seed)

    def __len__(self) -> int:
        return len(self._best)

    def add(self, kept: list[Kept]) -> None:
        """Take up those that are among the best; what scores 0 is not."""
        self._best.update({one.smiles: one for one in kept if one.score > 0 and one.smiles not in self._best})
        ranked = sorted(self._best.values(), key=lambda one: (-one.score, one.smiles))[: self.most]
        self._best = {one.smiles: one for one in ranked}

    def sample(self, count: int) -> list[Kept]:
        """So many different ones, all as likely."""
        return self._random.sample(list(self._best.values()), min(count, len(self._best)))
