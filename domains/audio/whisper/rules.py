"""Which token may come next: the rules of Whisper's tokens as processors for `core.generate`, and loops in an answer.

Axes: B rows, V vocabulary.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .tokenizer import SECONDS_A_STEP, WhisperTokenizer

FIRST_TIME_WITHIN = 1.0
"""Seconds from the window's beginning in which the first timestamp lies."""
ROUNDS, LONGEST, SHORTEST = 4, 32, 12
"""A loop goes round at least four times, each round of at most so many tokens, and is of so many tokens in all."""


class Suppress:
    """Tokens that never follow, and those that never come first. `begins`: where the answer of each row starts."""

    def __init__(
        self, tokenizer: WhisperTokenizer, vocabulary: int, begins: Sequence[int], device: torch.device
    ) -> None:
        self.begins = begins
        self.never = _forbidden(tokenizer.suppress, vocabulary, device)
        self.first = _forbidden(tokenizer.suppress_first, vocabulary, device)

    def __call__(self, rows: list[int], ids: list[list[int]], logits: Tensor) -> Tensor:
        logits = logits + self.never
        first = [len(row_ids) == self.begins[row] for row, row_ids in zip(rows, ids, strict=True)]
        if any(first):
            logits = torch.where(torch.tensor(first, device=logits.device)[:, None], logits + self.first, logits)
        return logits


class Timestamps:
    """Times come in pairs around a text, never go back, and come where all times together are likelier than any text.

    The first one lies within a second of the window's beginning.
    """

    def __init__(
        self, tokenizer: WhisperTokenizer, vocabulary: int, begins: Sequence[int], device: torch.device
    ) -> None:
        self.begins, self.first_time, self.end = begins, tokenizer.first_time, tokenizer.end
        self.no_timestamps = tokenizer.no_timestamps
        self.latest_first = self.first_time + round(FIRST_TIME_WITHIN / SECONDS_A_STEP)
        self.numbers = torch.arange(vocabulary, device=device)

    def __call__(self, rows: list[int], ids: list[list[int]], logits: Tensor) -> Tensor:
        logits = logits.clone()
        logits[:, self.no_timestamps] = float("-inf")
        for place, (row, row_ids) in enumerate(zip(rows, ids, strict=True)):
            self._pair_up(logits[place], row_ids[self.begins[row] :])
        scores = logits.float().log_softmax(dim=-1)
        times = scores[:, self.first_time :].logsumexp(dim=-1)
        timely = times > scores[:, : self.first_time].amax(dim=-1)  # [B]
        return logits.masked_fill(timely[:, None] & (self.numbers < self.first_time), float("-inf"))

    def _pair_up(self, logits: Tensor, answer: list[int]) -> None:
        """Forbid in one row [V] what would break a pair, or go back."""
        if not answer:
            logits[: self.first_time] = float("-inf")
            logits[self.latest_first + 1 :] = float("-inf")
            return
        last = answer[-1] >= self.first_time
        before = len(answer) < 2 or answer[-2] >= self.first_time
        if last:
            if before:  # a pair is complete: text follows
                logits[self.first_time :] = float("-inf")
            else:  # text ended: the next one's beginning follows, or the end of all
                logits[: self.end] = float("-inf")
        times = [token for token in answer if token >= self.first_time]
        if times:  # the second of a pair may repeat the first; a text lasts at least one step
            earliest = times[-1] if last and not before else times[-1] + 1
            logits[self.first_time : earliest] = float("-inf")


class Loop(NamedTuple):
    """Where the first round begins in a list of ids, and how many tokens a round has."""

    start: int
    period: int


def loop_at_end(ids: Sequence[int]) -> Loop | None:
    """The loop in which ids end, None where they do not go in circles."""
    for period in range(1, min(LONGEST, len(ids) // ROUNDS) + 1):
        needed = max(ROUNDS * period, SHORTEST)
        if len(ids) < needed or list(ids[-needed:-period]) != list(ids[period - needed :]):
            continue
        start = len(ids) - needed
        while start and ids[start - 1] == ids[start - 1 + period]:
            start -= 1
        return Loop(start, period)
    return None


def compression(text: str) -> float:
    """How many times smaller zlib makes a text: above about 2.4 it repeats itself."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 1.0


def _forbidden(tokens: Iterable[int], vocabulary: int, device: torch.device) -> Tensor:
    """[V]: minus infinity for these tokens, zero for all others."""
    table = torch.zeros(vocabulary, device=device)
    table[[token for token in tokens if token < vocabulary]] = float("-inf")
    return table
