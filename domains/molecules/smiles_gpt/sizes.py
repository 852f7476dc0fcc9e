"""What suits the job: size, length, learning rate and how long to learn, where nobody says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .config import SHAPES
from .options import FinetuneOptions

MANY = 200_000
"""Molecules from which on one pass teaches enough that nothing has to be dropped out."""
SEEN = 600_000
"""Molecules that a training sees, about: 20 minutes for the small size on one core."""
CHECKS = 12
"""Validations in a pass over many molecules."""


def shape(options: FinetuneOptions, count: int) -> dict[str, Any]:
    """Fields of the configuration for a training on `count` molecules."""
    size = options.size or ("base" if count >= MANY else "small")
    return {**SHAPES[size], "dropout": 0.0 if count >= MANY else 0.1}


def decided(options: FinetuneOptions, count: int, *, fresh: bool) -> FinetuneOptions:
    """With everything open decided. Few updates teach less than many small ones (batches of 32 and a high rate)."""
    epochs, steps = options.epochs, options.max_steps
    if not epochs and not steps:
        wanted = SEEN if fresh else SEEN // 6
        epochs = min(30 if fresh else 10, max(1, round(wanted / count)))
    per_epoch = -(-count // options.batch_size)
    total = min(length for length in (per_epoch * epochs, steps) if length)
    often = options.validate_every
    if not often and total < 2 * per_epoch and total >= 20 * CHECKS:
        often = -(-total // CHECKS)
    lr = options.lr or (2e-3 if fresh else 3e-4)
    return replace(options, epochs=epochs, max_steps=steps, validate_every=often, lr=lr)
