"""Beam search: the replies with the largest mean log-probability of their tokens, as far as `beams` of them are tried.

    step 1          step 2                 each step: the best continuations of all beams together
    a  -0.4  ----   a c  -0.9              those that end are set aside, scored by sum / length
       \\---------   a d  -1.1              search ends when no open beam could still enter the best `beams`
    b  -1.2   (no continuation of b is among the best two)

Axes: R rows still searched, N beams of a row, V vocabulary.

Length normalisation as in Wu et al. 2016 (arXiv 1609.08144), with exponent 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .prompts import PromptBatch

_NEVER = -1e9
"""The score of a beam that only fills a place."""


@dataclass
class _Search:
    """The search for the reply to one prompt: open beams by falling score, and the best ended ones."""

    row: int
    prompt: list[int]
    open: list[tuple[float, list[int]]]
    ended: list[tuple[float, list[int]]] = field(default_factory=list)

    def take(self, found: Sequence[tuple[float, int, int]], beams: int, ends: Callable[[list[int]], bool]) -> list[int]:
        """Go on with the candidates (score, beam, token), best first; returns the beam that each open one continues."""
        before, self.open, parents = self.open, [], []
        for rank, (score, beam, token) in enumerate(found):
            ids = [*before[beam][1], token]
            if ends(ids):
                if rank < beams:
                    self.ended.append((score / len(ids), ids))
            elif len(self.open) < beams:
                self.open.append((score, ids))
                parents.append(beam)
        self.ended = sorted(self.ended, key=lambda entry: -entry[0])[:beams]
        if self.open:  # places that no candidate fills keep the batch in shape
            missing = beams - len(self.open)
            self.open += [(_NEVER, self.open[-1][1])] * missing
            parents += [parents[-1]] * missing
        return parents

    def done(self, beams: int) -> bool:
        """Whether no open beam could still enter the best."""
        if not self.open:
            return True
        score, ids = self.open[0]
        return len(self.ended) == beams and score / len(ids) <= self.ended[-1][0]


def beam_search(
    batch: PromptBatch,
    *,
    beams: int,
    stop_ids: frozenset[int],
    stop: Callable[[int, list[int]], bool] | None = None,
    process: Callable[[list[int], list[list[int]], Tensor], Tensor] | None = None,
) -> list[list[int]]:
    """The best reply to each prompt of a fresh batch, the stop id that ended it included.

    process: (rows, ids of each, log-probabilities [R N, V]) -> the same changed.
    """
    vocabulary, wanted = batch.model.vocabulary, (1 + max(1, len(stop_ids))) * beams
    logits = batch.start()  # [R, V]
    searches = [
        _Search(row, list(prompt), [(0.0, [])] + [(_NEVER, [])] * (beams - 1))
        for row, prompt in enumerate(batch.prompts)
    ]
    best: dict[int, list[int]] = {}
    parents = [place for place in range(len(searches)) for _ in range(beams)]
    batch.select(parents)
    logits = logits[torch.tensor(parents, device=batch.device)]  # [R N, V]
    while searches:
        scores = logits.float().log_softmax(dim=-1)
        if process is not None:
            rows = [search.row for search in searches for _ in range(beams)]
            scores = process(rows, [search.prompt + ids for search in searches for _, ids in search.open], scores)
        so_far = torch.tensor([[score for score, _ in search.open] for search in searches], device=batch.device)
        total = scores.view(len(searches), beams, vocabulary) + so_far[:, :, None]
        values, places = total.flatten(1).topk(min(wanted, beams * vocabulary))  # [R, wanted]
        parents, going = [], []
        for place, search in enumerate(searches):

            def ends(ids: list[int], row: int = search.row) -> bool:
                return ids[-1] in stop_ids or len(ids) == batch.room or (stop is not None and stop(row, ids))

            found = [
                (value, *divmod(index, vocabulary))
                for value, index in zip(values[place].tolist(), places[place].tolist(), strict=True)
            ]
            chosen = search.take(found, beams, ends)
            if search.done(beams):
                best[search.row] = search.ended[0][1]
            else:
                parents += [place * beams + beam for beam in chosen]
                going.append(search)
        searches = going
        if searches:
            batch.select(parents)
            tokens = [[ids[-1]] for search in searches for _, ids in search.open]
            logits = batch.feed(torch.tensor(tokens, device=batch.device))[:, -1]
    return [best[row] for row in range(len(best))]
