"""Where states and actions become numbers for the network, and its numbers become actions again.

                 into the network             out of it            learns by
    numbers      (x - mean) / std             tanh into bounds     squared error (arXiv 2106.01345)
    choices      1 for each chosen, else 0    logits of each       cross-entropy
    pictures     (x - mean) / std, patches

Axes: ... any (B batch, K steps), A numbers of an action, F features, O outputs of one action, H actions ahead.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....core.errors import UserError
from ..spaces import Space

SMALLEST = 1e-3
"""Share of the largest deviation below which a number hardly moves: it is not blown up to unit variance."""


class Scaled(nn.Module):
    """Numbers by a mean and a deviation, which lie in the checkpoint."""

    mean: Tensor
    std: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("std", torch.ones(shape))

    def forward(self, x: Tensor) -> Tensor:
        """x [..., *shape] (or what broadcasts with it), scaled."""
        return (x.to(self.mean.dtype) - self.mean) / self.std

    def back(self, x: Tensor) -> Tensor:
        """The numbers that `forward` scaled."""
        return x * self.std + self.mean

    def learn(self, mean: np.ndarray, std: np.ndarray) -> None:
        """Take over mean and deviation; what does not move keeps its unit."""
        floor = max(float(np.max(std, initial=0.0)) * SMALLEST, 1e-8)
        std = np.where(std < floor, 1.0, std)
        self.mean.copy_(torch.from_numpy(np.asarray(mean, dtype=np.float32)).reshape(self.mean.shape))
        self.std.copy_(torch.from_numpy(np.asarray(std, dtype=np.float32)).reshape(self.std.shape))


class Choices:
    """Values of a discrete or a multi-discrete space as places in a row of features: [..., A] with A choices of
    `sizes`, all of them side by side."""

    def __init__(self, space: Space) -> None:
        self.sizes, self.start = tuple(space.sizes), space.start
        self.first = tuple(int(place) for place in np.cumsum((0, *self.sizes))[:-1])
        self.features = sum(self.sizes)

    def places(self, values: Tensor) -> Tensor:
        """values [..., A] -> the place of each in the features [..., A]."""
        return values.long() - self.start + torch.tensor(self.first, device=values.device)

    def hot(self, values: Tensor) -> Tensor:
        """values [..., A] -> features [..., F]."""
        hot = torch.zeros(*values.shape[:-1], self.features, device=values.device)
        return hot.scatter_(-1, self.places(values).clamp(0, self.features - 1), 1.0)


class ActionHead(nn.Module, ABC):
    """A subclass says what an action is to the network. `features` F in, `outputs` O out for one action."""

    features: int
    outputs: int

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.space = space

    @abstractmethod
    def encode(self, actions: Tensor) -> Tensor:
        """actions [..., A] -> features [..., F]."""

    @abstractmethod
    def losses(self, raw: Tensor, actions: Tensor) -> Tensor:
        """raw [..., O] against actions [..., A] -> the loss of each [...]."""

    @abstractmethod
    def decode(self, raw: Tensor) -> Tensor:
        """raw [..., O] -> the likeliest actions [..., A]."""

    def learn(self, mean: np.ndarray, std: np.ndarray) -> None:
        """Take over what the training data say of each number of an action."""
        return

    def draw(self, raw: Tensor, temperature: float, randoms: list[np.random.Generator]) -> Tensor:
        """raw [N, H, O] -> actions [N, H, A], drawn for row i by randoms[i] where there is something to draw."""
        return self.decode(raw)


class NumberHead(ActionHead):
    """Continuous actions: scaled by their bounds, or by mean and deviation where they have none."""

    def __init__(self, space: Space, *, squash: bool) -> None:
        super().__init__(space)
        self.features = self.outputs = space.numbers
        self.squash = squash and space.bounds is not None
        self.scaled = Scaled((space.numbers,))
        if space.bounds is not None:
            low, high = (torch.tensor(side).flatten() for side in space.bounds)
            self.scaled.mean.copy_((low + high) / 2)
            self.scaled.std.copy_(torch.where(high > low, (high - low) / 2, 1.0))

    def encode(self, actions: Tensor) -> Tensor:
        return self.scaled(actions)

    def losses(self, raw: Tensor, actions: Tensor) -> Tensor:
        return (self._said(raw) - self.scaled(actions)).square().mean(-1)

    def decode(self, raw: Tensor) -> Tensor:
        return self.scaled.back(self._said(raw))

    def learn(self, mean: np.ndarray, std: np.ndarray) -> None:
        self.scaled.learn(mean, std)

    def _said(self, raw: Tensor) -> Tensor:
        return raw.tanh() if self.squash else raw


class ChoiceHead(ActionHead):
    """Discrete and multi-discrete actions: logits of all choices side by side."""

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self.choices = Choices(space)
        self.features = self.outputs = self.choices.features

    def encode(self, actions: Tensor) -> Tensor:
        return self.choices.hot(actions)

    def logits(self, raw: Tensor) -> list[Tensor]:
        """raw [..., O] -> one [..., choices] for each number of the action."""
        return list(raw.split(list(self.choices.sizes), dim=-1))

    def losses(self, raw: Tensor, actions: Tensor) -> Tensor:
        chosen = actions.long() - self.choices.start
        each = [
            F.cross_entropy(logits.flatten(0, -2), chosen[..., number].flatten(), reduction="none")
            for number, logits in enumerate(self.logits(raw))
        ]
        return torch.stack(each).sum(0).view(actions.shape[:-1])

    def decode(self, raw: Tensor) -> Tensor:
        if len(self.choices.sizes) == 1:
            return raw.argmax(-1, keepdim=True) + self.choices.start
        return torch.stack([logits.argmax(-1) for logits in self.logits(raw)], -1) + self.choices.start

    def draw(self, raw: Tensor, temperature: float, randoms: list[np.random.Generator]) -> Tensor:
        if not temperature:
            return self.decode(raw)
        # The Gumbel trick: noise of each row's own generator, so that its neighbours do not change what it does.
        noise = np.stack([random.gumbel(size=raw.shape[1:]) for random in randoms])
        return self.decode(raw / temperature + torch.from_numpy(noise).to(raw))


def action_head(space: Space, *, squash: bool) -> ActionHead:
    """What suits the space. Raises UserError for a kind that is none."""
    if space.kind == "box":
        return NumberHead(space, squash=squash)
    if space.kind in ("discrete", "multi-discrete"):
        return ChoiceHead(space)
    raise UserError(f"There is no action head for {space.words()}.")


def as_numbers(values: Any, space: Space) -> np.ndarray:
    """Values [..., *shape of the space] as [..., numbers]; a discrete one gets an axis of its own."""
    values = np.asarray(values)
    lead = values.shape[: values.ndim - len(space.shape)]
    return values.reshape(*lead, space.numbers)
