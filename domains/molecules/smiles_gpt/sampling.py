"""Drawing molecules: many rows side by side with one key/value cache, each with its own end.

Axes: B molecules drawn together, P conditions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ....core.generate import Generated, Processor, generate
from ....core.language import LanguageModel
from ....core.sampling import Sampling
from ....core.task import Batch, Example
from ..smiles import canonical
from ..tokenizer import SmilesTokenizer
from .guidance import Guided
from .model import SmilesGPT

SEEDS = 1_000_003
"""So far apart are the seeds of two runs, that their batches never share one."""
SPREAD = 4
"""Prompts whose lengths differ by more tokens are not drawn together."""


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
    guidance: float = 1.0,
) -> list[Drawn]:
    """Draw the molecules of a batch. guidance: how much the conditions count, 1: as they were learnt."""
    prompts = [[SmilesTokenizer.begin]] * len(batch.conditions)
    return _continued(network, batch.conditions, prompts, sampling, guidance=guidance, processors=processors)


@torch.inference_mode()
def go_on(
    network: SmilesGPT,
    conditions: Tensor,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    *,
    guidance: float = 1.0,
    first: Tensor | None = None,
    made: Callable[[], Processor] | None = None,
) -> list[Drawn]:
    """Go on from prompts (ids with begin and without end), one for each row of conditions [B, P], in their order; what
    is drawn has the prompt's ids in front. first [V] bool: the tokens that may stand right behind a prompt. made:
    makes a processor for prompts that are drawn together."""
    drawn: dict[int, Drawn] = {}
    order = sorted(range(len(prompts)), key=lambda row: len(prompts[row]))
    while order:  # prompts drawn together share the room behind the longest of them
        most = len(prompts[order[0]]) + SPREAD
        part = [row for row in order if len(prompts[row]) <= most]
        order = order[len(part) :]
        begun = [list(prompts[row]) for row in part]
        processors = [*([made()] if made else []), *([_beginning_with(first, begun)] if first is not None else [])]
        once = replace(sampling, seed=(sampling.seed or 0) + 31 * most)
        replies = _continued(network, conditions[part], begun, once, guidance=guidance, processors=processors)
        for row, reply in zip(part, replies, strict=True):
            drawn[row] = replace(reply, ids=(*prompts[row][1:], *reply.ids))
    return [drawn[row] for row in range(len(prompts))]


def _continued(
    network: SmilesGPT,
    told: Tensor,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    *,
    guidance: float,
    processors: Sequence[Processor],
) -> list[Drawn]:
    """What is written behind each prompt, told [B, P]."""
    plain = told.nan_to_num(torch.inf)
    alike = told[:1] if torch.equal(plain, plain[:1].expand_as(plain)) else told
    model: LanguageModel = network
    past = network.told(alike)
    if guidance != 1 and not bool(told.isnan().all()):
        model = guided = Guided(network, guidance)
        past = guided.told(alike)
    stop, allowed = frozenset({SmilesTokenizer.end}), [only_molecules, *processors]
    replies = generate(model, prompts, sampling, stop_ids=stop, processors=allowed, past=past)
    return [drawn_of(reply) for reply in replies]


def _beginning_with(first: Tensor, prompts: Sequence[Sequence[int]]) -> Processor:
    """Nothing but these tokens [V] bool right behind a prompt."""

    def process(rows: list[int], ids: list[list[int]], logits: Tensor) -> Tensor:
        at_start = len(ids[0]) == len(prompts[rows[0]])  # all rows are equally far
        return logits.masked_fill(~first.to(logits.device), float("-inf")) if at_start else logits

    return process


def only_molecules(rows: list[int], ids: list[list[int]], logits: Tensor) -> Tensor:
    """Logits [B, V] without what no molecule is written with: padding, another beginning, the unknown token."""
    never = [SmilesTokenizer.pad, SmilesTokenizer.begin, SmilesTokenizer.unknown]
    return logits.index_fill(1, torch.tensor(never, device=logits.device), float("-inf"))


def smiles_of(drawn: Sequence[Drawn], tokenizer: SmilesTokenizer) -> list[str]:
    """What was drawn in canonical SMILES, "" where it is no molecule or has no end."""
    return [(canonical(tokenizer.decode(one.ids)) or "") if one.ended else "" for one in drawn]


def drawn_of(reply: Generated) -> Drawn:
    """A reply of the language model as what was drawn."""
    ended = reply.finished == "stop"
    ids = reply.ids[:-1] if ended else reply.ids
    return Drawn(ids=tuple(ids), nats=-sum(math.log(max(one, 1e-45)) for one in reply.probabilities), ended=ended)
