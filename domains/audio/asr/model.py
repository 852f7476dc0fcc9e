"""The speech recogniser: from a waveform to a probability for each label at each frame.

    waveform -> log-mel -> subsampling -> Conformer or Transformer -> CTC head -> log-probs
                 10 ms        40 ms         whole, or chunk by chunk

CTC: Graves et al. 2006. Everything is padding-exact: an utterance gives the same alone and in any batch.

Axes: B batch, N samples, F mel frames, M mel bands, T frames after subsampling, C width, V labels (0 is the blank).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from ....core.chunks import ChunkedEncoder, ChunkedStack, LayerState
from ....core.conformer import Conformer
from ....core.layers import MLP, Dropout, FrameBatchNorm, LayerNorm
from ....core.linear import Linear
from ....core.masks import padding_mask
from ..frontend import LogMel
from ..output import CTCOutput
from .config import ConformerConfig
from .subsampling import Subsampling


@dataclass(kw_only=True)
class StreamState:
    """What a stream remembers: samples and mel frames that wait for more, and the past that each part looks back to."""

    mel: Tensor
    subsampling: list[Tensor | None]
    layers: list[LayerState]
    samples: Tensor | None = None
    ended: bool = False


class ConformerCTC(nn.Module):
    """A recogniser as `config` describes it.

    `encoder.chunk` and `encoder.left` may be changed at any time (training with several sizes makes a model that can be
    used with each); a model made without a chunk has convolutions that look ahead and cannot stream.

    >>> model = ConformerCTC(ConformerConfig(labels=30))
    >>> model(torch.zeros(1, 16_000), torch.tensor([16_000])).log_probs.shape
    torch.Size([1, 25, 30])
    """

    def __init__(self, config: ConformerConfig) -> None:
        super().__init__()
        self.config = config
        self.front = LogMel(mels=config.mels)
        self.subsampling = Subsampling(
            mels=config.mels, dim=config.dim, factor=config.subsampling, channels=config.channels
        )
        self.dropout = Dropout(config.dropout)
        self.encoder = _encoder(config)
        self.head = Linear(config.dim, config.labels)
        self.condition = Linear(config.labels, config.dim) if config.self_conditioned else None

    @property
    def seconds_per_frame(self) -> float:
        """How much sound one frame of the result stands for."""
        return self.config.subsampling * self.front.hop / self.front.sample_rate

    def forward(self, waveforms: Tensor, lengths: Tensor) -> CTCOutput:
        """waveforms [B, N] in -1..1 at 16 kHz, lengths [B] in samples -> log-probs [B, T, V], lengths [B] in frames."""
        return self.encode_features(*self.features(waveforms, lengths))

    def features(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """waveforms [B, N], lengths [B] -> mel [B, F, M], lengths [B] in mel frames. What masks and warps goes here."""
        return self.front(waveforms, lengths)

    def encode_features(self, mel: Tensor, lengths: Tensor) -> CTCOutput:
        """mel [B, F, M], lengths [B] -> log-probs [B, T, V], lengths [B] in frames.

        While training, and always where it is self-conditioned, the answers of the intermediate layers come along.
        """
        x, lengths = self.subsampling(mel.to(self.head.weight.dtype), lengths)
        inner: list[Tensor] = []
        after = partial(self._after, inner=inner)
        x = self.encoder(self.dropout(x), real=padding_mask(lengths, x.shape[1]), after=after)
        return CTCOutput(self.head(x).float().log_softmax(-1), lengths, tuple(inner))

    def _after(self, number: int, x: Tensor, *, inner: list[Tensor]) -> Tensor:
        """Between layers: note what the head would say, and tell it to the layers that follow."""
        if number + 1 not in self.config.intermediate or (self.condition is None and not self.training):
            return x
        normed = x if self.encoder.norm is None else self.encoder.norm(x)
        log_probs = self.head(normed).float().log_softmax(-1)
        inner.append(log_probs)
        return x if self.condition is None else x + self.condition(log_probs.exp().to(x.dtype))

    @contextmanager
    def seeing(self, chunk: int | None) -> Iterator[None]:
        """Inside the block frames see chunks of that size, None: the whole recording; `config.chunk` is the habit."""
        before, self.encoder.chunk = self.encoder.chunk, chunk
        try:
            yield
        finally:
            self.encoder.chunk = before

    def new_stream(self) -> StreamState:
        """The memory of a stream at its beginning. Raises ValueError for a model that was not made for streams."""
        empty = self.head.weight.new_zeros(1, 0, self.config.mels)
        layers = self.encoder.new_state()
        return StreamState(mel=empty, subsampling=[None] * len(self.subsampling.layers), layers=layers)

    def step(self, samples: Tensor, state: StreamState, *, last: bool = False) -> Tensor:
        """The next samples [n] of a stream, any number -> log-probs [t, V] of the chunks that they complete.

        last: the stream ends with these, and what is left is answered too. All results in a row equal `forward` over
        the whole. Changes `state`; raises ValueError for a stream that has ended.
        """
        if state.ended:
            raise ValueError("this stream has ended: begin another with new_stream()")
        mel, state.samples = self.front.step(samples[None], state.samples, last=last)
        state.mel, state.ended = torch.cat([state.mel, mel.to(state.mel.dtype)], dim=1), last
        size = (self.encoder.chunk or 1) * self.config.subsampling
        results = [self.head.weight.new_zeros(0, self.config.labels, dtype=torch.float32)]
        while state.mel.shape[1] >= size or (last and state.mel.shape[1]):
            results.append(self._chunk(state.mel[:, :size], state))
            state.mel = state.mel[:, size:]
        return torch.cat(results)

    def _chunk(self, mel: Tensor, state: StreamState) -> Tensor:
        """One chunk of mel frames [1, f, M] -> [t, V]."""
        x = self.dropout(self.subsampling.step(mel, state.subsampling))
        x = self.encoder.step(x, state.layers, after=partial(self._after, inner=[]))
        return self.head(x)[0].float().log_softmax(-1)


def _encoder(config: ConformerConfig) -> ChunkedStack:
    if config.kind == "transformer":
        return ChunkedEncoder(
            dim=config.dim,
            depth=config.depth,
            heads=config.heads,
            mlp=partial(MLP, hidden=config.width, dropout=config.dropout),
            chunk=config.chunk,
            left=config.left,
            dropout=config.dropout,
            drop_path=config.drop_path,
        )
    return Conformer(
        dim=config.dim,
        depth=config.depth,
        heads=config.heads,
        kernel=config.kernel,
        hidden=config.width,
        chunk=config.chunk,
        left=config.left,
        convolution_norm=FrameBatchNorm if config.convolution_norm == "batch" else LayerNorm,
        dropout=config.dropout,
        drop_path=config.drop_path,
    )
