"""How unlike its training data a picture is: the Mahalanobis distance of what the network sees to the nearest class.

Lee et al. 2018 (arXiv 1807.03888): classes are Gaussians with one covariance in the space of a classifier's features.
The last features alone are not enough: a classifier maps what it was never shown onto what it knows (a small one puts
noise and inverted digits right among the digits), while the first ones still tell them apart. So both are looked at
and the larger distance counts. It is given in units of the one that 99 % of held-out pictures of the same data stay
within, so that 1 is the edge of the familiar whatever the network.

Axes: N pictures, K classes, F features.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

LIMIT = 1.5
"""From this many times the edge of the familiar on, a picture is called unlike the training data."""


@dataclass(frozen=True, kw_only=True)
class View:
    """What one layer makes of pictures: the features [N, F] that the head sees, and the first ones (`texture`) [N, E];
    None where the pictures themselves are not at hand."""

    features: Tensor
    texture: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Novelty:
    """What the training data look like, by their features and by their texture."""

    features: Gaussians
    texture: Gaussians | None = None

    @classmethod
    def fit(cls, train: View, labels: Tensor, held: View) -> Novelty:
        """From training pictures with labels [N]; the edge from held-out pictures of the same data."""
        texture = None
        if train.texture is not None and held.texture is not None:
            texture = Gaussians.fit(train.texture, labels, held.texture)
        found = cls(features=Gaussians.fit(train.features, labels, held.features), texture=texture)
        edge = found.unlikeness(held).quantile(0.99)  # of both together, for 1 to mean what it says
        return cls(features=found.features.widened(edge), texture=texture and texture.widened(edge))

    def unlikeness(self, view: View) -> Tensor:
        """The distance [N] to the nearest class, 1 at the edge of the familiar."""
        distance = self.features.distance(view.features)
        if self.texture is None or view.texture is None:
            return distance
        return torch.maximum(distance, self.texture.distance(view.texture))

    def tensors(self) -> dict[str, Tensor]:
        """For saving beside the weights."""
        kept = {"features": self.features, "texture": self.texture}
        return {f"{name}.{key}": value for name, part in kept.items() if part for key, value in vars(part).items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Novelty | None:
        """What `tensors` gave; None where it is not of this kind."""
        parts: dict[str, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            part, _, key = name.partition(".")
            parts.setdefault(part, {})[key] = value
        if not {"features"} <= set(parts) <= {"features", "texture"}:
            return None
        return cls(**{part: Gaussians(**values) for part, values in parts.items()})


@dataclass(frozen=True, kw_only=True)
class Gaussians:
    """Class means [K, F], the whitening matrix [F, F], and the distance of the edge, as a tensor of one value."""

    means: Tensor
    whitening: Tensor
    edge: Tensor

    @classmethod
    def fit(cls, features: Tensor, labels: Tensor, held_features: Tensor) -> Gaussians:
        """From training features [N, F] with labels [N]; the edge from held-out features [M, F] of the same data."""
        features, held_features = features.double(), held_features.double()
        classes = [int(label) for label in labels.unique()]
        means = torch.stack([features[labels == label].mean(dim=0) for label in classes])
        position = {label: number for number, label in enumerate(classes)}
        residual = features - means[torch.tensor([position[int(label)] for label in labels])]
        covariance = residual.t() @ residual / len(residual)
        # A little of the mean variance in every direction keeps few pictures of many features invertible.
        covariance += 1e-3 * covariance.diagonal().mean() * torch.eye(covariance.shape[0], dtype=covariance.dtype)
        whitening = torch.linalg.inv(torch.linalg.cholesky(covariance)).t()
        found = cls(means=means.float(), whitening=whitening.float(), edge=torch.ones(1))
        return found.widened(found.distance(held_features.float()).quantile(0.99))

    def widened(self, factor: Tensor) -> Gaussians:
        """The same with the edge `factor` times as far away."""
        return dataclasses.replace(self, edge=self.edge * factor.clamp(min=1e-6))

    def distance(self, features: Tensor) -> Tensor:
        """Features [N, F] -> distance to the nearest class [N], 1 at the edge of the familiar."""
        device = features.device
        white = features @ self.whitening.to(device)
        centres = (self.means @ self.whitening).to(device)
        return torch.cdist(white, centres).min(dim=1).values / self.edge.to(device)
