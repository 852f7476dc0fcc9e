"""Small policies of every kind, and episodes for them that need no environment."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from tsuite.domains.control.decision_transformer import DecisionTransformer, DecisionTransformerConfig
from tsuite.domains.control.episodes import Episode, Episodes, Setting
from tsuite.domains.control.spaces import Space

NUMBERS = Space(kind="box", shape=(3,))
BOUNDED = Space(kind="box", shape=(2,), low=(-1.0, 0.0), high=(1.0, 4.0))
CHOICE = Space(kind="discrete", sizes=(4,), start=1, dtype="int64")
CHOICES = Space(kind="multi-discrete", shape=(2,), sizes=(3, 2), dtype="int64")
PICTURE = Space(kind="box", shape=(3, 8, 8), low=(0.0,), high=(255.0,), dtype="uint8")
CAMERA = Space(kind="box", shape=(8, 12, 3), low=(0.0,), high=(255.0,), dtype="uint8")

KINDS: dict[str, dict[str, Any]] = {
    "numbers": {},
    "bounded": {"action": BOUNDED},
    "unbounded": {"action": NUMBERS},
    "choices": {"action": CHOICES, "observation": CHOICES},
    "a choice": {"action": CHOICE, "observation": CHOICE},
    "picture": {"observation": PICTURE, "patch": 4},
    "camera": {"observation": CAMERA, "patch": 4, "context": 3},
    "cloning": {"condition": "none"},
    "chunks": {"chunk": 3, "action": BOUNDED},
    "value": {"value": True, "heads": 2},
}


def config(**changed: Any) -> DecisionTransformerConfig:
    """A small one; what `changed` says is otherwise."""
    small: dict[str, Any] = {
        "observation": NUMBERS, "action": CHOICE, "context": 5, "max_steps": 40, "dim": 16, "depth": 2, "heads": 1,
        "hidden": 24, "return_scale": 10.0,
    }  # fmt: skip
    return DecisionTransformerConfig(**{**small, **changed})


def network(seed: int = 0, **changed: Any) -> DecisionTransformer:
    """With weights large enough that everything matters."""
    torch.manual_seed(seed)
    made = DecisionTransformer(config(**changed)).eval()
    with torch.no_grad():
        for value in made.parameters():
            value.add_(0.3 * torch.randn_like(value))
        for module in made.modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.weight.add_(1.0)
    return made


def values(space: Space, count: int, generator: np.random.Generator) -> np.ndarray:
    """`count` values of a space."""
    if space.kind == "box":
        whole = space.dtype == "uint8"
        drawn = (
            generator.integers(0, 256, (count, *space.shape)) if whole else generator.normal(size=(count, *space.shape))
        )
        return drawn.astype(space.dtype)
    return generator.integers(np.reshape(space.sizes, space.shape), size=(count, *space.shape)) + space.start


def episode(length: int, *, seed: int = 0, observation: Space = NUMBERS, action: Space = CHOICE) -> Episode:
    """Made up."""
    generator = np.random.default_rng(seed)
    ends = np.zeros((2, length), bool)
    ends[0, -1] = True
    return Episode(
        id=str(seed),
        observations=values(observation, length + 1, generator),
        actions=values(action, length, generator),
        rewards=generator.normal(1, 0.1, length).astype(np.float32),
        terminations=ends[0],
        truncations=ends[1],
        seed=seed,
        policy="made up",
    )


def episodes(*lengths: int, observation: Space = NUMBERS, action: Space = CHOICE) -> Episodes:
    """One of each length."""
    made = [
        episode(length, seed=number, observation=observation, action=action) for number, length in enumerate(lengths)
    ]
    return Episodes(made, Setting(observation=observation, action=action), name="made up")
