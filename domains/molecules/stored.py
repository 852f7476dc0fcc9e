"""Molecules on disk: written once, in whatever format they came, and read one by one without holding them all.

A part (train, validation, test, …) of N molecules in a folder:
    <part>.smiles.txt, .npy    canonical SMILES, a line each, and [N] where each line ends, in bytes
    <part>.given.txt, .npy     what stood in the file, empty where it is the same  (only if any differs)
    <part>.id.txt, .npy        what a person calls it                              (else <part>:<number>)
    facts.json                 names of the parts and of the numbers, notices
    <part>.values.npy          [N, P] the numbers that came with it, nan where there is none
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ...core.lazy import LazySequence
from .molecule import Molecule


class Strings(LazySequence[str]):
    """Lines of a text file, mapped into memory. Slices are lists."""

    def __init__(self, folder: Path, name: str) -> None:
        self.ends = np.load(folder / f"{name}.npy", mmap_mode="r")
        self._bytes = np.memmap(folder / f"{name}.txt", dtype=np.uint8, mode="r") if len(self.ends) else None

    def __len__(self) -> int:
        return len(self.ends)

    def item(self, number: int) -> str:
        assert self._bytes is not None
        start = self.ends[number - 1] if number else 0
        return self._bytes[start : self.ends[number] - 1].tobytes().decode()

    def blob(self) -> bytes:
        """All lines at once, each with its end."""
        return b"" if self._bytes is None else self._bytes.tobytes()

    def all(self) -> list[str]:
        """All lines, much quicker than one by one."""
        return self.blob().decode().split("\n")[:-1]


def write_strings(folder: Path, name: str, lines: Iterable[str]) -> None:
    """Write lines for `Strings`; a line break inside of one becomes a space."""
    with open(folder / f"{name}.txt", "wb") as file:
        lengths = [file.write(" ".join(line.splitlines()).encode() + b"\n") for line in lines]
    np.save(folder / f"{name}.npy", np.cumsum(lengths, dtype=np.int64))


class Stored(LazySequence[Molecule]):
    """The molecules of one part of a folder. `names` [P] are those of the columns of `values` [N, P]."""

    def __init__(self, folder: Path, part: str, names: Sequence[str] = ()) -> None:
        self.folder, self.part, self.names = folder, part, tuple(names)
        self.smiles = Strings(folder, f"{part}.smiles")
        self._given = self._maybe("given")
        self._ids = self._maybe("id")
        kept = folder / f"{part}.values.npy"
        self.values = np.load(kept, mmap_mode="r") if kept.exists() else np.full((len(self), len(self.names)), np.nan)

    def _maybe(self, what: str) -> Strings | None:
        there = (self.folder / f"{self.part}.{what}.npy").exists()
        return Strings(self.folder, f"{self.part}.{what}") if there else None

    def __len__(self) -> int:
        return len(self.smiles)

    def item(self, number: int) -> Molecule:
        known = zip(self.names, self.values[number].tolist(), strict=True)
        return Molecule(
            id=self._ids[number] if self._ids else f"{self.part}:{number}",
            smiles=self.smiles[number],
            given=self._given[number] if self._given else "",
            properties={name: value for name, value in known if not math.isnan(value)},
        )


def write_part(
    folder: Path, part: str, smiles: Sequence[str], *, given: Sequence[str] = (), ids: Sequence[str] = (),
    values: np.ndarray | None = None,
) -> None:  # fmt: skip
    """Write a part for `Stored`; given, ids and values may be left out."""
    write_strings(folder, f"{part}.smiles", smiles)
    if any(given):
        write_strings(folder, f"{part}.given", given)
    if ids:
        write_strings(folder, f"{part}.id", ids)
    if values is not None and values.size:
        np.save(folder / f"{part}.values.npy", values)


def write_facts(folder: Path, parts: Sequence[str], names: Sequence[str], notices: Sequence[str]) -> None:
    """Write what the folder holds."""
    facts = {"parts": list(parts), "names": list(names), "notices": list(notices)}
    (folder / "facts.json").write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")
