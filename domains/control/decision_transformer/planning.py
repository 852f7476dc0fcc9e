"""What a policy on grid maps knows of the cost that remains, as the heuristic of weighted A*, and how it learns that.

Where one stands, the value head says the return to come, which on a map is minus the cost of the way to the goal. Asked
for every cell, that is a heuristic. `plans.make_plan` searches by it: a network that errs costs expansions or some
length, never the path.

Axes: B maps, H rows, W columns, N cells, O actions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ....core.errors import UserError
from ..grid import GridMap, observe
from ..plans import Plan, make_plan
from ..search import COSTS, MOVES, Cell, costs_to_go, legal_moves, octile, shifted
from .maps import GOAL, LEARNT, OBSTACLES, CostHead, MapStates

if TYPE_CHECKING:
    from .config import DecisionTransformerConfig
    from .model import DecisionTransformer

WEIGHT = 2.0
"""Of the heuristic, where nobody says another: chosen on validation maps."""
BATCH = 64
"""Maps in one forward pass."""
NEVER = 1e6
"""A cost that no way has."""


# -- what the network says --------------------------------------------------------------------------------------------


def read(network: DecisionTransformer, maps: Tensor, cells: Tensor, rounds: int | None = None) -> Tensor:
    """maps [B, 3, H, W] of 0 and 1, cells [N] as numbers within B H W -> what the heads are given in each, [N, C]: the
    same that a policy gives them which stands there in the first step of an episode. rounds: None for all."""
    assert isinstance(network.states, MapStates)
    tokens = network.states.everywhere(maps[:, None], rounds).flatten(0, 2)[cells][:, None]  # [N, 1, C]
    start = torch.zeros(1, dtype=torch.long, device=maps.device)
    return network.decoder(network.dropout(network.norm(tokens + network.time(start))))[:, 0]


@torch.inference_mode()
def guesses(network: DecisionTransformer, maps: Sequence[GridMap]) -> list[np.ndarray]:
    """The cost that remains from each cell of each map, [H, W], as the network says it.

    Smaller maps are put into the corner of a larger one, all else of which is wall. Raises UserError for a map that is
    larger than those the network has learnt, and for a network without a value head.
    """
    config = network.config
    if not config.value:
        raise UserError("This policy does not say what return is to come.", "Train one with --value true.")
    if large := next((one for one in maps if not fits(one, config)), None):
        raise UserError(f"A map has {large.words}; {_known(config)}.")
    _, height, width = config.picture
    device = next(network.parameters()).device
    found: list[np.ndarray] = []
    for first in range(0, len(maps), BATCH):
        part = maps[first : first + BATCH]
        pictures = torch.from_numpy(np.stack([_padded(one, height, width) for one in part])).to(device)
        costs = _costs(network, pictures).cpu().numpy().astype(float)
        found += [cost[: one.walls.shape[0], : one.walls.shape[1]] for cost, one in zip(costs, part, strict=True)]
    return found


def _costs(network: DecisionTransformer, pictures: Tensor) -> Tensor:
    """pictures [B, 3, H, W] -> [B, H, W]."""
    count, _, height, width = pictures.shape
    if isinstance(network.states, MapStates):
        cells = torch.arange(count * height * width, device=pictures.device)
        assert network.value is not None
        values = network.value(read(network, (pictures > 0).float(), cells))
        return -values.view(count, height, width) * network.config.return_scale
    standing = torch.eye(height * width, device=pictures.device).view(-1, height, width)
    found = []
    for picture in pictures:  # a policy that sees where it is, on each cell in turn
        seen = picture.expand(height * width, -1, -1, -1).clone()
        seen[:, 1] = (standing * 255).to(seen.dtype)
        found.append(-network.values(seen).view(height, width))
    return torch.stack(found)


def _padded(one: GridMap, height: int, width: int) -> np.ndarray:
    """uint8 [3, height, width]."""
    rows, columns = one.walls.shape
    walls = np.pad(one.walls, ((0, height - rows), (0, width - columns)), constant_values=True)
    return observe(walls, one.start, one.goal)


# -- plans ------------------------------------------------------------------------------------------------------------


def plan(
    network: DecisionTransformer, walls: np.ndarray, start: Cell, goal: Cell, *, weight: float = WEIGHT, name: str = ""
) -> Plan:
    """A path on walls [H, W] by weighted A* with the network's guess; see `plan_many`."""
    one = GridMap(walls=np.asarray(walls, bool), start=start, goal=goal)
    return plan_many(network, [one], weight=weight, names=[name])[0]


def plan_many(
    network: DecisionTransformer, maps: Sequence[GridMap], *, weight: float = WEIGHT, names: Sequence[str] = ()
) -> list[Plan]:
    """A plan for each map, in order; on those that are larger than the network knows by plain weighted A*, which a
    notice says."""
    config, names = network.config, names or [f"map {number}" for number in range(1, len(maps) + 1)]
    said = iter(guesses(network, [one for one in maps if fits(one, config)]))
    plans = []
    for one, name in zip(maps, names, strict=True):
        known = fits(one, config)
        guess = next(said) if known else octile(one.walls.shape, one.goal)
        notice = f"it has {one.words}; {_known(config)}: planned by weighted A* with the octile distance"
        plans.append(make_plan(one, guess, weight=weight, name=name, notices=() if known else (notice,)))
    return plans


def fits(one: GridMap, config: DecisionTransformerConfig) -> bool:
    """Whether a map is no larger than those the network has learnt."""
    _, height, width = config.picture
    return one.walls.shape[0] <= height and one.walls.shape[1] <= width


def _known(config: DecisionTransformerConfig) -> str:
    return f"the network knows up to {config.picture[1]} x {config.picture[2]}"


# -- learning ---------------------------------------------------------------------------------------------------------


def map_loss(network: DecisionTransformer, observations: Tensor) -> Tensor:
    """The mean loss over every cell of the maps in observations [B, 3, H, W] from which the goal can be reached.

    A recording shows the best way from one cell. On a map the best way from any other is known as well, and the network
    says them all in one pass: a hundred times as many answers to learn from. In training maps are turned and mirrored,
    and gone over a number of rounds that is drawn each time; only what so many rounds can tell is asked.
    """
    assert isinstance(network.value, CostHead)
    maps, rounds = (observations > 0).float(), network.config.rounds
    if network.training:
        maps, rounds = _turned(maps), int(torch.randint(min(LEARNT, rounds), rounds + 1, ()))
    costs, best = answers(maps)
    told = torch.isfinite(costs)
    if network.training:
        told &= costs <= network.config.patch * rounds
    cells = told.flatten().nonzero()[:, 0]
    x = read(network, maps, cells, rounds)
    chances = network.answer(x).log_softmax(-1)
    right = best.permute(0, 2, 3, 1).flatten(0, 2)[cells]
    there = right.any(-1)  # not at the goal
    choices = chances.masked_fill(~right, -NEVER).logsumexp(-1)[there]
    return network.value.losses(x, costs.flatten()[cells]).mean() - choices.mean()


def answers(maps: Tensor) -> tuple[Tensor, Tensor]:
    """maps [B, 3, H, W] of 0 and 1 -> the cost that remains [B, H, W], infinite where there is no way, and which moves
    are best [B, 8, H, W]."""
    walls = maps[:, OBSTACLES].cpu().numpy() > 0
    place = maps[:, GOAL].flatten(1).argmax(1).cpu().numpy()
    costs = costs_to_go(walls, np.stack([place // walls.shape[2], place % walls.shape[2]], axis=1))
    known = np.where(np.isfinite(costs), costs, NEVER)
    edged = np.pad(known, ((0, 0), (1, 1), (1, 1)), constant_values=NEVER)
    after = np.stack([shifted(edged, move) + cost for move, cost in zip(MOVES, COSTS, strict=True)], axis=1)
    best = legal_moves(walls) & (after <= known[:, None] + 1e-4) & (known < NEVER)[:, None]
    return torch.from_numpy(costs.astype(np.float32)).to(maps.device), torch.from_numpy(best).to(maps.device)


def _turned(maps: Tensor) -> Tensor:
    """All maps [B, 3, H, W] by one of the eight symmetries of a square (of the four of a rectangle)."""
    turns, mirrored = torch.randint(4, (2,)).tolist()
    turns = turns if maps.shape[-1] == maps.shape[-2] else 2 * (turns % 2)
    maps = maps.flip(-1) if mirrored % 2 else maps
    return torch.rot90(maps, turns, (-2, -1))
