"""What a forecaster says about each step: one number, quantiles that cannot cross, or a Student-t distribution.

A head holds no weights. The network's last Linear gives `parameters_per_step` raw numbers for every step, and the head
turns them into a loss, a forecast and quantiles, all in the (scaled) units the network works in.

Axes: B... any batch axes, H horizon steps, K raw numbers of one step, Q quantile levels, S samples.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from statistics import NormalDist
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ...core.errors import UserError, missing_extra, near

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

KINDS = ("quantiles", "point", "studentt")


class Head(nn.Module, ABC):
    """Raw numbers [B..., H, K] of a network -> loss, forecast, quantiles. Computes in float32 whatever comes in."""

    parameters_per_step: int

    @abstractmethod
    def loss(self, raw: Tensor, y: Tensor, observed: Tensor, *, weight: Tensor | None = None) -> Tensor:
        """The loss summed over the observed steps. y [B..., H]; observed [B..., H] bool; y may be NaN elsewhere.

        `weight`: how much each step counts, finite, of a shape that broadcasts to [B..., H].
        """

    @abstractmethod
    def point(self, raw: Tensor) -> Tensor:
        """The forecast y_hat [B..., H]."""

    @abstractmethod
    def quantiles(self, raw: Tensor, levels: Sequence[float] | None = None) -> Tensor | None:
        """Quantiles [B..., Q, H] at `levels` (None: the head's own, else `LEVELS`), never decreasing along Q.

        None where the head knows none."""

    def predict(self, raw: Tensor, levels: Sequence[float] | None = None) -> tuple[Tensor, Tensor | None]:
        """(y_hat [B..., H], quantiles [B..., Q, H] or None)."""
        return self.point(raw), self.quantiles(raw, levels)


def build_head(kind: str, levels: Sequence[float] = LEVELS, *, spread: float = 1.0) -> Head:
    """The head of that name, one of `KINDS`. Raises UserError for another."""
    if kind == "point":
        return Point()
    if kind == "quantiles":
        return Quantiles(levels, spread=spread)
    if kind == "studentt":
        return StudentT(spread=spread)
    raise UserError(f"There is no head {kind!r}.", near(kind, KINDS))


class Point(Head):
    """One number for each step, learnt by the squared error (the mean) or the absolute one (the median)."""

    parameters_per_step = 1

    def __init__(self, error: Literal["squared", "absolute"] = "squared") -> None:
        super().__init__()
        self.error = error

    def loss(self, raw: Tensor, y: Tensor, observed: Tensor, *, weight: Tensor | None = None) -> Tensor:
        difference = self.point(raw) - _known(y, observed)
        each = difference.square() if self.error == "squared" else difference.abs()
        return _summed(each, observed, weight)

    def point(self, raw: Tensor) -> Tensor:
        return raw.float().squeeze(-1)  # [B..., H, 1] -> [B..., H]

    def quantiles(self, raw: Tensor, levels: Sequence[float] | None = None) -> None:
        return None


class Quantiles(Head):
    """Quantiles at fixed levels that cannot cross: the median as it is, the others at softplus distances from it.

    The distances are added up one after the other: a sum with a number that is not negative never becomes smaller, even
    rounded, so the order holds exactly. Raw zeros mean a normal distribution of standard deviation `spread`: what a
    network begins with where its last layer begins at zero.

    Raises ValueError for levels that do not ascend between 0 and 1, or lack the median.
    """

    def __init__(self, levels: Sequence[float] = LEVELS, *, spread: float = 1.0) -> None:
        super().__init__()
        self.levels = tuple(float(level) for level in levels)
        ascending = all(low < high for low, high in pairwise(self.levels))
        if not ascending or 0.5 not in self.levels or not 0 < self.levels[0] <= self.levels[-1] < 1:
            raise ValueError(f"levels must ascend between 0 and 1 and hold 0.5, which {self.levels} do not")
        if spread <= 0:
            raise ValueError(f"spread must be above 0, not {spread}")
        self.middle = self.levels.index(0.5)
        self.parameters_per_step = len(self.levels)
        normal = [spread * NormalDist().inv_cdf(level) for level in self.levels]
        self.gaps = tuple(high - low for low, high in pairwise(normal))

    def loss(self, raw: Tensor, y: Tensor, observed: Tensor, *, weight: Tensor | None = None) -> Tensor:
        """Pinball loss, the mean over the levels, summed over the observed steps."""
        error = _known(y, observed).unsqueeze(-2) - self.ordered(raw)  # [B..., Q, H]
        level = torch.tensor(self.levels, device=raw.device).unsqueeze(-1)  # [Q, 1]
        # level * error where the truth lies above, (level - 1) * error below; as a relu its backward is half as long.
        return _summed((level * error + functional.relu(-error)).mean(-2), observed, weight)

    def point(self, raw: Tensor) -> Tensor:
        return raw[..., self.middle].float()

    def quantiles(self, raw: Tensor, levels: Sequence[float] | None = None) -> Tensor:
        """Quantiles [B..., Q, H]; `levels` None means all of the head's, else a selection of them (ValueError)."""
        every = self.ordered(raw)
        if levels is None or tuple(levels) == self.levels:
            return every
        unknown = [level for level in levels if level not in self.levels]
        if unknown:
            raise ValueError(f"the head knows the levels {self.levels}, not {unknown}")
        return every[..., [self.levels.index(level) for level in levels], :]

    def ordered(self, raw: Tensor) -> Tensor:
        """Raw numbers [B..., H, Q] -> quantiles [B..., Q, H] at the head's own levels."""
        raw = raw.float()
        middle, last = self.middle, len(self.levels) - 1
        steps = functional.softplus(raw.movedim(-1, 0).contiguous() + UNIT)  # [Q, B..., H]: each level in one piece
        made = {middle: raw[..., middle]}
        for number in range(middle + 1, last + 1):
            made[number] = made[number - 1] + self.gaps[number - 1] * steps[number]
        for number in range(middle - 1, -1, -1):
            made[number] = made[number + 1] - self.gaps[number] * steps[number]
        return torch.stack([made[number] for number in range(last + 1)], dim=-2)


class StudentT(Head):
    """Location, scale and degrees of freedom of a Student-t distribution for each step; heavy tails where they are.

    Raw zeros mean location 0, scale `spread`, about 7 degrees of freedom. Degrees of freedom lie between 2 (so that
    there is a variance) and 102 (by then it is a normal distribution, and float32 loses digits in lgamma).
    """

    parameters_per_step = 3

    def __init__(self, *, spread: float = 1.0) -> None:
        super().__init__()
        if spread <= 0:
            raise ValueError(f"spread must be above 0, not {spread}")
        self.spread = spread

    def parameters_of(self, raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(location, scale > 0, degrees of freedom > 2), each [B..., H]. Not named `parameters`: nn.Module's own."""
        location, scale, freedom = raw.float().unbind(-1)
        scale = self.spread * (functional.softplus(scale + UNIT) + SMALLEST_SCALE)
        freedom = 2 + SMALLEST_SCALE + functional.softplus(freedom + 5).clamp(max=MOST_FREEDOM)
        return location, scale, freedom

    def loss(self, raw: Tensor, y: Tensor, observed: Tensor, *, weight: Tensor | None = None) -> Tensor:
        """Negative log-likelihood in nats, summed over the observed steps."""
        location, scale, freedom = self.parameters_of(raw)
        # Bounded so that its square stays finite in float32: beyond, the gradient is as good as zero anyway.
        z = ((_known(y, observed) - location) / scale).clamp(-LARGEST_Z, LARGEST_Z)
        normaliser = torch.lgamma((freedom + 1) / 2) - torch.lgamma(freedom / 2) - (freedom * math.pi).log() / 2
        density = normaliser - scale.log() - (freedom + 1) / 2 * torch.log1p(z.square() / freedom)
        return _summed(-density, observed, weight)

    def point(self, raw: Tensor) -> Tensor:
        return raw[..., 0].float()

    @torch.no_grad()
    def quantiles(self, raw: Tensor, levels: Sequence[float] | None = None) -> Tensor:
        """Quantiles [B..., Q, H] by the inverse distribution function (scipy, on the CPU; no gradient).

        Raises UserError where scipy is not installed.
        """
        levels = LEVELS if levels is None else levels
        location, scale, freedom = (each.double().cpu().numpy() for each in self.parameters_of(raw))
        # The distribution is symmetric: levels 0.1 and 0.9 are one evaluation of the costly function.
        distances = {level: round(abs(level - 0.5), 9) for level in levels}
        unit = {distance: _inverse_t(freedom, 0.5 + distance) for distance in set(distances.values())}
        each = [location + math.copysign(1, level - 0.5) * scale * unit[distances[level]] for level in levels]
        return torch.from_numpy(np.stack(each, axis=-2)).to(raw.device, torch.float32)

    def sample(self, raw: Tensor, count: int, *, seed: int = 0) -> Tensor:
        """`count` draws [S, B..., H], the same for the same seed; steps are drawn independently of one another."""
        location, scale, freedom = (each.detach().double().cpu().numpy() for each in self.parameters_of(raw))
        drawn = np.random.default_rng(seed).standard_t(freedom, size=(count, *freedom.shape))
        return torch.from_numpy(location + scale * drawn).to(raw.device, torch.float32)


UNIT = math.log(math.e - 1)
"""softplus(UNIT) = 1."""
SMALLEST_SCALE = 1e-4
MOST_FREEDOM = 100.0
LARGEST_Z = 1e12


def _known(y: Tensor, observed: Tensor) -> Tensor:
    """y with zeros where it is not observed: a NaN there would come back through the gradient, masked or not."""
    return torch.where(observed, y, 0.0).float()


def _summed(each: Tensor, observed: Tensor, weight: Tensor | None) -> Tensor:
    return torch.where(observed, each if weight is None else each * weight, 0.0).sum()


def _inverse_t(freedom: np.ndarray, probability: float) -> np.ndarray:
    """The Student-t quantile function at one probability, for each of the degrees of freedom."""
    if probability == 0.5:
        return np.zeros_like(freedom)
    try:
        from scipy.special import stdtrit
    except ModuleNotFoundError as error:
        raise missing_extra("scipy", "timeseries") from error
    return stdtrit(freedom, probability)
