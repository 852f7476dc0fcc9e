"""The work that is planned: one prediction, or steps of a training, run on shapes alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..rehearsal import rehearsal
from .blueprint import Blueprint
from .kernels import Decided
from .ledger import Ledger

STEPS = 2
"""Steps of a training: the optimiser's states are there from the second on."""


def weigh(draw: Callable[[], Blueprint], *, device: str) -> Ledger:
    """What the work of the blueprint that `draw` gives takes on a device of this type: a ledger with its peak."""
    ledger = Ledger()
    with rehearsal(device, ledger.mark, Decided), ledger, Decided():
        blueprint = draw()
        ledger.loaded = ledger.needed
        ledger.logits, ledger.usual = blueprint.logits, "activations"
        network = blueprint.task.network
        ledger.mark("weights", [*network.parameters(), *network.buffers()])
        if blueprint.command == "run":
            _predict(blueprint, ledger)
        else:
            _train(blueprint, ledger)
    return ledger


def _predict(blueprint: Blueprint, ledger: Ledger) -> None:
    blueprint.task.network.eval()
    with torch.inference_mode():
        blueprint.predict(_batch(blueprint, ledger, blueprint.batch_size))


def _train(blueprint: Blueprint, ledger: Ledger) -> None:
    """As `core.train` does: parts of a batch, their gradients added up, clipped, AdamW."""
    task, options = blueprint.task, blueprint.options
    if blueprint.before is not None:
        with torch.inference_mode():
            blueprint.before()
    task.network.train()
    task.trainable.train()
    groups = [list(group["params"]) for group in task.parameter_groups(options)]
    learning = [value for group in groups for value in group]
    for value in learning:
        value.register_post_accumulate_grad_hook(lambda value: ledger.mark("gradients", [value.grad]))
    moments: list[Tensor] = []
    parts = min(options.accumulate, blueprint.batch_size)
    size = -(-blueprint.batch_size // parts)
    for _ in range(STEPS):
        for _ in range(parts):
            _learn(blueprint, ledger, size)
        if options.clip:
            nn.utils.clip_grad_norm_([value for value in learning if value.grad is not None], options.clip)
        if not moments:  # AdamW's first and second moments; its fused kernel takes nothing beside them
            moments = [torch.empty_like(value) for value in learning for _ in range(2)]
            ledger.mark("optimiser", moments)
        for value in learning:
            value.grad = None


def _learn(blueprint: Blueprint, ledger: Ledger, size: int) -> None:
    """The gradient of one part of a batch."""
    task = blueprint.task
    batch = _batch(blueprint, ledger, size)
    for piece in task.pieces(batch) if hasattr(task, "pieces") else (batch,):  # a blueprint's stand-in may have none
        with torch.autocast("cpu", torch.bfloat16, enabled=blueprint.casts):
            loss = task.loss(task.trainable, piece)
        torch.autograd.backward(loss * 0.5)


def _batch(blueprint: Blueprint, ledger: Ledger, size: int) -> Any:
    batch = blueprint.batch(size)
    ledger.mark("batch", [value for value in vars(batch).values() if isinstance(value, Tensor)])
    return batch
