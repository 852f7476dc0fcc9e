"""Examples on disk: written once, in whatever format they came, and read one by one without holding them all.

rows.jsonl    one example a line: {"id", "turns": [[role, content], …]} or … "chosen", "rejected" or "text"
ends.npy      [N] where each line ends, in bytes
parts.npy     [N] which part it belongs to, as an index of PARTS
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...core.lazy import LazySequence
from .conversation import Conversation, Document, Preference, Turn
from .formats import AnyExample

PARTS = ("train", "validation", "test")


class Stored(LazySequence[AnyExample]):
    """The examples of one part of a folder that `write` made. Slices are lists."""

    def __init__(self, folder: Path, part: str) -> None:
        self.folder, self.part = folder, part
        ends = np.load(folder / "ends.npy")
        rows = np.flatnonzero(np.load(folder / "parts.npy") == PARTS.index(part))
        starts = np.concatenate([[0], ends])
        self._spans = np.stack([starts[rows], ends[rows]], axis=1)  # [n, 2]
        self._bytes = np.memmap(folder / "rows.jsonl", dtype=np.uint8, mode="r") if len(ends) else np.empty(0, np.uint8)

    def __len__(self) -> int:
        return len(self._spans)

    def item(self, number: int) -> AnyExample:
        start, end = self._spans[number]
        return _example(json.loads(self._bytes[start:end].tobytes()))

    def __iter__(self) -> Iterator[AnyExample]:
        return (self[number] for number in range(len(self)))


def write(folder: Path, examples: Iterable[tuple[AnyExample, int]]) -> None:
    """Write pairs of (example, index of its part) into `folder`; memory grows by 9 bytes an example."""
    ends, parts = array("q"), array("b")
    size = 0
    with open(folder / "rows.jsonl", "wb") as file:
        for item, part in examples:
            size += file.write(json.dumps(_plain(item), ensure_ascii=False).encode() + b"\n")
            ends.append(size)
            parts.append(part)
    np.save(folder / "ends.npy", np.asarray(ends, dtype=np.int64))
    np.save(folder / "parts.npy", np.asarray(parts, dtype=np.int8))


def _plain(item: AnyExample) -> dict[str, Any]:
    if isinstance(item, Document):
        return {"id": item.id, "text": item.text}
    plain: dict[str, Any] = {"id": item.id, "turns": [[turn.role, turn.content] for turn in item.turns]}
    return plain | ({"chosen": item.chosen, "rejected": item.rejected} if isinstance(item, Preference) else {})


def _example(plain: dict[str, Any]) -> AnyExample:
    if "text" in plain:
        return Document(id=plain["id"], text=plain["text"])
    turns = tuple(Turn(role=role, content=content) for role, content in plain["turns"])
    if "chosen" in plain:
        return Preference(id=plain["id"], turns=turns, chosen=plain["chosen"], rejected=plain["rejected"])
    return Conversation(id=plain["id"], turns=turns)
