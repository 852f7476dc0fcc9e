"""Drawing molecules: many rows side by side with one key/value cache, each with its own end.

Axes: B molecules drawn together, P conditions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ....core.generate import Generated, Processor, generate
from ....core.sampling import Sampling
from ....core.task import Batch, Example
from ..tokenizer import SmilesTokenizer
from .model import SmilesGPT


@dataclass(frozen=True, kw_only=True)
class Draw(Example):
    """One molecule to draw: the `number` it has among those that are asked for, and the conditions it is told."""

    number: int
    conditions: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DrawBatch(Batch):
    """Molecules to draw together: conditions [B, P], nan where not told, and the seed of the draws."""

    conditions: Tensor
    seed: int


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What was written: its ids behind the beginning, and minus its log-probability in nats; `ended` where the model
    said so itself, rather than running out of room."""

    ids: tuple[int, ...]
    nats: float
    ended: bool


@torch.inference_mode()
def draw(
    network: SmilesGPT,
    batch: DrawBatch,
    sampling: Sampling,
    *,
    processors: Sequence[Processor] = (),
) -> list[Drawn]:
    """Draw the molecules of a batch."""
    rows, told = len(batch.conditions), batch.conditions
    alike = rows > 0 and torch.equal(told.nan_to_num(torch.inf), told[:1].nan_to_num(torch.inf).expand_as(told))
    past = network.told(told[:1] if alike else told)
    begin = [[SmilesTokenizer.begin]] * rows
    allowed = [only_molecules, *processors]
    replies = generate(
        network, begin, sampling, stop_ids=frozenset({SmilesTokenizer.end}), processors=allowed, past=past
    )
    return [drawn_of(reply) for reply in replies]


def only_molecules(rows: list[int], ids: list[list[int]], logits: Tensor) -> Tensor:
    """Logits [B, V] without what no molecule is written with: padding, another beginning, the unknown token."""
    never = [SmilesTokenizer.pad, SmilesTokenizer.begin, SmilesTokenizer.unknown]
    return logits.index_fill(1, torch.tensor(never, device=logits.device), float("-inf"))


def drawn_of(reply: Generated) -> Drawn:
    """A reply of the language model as what was drawn."""
    ended = reply.finished == "stop"
    ids = reply.ids[:-1] if ended else reply.ids
    return Drawn(ids=tuple(ids), nats=-sum(math.log(max(one, 1e-45)) for one in reply.probabilities), ended=ended)
