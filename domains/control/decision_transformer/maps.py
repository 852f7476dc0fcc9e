"""Maps as states: read as a whole, and then where one stands.

    obstacles, goal --> patches --> the same layers again and again --> a vector for each cell --> the one where one is
                                    each patch looks at those around it

What is known at the goal spreads over the map with every round, as in value iteration; that a policy reads the result
at its own place is from value iteration networks (Tamar et al. 2016, arXiv 1602.02867), layers that share their weights
from universal Transformers (Dehghani et al. 2019, arXiv 1807.03819). A map is read once for all places on it.

Axes: B maps, K steps, H rows and W columns of cells, P patches, C width of the model, h heads.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....core.embed import PatchEmbedding
from ....core.encoder import Encoder
from ....core.layers import ACTIVATIONS, MLP, LayerNorm
from ....core.linear import Linear
from ..search import MOVES
from .config import DecisionTransformerConfig
from .states import StateEmbedding

OBSTACLES, AGENT, GOAL = range(3)
"""Channels of an observation."""
AROUND = 5
"""Side of the square of cells whose obstacles each cell is told."""
AHEAD = 4.0
"""What a head's score for its own direction begins with."""
LEARNT = 8
"""Rounds that a gradient goes back through: what they start from may be any earlier state (progressive training, Bansal
et al. 2022, arXiv 2202.05826)."""
LEVELS = 40
"""Costs between which a cost is told."""
BLUR = 0.75
"""How far a cost is spread over the levels beside it, in steps between them (deviation)."""
FAR = -1e4
"""The score of what is too far away to be looked at."""


class Nearby(nn.Module):
    """Scores [1, h, P, P] of patches for each other by where they stand: learned for the nine next to each other, no
    farther. Each head begins by looking in one direction, as a convolution does (Cordonnier et al. 2020, arXiv
    1911.03584)."""

    def __init__(self, *, rows: int, columns: int, heads: int) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns
        self.weight = nn.Parameter(torch.zeros(9, heads))
        with torch.no_grad():
            for head in range(heads):
                down, right = MOVES[head % len(MOVES)]
                self.weight[3 * (down + 1) + right + 1, head] = AHEAD

    def forward(self, queries: int, keys: int) -> Tensor:
        device = self.weight.device
        place = torch.arange(self.rows * self.columns, device=device)
        row, column = place // self.columns, place % self.columns
        down, right = row - row[:, None], column - column[:, None]  # [P, P]
        near = (down.abs() <= 1) & (right.abs() <= 1)
        which = (3 * (down + 1) + right + 1).clamp(0, 8)
        return torch.where(near[..., None], self.weight[which], FAR).permute(2, 0, 1)[None]


class MapReader(nn.Module):
    """Obstacles and goal in, a vector for each cell out; `rounds` times through one layer."""

    def __init__(self, config: DecisionTransformerConfig) -> None:
        super().__init__()
        dim, self.patch, self.rounds = config.dim, config.patch, config.rounds
        _, height, width = config.picture
        rows, columns = height // self.patch, width // self.patch
        self.cut = PatchEmbedding(patch=self.patch, channels=AROUND**2 + 3, dim=dim)
        self.places = nn.Parameter(torch.empty(rows * columns, dim))
        nn.init.normal_(self.places, std=0.02)
        self.norm, self.mix = LayerNorm(dim), Linear(2 * dim, dim)
        self.layers = Encoder(
            dim=dim,
            depth=1,
            heads=config.heads,
            position_bias=Nearby(rows=rows, columns=columns, heads=config.heads),  # pyright: ignore[reportArgumentType]
            norm=partial(LayerNorm, eps=config.norm_epsilon),
            mlp=partial(MLP, hidden=config.hidden, activation=ACTIVATIONS[config.activation]),
        )
        self.cells = Linear(dim, self.patch**2 * dim)

    def forward(self, maps: Tensor, rounds: int | None = None) -> Tensor:
        """maps [B, 3, H, W] of 0 and 1 -> [B, C, H, W]; what the agent's channel holds is not looked at.

        rounds: None for all. Of those of a training, only the last `LEARNT` are learnt from.
        """
        rows, columns = self.cut.grid(maps.shape[-2], maps.shape[-1])
        given = self.cut(features(maps)) + self.places  # [B, P, C]
        x = torch.zeros_like(given)
        rounds = self.rounds if rounds is None else rounds
        for number in range(rounds):
            with torch.set_grad_enabled(torch.is_grad_enabled() and number >= rounds - LEARNT):
                x = self.layers(x + self.mix(torch.cat([self.norm(x), given], dim=-1)))
        cells = self.cells(x).unflatten(1, (rows, columns)).unflatten(-1, (-1, self.patch, self.patch))
        return (
            cells.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)
        )  # [B, C, rows, P, columns, P] -> [B, C, H, W]


def features(maps: Tensor) -> Tensor:
    """maps [B, 3, H, W] -> [B, 28, H, W]: the obstacles around each cell (what lies outside is one), the goal, and how
    far away it is, in rows and columns."""
    count, _, height, width = maps.shape
    edge = AROUND // 2
    walls = F.pad(maps[:, OBSTACLES : OBSTACLES + 1], (edge,) * 4, value=1.0)
    around = F.unfold(walls, AROUND).view(count, -1, height, width)
    goal = maps[:, GOAL : GOAL + 1]
    place = goal.flatten(1).argmax(1)
    down = torch.arange(height, device=maps.device)[None] - (place // width)[:, None]  # [B, H]
    right = torch.arange(width, device=maps.device)[None] - (place % width)[:, None]
    down, right = down[:, :, None].expand(-1, -1, width), right[:, None, :].expand(-1, height, -1)
    away = torch.stack([down, right], dim=1).abs() / max(height, width)
    return torch.cat([around, goal, away], dim=1)


class MapStates(StateEmbedding):
    """What `MapReader` says of the cell where one is: one token for a state."""

    def __init__(self, config: DecisionTransformerConfig) -> None:
        super().__init__()
        self.reader = MapReader(config)

    def forward(self, observations: Tensor) -> Tensor:
        maps = (observations > 0).float()
        alike = maps[:, :, OBSTACLES::GOAL]  # [B, K, 2, H, W]: all but where one is
        once = bool((alike == alike[:, :1]).all())
        read = self.everywhere(maps[:, :1] if once else maps).expand(-1, maps.shape[1], -1, -1)  # [B, K, H W, C]
        place = maps[:, :, AGENT].flatten(2).argmax(2)  # [B, K]
        return read.gather(2, place[:, :, None, None].expand(-1, -1, 1, read.shape[-1]))

    def everywhere(self, maps: Tensor, rounds: int | None = None) -> Tensor:
        """maps [B, K, 3, H, W] of 0 and 1 -> the token of each cell, if one stood there, [B, K, H W, C]."""
        return self.reader(maps.flatten(0, 1), rounds).flatten(2).transpose(1, 2).unflatten(0, maps.shape[:2])


class CostHead(nn.Module):
    """The cost that remains, told as chances of levels, which are closer to each other where little remains.

    A cost that is to be learnt is spread over the levels around it: as a classification it is learnt in a fraction of
    the steps that a regression takes (Farebrother et al. 2024, arXiv 2403.03950).
    """

    def __init__(self, config: DecisionTransformerConfig) -> None:
        super().__init__()
        _, height, width = config.picture
        self.return_scale, self.most = config.return_scale, (height * width / 2) ** 0.5  # of a map that is one corridor
        self.chances = Linear(config.dim, LEVELS)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., C] -> the return to come [..., 1], which is minus the cost, divided by `return_scale`."""
        levels = torch.linspace(0, self.most, LEVELS, device=x.device)
        root = (self.chances(x).softmax(-1) * levels).sum(-1, keepdim=True)
        return -root.square() / self.return_scale

    def losses(self, x: Tensor, costs: Tensor) -> Tensor:
        """x [..., C] against costs [...] -> cross-entropy [...]."""
        levels = torch.linspace(0, self.most, LEVELS, device=x.device)
        away = (costs.sqrt()[..., None] - levels) / (BLUR * levels[1])
        wanted = (-0.5 * away.square()).softmax(-1)
        return -(wanted * self.chances(x).log_softmax(-1)).sum(-1)
