"""Which molecules are learnt from, chosen by and tested on: by hash, or so that no scaffold is in two parts."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

import numpy as np

from ...core.errors import UserError
from .parallel import spread
from .smiles import Chem, parse

Way = Literal["fixed", "hash", "scaffold"]
PARTS = ("train", "validation", "test")


def ranks(keys: Sequence[str]) -> np.ndarray:
    """[N] uint64: the first 8 bytes of each key's sha256; sorted by them, molecules are shuffled, everywhere alike."""
    digests = b"".join(hashlib.sha256(key.encode()).digest()[:8] for key in keys)
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64)


def by_hash(order: np.ndarray, shares: tuple[float, float, float], *, most: int = 10_000) -> np.ndarray:
    """order [N] from `ranks` -> [N] the index of each molecule's part: the lowest are test, those after them
    validation, each at least one (of three or more molecules) and at most `most`."""
    count = len(order)
    test, validation = _counts(count, shares, most)
    parts = np.zeros(count, dtype=np.int8)
    places = np.argsort(order, kind="stable")
    parts[places[:test]] = 2
    parts[places[test : test + validation]] = 1
    return parts


def _counts(count: int, shares: tuple[float, float, float], most: int) -> tuple[int, int]:
    if min(shares) < 0 or abs(sum(shares) - 1) > 1e-6 or shares[0] == 0:
        raise UserError(
            f"The shares {shares} of train, validation and test do not add up to 1.", "Try: 0.9, 0.05, 0.05"
        )
    test = min(max(1, round(count * shares[2])), most) if shares[2] and count > 2 else 0
    validation = min(max(1, round(count * shares[1])), most) if shares[1] and count > 1 else 0
    return test, validation


def by_scaffold(
    smiles: Sequence[str], shares: tuple[float, float, float] = (0.8, 0.1, 0.1), *, workers: int = 1
) -> np.ndarray:
    """[N] the index of each molecule's part, whole scaffolds together (Bemis and Murcko 1996, doi 10.1021/jm9602928).

    As in MoleculeNet (Wu et al. 2018, doi 10.1039/c7sc02664a): the most frequent scaffolds are train, the rarest test.
    Molecules without a ring have the empty scaffold in common."""
    _counts(len(smiles), shares, len(smiles))  # the same refusals
    groups: dict[str, list[int]] = defaultdict(list)
    found = (one for chunk in spread(scaffolds, smiles, workers=workers) for one in chunk)
    for number, scaffold in enumerate(found):
        groups[scaffold].append(number)
    parts = np.zeros(len(smiles), dtype=np.int8)
    full = [shares[0] * len(smiles), (shares[0] + shares[1]) * len(smiles)]
    done, part = 0, 0
    for scaffold in sorted(groups, key=lambda one: (-len(groups[one]), one)):
        members = groups[scaffold]
        while part < 2 and done and done + len(members) > full[part]:
            part += 1
        parts[members] = part
        done += len(members)
    return parts


def scaffolds(smiles: Sequence[str]) -> list[str]:
    """The Murcko scaffold of each molecule, its rings and what joins them, as SMILES; "" for one without rings."""
    from rdkit.Chem.Scaffolds import MurckoScaffold

    found = []
    for one in smiles:
        mol = parse(one)
        found.append("" if mol is None else Chem.MolToSmiles(MurckoScaffold.GetScaffoldForMol(mol)))
    return found
