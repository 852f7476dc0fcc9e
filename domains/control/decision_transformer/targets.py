"""Which return to ask for: tried on validation seeds, told to people, warned of where it is far from the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ....core.errors import UserError
from .. import environments
from ..episodes import Setting
from ..rollout import Actor
from .checkpoints import DataFacts
from .options import VALIDATION
from .plays import returns_of

SHARES = (0.5, 0.75, 0.9, 1.0)
"""Quantiles of the data's returns that are tried."""
BEYOND = 0.1
"""And so much of their range beyond the highest: what is a little better than any of the data may be reached."""
STEPS = 6
"""Returns from the lowest to the highest of the data that are asked for where nobody says which."""


def hindrance(setting: Setting) -> UserError | None:
    """Why the environment cannot be played and what to do about it; None where it can."""
    if not setting.env:
        return UserError("The data name no environment.", "Name one with --env.")
    try:
        environments.make(setting.env, **setting.env_options).close()
    except UserError as error:
        return error
    return None


def candidates(data: DataFacts) -> list[float]:
    """Returns that are worth trying, in order."""
    found = [float(np.quantile(data.quantiles, share)) for share in SHARES]
    return sorted({rounded(value) for value in (*found, data.high + BEYOND * (data.high - data.low))})


def sweep(data: DataFacts | None, target: float) -> list[float]:
    """Returns from the lowest to the highest, evenly, with the chosen one among them."""
    if data is None:
        return [target]
    even = np.linspace(data.low, data.high, STEPS)
    return sorted({*(rounded(value) for value in even), target})


def rounded(value: float) -> float:
    """To three digits: nobody asks for 487.1934."""
    return float(f"{value:.3g}")


def choose(setting: Setting, actor: Actor, data: DataFacts, *, episodes: int) -> tuple[float, list[dict[str, Any]]]:
    """The candidate that achieves most on validation seeds, and what each achieved; of equals the highest within the
    data."""
    tried = candidates(data)
    found = returns_of(setting, actor, targets=tried, seeds=range(VALIDATION, VALIDATION + episodes))
    lines = [
        {"asked": asked, "mean": float(row.mean()), "std": float(row.std(ddof=1)) if len(row) > 1 else 0.0,
         "n": len(row)} for asked, row in zip(tried, found, strict=True)
    ]  # fmt: skip
    best = max(lines, key=lambda line: (round(line["mean"], 6), line["asked"] <= data.high, line["asked"]))
    return best["asked"], lines


def warnings_of(targets: Sequence[float], data: DataFacts | None) -> dict[float, str]:
    """A sentence for each target that lies far outside the data."""
    if data is None:
        return {}
    return {
        target: f"a return of {target:g} is asked for, but the episodes of {data.name} lie between {data.low:g} and "
        f"{data.high:g}: at each step the nearest that was learnt is asked for instead"
        for target in targets
        if data.far(target)
    }
