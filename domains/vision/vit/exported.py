"""The vision Transformer as graphs that take pictures as they are: 8-bit pixels in, the normalisation inside.

Axes: B batch, H, W height and width of the input.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ....core.export.graph import Graph
from ..pixels import Preprocessing
from .model import ViT

METHODS = {"model": ("look", ("logits", "features", "texture")), "attention": ("attention", ("attention",))}


class Normalised(nn.Module):
    """A method of the network for pixels [B, channels, H, W] as 8-bit pictures have them."""

    scale: Tensor
    shift: Tensor

    def __init__(self, network: ViT, method: str, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.network, self.method = network, method
        mean, std = (torch.tensor(value)[:, None, None] for value in (preprocessing.mean, preprocessing.std))
        self.register_buffer("scale", 1 / (255 * std))
        self.register_buffer("shift", -mean / std)

    def forward(self, pixels: Tensor) -> Any:
        return getattr(self.network, self.method)(pixels.float() * self.scale + self.shift)


def graphs(network: ViT, preprocessing: Preprocessing) -> list[Graph]:
    """The network's answer, and the map of where it looked."""
    config = network.config
    shape = (2, config.channels, config.image_size, config.image_size)
    pixels = torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    colours = "RGB" if config.channels == 3 else "grey"
    about = {
        "pixels": f"[B, {config.channels}, {config.image_size}, {config.image_size}]: {colours}, 0 to 255",
        "logits": "[B, classes] in the order of labels; their softmax are probabilities (of a backbone: its features)",
        "features": "[B, C]: what the classifier sees",
        "texture": "[B, 2 C]: mean and deviation of the embedded patches",
        "attention": "[B, rows, columns]: where the class token looked, sums to 1",
    }
    return [
        Graph(name=name, owner="network", method=method, module=Normalised(network, method, preprocessing),
              inputs={"pixels": pixels}, free={"pixels": (0,)}, outputs=outputs,
              about={key: about[key] for key in ("pixels", *outputs)})
        for name, (method, outputs) in METHODS.items()
    ]  # fmt: skip


def attached(network: Any, preprocessing: Preprocessing) -> Preprocessing:
    """Have the graphs take what the network takes; gives the preprocessing that is left to do outside of them."""
    for method, _ in METHODS.values():
        setattr(network, method, _as_bytes(getattr(network, method)))
    channels = preprocessing.channels
    return replace(preprocessing, mean=(0.0,) * channels, std=(1.0,) * channels)


def use(preprocessing: Preprocessing, labels: tuple[str, ...]) -> dict[str, Any]:
    """See `Exportable.use`."""
    size, shorter = preprocessing.size, preprocessing.resize == "shorter"
    scaled = (
        f"scale the shorter side to {int(size / preprocessing.crop + 1e-6)} and cut the middle {size} x {size}"
        if shorter
        else f"scale to {size} x {size}"
    )
    return {
        "labels": list(labels),
        "input": f"Turn the picture upright and {scaled} ({preprocessing.interpolation}); its bytes in "
                 f"{'RGB' if preprocessing.channels == 3 else 'grey'}, channels first. Mean and deviation are in the "
                 "graphs.",
        "output": "softmax(logits) are the probabilities of the labels." if labels else "features",
    }  # fmt: skip


def _as_bytes(run: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
    """A graph of bytes for pixels from 0 to 1."""
    return lambda pixels: run((pixels * 255).round().clamp(0, 255).to(torch.uint8))
