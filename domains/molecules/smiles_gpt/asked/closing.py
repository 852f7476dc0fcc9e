"""Drawing so that every ring and every branch that is opened is closed again before the molecule ends.

Behind a prompt from the middle of a molecule the model loses track of its rings now and then; so it may not end while
one is open, close no branch that is not open, and opens a ring with the lowest number that is free, as rdkit writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .....core.generate import Processor
from ...reasons import RING
from ...tokenizer import SmilesTokenizer


@dataclass
class _Open:
    """What is open in one row, of the `read` tokens at its front: rings by token, and how many branches."""

    read: int = 0
    rings: set[int] = field(default_factory=set)
    branches: int = 0


def closing(tokenizer: SmilesTokenizer) -> Processor:
    """Forbids what leaves a ring or a branch open; for one call of `generate`, as it remembers its rows."""
    tokens = tokenizer.tokens
    rings = [number for number, token in enumerate(tokens) if RING.fullmatch(token)]
    rings.sort(key=lambda number: int(tokens[number].lstrip("%")))
    numbered = set(rings)
    steps = {number: 1 if token == "(" else -1 for number, token in enumerate(tokens) if token in ("(", ")")}
    states: dict[int, _Open] = {}
    masks: dict[tuple[frozenset[int], bool], Tensor] = {}

    def read(row: int, ids: Sequence[int]) -> _Open:
        state = states.setdefault(row, _Open())
        for token in ids[state.read :]:
            if token in numbered:
                state.rings ^= {token}
            state.branches += steps.get(token, 0)
        state.read = len(ids)
        return state

    def forbidden(opened: frozenset[int], branched: bool) -> Tensor:
        mask = torch.zeros(len(tokens), dtype=torch.bool)
        mask[tokenizer.end] = bool(opened) or branched
        for number, step in steps.items():
            mask[number] = step < 0 and not branched
        free = [number for number in rings if number not in opened]
        mask[free[1:]] = True
        return mask

    def process(rows: list[int], ids: list[list[int]], logits: Tensor) -> Tensor:
        chosen = []
        for row, written in zip(rows, ids, strict=True):
            state = read(row, written)
            key = frozenset(state.rings), state.branches > 0
            if key not in masks:
                masks[key] = forbidden(*key)
            chosen.append(masks[key])
        return logits.masked_fill(torch.stack(chosen).to(logits.device), float("-inf"))

    return process
