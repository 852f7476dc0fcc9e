"""Which molecules were learnt from: a set of 1.6 million in 13 MB."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

import numpy as np


class Seen(Container[str]):
    """A set of canonical SMILES that keeps 64 bits of each: `in` is all it can tell. That it takes a molecule for
    another happens once in 10 million million."""

    def __init__(self, smiles: Iterable[str]) -> None:
        self._hashes = np.sort(np.fromiter((hash(one) for one in smiles), dtype=np.int64))

    @classmethod
    def of(cls, examples: Any) -> Seen:
        """Those of a part of a collection."""
        stored = getattr(examples, "smiles", None)
        return cls(stored.all() if stored is not None else [one.smiles for one in examples])

    def joined(self, other: Seen | None) -> Seen:
        """What is in this one or in the other."""
        if other is None:
            return self
        both = Seen(())
        both._hashes = np.union1d(self._hashes, other._hashes)
        return both

    def __contains__(self, smiles: object) -> bool:
        wanted = hash(smiles)
        place = int(np.searchsorted(self._hashes, wanted))
        return place < len(self._hashes) and int(self._hashes[place]) == wanted

    def __len__(self) -> int:
        return len(self._hashes)
