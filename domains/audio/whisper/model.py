"""Whisper on the core's bricks: log-mel, two convolutions, an encoder, and a language model that listens to it.

    sound [B, N] -> mel [B, F, M] -> frames [B, U, C] + sinusoid -> encoder -> context [B, U, C]
                                                                                  | cross-attention, projected once
                                       tokens [B, T] + learned positions -> decoder -> head (tied) -> logits [B, T, V]

Axes: B batch (windows of sound), N samples, F mel frames, M mel bands, U encoder positions, T tokens, C width, V
vocabulary.

Radford et al. 2022, arXiv 2212.04356.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....core.attention import MultiHeadAttention
from ....core.cache import Cache, LayerCache
from ....core.decoder import Decoder
from ....core.embed import FrameEmbedding
from ....core.encoder import Encoder
from ....core.language import LanguageModel
from ....core.layers import ACTIVATIONS, MLP
from ....core.positions import sinusoidal
from ....core.rehearsal import place
from ..frontend import LogMel
from .config import HOP, WhisperConfig


class Whisper(nn.Module):
    """The whole model, from samples to logits over tokens. See `WhisperConfig`."""

    positions: Tensor

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__()
        self.config = config
        activation = ACTIVATIONS[config.activation]
        self.mel = LogMel.whisper(mels=config.mels)
        self.frames = FrameEmbedding(features=config.mels, dim=config.dim)
        self.register_buffer("positions", sinusoidal(config.length, config.dim, interleaved=False, last=True))
        self.encoder = Encoder(
            dim=config.dim,
            depth=config.depth,
            heads=config.heads,
            mlp=partial(MLP, hidden=config.hidden, activation=activation),
            dropout=config.dropout,
        )
        self.text = ListeningModel(
            vocabulary=config.vocabulary,
            decoder=Decoder(
                dim=config.dim,
                depth=config.text_depth,
                heads=config.text_heads,
                context_dim=config.dim,
                mlp=partial(MLP, hidden=config.text_hidden, activation=activation),
                dropout=config.dropout,
            ),
            length=config.text_length,
            learned=True,
            tied=True,
        )

    def forward(self, mel: Tensor, tokens: Tensor) -> Tensor:
        """mel [B, F, M], tokens [B, T] -> logits [B, T, V] of what follows each token (teacher forcing).

        Shorter token rows are padded on the right with anything: no position looks ahead.
        """
        assert self.text.positions is not None
        vectors = self.text.positions(self.text.tokens(tokens))
        return self.text.head(self.text.decoder(vectors, context=self.encode(mel)))

    def features(self, waveforms: Tensor, samples: int | None = None) -> Tensor:
        """waveforms [B, N] at 16 kHz -> mel [B, F, M] of a window of `samples` (default 30 s), filled up with silence.

        Raises ValueError for waveforms longer than the window, and windows that the encoder cannot take.
        """
        longest = self.config.length * 2 * HOP
        windows = self.windows(waveforms, longest if samples is None else samples)
        return self.mel(windows, torch.full((len(windows),), windows.shape[1], device=windows.device))[0]

    def windows(self, waveforms: Tensor, samples: int) -> Tensor:
        """waveforms [B, N] -> [B, samples], filled up with silence. ValueError as for `features`."""
        longest = self.config.length * 2 * HOP
        if not waveforms.shape[1] <= samples <= longest or samples % (2 * HOP):
            raise ValueError(f"{waveforms.shape[1]} samples do not fit a window of {samples} (at most {longest})")
        return F.pad(waveforms, (0, samples - waveforms.shape[1]))

    def encode(self, mel: Tensor) -> Tensor:
        """mel [B, F, M] -> context [B, F / 2, C]. A window shorter than 30 s takes the first positions only."""
        frames = self.frames(mel.to(self.positions.dtype))
        return self.encoder(frames + self.positions[: frames.shape[1]])

    def listen(self, waveforms: Tensor, samples: int) -> WindowCache:
        """waveforms [B, N] in windows of `samples` -> what `hear` gives of them. See `features`."""
        return self.hear(self.features(waveforms, samples))

    def hear(self, mel: Tensor) -> WindowCache:
        """mel [B, F, M] -> a cache that remembers these windows, as `past` for `core.generate`: every prompt then
        continues what was heard."""
        # One window's values fit a processor's cache: all at once take a fifth longer there.
        windows = mel.split(1) if place(mel) == "cpu" else [mel]
        return self.text.listen(torch.cat([self.encode(window) for window in windows]))


class ListeningModel(LanguageModel):
    """A language model whose decoder attends to sound, which its cache remembers (`listen`)."""

    def listen(self, context: Tensor) -> WindowCache:
        """A cache for windows of sound, context [B, U, C], and no tokens yet."""
        cache = WindowCache(len(self.decoder.blocks), self.length, context_capacity=context.shape[1])
        self.decoder.remember(context, cache)
        cache.windows = list(range(len(context)))
        return cache

    def looks(self, tokens: Tensor, cache: WindowCache, heads: Sequence[tuple[int, int]]) -> Tensor:
        """Where each of `heads` (layer, head) looked while these tokens [1, T] were read: [heads, T, U]. The cache has
        heard one window, and takes the tokens up."""
        with _asking(self.decoder.blocks) as asked:
            self.hidden(tokens, cache=cache)
        found = []
        for layer, head in heads:
            attention = self.decoder.blocks[layer].cross_attention
            assert isinstance(attention, MultiHeadAttention)
            query = attention.query(asked[layer]).unflatten(-1, (attention.heads, attention.head_dim))[0, :, head]
            key = cache.cross[layer].read()[0][0, head]  # [U, D]
            found.append((query * attention.head_dim**-0.5 @ key.T).float().softmax(dim=-1))
        return torch.stack(found)

    def new_cache(self, capacity: int) -> WindowCache:
        """A cache for `capacity` tokens, which hears something once it was told to `copy` what `listen` gave."""
        return WindowCache(len(self.decoder.blocks), capacity)


class WindowCache(Cache):
    """A decoder's cache whose context is windows of sound: never changed, so shared and not copied where it can be.

    A window weighs 18 MB in the smallest model; beams of one window all read the same memory.
    """

    def __init__(self, layers: int, capacity: int, *, context_capacity: int = 0) -> None:
        super().__init__(layers, capacity, context_capacity=context_capacity)
        self.windows: list[int] = []
        """Which window each row hears."""

    def copy(self, other: Cache, *, rows: int) -> None:
        """Begin with what `other` holds; its sound is shared."""
        for mine, theirs in zip(self.own, other.own, strict=True):
            mine.copy(theirs, rows=rows)
        before = other.windows if isinstance(other, WindowCache) else [0]
        self.windows = before * rows if len(before) == 1 else list(before)
        for mine, theirs in zip(self.cross, other.cross, strict=True):
            mine.capacity = mine.length = theirs.length
            mine.keys, mine.values = theirs.keys, theirs.values
            if len(before) == 1:
                _spread(mine, rows)

    def reorder(self, rows: Tensor | list[int]) -> None:
        """Row i continues what was row rows[i]; sound moves only where a row hears another window than before."""
        index = torch.as_tensor(rows)
        for layer in self.own:
            layer.reorder(index)
        windows = [self.windows[row] for row in index.tolist()]
        if windows == self.windows:
            return
        one = len(set(windows)) == 1
        for layer in self.cross:
            layer.reorder(index[:1] if one else index)
            if one:
                _spread(layer, len(windows))
        self.windows = windows

    def rows(self, places: Sequence[int]) -> WindowCache:
        """A cache of some rows alone; this one stays as it is."""
        chosen = WindowCache(len(self.own), self.own[0].capacity)
        chosen.copy(self, rows=len(self.windows))
        if list(places) != list(range(len(self.windows))):
            chosen.reorder(list(places))
        return chosen


def _spread(layer: LayerCache, rows: int) -> None:
    """One row of memory, read as so many."""
    if layer.keys is not None and layer.values is not None:
        layer.keys, layer.values = layer.keys[:1].expand(rows, -1, -1, -1), layer.values[:1].expand(rows, -1, -1, -1)


@contextmanager
def _asking(blocks: Iterable[nn.Module]) -> Iterator[dict[int, Tensor]]:
    """What each layer's cross-attention is given while this is open: {layer: [B, T, C]}."""
    asked: dict[int, Tensor] = {}

    def note(layer: int) -> Any:
        return lambda module, given: asked.__setitem__(layer, given[0])

    attentions = [block.get_submodule("cross_attention") for block in blocks]
    handles = [attention.register_forward_pre_hook(note(layer)) for layer, attention in enumerate(attentions)]
    try:
        yield asked
    finally:
        for handle in handles:
            handle.remove()
