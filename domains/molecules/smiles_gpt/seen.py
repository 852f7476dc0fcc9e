"""Which molecules were learnt from: a set of 1.6 million in 13 MB."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np


class Seen(Collection[str]):
    """A set of canonical SMILES that keeps 64 bits of each: what it does not hold was not put in; that it takes a
    molecule for another happens once in 10 million million."""

    def __init__(self, smiles: Iterable[str], *, count: int = -1) -> None:
        self._hashes = np.sort(np.fromiter((hash(one) for one in smiles), dtype=np.int64, count=count))

    @classmethod
    def of(cls, examples: Any) -> Seen:
        """Those of a part of a collection."""
        stored = getattr(examples, "smiles", None)
        return cls(stored.all() if stored is not None else [one.smiles for one in examples])

    def __contains__(self, smiles: object) -> bool:
        wanted = hash(smiles)
        place = int(np.searchsorted(self._hashes, wanted))
        return place < len(self._hashes) and int(self._hashes[place]) == wanted

    def __len__(self) -> int:
        return len(self._hashes)

    def __iter__(self) -> Iterator[str]:
        raise TypeError("only hashes of the molecules are kept")
