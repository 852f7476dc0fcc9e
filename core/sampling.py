"""How the next token is chosen from the model's logits: pure functions, and the settings a person gives.

    logits -> penalty, loops -> temperature -> top-k -> top-p -> min-p -> draw        (temperature 0: the largest)

Axes: B rows of the batch, V vocabulary.

Top-k: Fan et al. 2018 (arXiv 1805.04833). Top-p: Holtzman et al. 2020 (1904.09751). Min-p: Nguyen et al. 2024
(2407.01082). Repetition penalty: CTRL, Keskar et al. 2019 (1909.05858).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .errors import UserError


@dataclass(frozen=True)
class Sampling:
    """What decides the next token. The defaults are greedy decoding.

    temperature: 0 takes the most likely token; 1 draws from the model's distribution, less sharpens it.
    top_k: draw from the so many most likely (0: all). top_p: from the fewest that hold this share of the probability.
    min_p: from those at least this share as likely as the most likely. repetition_penalty: above 1, tokens that stand
    in the prompt or the reply become less likely. no_repeat_ngram: so many tokens in a row never come twice in a reply
    (0: they may), which is the way out of a loop; the prompt may be quoted. beams: above 1, beam search. seed: of the
    draws; None is a new one. max_new: tokens of a reply at most. lookup: tokens that are drafted from an earlier match
    in the text and verified at once (prompt lookup); used for one greedy reply, and never changes it.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0
    beams: int = 1
    seed: int | None = None
    max_new: int = 256
    lookup: int = 0

    def __post_init__(self) -> None:
        for name, holds, rule in (
            ("temperature", self.temperature >= 0, "is at least 0 (0: greedy)"),
            ("top_k", self.top_k >= 0, "is at least 0 (0: all tokens)"),
            ("top_p", 0 < self.top_p <= 1, "lies above 0 and up to 1 (1: all tokens)"),
            ("min_p", 0 <= self.min_p <= 1, "lies between 0 and 1 (0: all tokens)"),
            ("repetition_penalty", self.repetition_penalty > 0, "is above 0 (1: none)"),
            ("no_repeat_ngram", self.no_repeat_ngram >= 0, "is at least 0 (0: none)"),
            ("beams", self.beams >= 1, "is at least 1 (1: no beam search)"),
            ("max_new", self.max_new >= 1, "is at least 1"),
            ("lookup", self.lookup >= 0, "is at least 0 (0: no drafts)"),
        ):
            if not holds:
                raise UserError(f"{name} is {getattr(self, name)}.", f"It {rule}.")
        if self.beams > 1 and self.temperature > 0:
            raise UserError(
                f"Beam search ({self.beams} beams) looks for the most likely reply; a temperature of "
                f"{self.temperature} draws at random.",
                "Give one of them.",
            )

    @property
    def greedy(self) -> bool:
        """Whether the most likely token is always taken, with nothing changed and nothing searched."""
        return self.temperature == 0 and self.beams == 1 and not self.repels

    @property
    def repels(self) -> bool:
        """Whether what was said before changes what is likely now, beyond what the model makes of it."""
        return self.repetition_penalty != 1 or self.no_repeat_ngram > 0


def penalise_repetition(logits: Tensor, ids: Sequence[Sequence[int]], penalty: float) -> Tensor:
    """Logits [B, V] with those of the tokens in `ids` (a list for each row) made smaller by the factor `penalty`."""
    penalised = logits.clone()
    for row, seen in enumerate(ids):
        index = torch.tensor(sorted(set(seen)), device=logits.device)
        value = logits[row, index]
        penalised[row, index] = torch.where(value < 0, value * penalty, value / penalty)
    return penalised


def forbid_repeats(logits: Tensor, ids: Sequence[Sequence[int]], size: int) -> Tensor:
    """Logits [B, V], -inf where a token would end `size` tokens that stand in `ids` (a list for each row) already."""
    forbidden = logits
    for row, seen in enumerate(ids):
        before, tail = size - 1, list(seen[len(seen) - size + 1 :])
        places = range(before, len(seen))  # of tokens with enough before them
        if before:  # few follow the same token, and only these are looked at whole
            places = [place for place in places if seen[place - 1] == seen[-1]]
        ends = [seen[place] for place in places if list(seen[place - before : place]) == tail]
        if ends:
            forbidden = logits.clone() if forbidden is logits else forbidden
            forbidden[row, ends] = float("-inf")
    return forbidden


def keep_top_k(logits: Tensor, count: int) -> Tensor:
    """Logits [B, V], -inf but for the `count` largest of each row (and what equals the last of them)."""
    least = logits.topk(min(count, logits.shape[-1]), dim=-1).values[:, -1:]
    return logits.masked_fill(logits < least, float("-inf"))


def keep_top_p(logits: Tensor, share: float) -> Tensor:
    """Logits [B, V], -inf but for the fewest most likely that hold at least `share` of the probability."""
    ordered, places = logits.sort(dim=-1)
    dropped = ordered.softmax(dim=-1).cumsum(dim=-1) <= 1 - share
    dropped[:, -1] = False  # the most likely token always stays
    return logits.masked_fill(dropped.scatter(1, places, dropped), float("-inf"))


def keep_min_p(logits: Tensor, share: float) -> Tensor:
    """Logits [B, V], -inf but for those at least `share` times as likely as the most likely of the row."""
    probabilities = logits.softmax(dim=-1)
    return logits.masked_fill(probabilities < share * probabilities.amax(dim=-1, keepdim=True), float("-inf"))


def draw(logits: Tensor, noise: Tensor) -> Tensor:
    """A token for each row of logits [B, V], from noise [B] uniform in [0, 1): where the cumulated probability passes
    it. So a row depends on its own noise alone, whatever rows stand beside it."""
    cumulated = logits.double().softmax(dim=-1).cumsum(dim=-1)
    passed = torch.searchsorted(cumulated, noise.double()[:, None] * cumulated[:, -1:], right=True)
    return passed[:, 0].clamp(max=logits.shape[-1] - 1)


def choose(logits: Tensor, sampling: Sampling, noise: Tensor) -> Tensor:
    """The next token [B] from logits [B, V]; noise [B] is not read at temperature 0. The penalty is applied already."""
    if sampling.temperature == 0:
        return logits.argmax(dim=-1)
    logits = logits / sampling.temperature
    if sampling.top_k:
        logits = keep_top_k(logits, sampling.top_k)
    if sampling.top_p < 1:
        logits = keep_top_p(logits, sampling.top_p)
    if sampling.min_p:
        logits = keep_min_p(logits, sampling.min_p)
    return draw(logits, noise)
