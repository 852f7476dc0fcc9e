"""Whisper as graphs: what is heard of a window once, and a step of the decoder that listens to it.

    encoder   waveforms [B, N] -> cross_keys_0 …, cross_values_0 …     the log-mel spectrogram in it
    step      tokens, the cache so far, cross_keys_0 … -> hidden, new keys and values, where it looked
    head      hidden -> logits

Axes: B windows, N samples, T tokens, U encoder positions, H heads, D width of a head, K heads that follow the sound, C
width, L layers of the decoder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ....core.attention import MultiHeadAttention
from ....core.cache import LayerCache
from ....core.export.graph import Graph
from ....core.export.steps import BATCH, Step, Stepping, cache_of, growing, language_graphs, taken_up
from ....core.masks import key_mask
from .config import SAMPLE_RATE, SAMPLES_A_POSITION
from .model import Whisper, WindowCache
from .tokenizer import WhisperTokenizer

LOOKED = "[B, K, T, U]: where the K heads that follow the sound looked, 20 ms a place, for the times of words"
EXAMPLE = 3
"""The part of the longest window that the example is: one in so many."""


class Listens(nn.Module):
    """Sound in, what every layer of the decoder remembers of it out."""

    def __init__(self, network: Whisper) -> None:
        super().__init__()
        self.network = network

    def forward(self, waveforms: Tensor) -> tuple[Tensor, ...]:
        """waveforms [B, N], N a multiple of 320 -> L keys and then L values [B, H, U, D]."""
        samples = torch.full((waveforms.shape[0],), waveforms.shape[1])
        context = self.network.encode(self.network.mel(waveforms, samples)[0])
        both = [attention._key_value(context) for attention in _crossing(self.network)]
        return (*(key for key, _ in both), *(value for _, value in both))


class Heard(LayerCache):
    """Keys and values [B, H, U, D] of one layer that are there already; notes where it was looked at."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self.keys, self.values = keys, values
        self.weights: Tensor | None = None


class ListeningStep(Step):
    """A step that is given what was heard, and tells where the heads that follow the sound looked."""

    besides = ("looked",)

    def __init__(self, network: Whisper) -> None:
        super().__init__(network.text)
        self.config = network.config
        self.more = dict.fromkeys(_names(self.layers), (0, 2))
        self.about = {**dict.fromkeys(self.more, "[B, heads, U, width]: by `encoder`"), "looked": LOOKED}

    def forward(self, tokens: Tensor, positions: Tensor, keep: Tensor, *held: Tensor) -> tuple[Tensor, ...]:
        """As `Step.forward`; more: L keys and then L values [B, H, U, D]. Gives [B, K, T, U] besides."""
        own, crossing = _halves(held)
        layers = growing(own)
        cache = cache_of(layers)
        heard = [Heard(key, value) for key, value in zip(*_halves(crossing), strict=True)]
        cache.cross = list[LayerCache](heard)
        with _written_out([_cross(block) for block in self.network.decoder.blocks]):
            hidden = self.network.hidden(tokens, mask=key_mask(keep), positions=positions, cache=cache)
        looked = []
        for layer, head in self.config.following:
            weights = heard[layer].weights
            assert weights is not None
            looked.append(weights[:, head])
        return hidden, *taken_up(layers), torch.stack(looked, dim=1)

    def examples(self, batch: int) -> dict[str, Tensor]:
        attention, length = _cross(self.network.decoder.blocks[0]), self.config.length // EXAMPLE
        shape = (batch, attention.kv_heads, length, attention.head_dim)
        return {name: torch.randn(shape) for name in self.more}


def graphs(owner: str, network: Whisper) -> list[Graph]:
    """The graphs of the Whisper that stands at `owner` of a task."""
    noise = torch.Generator().manual_seed(0)
    samples = network.config.length // EXAMPLE * SAMPLES_A_POSITION
    outputs = _names(len(network.text.decoder.blocks))
    length = f"N a multiple of {SAMPLES_A_POSITION}, at most {network.config.length * SAMPLES_A_POSITION}"
    about = {
        "waveforms": f"[B, N]: {SAMPLE_RATE} Hz, from -1 to 1, filled up with zeros; {length}",
        **dict.fromkeys(outputs, "[B, heads, U, width]: for every call of `step`"),
    }
    sound = Graph(
        name="encoder", owner=owner, method="listen", module=Listens(network), outputs=outputs, about=about,
        inputs={"waveforms": 0.1 * torch.randn(BATCH, samples, generator=noise)}, free={"waveforms": (0, 1)},
    )  # fmt: skip
    return [sound, *language_graphs(f"{owner}.text", network.text, ListeningStep(network))]


def use(network: Whisper, tokenizer: WhisperTokenizer) -> dict[str, Any]:
    """See `Exportable.use`."""
    return {
        "sample_rate": SAMPLE_RATE,
        "tokenizer": "tokenizer.json",
        "start": tokenizer.start,
        "languages": tokenizer.languages,
        "transcribe": tokenizer.transcribe,
        "translate": tokenizer.translate,
        "no_timestamps": tokenizer.no_timestamps,
        "end": tokenizer.end,
        "no_speech": tokenizer.no_speech,
        "never": sorted(tokenizer.suppress),
        "never_first": sorted(tokenizer.suppress_first),
        "length": network.config.text_length,
        "looked": [list(pair) for pair in network.config.following],
        "input": "Mono sound from -1 to 1 in windows of 15 to 30 s; the log-mel spectrogram is in `encoder`. Run it "
                 "once for a window, and give what comes out to every step. The prompt is `start`, of a multilingual "
                 "model a language and transcribe or translate, then no_timestamps.",
        "output": "Take the likeliest token that is none of `never` (nor at first of `never_first`) until `end`. "
                  "`looked` names the (layer, head) of each row of the step's output.",
    }  # fmt: skip


def attached(network: Any) -> None:
    """Have a Whisper hear and look by its graphs."""
    network.listen = partial(_listen, network, network.listen)
    network.text.looks = partial(_looks, network.text.hidden)


def heard(cache: WindowCache, rows: int) -> tuple[Tensor, ...]:
    """What a step is given of what was heard: L keys and then L values [B, H, U, D].

    Beams share one window's memory, which a runtime takes no account of: they are then laid out once for all steps.
    """
    for layer in cache.cross:
        layer.keys, layer.values = (part.expand(rows, -1, -1, -1).contiguous() for part in layer.read())
    return *(layer.read()[0] for layer in cache.cross), *(layer.read()[1] for layer in cache.cross)


def _listen(network: Whisper, run: Any, waveforms: Tensor, samples: int) -> WindowCache:
    """As `Whisper.listen`, a window at a time: the attention of many would take a gigabyte."""
    found: list[list[Tensor]] = [list(run(window)) for window in network.windows(waveforms, samples).split(1)]
    parts = [torch.cat(same) if len(same) > 1 else same[0] for same in map(list, zip(*found, strict=True))]
    cache = WindowCache(len(parts) // 2, network.text.length)
    for layer, keys, values in zip(cache.cross, *_halves(parts), strict=True):
        layer.keys, layer.values = keys, values
        layer.capacity = layer.length = keys.shape[2]
    cache.windows = list(range(len(waveforms)))
    return cache


def _looks(hidden: Stepping, tokens: Tensor, cache: WindowCache, heads: Sequence[tuple[int, int]]) -> Tensor:
    """As `ListeningModel.looks`; `heads` are those of the graph."""
    hidden(tokens, cache=cache)
    return hidden.besides[0][0]


def _names(layers: int) -> tuple[str, ...]:
    return tuple(f"cross_{kind}_{layer}" for kind in ("keys", "values") for layer in range(layers))


def _halves(parts: Sequence[Tensor]) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    return parts[: len(parts) // 2], parts[len(parts) // 2 :]


def _crossing(network: Whisper) -> list[MultiHeadAttention]:
    return [_cross(block) for block in network.text.decoder.blocks]


def _cross(block: nn.Module) -> MultiHeadAttention:
    found = block.get_submodule("cross_attention")
    assert isinstance(found, MultiHeadAttention)
    return found


@contextmanager
def _written_out(attentions: Sequence[Any]) -> Iterator[None]:
    """These cross-attentions as plain products, which note their weights: an exporter would scale all keys anew in each
    step, where scaling one query does."""
    for attention in attentions:
        attention.forward = partial(_ask, attention)
    try:
        yield
    finally:
        for attention in attentions:
            del attention.forward


def _ask(attention: MultiHeadAttention, x: Tensor, context: None = None, *, mask: None = None, cache: Heard) -> Tensor:
    keys, values = cache.keys, cache.values
    assert keys is not None
    assert values is not None
    query = attention.query(x).unflatten(-1, (attention.heads, attention.head_dim)).transpose(1, 2)
    cache.weights = weights = (query * attention.head_dim**-0.5 @ keys.transpose(-2, -1)).softmax(dim=-1)
    return attention.out((weights @ values).transpose(1, 2).flatten(2))
