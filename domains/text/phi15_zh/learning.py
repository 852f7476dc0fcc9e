"""What a training step computes: the loss of replies, or of preferences, without ever holding all logits.

Axes: B rows, T tokens of a row, P pairs of replies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ....core.adapters import head_parts, head_places, language_loss
from ....core.language import LanguageModel
from ....core.lazy import LazySequence
from ....core.losses import dpo_loss, sequence_log_probabilities
from ....core.rehearsal import arithmetic
from ....core.task import Batch, Example
from ..chat import Encoded, EncodedPair
from ..likelihood import token_log_probabilities
from ..packing import TokenBatch, collate

TOGETHER = 2048
"""Tokens, padding included, that a step computes at once: of long rows it takes fewer at a time, and their gradients
add up to the same. Four rows of 1,024 tokens at once took SmolLM2-135M to 5.4 GB."""


@dataclass(frozen=True, kw_only=True)
class Row(Example):
    """Samples that share a row of tokens; `characters` that their learnt tokens stand for (0: nobody asks)."""

    samples: tuple[Encoded, ...]
    characters: int = 0

    @classmethod
    def of(cls, id: str, ids: list[int]) -> Row:
        """A row of one sample, all of which is learnt."""
        return cls(id=id, samples=(Encoded(ids, [True] * len(ids)),))


@dataclass(frozen=True, kw_only=True)
class Pair(Example):
    """Two replies to one prompt, and the log-probabilities (chosen, rejected) that training starts from."""

    pair: EncodedPair
    start: tuple[float, float]
    characters: int = 0


@dataclass(frozen=True, kw_only=True)
class PairBatch(Batch):
    """The chosen replies [P, T] above the rejected ones, with the log-probabilities they started from [P] each."""

    sides: TokenBatch
    chosen: Tensor
    rejected: Tensor

    def to(self, device: torch.device | str) -> PairBatch:
        return PairBatch(sides=self.sides.to(device), chosen=self.chosen.to(device), rejected=self.rejected.to(device))


class Lazy(LazySequence[Any]):
    """Examples made when asked for; `lengths` [N] are their tokens, by which the loop groups batches."""

    def __init__(self, count: int, make: Callable[[int], Any], lengths: Sequence[int]) -> None:
        self._count, self._make, self.lengths = count, make, lengths

    def __len__(self) -> int:
        return self._count

    def item(self, number: int) -> Any:
        return self._make(number)


def learn_batch(examples: Sequence[Row | Pair], *, pad_id: int) -> TokenBatch | PairBatch:
    """Rows, or pairs, as one batch."""
    if isinstance(examples[0], Row):
        return collate([item.samples for item in examples if isinstance(item, Row)], pad_id=pad_id)
    pairs = [item for item in examples if isinstance(item, Pair)]
    sides = [item.pair.chosen for item in pairs] + [item.pair.rejected for item in pairs]
    chosen, rejected = (torch.tensor([item.start[side] for item in pairs]) for side in (0, 1))
    return PairBatch(sides=collate(sides, pad_id=pad_id), chosen=chosen, rejected=rejected)


def pieces(batch: TokenBatch | PairBatch) -> list[TokenBatch | PairBatch]:
    """The batch in batches of at most `TOGETHER` tokens, of whole rows or pairs, whose losses add up to its own."""
    if isinstance(batch, TokenBatch):
        some = max(1, TOGETHER // batch.tokens.shape[1])
        return [_rows(batch, slice(start, start + some)) for start in range(0, len(batch.tokens), some)]
    pairs, some = len(batch.chosen), max(1, TOGETHER // (2 * batch.sides.tokens.shape[1]))
    found: list[TokenBatch | PairBatch] = []
    for start in range(0, pairs, some):
        part = slice(start, start + some)
        ours = [number for side in (0, pairs) for number in range(side, side + pairs)[part]]
        found.append(
            PairBatch(sides=_rows(batch.sides, ours), chosen=batch.chosen[part], rejected=batch.rejected[part])
        )
    return found


def _rows(batch: TokenBatch, rows: slice | list[int]) -> TokenBatch:
    fields: dict[str, Any] = {name: None if value is None else value[rows] for name, value in vars(batch).items()}
    return TokenBatch(**fields)


def count(batch: TokenBatch | PairBatch) -> float:
    """What the loss is a mean over: learnt tokens, or pairs."""
    return float(batch.learnt if isinstance(batch, TokenBatch) else len(batch.chosen))


class Learner(nn.Module):
    """A language model and the loss it learns by.

    bf16: the products are in bfloat16 (softmax and sums stay in float32); so are the weights that do not learn, if the
    caller has made them so. beta: of preference learning.
    """

    def __init__(self, model: LanguageModel, *, bf16: bool = False, beta: float = 0.1) -> None:
        super().__init__()
        self.model, self.bf16, self.beta = model, bf16, beta

    def forward(self, batch: TokenBatch | PairBatch) -> Tensor:
        """The loss summed over what `count` counts."""
        with self.arithmetic():
            if isinstance(batch, TokenBatch):
                return language_loss(self.model, self._hidden(batch).flatten(0, 1), batch.targets.flatten())
            chosen, rejected = self.replies(batch.sides).chunk(2)
            return dpo_loss(chosen, rejected, batch.chosen, batch.rejected, self.beta)[0].sum()

    @torch.no_grad()
    def likelihoods(self, batch: TokenBatch | PairBatch) -> dict[str, Tensor | None]:
        """Minus the log-probability of each row's learnt tokens [B] and their count [B]; of pairs that of the chosen
        replies [P], and the margins by which their rewards lead [P]."""
        with self.arithmetic():
            sides = batch if isinstance(batch, TokenBatch) else batch.sides
            scores, tokens = self._told(sides), (sides.targets >= 0).sum(dim=1)
            if isinstance(batch, TokenBatch):
                return {"nats": -scores, "tokens": tokens}
            chosen, rejected = scores.chunk(2)
            _, up, down = dpo_loss(chosen, rejected, batch.chosen, batch.rejected, self.beta)
            return {"nats": -chosen, "tokens": tokens.chunk(2)[0], "margins": up - down}

    def replies(self, batch: TokenBatch) -> Tensor:
        """The log-probability of each row's learnt tokens, [B]."""
        targets = head_places(self.model, batch.targets)
        return sequence_log_probabilities(self._hidden(batch), *head_parts(self.model), targets)

    def _told(self, batch: TokenBatch) -> Tensor:
        """As `replies`, by the head as it stands: that of an engine, or with narrow weights, has no weights to give."""
        counted = batch.targets >= 0
        found = token_log_probabilities(self.model, self._hidden(batch)[counted], batch.targets[counted])
        rows = counted.nonzero()[:, 0]
        return found.new_zeros(len(counted)).index_add(0, rows, found)

    def _hidden(self, batch: TokenBatch) -> Tensor:
        return self.model.hidden(batch.tokens, mask=batch.mask, positions=batch.positions)

    def arithmetic(self) -> torch.autocast:
        """A block whose products are in the precision of the learner."""
        device = next(self.parameters()).device
        return torch.autocast(arithmetic(device.type), torch.bfloat16, enabled=self.bf16)

    def parameter_groups(self, options: Any) -> Iterable[dict[str, Any]]:
        """Matrices decay, if anything does; vectors and rows of the vocabulary never."""
        named = [(name, value) for name, value in self.named_parameters() if value.requires_grad]
        decays = [value for name, value in named if value.ndim >= 2 and ".rows." not in name]
        rest = [value for name, value in named if value.ndim < 2 or ".rows." in name]
        groups = [{"params": decays, "weight_decay": options.weight_decay}, {"params": rest, "weight_decay": 0.0}]
        return [group for group in groups if group["params"]]
