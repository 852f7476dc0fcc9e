"""What every forecaster here does, whatever its network: normalise, forecast, undo it.

    window -> (value - location) / scale -> linear map + Transformer -> raw -> head -> quantile * scale + location

Axes: R rows (series of all windows), B windows, L look-back, H horizon, K numbers of a step, Q quantiles, C series of a
window.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....core.linear import Linear
from ..heads import LEVELS, Head, Quantiles, build_head
from ..windows import WindowBatch
from .config import ForecasterConfig

EPSILON = 1e-5
"""Added to a window's variance, as in RevIN."""
SPREAD = 0.3
"""Deviation of the bands that a network begins with, in deviations of the window."""


@dataclass(frozen=True, kw_only=True)
class Normalised:
    """Rows of a batch by their own location and scale [R, 1]: values [R, L], 0 where nothing was observed."""

    values: Tensor
    location: Tensor
    scale: Tensor


class NLinear(nn.Module):
    """A linear map of the look-back, around its last observed value (Zeng et al. 2023, arXiv 2205.13504). In place of
    what is missing stands the value before it, as in `baselines.RidgeNLinear`."""

    def __init__(self, lookback: int, horizon: int) -> None:
        super().__init__()
        self.map = Linear(lookback, horizon, bias=False)
        nn.init.zeros_(self.map.weight)  # repeat-last, until `start_from` or training says otherwise

    def forward(self, values: Tensor, observed: Tensor) -> Tensor:
        """values, observed [R, L] -> [R, H]."""
        values = carried_forward(values, observed)
        last = values[:, -1:]
        return last + self.map(values - last)

    @torch.no_grad()
    def start_from(self, weight: Tensor) -> None:
        """Take a map [H, L] that was solved for in closed form."""
        self.map.weight.copy_(weight)


def carried_forward(values: Tensor, observed: Tensor) -> Tensor:
    """values [R, L] with gaps filled by the value before them, leading ones by the first observed; 0 where none is."""
    if not torch.compiler.is_compiling() and bool(observed.all()):
        return values
    places = torch.arange(values.shape[1], device=values.device) * observed
    first = observed.to(torch.int32).argmax(dim=1, keepdim=True)
    before = torch.maximum(_highest_so_far(places), first)
    return values.gather(1, before) * observed.any(dim=1, keepdim=True)


def _highest_so_far(places: Tensor) -> Tensor:
    """The running maximum of places [R, L], of which none is negative."""
    if not torch.compiler.is_compiling():
        return places.cummax(dim=1).values
    seen = torch.ones(places.shape[1], places.shape[1], device=places.device, dtype=places.dtype).tril()
    return (places[:, None] * seen).amax(dim=2)  # ONNX has no running maximum


class Forecaster(nn.Module, ABC):
    """A subclass gives raw numbers for each step; this class does the rest."""

    def __init__(self, config: ForecasterConfig) -> None:
        super().__init__()
        self.config = config
        self.head: Head = build_head(config.head, spread=SPREAD)
        self.linear = NLinear(config.lookback, config.horizon) if config.linear else None

    @property
    def numbers(self) -> int:
        """K: raw numbers of one step."""
        return self.head.parameters_per_step

    @abstractmethod
    def raw(self, batch: WindowBatch, rows: Normalised) -> Tensor:
        """What the Transformer says, in normalised units: [R, H, K]."""

    def normalise(self, values: Tensor, observed: Tensor) -> Normalised:
        """values, observed [R, L] by the mean and deviation of what is observed."""
        if not self.config.revin:
            zero = values.new_zeros(len(values), 1)
            return Normalised(values=values * observed, location=zero, scale=zero + 1)
        count = observed.sum(1, keepdim=True).clamp_min(1)
        location = (values * observed).sum(1, keepdim=True) / count
        variance = ((values - location).square() * observed).sum(1, keepdim=True) / count
        scale = (variance + EPSILON).sqrt()
        return Normalised(values=(values - location) / scale * observed, location=location, scale=scale)

    def answer(self, batch: WindowBatch) -> tuple[Tensor, Normalised]:
        """Raw numbers [R, H, K] with the linear map in them, and the rows they are normalised by."""
        rows = self.normalise(batch.values, batch.observed)
        raw = self.raw(batch, rows)
        if self.linear is not None:
            raw = self.moved(raw, self.linear(rows.values, batch.observed))
        return raw, rows

    def moved(self, raw: Tensor, by: Tensor) -> Tensor:
        """raw [R, H, K] with its location moved by [R, H]."""
        place = self.head.middle if isinstance(self.head, Quantiles) else 0
        return raw + F.pad(by[..., None], (place, self.numbers - 1 - place))

    def forward(self, batch: WindowBatch) -> tuple[Tensor, Tensor | None]:
        """The forecast [R, H] and quantiles [R, Q, H] at `LEVELS`, None for a point head, in the units of the batch."""
        raw, rows = self.answer(batch)
        return self.said(raw, rows)

    def said(self, raw: Tensor, rows: Normalised, levels: Sequence[float] = LEVELS) -> tuple[Tensor, Tensor | None]:
        """Raw numbers [R, H, K] as a forecast [R, H] and quantiles [R, Q, H]."""
        y_hat, quantiles = self.head.predict(raw, levels)
        if quantiles is not None:
            quantiles = quantiles * rows.scale[..., None] + rows.location[..., None]
        return y_hat * rows.scale + rows.location, quantiles

    def loss(self, batch: WindowBatch) -> Tensor:
        """The loss summed over observed steps, in the units of the batch: windows of little movement count little."""
        raw, rows = self.answer(batch)
        target = (batch.target - rows.location) / rows.scale
        return self.head.loss(raw, target, batch.target_observed, weight=self.weight(rows))

    def weight(self, rows: Normalised) -> Tensor:
        """What a loss in normalised units is multiplied by [R, 1] to be one in those of the batch; a likelihood counts
        as it is."""
        if self.config.head == "studentt":
            return torch.ones_like(rows.scale)
        return rows.scale.square() if self.config.head == "point" else rows.scale


def covariates(batch: WindowBatch, config: ForecasterConfig) -> Tensor:
    """All that is told beside the series, up to the origin: [B, X, L]; see `channels`."""
    parts = [batch.past, batch.ahead[..., : config.lookback]]
    if config.masked:
        parts.append(batch.known[..., : config.lookback].to(batch.past.dtype))
    return torch.cat(parts, dim=1)


def ahead_of(batch: WindowBatch, config: ForecasterConfig) -> Tensor:
    """What is known of the horizon: [B, X, H]."""
    ahead = batch.ahead[..., config.lookback :]
    return torch.cat([ahead, batch.known[..., config.lookback :].to(ahead.dtype)], dim=1) if config.masked else ahead


def channels(config: ForecasterConfig) -> tuple[int, int]:
    """X of `covariates` and of `ahead_of`."""
    ahead = config.ahead * (2 if config.masked else 1)
    return config.past + ahead, ahead


def silent(linear: Linear) -> Linear:
    """A last map that says nothing at first, so that training begins with what is known without it."""
    nn.init.zeros_(linear.weight)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
    return linear
