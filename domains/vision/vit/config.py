"""The shape of a vision Transformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ....core.errors import UserError, near
from ....core.layers import ACTIVATIONS
from ....core.positions import Interpolation

Pooling = Literal["first", "mean", "first+mean"]


@dataclass(frozen=True, kw_only=True)
class ViTConfig:
    """A vision Transformer (Dosovitskiy et al. 2021, arXiv 2010.11929) and its kin.

    image_size, patch_size in pixels; channels 1 (grey) or 3 (RGB); classes 0 for a backbone without a head.
    registers: extra tokens without a place (Darcet et al. 2023, arXiv 2309.16588).
    layer_scale: initial value of a learned factor on each branch, None for none.
    pooling: what the head sees: the class token, the mean of the patches, or both side by side (DINOv2's probe).
    layers: of how many last layers it sees that, side by side.
    interpolation: how this family carries its position table to another image size.
    """

    image_size: int = 224
    patch_size: int = 16
    channels: int = 3
    dim: int = 192
    depth: int = 12
    heads: int = 3
    mlp_dim: int = 768
    classes: int = 1000
    registers: int = 0
    eps: float = 1e-6
    activation: str = "gelu"
    qkv_bias: bool = True
    layer_scale: float | None = None
    pooling: Pooling = "first"
    layers: int = 1
    interpolation: Interpolation = "timm"
    dropout: float = 0.0
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        for name in ("image_size", "patch_size", "channels", "dim", "depth", "heads", "mlp_dim", "layers"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, not {getattr(self, name)}.")
        if self.channels not in (1, 3):
            raise UserError(f"channels must be 1 (grey) or 3 (RGB), not {self.channels}.")
        for name in ("classes", "registers"):
            if getattr(self, name) < 0:
                raise UserError(f"{name} cannot be negative, as {getattr(self, name)} is.")
        for name in ("dropout", "drop_path"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name} is a share from 0 to 1, not {getattr(self, name)}.")
        if self.activation not in ACTIVATIONS:
            raise UserError(f"There is no activation {self.activation!r}.", near(self.activation, ACTIVATIONS))
        if self.image_size % self.patch_size:
            lower = self.image_size // self.patch_size * self.patch_size or self.patch_size
            raise UserError(
                f"image_size {self.image_size} does not divide into patches of {self.patch_size}.",
                f"Try {lower} or {lower + self.patch_size}.",
            )
        if self.dim % self.heads:
            raise UserError(f"dim {self.dim} does not divide into {self.heads} heads.")

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.image_size // self.patch_size, self.image_size // self.patch_size

    @property
    def patches(self) -> int:
        """Patches in a picture."""
        return self.grid[0] * self.grid[1]

    @property
    def prefix(self) -> int:
        """Tokens before the patches: the class token and the registers."""
        return 1 + self.registers

    @property
    def feature_dim(self) -> int:
        """Width of what the head sees."""
        return self.layers * (2 * self.dim if self.pooling == "first+mean" else self.dim)


SIZES: dict[str, dict[str, int]] = {
    "micro": {"dim": 128, "depth": 6, "heads": 4, "mlp_dim": 512},
    "tiny": {"dim": 192, "depth": 12, "heads": 3, "mlp_dim": 768},
    "small": {"dim": 384, "depth": 12, "heads": 6, "mlp_dim": 1536},
    "base": {"dim": 768, "depth": 12, "heads": 12, "mlp_dim": 3072},
    "large": {"dim": 1024, "depth": 24, "heads": 16, "mlp_dim": 4096},
}
"""Widths and depths by the field's names; `micro` is the one that ships."""
