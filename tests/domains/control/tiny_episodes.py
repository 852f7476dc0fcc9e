"""Small episodes of any spaces, drawn from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from tsuite.domains.control.episodes import Episode, Episodes, Setting
from tsuite.domains.control.spaces import Space


def box(*shape: int, dtype: str = "float32", **more: Any) -> Space:
    return Space(kind="box", shape=shape, dtype=dtype, **more)


def choices(count: int, start: int = 0) -> Space:
    return Space(kind="discrete", sizes=(count,), start=start, dtype="int64")


SEVERAL = Space(kind="multi-discrete", shape=(2,), sizes=(3, 4), dtype="int64")
SPACES = {
    "cart": (box(4), choices(2)),
    "arm": (box(3, dtype="float64"), box(1)),
    "valves": (box(1), SEVERAL),
    "lake": (choices(16), choices(4, start=1)),
    "picture": (box(3, 6, 5, dtype="uint8", low=(0.0,), high=(255.0,)), choices(8)),
}
"""An observation and an action of each kind."""


def values(space: Space, count: int, random: np.random.Generator) -> np.ndarray:
    """[count, *shape] of a space."""
    if space.kind != "box":
        return space.start + random.integers(0, np.reshape(space.sizes, space.shape), (count, *space.shape))
    if space.dtype == "uint8":
        return random.integers(0, 256, (count, *space.shape)).astype(np.uint8)
    return random.normal(size=(count, *space.shape)).astype(space.dtype)


def make(kind: str = "cart", lengths: Sequence[int] = (5, 1, 8, 3), *, env: str = "", seed: int = 0) -> Episodes:
    """Episodes of these lengths; every other one is terminated, the rest truncated."""
    observation, action = SPACES[kind]
    random = np.random.default_rng(seed)
    found = []
    for number, steps in enumerate(lengths):
        last = np.arange(steps) == steps - 1
        found.append(
            Episode(
                id=f"{number}",
                observations=values(observation, steps + 1, random),
                actions=values(action, steps, random),
                rewards=random.normal(size=steps).astype(np.float32),
                terminations=last & (number % 2 == 0),
                truncations=last & (number % 2 == 1),
                seed=100 + number,
                policy="random",
            )
        )
    return Episodes(found, Setting(observation=observation, action=action, env=env), name="tiny")


def changed(episodes: Episodes, row: int, **fields: Any) -> Episodes:
    """The same with fields of one episode replaced."""
    found = list(episodes)
    found[row] = replace(found[row], **fields)
    return Episodes(found, episodes.setting, name=episodes.name)


def same(one: Episodes, other: Episodes) -> bool:
    """Whether they are equal in every field of every episode, and in their setting."""
    told = [[(item.id, item.seed, item.policy, item.has_last) for item in side] for side in (one, other)]
    return one.sha256 == other.sha256 and one.setting == other.setting and told[0] == told[1]
