"""Examples as batches of tokens: padded on the right, or several packed into a row that keeps them apart.

    one row      segments   0 0 0 0 1 1 1 2 2 2 2 2 - -     - is padding, -1
                 positions  0 1 2 3 0 1 2 0 1 2 3 4 0 0
    may attend   1 . . . . . .        no sample sees another, so the logits are those of each sample alone
                 1 1 . . . . .
                 1 1 1 . . . .
                 1 1 1 1 . . .
                 . . . . 1 . .

Axes: B rows of a batch, T tokens of a row.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...core.lazy import LazySequence
from ...core.task import Batch
from .chat import Encoded

IGNORE = -100
"""The target of a token whose loss does not count."""


@dataclass(frozen=True, kw_only=True)
class TokenBatch(Batch):
    """tokens [B, T]; targets [B, T]: the token after each, IGNORE where it is not learnt; segments [B, T]: which sample
    of its row a token belongs to, -1 for padding, and positions [B, T]: its place in that sample; both None where each
    row holds one sample, padded on the right, which the causal mask alone keeps from harm."""

    tokens: Tensor
    targets: Tensor
    segments: Tensor | None = None
    positions: Tensor | None = None

    @property
    def mask(self) -> Tensor | None:
        """[B, 1, T, T], True = may attend: tokens of one sample. The decoder joins it with the causal mask."""
        if self.segments is None:
            return None
        return (self.segments[:, :, None] == self.segments[:, None, :])[:, None]

    @property
    def learnt(self) -> int:
        """How many tokens the loss is over."""
        return int((self.targets != IGNORE).sum())


def collate(rows: Sequence[Encoded | Sequence[Encoded]], *, pad_id: int, multiple: int = 1) -> TokenBatch:
    """A batch of rows, each one example or several packed ones; T is that of the longest, up to a `multiple`."""
    packed = [[row] if isinstance(row, Encoded) else list(row) for row in rows]
    width = max(sum(len(one.ids) for one in row) for row in packed)
    width = -(-width // multiple) * multiple
    shape = (len(packed), width)
    tokens, targets = np.full(shape, pad_id, dtype=np.int64), np.full(shape, IGNORE, dtype=np.int64)
    segments, positions = np.full(shape, -1, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for row, examples in enumerate(packed):
        start = 0
        for number, one in enumerate(examples):
            size, ids = len(one.ids), np.asarray(one.ids, dtype=np.int64)
            here = slice(start, start + size)
            tokens[row, here], segments[row, here], positions[row, here] = ids, number, np.arange(size)
            targets[row, start : start + size - 1] = np.where(one.learn[1:], ids[1:], IGNORE)
            start += size
    alone = all(len(row) == 1 for row in packed)
    return TokenBatch(
        tokens=torch.from_numpy(tokens),
        targets=torch.from_numpy(targets),
        segments=None if alone else torch.from_numpy(segments),
        positions=None if alone else torch.from_numpy(positions),
    )


class Packed(LazySequence[list[Encoded]]):
    """Rows of examples that fill at most `length` tokens each; `lengths` [N] are tokens of each row."""

    def __init__(self, examples: Sequence[Encoded], length: int, lengths: Sequence[int] | None = None) -> None:
        sizes = getattr(examples, "lengths", None) if lengths is None else lengths
        sizes = [len(one.ids) for one in examples] if sizes is None else sizes
        self.examples = examples
        self.rows = plan(sizes, length)
        self.lengths = np.array([sum(int(sizes[index]) for index in row) for row in self.rows], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.rows)

    def item(self, number: int) -> list[Encoded]:
        return [self.examples[example] for example in self.rows[number]]

    def __iter__(self) -> Iterator[list[Encoded]]:
        return (self[number] for number in range(len(self)))


def plan(lengths: Sequence[int], length: int) -> list[list[int]]:
    """Which examples share a row of `length` tokens: longest first, each into the fullest row that has room (best-fit
    decreasing). The same for the same lengths. Raises ValueError for an example longer than a row."""
    rows: list[list[int]] = []
    room: dict[int, list[int]] = {}  # tokens left -> rows with so many
    free: list[int] = []  # the keys of `room`, in order
    for index in sorted(range(len(lengths)), key=lambda index: (-int(lengths[index]), index)):
        size = int(lengths[index])
        if size > length:
            raise ValueError(f"example {index} has {size} tokens and a row {length}")
        place = bisect_left(free, size)
        if place == len(free):
            rows.append([])
            row, left = len(rows) - 1, length
        else:
            left = free[place]
            row = room[left].pop()
            if not room[left]:
                del room[left], free[place]
        rows[row].append(index)
        left -= size
        if left not in room:
            room[left] = []
            insort(free, left)
        room[left].append(row)
    return rows
