"""How a Transformer knows where a token stands.

Added to the embedding: `sinusoidal`, `LearnedPositions`. Turning queries and keys: `Rotary`. Added to the scores:
`RelativeBias` (T5), `Alibi`. Tables of a grid are carried to another image size by `interpolate_grid`.

Axes: B batch, H heads, T query positions, S key positions, D width of one head, C width of the model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Interpolation = Literal["timm", "transformers", "dinov2"]


def sinusoidal(
    length: int, dim: int, *, interleaved: bool = True, max_period: float = 10000.0, last: bool = False
) -> Tensor:
    """Sines and cosines of geometric wavelengths, [length, dim].

    interleaved: sin, cos, sin, cos (Vaswani et al. 2017, arXiv 1706.03762); else all sines, then all cosines.
    last: the longest wavelength is exactly `max_period` (Whisper), rather than one step short of it.
    Raises ValueError for an odd width.
    """
    if dim % 2:
        raise ValueError(f"sinusoidal positions need an even width, not {dim}")
    half = dim // 2
    rate = math.log(max_period) / (half - 1 if last else half)
    angles = torch.arange(length)[:, None] * torch.exp(-rate * torch.arange(half))[None, :]  # [length, half]
    if interleaved:
        return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


class LearnedPositions(nn.Module):
    """A learned vector for each position, added to x [B, T, C]; `offset` skips rows of the table (OPT, BART: 2)."""

    def __init__(self, *, length: int, dim: int, offset: int = 0) -> None:
        super().__init__()
        self.length, self.offset = length, offset
        self.weight = nn.Parameter(torch.empty(length + offset, dim))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, x: Tensor, positions: Tensor | None = None, *, start: int = 0) -> Tensor:
        """x [B, T, C] with the vectors of `positions` [T] or [B, T] added (default start..start+T-1).

        Raises ValueError past the end of the table.
        """
        if positions is not None:
            return x + self.weight[positions + self.offset]
        end = start + x.shape[1]
        if end > self.length:
            raise ValueError(f"{end} positions are asked for, the model knows {self.length}")
        return x + self.weight[start + self.offset : end + self.offset]


@dataclass(frozen=True, kw_only=True)
class RotaryScaling:
    """How a rotary model is stretched past the length it was trained on.

    linear: positions are divided by `factor` (Chen et al. 2023, arXiv 2306.15595).
    ntk: the base grows so that the longest wave stretches by `factor` and the shortest stays.
    llama3: long waves are divided by `factor`, short ones kept, those between blended (Llama 3.1).
    """

    kind: Literal["linear", "ntk", "llama3"]
    factor: float
    low_frequency: float = 1.0
    high_frequency: float = 4.0
    original_length: int = 8192

    def apply(self, rates: Tensor, base: float, width: int) -> Tensor:
        """The angular rates [width / 2] after stretching."""
        if self.kind == "linear":
            return rates / self.factor
        if self.kind == "ntk":
            base = base * self.factor ** (width / (width - 2))
            return base ** (-torch.arange(0, width, 2).float() / width)
        turns = self.original_length * rates / (2 * math.pi)  # full turns within the trained length
        keep = ((turns - self.low_frequency) / (self.high_frequency - self.low_frequency)).clamp(0, 1)
        return rates * keep + rates / self.factor * (1 - keep)


class Turn(NamedTuple):
    """By what `Rotary` turns, [T, W] or [B, 1, T, W] over its W turning channels; `sin` carries the signs."""

    cos: Tensor
    sin: Tensor


class Rotary(nn.Module):
    """Rotary positions (Su et al. 2021, arXiv 2104.09864): pairs of channels turn by an angle linear in the position.

    head_dim: width D of a head; share: the part of it that turns (phi-1.5: 0.5; the rest passes unchanged).
    interleaved: pairs are neighbours (GPT-J), else channel i pairs with i + D/2 (NeoX, Llama).
    Holds no weights; one instance serves every layer.
    """

    rates: Tensor

    def __init__(
        self,
        *,
        head_dim: int,
        share: float = 1.0,
        base: float = 10000.0,
        interleaved: bool = False,
        scaling: RotaryScaling | None = None,
    ) -> None:
        super().__init__()
        self.width = int(head_dim * share)
        if self.width % 2 or not 0 < self.width <= head_dim:
            raise ValueError(f"an even, positive number of channels must turn: {share} of {head_dim} is {self.width}")
        self.base, self.interleaved, self.scaling = base, interleaved, scaling
        # Computing on the meta device would only make torch import its compiler, which takes seconds.
        self.register_buffer("rates", torch.empty(self.width // 2), persistent=False)
        if not self.rates.is_meta:
            self.reset_buffers(self.rates.device)

    def _rates(self) -> Tensor:
        rates = self.base ** (-torch.arange(0, self.width, 2).float() / self.width)
        return self.scaling.apply(rates, self.base, self.width) if self.scaling else rates

    def reset_buffers(self, device: torch.device) -> None:
        """Fill in the table, which no checkpoint holds, after the module was made on the meta device."""
        self.rates = self._rates().to(device)

    def turn(self, positions: Tensor, dtype: torch.dtype) -> Turn:
        """Cosines and sines for positions [T] or [B, T]: the same for all layers, so a stack computes them once."""
        angles = positions[..., None].float() * self.rates  # [T, W/2] or [B, T, W/2]
        if angles.ndim == 3:
            angles = angles[:, None]  # one angle for all heads
        cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
        if self.interleaved:
            return Turn(cos.repeat_interleave(2, dim=-1), torch.stack([-sin, sin], dim=-1).flatten(-2))
        return Turn(torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1))

    def forward(self, x: Tensor, positions: Tensor | Turn) -> Tensor:
        """x [B, H, T, D] turned by positions [T] or [B, T], or by what `turn` gave for them.

        Channels (a, b) of a pair become (a cos - b sin, b cos + a sin): each times the cosine, plus its partner times
        the sine, whose sign is in the table.
        """
        turn = positions if isinstance(positions, Turn) else self.turn(positions, x.dtype)
        cos, sin = turn.cos.to(x.dtype), turn.sin.to(x.dtype)  # under autocast x is narrower than what the stack saw
        turning, passing = x[..., : self.width], x[..., self.width :]
        if self.interleaved:
            partner = turning.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
        else:
            partner = turning.roll(self.width // 2, dims=-1)
        turned = torch.addcmul(turning * cos, partner, sin)
        return turned if passing.shape[-1] == 0 else torch.cat([turned, passing], dim=-1)


class RelativeBias(nn.Module):
    """T5's learned bias for each head by bucketed distance (Raffel et al. 2020, arXiv 1910.10683).

    Near distances have a bucket each, far ones share buckets that widen logarithmically up to `max_distance`.
    """

    def __init__(self, *, heads: int, buckets: int = 32, max_distance: int = 128, bidirectional: bool = True) -> None:
        super().__init__()
        self.buckets, self.max_distance, self.bidirectional = buckets, max_distance, bidirectional
        self.weight = nn.Parameter(torch.empty(buckets, heads))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, queries: int, keys: int) -> Tensor:
        """Bias [1, H, T, S] where the queries are the last T of S positions."""
        device = self.weight.device
        query = torch.arange(keys - queries, keys, device=device)[:, None]
        distance = torch.arange(keys, device=device)[None, :] - query  # [T, S], negative = in the past
        return self.weight[self._bucket(distance)].permute(2, 0, 1)[None]

    def _bucket(self, distance: Tensor) -> Tensor:
        buckets, offset = self.buckets, torch.zeros_like(distance)
        if self.bidirectional:
            buckets //= 2
            offset = (distance > 0).long() * buckets
            distance = distance.abs()
        else:
            distance = -distance.clamp(max=0)
        exact = buckets // 2
        growth = torch.log(distance.clamp(min=1).float() / exact) / math.log(self.max_distance / exact)
        far = (exact + (growth * (buckets - exact)).long()).clamp(max=buckets - 1)
        return offset + torch.where(distance < exact, distance, far)


class Alibi(nn.Module):
    """A penalty linear in the distance, steeper for each head (Press et al. 2022, arXiv 2108.12409). No weights."""

    slopes: Tensor

    def __init__(self, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.register_buffer("slopes", self._slopes(), persistent=False)

    def _slopes(self) -> Tensor:
        power = 2 ** math.floor(math.log2(self.heads))
        slopes = [2 ** (-8 * (i + 1) / power) for i in range(power)]
        # For a head count that is no power of two, the paper takes every other slope of the next power.
        slopes += [2 ** (-4 * (2 * i + 1) / power) for i in range(self.heads - power)]
        return torch.tensor(slopes)

    def reset_buffers(self, device: torch.device) -> None:
        """Fill in the table, which no checkpoint holds, after the module was made on the meta device."""
        self.slopes = self._slopes().to(device)

    def forward(self, queries: int, keys: int) -> Tensor:
        """Bias [1, H, T, S] where the queries are the last T of S positions."""
        query = torch.arange(keys - queries, keys, device=self.slopes.device)[:, None]
        distance = (torch.arange(keys, device=self.slopes.device)[None, :] - query).abs()
        return -self.slopes[None, :, None, None] * distance


def interpolate_grid(table: Tensor, size: tuple[int, int], *, how: Interpolation = "timm") -> Tensor:
    """A table of positions over a square grid, [1, N, C], carried to `size` (rows, columns): [1, rows*columns, C].

    All families resize bicubically, and each a little differently: timm with antialiasing, transformers without,
    facebook's DINOv2 without and with a scale of (size + 0.1) / old, which shifts the sampling points.
    Raises ValueError where the table is no square grid.
    """
    side = math.isqrt(table.shape[1])
    if side * side != table.shape[1]:
        raise ValueError(f"{table.shape[1]} positions are no square grid")
    if size == (side, side):
        return table
    grid = table.reshape(1, side, side, -1).permute(0, 3, 1, 2).float()  # [1, C, side, side]
    if how == "dinov2":
        scale = [(length + 0.1) / side for length in size]
        grid = F.interpolate(grid, scale_factor=scale, mode="bicubic", align_corners=False)
    else:
        grid = F.interpolate(grid, size=size, mode="bicubic", align_corners=False, antialias=how == "timm")
    return grid.permute(0, 2, 3, 1).reshape(1, -1, table.shape[2]).to(table.dtype)
