"""The learning rate as a pure function of the step, so that nothing of it needs saving."""

from __future__ import annotations

import math


def lr_factor(step: int, total: int, *, warmup: float, schedule: str) -> float:
    """The share of the peak learning rate at optimiser step `step` (from 0) of `total`.

    It rises linearly over the first `warmup` share of all steps, then falls to zero along a half cosine or a line, or
    stays. The last step still learns: zero would be reached one step later.

    >>> [round(lr_factor(step, 4, warmup=0.5, schedule="linear"), 2) for step in range(4)]
    [0.5, 1.0, 1.0, 0.5]
    """
    rising = math.ceil(warmup * total)
    if step < rising:
        return (step + 1) / rising
    done = (step - rising) / max(1, total - rising)
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    return 1 - done if schedule == "linear" else 1.0
