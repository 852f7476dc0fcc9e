"""wav2vec 2.0 with a CTC head (Baevski et al. 2020, arXiv 2006.11477).

    waveform - norm - 7 convolutions - projection - (+ convolved positions) - Encoder - head -> log-probs
                       20 ms a frame

                 base                                     large (most multilingual ones too)
    convolutions norm of each channel over time, once     layer norm after each
    encoder      post-norm, a norm before it              pre-norm, a norm behind it

The base models' norm over time reads padding wherever it is not masked, as their original does: one utterance then
answers differently in each batch (facebook's base model by 0.26 in a logit). Here an utterance answers in any batch as
it does alone, and alone as the original does.

Axes: B batch, N samples, T frames, K channels of the convolutions, C width of the model, V labels (0 is the blank).
"""

from __future__ import annotations

from functools import partial
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....core.blocks import PostNormBlock, PreNormBlock
from ....core.encoder import Encoder
from ....core.layers import ACTIVATIONS, MLP, Dropout
from ....core.linear import Linear
from ....core.masks import key_mask, padding_mask
from ..output import CTCOutput
from .config import Wav2Vec2Config


class TimeNorm(nn.Module):
    """Each channel brought to mean 0 and deviation 1 over its real frames: the group norm of the base models, in which
    every channel is a group, without the padding."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """x [B, K, T], real [B, T] -> [B, K, T]."""
        exact = x.float().masked_fill(~real[:, None], 0.0)
        count = real.sum(-1).clamp(min=1)[:, None]  # [B, 1]
        mean = exact.sum(-1) / count  # [B, K]
        square = torch.linalg.vector_norm(exact, dim=-1).square() / count
        scale = (square - mean.square()).clamp(min=0).add(self.eps).rsqrt() * self.weight.float()
        shift = self.bias.float() - mean * scale
        return torch.addcmul(shift[..., None], exact, scale[..., None]).to(x.dtype)


class FeatureLayer(nn.Module):
    """A convolution over time, its norm where it has one, and the activation."""

    def __init__(self, config: Wav2Vec2Config, number: int) -> None:
        super().__init__()
        into, out = (1, *config.channels)[number], config.channels[number]
        kernel, stride = config.kernels[number], config.strides[number]
        self.conv = nn.Conv1d(into, out, kernel, stride=stride, bias=config.convolution_bias)
        self.norm = nn.LayerNorm(out) if config.layer_norms else TimeNorm(out) if number == 0 else None
        self.activation = ACTIVATIONS[config.convolution_activation]

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, K, T], lengths [B] -> fewer of both. No frame within its length reads beyond it."""
        x = self.conv(x)
        lengths = ((lengths - self.conv.kernel_size[0]) // self.conv.stride[0] + 1).clamp(min=0)
        if isinstance(self.norm, TimeNorm):
            x = self.norm(x, padding_mask(lengths, x.shape[2]))
        elif self.norm is not None:
            x = self.norm(x.transpose(1, 2)).transpose(1, 2)
        return self.activation(x), lengths


class ConvolvedPositions(nn.Module):
    """What a wide convolution over the neighbours says about where a frame stands."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.kernel = config.position_kernel
        self.conv = nn.Conv1d(
            config.dim, config.dim, self.kernel, padding=self.kernel // 2, groups=config.position_groups
        )
        self.activation = ACTIVATIONS[config.convolution_activation]

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, C], zero where it is padding -> [B, T, C] to add."""
        positions = self.conv(x.transpose(1, 2))[:, :, : x.shape[1]]  # an even kernel gives a frame too many
        return self.activation(positions).transpose(1, 2)


class Wav2Vec2CTC(nn.Module):
    """A recogniser as `config` describes it; its interface is that of `ConformerCTC`, without streams."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.config = config
        norm = partial(nn.LayerNorm, eps=config.eps)
        self.layers = nn.ModuleList(FeatureLayer(config, number) for number in range(len(config.channels)))
        self.projection_norm = norm(config.channels[-1])
        self.projection = Linear(config.channels[-1], config.dim)
        self.positions = ConvolvedPositions(config)
        self.norm = None if config.stable else norm(config.dim)
        self.dropout = Dropout(config.dropout)
        self.encoder = Encoder(
            dim=config.dim,
            depth=config.depth,
            heads=config.heads,
            block=PreNormBlock if config.stable else PostNormBlock,
            norm=norm,
            final_norm=config.stable,
            mlp=partial(MLP, hidden=config.hidden, activation=ACTIVATIONS[config.activation], dropout=config.dropout),
            dropout=config.dropout,
        )
        self.head = Linear(config.dim, config.labels)

    @property
    def seconds_per_frame(self) -> float:
        """How much sound one frame of the result stands for."""
        return prod(self.config.strides) / 16_000

    def forward(self, waveforms: Tensor, lengths: Tensor) -> CTCOutput:
        """waveforms [B, N] in -1..1 at 16 kHz, lengths [B] in samples -> log-probs [B, T, V], lengths [B] in frames.

        A waveform shorter than 25 ms has no frame.
        """
        return self.encode_features(*self.features(waveforms, lengths))

    def features(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """waveforms [B, N], lengths [B] -> features [B, T, K], lengths [B] in frames."""
        x = self._normalised(waveforms, padding_mask(lengths, waveforms.shape[1]))
        if x.shape[1] < self.config.field:
            x = F.pad(x, (0, self.config.field - x.shape[1]))
        x = x.to(self.head.weight.dtype)[:, None]
        for layer in self.layers:
            x, lengths = layer(x, lengths)
        return x.transpose(1, 2), lengths

    def encode_features(self, features: Tensor, lengths: Tensor) -> CTCOutput:
        """features [B, T, K], lengths [B] in frames -> log-probs [B, T, V]."""
        real = padding_mask(lengths, features.shape[1])
        x = self.projection(self.projection_norm(features)).masked_fill(~real[..., None], 0.0)
        x = x + self.positions(x)
        x = self.dropout(x if self.norm is None else self.norm(x))
        x = self.dropout(self.encoder(x, mask=key_mask(real)))
        return CTCOutput(self.head(x).float().log_softmax(-1), lengths)

    def _normalised(self, waveforms: Tensor, real: Tensor) -> Tensor:
        """Each waveform by its own mean and deviation where the model wants that; zero behind its length."""
        waveforms = waveforms.float().masked_fill(~real, 0.0)
        if not self.config.normalise:
            return waveforms
        count = real.sum(-1, keepdim=True).clamp(min=1)
        centred = (waveforms - waveforms.sum(-1, keepdim=True) / count).masked_fill(~real, 0.0)
        return centred / (centred.square().sum(-1, keepdim=True) / count + 1e-7).sqrt()
