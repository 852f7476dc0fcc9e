"""Molecules as the network learns them: ids, and of what was measured of them a part that changes from time to time.

Axes: B molecules, T tokens, P conditions, M molecules whose properties are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ....core.lazy import LazySequence
from ....core.task import Example
from ..tokens import Tokens
from .model import PAD, SmilesBatch

TOLD_NOTHING = 0.2
"""The share of molecules that come without any condition while training; of the others each is told or not by the toss
of a coin, so that any subset may be told, and guidance has something to compare with (Ho and Salimans 2022, arXiv
2207.12598)."""


@dataclass(frozen=True, kw_only=True)
class Row(Example):
    """A molecule as ids with begin and end, and its properties [P], nan where they are not known; [0]: none is told."""

    ids: np.ndarray
    conditions: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.float32))


class Rows(LazySequence[Row]):
    """The first `most` rows of `tokens` (None: all), with `values` [M, P] of the first M molecules of the part
    (None: none). `lengths` [N] are tokens of each, by which the loop groups batches."""

    def __init__(self, tokens: Tokens, values: np.ndarray | None = None, *, most: int | None = None) -> None:
        self.tokens, self.lengths = tokens, tokens.lengths[:most]
        self.values = np.empty((0, 0), dtype=np.float32) if values is None else values.astype(np.float32)
        self._unknown = np.full(self.values.shape[1], np.nan, dtype=np.float32)

    def __len__(self) -> int:
        return len(self.lengths)

    def item(self, number: int) -> Row:
        which = int(self.tokens.which[number])
        known = self.values[which] if which < len(self.values) else self._unknown
        return Row(id=f"{which}", ids=self.tokens[number], conditions=known)


def padded(rows: Sequence[Sequence[int] | np.ndarray]) -> Tensor:
    """Ids of several molecules side by side, [B, T], filled up with padding to the longest."""
    return pad_sequence([torch.tensor(row, dtype=torch.long) for row in rows], batch_first=True, padding_value=PAD)


def batch_of(rows: Sequence[Row], *, training: bool = False) -> SmilesBatch:
    """Rows as tensors; in training some conditions are not told, drawn from numpy's global state."""
    tokens = padded([row.ids for row in rows])
    conditions = np.stack([row.conditions for row in rows])
    if not conditions.shape[1]:
        return SmilesBatch(tokens=tokens)
    if training:
        hidden = np.random.random(conditions.shape) < 0.5  # noqa: NPY002 (seeded by the loop, like all augmentation)
        hidden |= np.random.random((len(rows), 1)) < TOLD_NOTHING  # noqa: NPY002
        conditions = np.where(hidden, np.nan, conditions)
    return SmilesBatch(tokens=tokens, conditions=torch.from_numpy(conditions.astype(np.float32)))
