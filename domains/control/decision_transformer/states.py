"""Where a state becomes tokens: one of numbers or choices, one for each patch of a picture.

Axes: B batch, K steps, P patches, C width of the model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor, nn

from ....core.embed import PatchEmbedding
from ....core.linear import Linear
from .config import DecisionTransformerConfig
from .heads import Choices, Scaled


class StateEmbedding(nn.Module, ABC):
    """A subclass reads one kind of observations."""

    @abstractmethod
    def forward(self, observations: Tensor) -> Tensor:
        """observations [B, K, *shape] -> tokens [B, K, P, C]."""

    def learn(self, mean: np.ndarray, std: np.ndarray) -> None:
        """Take over what the training data say of each number (of each channel of a picture)."""
        return


class NumberStates(StateEmbedding):
    """Numbers, scaled by mean and deviation of the training data."""

    def __init__(self, config: DecisionTransformerConfig) -> None:
        super().__init__()
        numbers = config.observation.numbers
        self.scaled = Scaled((numbers,))
        self.map = Linear(numbers, config.dim)

    def forward(self, observations: Tensor) -> Tensor:
        return self.map(self.scaled(observations.flatten(2)))[:, :, None]

    def learn(self, mean: np.ndarray, std: np.ndarray) -> None:
        self.scaled.learn(mean, std)


class ChoiceStates(StateEmbedding):
    """A state that is a choice, or several."""

    def __init__(self, config: DecisionTransformerConfig) -> None:
        super().__init__()
        self.choices = Choices(config.observation)
        self.map = Linear(self.choices.features, config.dim)

    def forward(self, observations: Tensor) -> Tensor:
        values = observations.reshape(*observations.shape[:2], -1)
        return self.map(self.choices.hot(values))[:, :, None]


class PictureStates(StateEmbedding):
    """A picture, cut into patches as a vision Transformer does; each knows its place."""

    def __init__(self, config: DecisionTransformerConfig) -> None:
        super().__init__()
        self.channels_last = config.channels_last
        self.scaled = Scaled((config.picture[0], 1, 1))
        self.patches = PatchEmbedding(patch=config.patch, channels=config.picture[0], dim=config.dim)
        self.places = nn.Parameter(torch.empty(config.patches, config.dim))
        nn.init.normal_(self.places, std=0.02)

    def forward(self, observations: Tensor) -> Tensor:
        if self.channels_last:
            observations = observations.movedim(-1, -3)
        tokens = self.patches(self.scaled(observations.flatten(0, 1)))  # [B K, P, C]
        return (tokens + self.places).unflatten(0, observations.shape[:2])

    def learn(self, mean: np.ndarray, std: np.ndarray) -> None:
        self.scaled.learn(mean, std)


def state_embedding(config: DecisionTransformerConfig) -> StateEmbedding:
    """What suits the observations."""
    if config.observation.kind != "box":
        return ChoiceStates(config)
    if config.rounds:
        from .maps import MapStates

        return MapStates(config)
    return PictureStates(config) if config.observation.is_image else NumberStates(config)
