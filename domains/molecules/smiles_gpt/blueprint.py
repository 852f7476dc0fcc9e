"""What `plan` rehearses: a language model of molecules from its configuration alone, drawing or learning.

Axes: B molecules, T tokens, P conditions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from ....core.options import override, split_settings
from ....core.plan.blueprint import Blueprint, Wanted, length_of, method_of, plain, unsized
from ....core.weights import without_weights
from .config import SHAPES
from .model import SmilesBatch, SmilesGPT
from .options import RunOptions
from .sampling import DrawBatch, draw


def blueprint(cls: Any, wanted: Wanted) -> Blueprint:
    """The work of `run` or `finetune` on a network without weights."""
    fresh = wanted.command == "finetune" and wanted.checkpoint in (None, "none", "scratch")
    task = cls.load(None if fresh else wanted.checkpoint, settings={} if fresh else wanted.settings)
    if not isinstance(task, cls):  # a predictor: a task of its own
        return plain(task, wanted, method="full", notices=method_of(wanted, ("full",))[1])
    config, said = task.network.config, ()
    if fresh:
        options = wanted.options
        shape = {**SHAPES[options.size or "base"], "dropout": 0.0 if options.size in ("", "base") else 0.1}
        length, said = length_of(wanted, usual=options.length or config.length, longest=512, unit="tokens")
        config = replace(config, **shape, length=length)
        config = override(config, split_settings(wanted.settings, config, options)[0])
        with without_weights():
            network = SmilesGPT(config)
        task = cls(network.to("meta"), task.around, task.origin)
        said = (f"molecules like those of {cls.card.data} are assumed, all of the greatest length", *said)
    elif wanted.length:
        said = unsized(wanted, f"this checkpoint's molecules have up to {config.length} tokens")
    method, unknown = method_of(wanted, ("full",))
    known: dict[str, Any] = {
        "length": config.length, "longest": 512 if fresh else config.length, "unit": "tokens",
        "logits": config.vocabulary, "method": method, "notices": (*said, *unknown),
    }  # fmt: skip
    if wanted.command == "run":
        return plain(task, wanted, **{**known, **_drawing(task, wanted.options)})
    return plain(task, wanted, **known, batch=lambda size: SmilesBatch(
        tokens=torch.ones(size, config.length, dtype=torch.long, device="meta"),
        conditions=torch.zeros(size, len(config.conditions), device="meta") if config.conditions else None,
    ))  # fmt: skip


def _drawing(task: Any, options: RunOptions) -> dict[str, Any]:
    """Molecules drawn together, to the last token."""
    conditions = len(task.network.config.conditions)

    def batch(size: int) -> DrawBatch:
        return DrawBatch(conditions=torch.full((size, conditions), torch.nan), seed=0)

    def work(asked: DrawBatch) -> None:
        draw(task.network, asked, task.sampling(options, asked.seed), guidance=options.guidance)

    return {"batch": batch, "predict": work}
