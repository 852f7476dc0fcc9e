"""Small networks of all three kinds, and windows of noise for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from tsuite.domains.timeseries.patchtst.checkpoints import build_network
from tsuite.domains.timeseries.patchtst.forecaster import Forecaster
from tsuite.domains.timeseries.windows import WindowBatch

KINDS = ("patchtst", "itransformer", "decoder")
LOOKBACK, HORIZON = 24, 10
SHAPE: dict[str, Any] = {
    "lookback": LOOKBACK, "horizon": HORIZON, "past": 1, "ahead": 2, "static": 1, "dim": 16, "depth": 2, "heads": 2,
    "hidden": 16, "dropout": 0.0,
}  # fmt: skip
OWN: dict[str, dict[str, Any]] = {"patchtst": {"patch": 6, "stride": 3}, "decoder": {"patch": 6}}


def network(kind: str, *, loud: bool = True, **shape: Any) -> Forecaster:
    """A network with random weights, also in its last map (loud), which begins at zero."""
    torch.manual_seed(0)
    made = build_network(kind, {**SHAPE, **OWN.get(kind, {}), **shape})
    if loud:
        with torch.no_grad():
            for value in made.parameters():
                if not value.any():
                    value.normal_(std=0.1)
    return made.eval()


def batch(*series: int, gaps: float = 0.0, horizon: int = HORIZON, seed: int = 0, **shape: int) -> WindowBatch:
    """Noise: a window of so many series for each number given, `gaps` a share of its values not observed."""
    given = {**SHAPE, **shape}
    noise = torch.Generator().manual_seed(seed)
    rows, windows = sum(series), len(series)
    observed = torch.rand(rows, given["lookback"], generator=noise) >= gaps
    known = torch.rand(windows, given["ahead"], given["lookback"] + horizon, generator=noise) >= gaps
    return WindowBatch(
        values=torch.randn(rows, given["lookback"], generator=noise).cumsum(1) * observed,
        observed=observed,
        target=torch.randn(rows, horizon, generator=noise),
        target_observed=torch.rand(rows, horizon, generator=noise) >= gaps,
        past=torch.randn(windows, given["past"], given["lookback"], generator=noise),
        ahead=torch.randn(windows, given["ahead"], given["lookback"] + horizon, generator=noise) * known,
        known=known,
        window=torch.from_numpy(np.repeat(np.arange(windows), series)),
        static=torch.randn(rows, given["static"], generator=noise),
    )
