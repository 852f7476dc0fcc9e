"""What suits a data set where nobody says: context, widths, how long to train."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from typing import Any

from ....core.errors import UserError
from ..episodes import Episodes, Setting
from .config import DecisionTransformerConfig
from .options import FinetuneOptions, refuse
from .routes import on_maps

CONTEXT = 20
"""Steps of the context, as in the paper; of a small network half as many."""
CHANNELS = (1, 3, 4)
TOKENS = 300
"""Tokens of a context, at most, where states are pictures."""
STEPS = 3_000
"""Optimiser steps of a training, where nobody says how many."""
EPOCH = 300
"""Optimiser steps between two looks at the validation part, at most."""
RANGE = 10.0
"""What the largest return to go is scaled to: far enough apart for small differences to be told."""
SMALL = 12
"""Numbers of a state and an action up to which a small network does."""
MAPS: dict[str, Any] = {
    "dim": 96, "depth": 1, "heads": 8, "hidden": 384, "activation": "gelu", "dropout": 0.0, "patch": 2, "rounds": 24,
    "value": True, "condition": "none", "context": 1, "max_steps": 1,
}  # fmt: skip
"""A network that plans: a map says the return to come by itself, and nothing of the way so far matters."""
STEPS_OF_A_MAP = 16
"""Every so manieth step of recorded ways is validated on: about one for each map, of which any step asks the same."""
ACTIVATION, SCORE = 120, 6
"""Bytes that a training keeps for each token, layer and number of the width, and for each pair of tokens."""
LONGEST = 4096
"""Steps that have an embedding of their own, at most."""


def shape(setting: Setting, episodes: Episodes, options: FinetuneOptions) -> dict[str, Any]:
    """Of a network for these episodes."""
    if on_maps(setting):
        refuse(options, ("context", "chunk"), "a network that plans reads a map at once, whatever was done before")
        return dict(MAPS)
    small = setting.observation.count + setting.action.count <= SMALL
    found: dict[str, Any] = {"dim": 128, "depth": 3, "heads": 1, "hidden": 512, "activation": "gelu"}
    context = CONTEXT
    if small:
        found |= {"dim": 64, "depth": 2, "heads": 2, "hidden": 256, "dropout": 0.0}
        context = CONTEXT // 2
    if setting.observation.is_image:
        found["patch"] = _patch(setting.observation.shape)
        sides = [side for side in setting.observation.shape if side not in CHANNELS]
        context = max(1, min(CONTEXT, TOKENS // (math.prod(side // found["patch"] for side in sides) + 2)))
    longest = max(int(episodes.lengths.max()), setting.max_steps or 0)
    return {
        **found,
        "context": options.context or min(context, int(episodes.lengths.max())),
        "max_steps": min(longest, LONGEST),
    }


def _patch(picture: tuple[int, ...]) -> int:
    """The largest square up to a quarter of the smaller side that the picture divides into."""
    sides = [side for side in picture if side not in CHANNELS]
    return next(size for size in range(max(1, min(sides) // 4), 0, -1) if all(side % size == 0 for side in sides))


def return_scale(low: float, high: float) -> float:
    """For returns to go between these."""
    largest = max(abs(low), abs(high))
    return largest / RANGE if largest > 0 else 1.0


def every(windows: int, batch_size: int) -> int:
    """Each how manieth window is in an epoch, so that one takes about `EPOCH` steps."""
    return max(1, windows // (EPOCH * batch_size))


def for_maps(options: FinetuneOptions) -> FinetuneOptions:
    """What suits a network that plans, for what was left as it is. A map asks a hundred questions: few of them do."""
    default = FinetuneOptions()
    found = {"batch_size": 16, "weight_decay": 0.05, "clip": 1.0}
    return replace(options, **{name: value for name, value in found.items()
                               if getattr(options, name) == getattr(default, name)})  # fmt: skip


def check_room(config: DecisionTransformerConfig, options: FinetuneOptions) -> None:
    """Raise UserError where a step of the training would take more memory than the machine has, roughly."""
    windows = -(-options.batch_size // options.accumulate)
    tokens = config.context * config.tokens
    needed = windows * tokens * (ACTIVATION * config.dim * config.depth + SCORE * tokens)
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else needed
    if needed > there:
        raise UserError(
            f"A context of {config.context:,} steps takes about {needed / 1e9:,.0f} GB with {windows} windows at a "
            f"time, and this machine has {there / 1e9:,.0f} GB.",
            "Try a smaller --context or --batch-size, or --accumulate to take fewer at a time.",
        )


def decided(options: FinetuneOptions, *, dim: int, fresh: bool, maps: bool = False) -> FinetuneOptions:
    """The options with everything at "what suits" decided."""
    lr = options.lr or (1.5e-3 if maps else 1e-3 if dim <= 64 else 5e-4) * (1 if fresh else 0.2)
    steps = options.max_steps or (0 if options.epochs else STEPS)
    return replace(options, lr=lr, max_steps=steps)
