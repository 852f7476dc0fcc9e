"""The shape of a wav2vec 2.0 recogniser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ....core.errors import UserError, near
from ....core.layers import ACTIVATIONS


@dataclass(frozen=True, kw_only=True)
class Wav2Vec2Config:
    """The shape of a wav2vec 2.0 model; the defaults are the base model's.

    channels, kernels, strides: of each convolution. stable: pre-norm layers, and layer norms between the convolutions
    where `layer_norms`. normalise: each waveform to mean 0 and deviation 1 first. position_kernel, position_groups: of
    the convolution that stands for positions.
    """

    labels: int
    dim: int = 768
    depth: int = 12
    heads: int = 12
    hidden: int = 3072
    channels: tuple[int, ...] = (512,) * 7
    kernels: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    strides: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    convolution_bias: bool = False
    layer_norms: bool = False
    stable: bool = False
    position_kernel: int = 128
    position_groups: int = 16
    activation: str = "gelu"
    convolution_activation: str = "gelu"
    eps: float = 1e-5
    normalise: bool = True
    dropout: float = 0.1

    def __post_init__(self) -> None:
        for name in ("channels", "kernels", "strides"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON knows lists only
        if not len(self.channels) == len(self.kernels) == len(self.strides) > 0:
            raise UserError("channels, kernels and strides must be as many, one for each convolution.")
        if self.dim % self.heads:
            raise UserError(f"dim {self.dim} does not divide into {self.heads} heads.")
        for name in (self.activation, self.convolution_activation):
            if name not in ACTIVATIONS:
                raise UserError(f"There is no activation {name!r}.", near(name, ACTIVATIONS))

    @classmethod
    def from_hf(cls, config: Mapping[str, Any], *, normalise: bool = True) -> Wav2Vec2Config:
        """From the values of transformers' config.json. Raises UserError for a kind that is not supported."""
        if config.get("add_adapter") or config.get("adapter_attn_dim"):
            raise UserError("wav2vec2 checkpoints with adapters (MMS) are not supported.")
        if (norm := config.get("feat_extract_norm", "group")) not in ("group", "layer"):
            raise UserError(f"feat_extract_norm {norm!r} is not known.", "It is 'group' or 'layer'.")
        return cls(
            labels=int(config["vocab_size"]),
            dim=int(config["hidden_size"]),
            depth=int(config["num_hidden_layers"]),
            heads=int(config["num_attention_heads"]),
            hidden=int(config["intermediate_size"]),
            channels=tuple(config["conv_dim"]),
            kernels=tuple(config["conv_kernel"]),
            strides=tuple(config["conv_stride"]),
            convolution_bias=bool(config.get("conv_bias", False)),
            layer_norms=norm == "layer",
            stable=bool(config.get("do_stable_layer_norm", False)),
            position_kernel=int(config.get("num_conv_pos_embeddings", 128)),
            position_groups=int(config.get("num_conv_pos_embedding_groups", 16)),
            activation=str(config.get("hidden_act", "gelu")),
            convolution_activation=str(config.get("feat_extract_activation", "gelu")),
            eps=float(config.get("layer_norm_eps", 1e-5)),
            normalise=normalise,
            dropout=float(config.get("hidden_dropout", 0.1)),
        )

    @property
    def field(self) -> int:
        """Samples that the first frame needs."""
        reach = 1
        for kernel, stride in zip(reversed(self.kernels), reversed(self.strides), strict=True):
            reach = (reach - 1) * stride + kernel
        return reach
