"""Forecasts of any length: a network answers its own horizon at once, and longer ones by reading its own medians.

Axes: R rows (series of all windows), L look-back, H horizon asked for, Q quantiles.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..baselines import carried_forward
from ..heads import LEVELS
from ..windows import WindowBatch
from .forecaster import Forecaster

HARDLY = 1.1
"""Bands that grow by a smaller factor are said to hardly widen."""


def forecast(network: Forecaster, batch: WindowBatch, horizon: int) -> tuple[Tensor, Tensor | None]:
    """The forecast [R, H] and quantiles [R, Q, H] (None for a head without) for `horizon` steps.

    Beyond what the network was trained for its errors add up: each further piece has its bands around its median, and
    on top of them, as the root of the sum of squares, those that the piece before ended with.
    """
    found: list[Tensor] = []
    bands: list[Tensor] = []
    lookback, trained = network.config.lookback, network.config.horizon
    carried: Tensor | None = None  # distances of the quantiles from the median where the last piece ended [R, Q, 1]
    for start in range(0, horizon, trained):
        y_hat, quantiles = network(_moved(batch, found, start, lookback, trained))
        if quantiles is not None:
            middle = quantiles[:, LEVELS.index(0.5), None]
            away = quantiles - middle
            if carried is not None:
                away = (away.square() + carried.square()).sqrt() * _sides(away)
                quantiles = middle + away
            carried = away[..., -1:]
            bands.append(quantiles)
        found.append(y_hat)
    whole = torch.cat(found, dim=1)[:, :horizon]
    return whole, torch.cat(bands, dim=2)[..., :horizon] if bands else None


def rolled_map(past: np.ndarray, weight: np.ndarray, horizon: int) -> np.ndarray:
    """A linear map [H, L] (see `RidgeNLinear.folded`) applied to histories [R, L], over and over where the `horizon` is
    longer than its own: [R, horizon]."""
    past = carried_forward(past)
    pieces: list[np.ndarray] = []
    while sum(piece.shape[1] for piece in pieces) < horizon:
        pieces.append(past @ weight.T)
        past = np.concatenate([past, pieces[-1]], axis=1)[:, -weight.shape[1] :]
    return np.concatenate(pieces, axis=1)[:, :horizon]


def widening_said(quantiles: np.ndarray | None, trained: int) -> str:
    """How much wider the outermost band [C, Q, H] is at its end than where the trained horizon ends, in the middle of
    the series; "" without bands or without steps beyond."""
    if quantiles is None or quantiles.shape[-1] <= trained:
        return ""
    widths = quantiles[:, -1] - quantiles[:, 0]
    before, after = widths[:, trained - 1], widths[:, -1]
    if not (before > 0).any():
        return ""
    factor = float(np.median(after[before > 0] / before[before > 0]))
    said = f"the band from q10 to q90 is {factor:.2f} times as wide at step {widths.shape[1]} as at step {trained}"
    return said if factor >= HARDLY else said + ": it hardly widens, and can hold less often than it says"


def _sides(away: Tensor) -> Tensor:
    """-1 below the median, 1 above, 0 on it: [Q, 1]."""
    return torch.tensor([(level > 0.5) - (level < 0.5) for level in LEVELS], device=away.device)[:, None]


def _moved(batch: WindowBatch, found: list[Tensor], start: int, lookback: int, horizon: int) -> WindowBatch:
    """The batch as it is seen `start` steps later, what was forecast standing for what is not known."""
    if not start and batch.ahead.shape[-1] == lookback + horizon:
        return batch
    values = torch.cat([batch.values, *found], dim=1)
    made = values.shape[1] - batch.observed.shape[1]
    observed = F.pad(batch.observed, (0, made), value=True)
    stop = start + lookback + horizon
    return dataclasses.replace(
        batch,
        values=values[:, start : start + lookback],
        observed=observed[:, start : start + lookback],
        past=_cut(batch.past, start, start + lookback),
        ahead=_cut(batch.ahead, start, stop),
        known=_cut(batch.known, start, stop),
    )


def _cut(told: Tensor, start: int, stop: int) -> Tensor:
    """told [B, X, N] from `start` to `stop`, nothing known beyond its end."""
    return F.pad(told, (0, max(0, stop - told.shape[-1])))[..., start:stop]
