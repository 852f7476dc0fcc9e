"""What suits a series where nobody says: horizon, look-back, patches, and how long to train."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..frequency import Frequency
from ..panel import Panel
from .options import FinetuneOptions

PATCHES = 28
"""Patches of a look-back, about: enough to tell days apart, few enough to be quick."""
STEPS = 1_400
"""Optimiser steps of a training, about, where nobody says how many epochs."""


def horizon(frequency: Frequency, train: int) -> int:
    """Two days of a clock's data, else a season; never more than a tenth of the training part."""
    season = frequency.seasons[0]
    wanted = 2 * season if (frequency.seconds or 86_400) < 86_400 else max(season, 8)
    return max(1, min(wanted, train // 10))


def lookback(frequency: Frequency, horizon: int, train: int) -> int:
    """The longest season that fits in, at least four short ones and three horizons, at most a quarter of the training
    part."""
    longest = [season for season in frequency.seasons if 8 * season <= train] or [frequency.seasons[0]]
    wanted = max(longest[-1], 4 * frequency.seasons[0], 3 * horizon)
    return max(2, min(wanted, max(train // 4, 2 * frequency.seasons[0]), max(2, train - horizon - 1)))


def patch(frequency: Frequency, lookback: int) -> int:
    """The divisor of the season that comes nearest to a `PATCHES`th of the look-back."""
    season, wanted = frequency.seasons[0], max(1, lookback / PATCHES)
    divisors = [size for size in range(1, season + 1) if season % size == 0 and size <= lookback]
    nearest = min(divisors or [1], key=lambda size: abs(size - wanted))
    return nearest if 0.4 < nearest / wanted < 2.5 else max(1, round(wanted))


def shape(network: str, frequency: Frequency, lookback: int) -> dict[str, Any]:
    """Of a network of that kind."""
    if network == "itransformer":
        return {}
    size = patch(frequency, lookback)
    if network == "decoder":
        return {"patch": size}
    return {"patch": size, "stride": size, "pad": False, "norm": "layer", "post_norm": False, "dropout": 0.2}


def ltsf(panel: Panel) -> dict[str, Any]:
    """PatchTST as its authors set it for a data set of that size (their scripts): small for the hourly ETT files."""
    rows, small = panel.longest, {"dim": 16, "heads": 4, "hidden": 128, "dropout": 0.3, "head_dropout": 0.3}
    large = {"dim": 128, "heads": 16, "hidden": 256, "dropout": 0.2, "head_dropout": 0.0}
    return {
        "patch": 16, "stride": 8, "pad": True, "decode": "flatten", "norm": "batch", "post_norm": True,
        "masked": False, "residual_attention": True, **(small if rows < 20_000 else large),
    }  # fmt: skip


def decided(options: FinetuneOptions, windows: int, *, standard: bool) -> FinetuneOptions:
    """The options with everything at "what suits" decided, for so many training windows."""
    steps = max(1, -(-windows // options.batch_size))
    epochs = options.epochs or (0 if options.max_steps else 10 if standard else min(30, max(2, round(STEPS / steps))))
    return replace(options, epochs=epochs, lr=options.lr or (3e-4 if standard else 5e-4))
