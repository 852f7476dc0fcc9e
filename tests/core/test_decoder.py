"""The decoder against torch's, and step by step against all at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from tsuite.core.blocks import ParallelBlock, PostNormBlock, PreNormBlock
from tsuite.core.cache import Cache, LayerCache
from tsuite.core.decoder import Decoder, EncoderDecoder
from tsuite.core.encoder import Encoder
from tsuite.core.layers import MLP, RMSNorm
from tsuite.core.masks import causal_mask, key_mask, padding_mask
from tsuite.core.positions import Alibi, RelativeBias, Rotary
from tsuite.core.weights import KeyTable

from .families import scramble, torch_state, torch_table

DIM, HEADS, STEPS = 16, 4, 9
same = partial(assert_close, rtol=1e-5, atol=1e-5)

DECODERS: dict[str, dict[str, Any]] = {
    "multi-head": {},
    "grouped": {"kv_heads": 2},
    "multi-query": {"kv_heads": 1},
    "rotary": {"rotary": Rotary(head_dim=4), "kv_heads": 2, "qk_norm": RMSNorm},
    "interleaved": {"rotary": Rotary(head_dim=4, interleaved=True)},
    "alibi": {"position_bias": Alibi(heads=HEADS), "kv_heads": 2},
    "relative": {"position_bias": RelativeBias(heads=HEADS, buckets=6, max_distance=8, bidirectional=False)},
    "window": {"window": 3, "kv_heads": 2},
    "window and alibi": {"window": 4, "position_bias": Alibi(heads=HEADS)},
    "post-norm": {"block": PostNormBlock, "final_norm": False},
    "parallel": {"block": ParallelBlock, "rotary": Rotary(head_dim=4, share=0.5)},
}


def decoder(name: str = "grouped", **options: Any) -> Decoder:
    network = Decoder(dim=DIM, depth=2, heads=HEADS, **DECODERS[name], **options).eval()
    scramble(network, std=0.3)
    return network


def in_chunks(network: Decoder, x: Tensor, sizes: Sequence[int], cache: Cache, **view: Any) -> Tensor:
    """Feed x [B, T, C] to the decoder in pieces of these sizes; a `mask` over keys is cut to those so far."""
    mask, positions = view.pop("mask", None), view.pop("positions", None)
    out, start = [], 0
    with torch.no_grad():
        for size in sizes:
            end = start + size
            own = {
                "mask": None if mask is None else mask[..., :end],
                "positions": None if positions is None else positions[..., start:end],
            }
            out.append(network(x[:, start:end], cache=cache, **own, **view))
            start = end
    assert start == x.shape[1]
    return torch.cat(out, dim=1)


CHUNKS = {"steps": [1] * STEPS, "prefill and steps": [5, *[1] * 4], "chunks": [2, 4, 3], "at once": [STEPS]}


@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("name", DECODERS)
def test_cached_equals_uncached(name: str, chunks: str) -> None:
    network, x = decoder(name), torch.randn(2, STEPS, DIM)
    same(in_chunks(network, x, CHUNKS[chunks], network.new_cache(12)), network(x))


@pytest.mark.parametrize("name", ["multi-head", "grouped", "post-norm"])
def test_cached_context_equals_uncached(name: str) -> None:
    network, x, context = decoder(name, context_dim=10), torch.randn(2, STEPS, DIM), torch.randn(2, 6, 10)
    context_mask = key_mask(padding_mask([4, 6]))
    cache = network.new_cache(STEPS, context_capacity=6)
    answer = in_chunks(network, x, [4, 1, 1, 3], cache, context=context, context_mask=context_mask)
    expected = network(x, context=context, context_mask=context_mask)
    same(answer, expected)
    same(expected[:1], network(x[:1], context=context[:1, :4]))


@pytest.mark.parametrize("name", DECODERS)
def test_left_padded_batch_equals_each_alone(name: str) -> None:
    """Rows of 4 and 9 real positions, the short one padded on the left, cached and not."""
    network, x = decoder(name), torch.randn(2, STEPS, DIM)
    mask = key_mask(padding_mask([4, STEPS], left=True))
    positions = torch.stack([(torch.arange(STEPS) - 5).clamp(min=0), torch.arange(STEPS)])
    expected = network(x[:1, 5:])
    batched = network(x, mask=mask, positions=positions)
    same(batched[:1, 5:], expected)
    same(batched[1:], network(x[1:]))
    assert batched.isfinite().all()
    cached = in_chunks(network, x, [6, 1, 2], network.new_cache(STEPS), mask=mask, positions=positions)
    same(cached, batched)


def test_causality() -> None:
    for name in DECODERS:
        network, x = decoder(name), torch.randn(1, STEPS, DIM)
        other = x.clone()
        other[:, 5:] += 1
        answer, changed = network(x), network(other)
        assert torch.equal(answer[:, :5], changed[:, :5])
        assert (answer[:, 5:] != changed[:, 5:]).any(dim=-1).all()


def test_a_window_forgets() -> None:
    """Two layers of window 3 reach 4 positions back, and no further."""
    network, x = decoder("window"), torch.randn(1, STEPS, DIM)
    other = x.clone()
    other[:, 0] += 1
    answer, changed = network(x), network(other)
    assert torch.equal(answer[:, 5:], changed[:, 5:])
    assert not torch.equal(answer[:, 4], changed[:, 4])


@pytest.mark.parametrize("name", ["grouped", "rotary", "alibi"])
def test_truncated_cache_goes_on_from_there(name: str) -> None:
    network, x = decoder(name), torch.randn(2, STEPS, DIM)
    cache = network.new_cache(STEPS)
    in_chunks(network, torch.cat([x[:, :4], torch.randn(2, 3, DIM)], dim=1), [4, 3], cache)
    cache.truncate(4)
    assert cache.length == 4
    same(in_chunks(network, x[:, 4:], [1, 4], cache), network(x)[:, 4:])


def test_truncating_keeps_the_context() -> None:
    network, x, context = decoder(context_dim=DIM), torch.randn(2, 4, DIM), torch.randn(2, 3, DIM)
    cache = network.new_cache(4, context_capacity=3)
    in_chunks(network, x, [4], cache, context=context)
    cache.truncate(0)
    same(in_chunks(network, x, [4], cache, context=torch.zeros_like(context)), network(x, context=context))


@pytest.mark.parametrize("rows", [[1, 0, 1], [2, 2, 2], [0, 1]])
def test_reordered_cache_continues_other_rows(rows: list[int]) -> None:
    network, context = decoder(context_dim=DIM), torch.randn(3, 5, DIM)
    past, step = torch.randn(3, 4, DIM), torch.randn(len(rows), 1, DIM)
    cache = network.new_cache(5, context_capacity=5)
    in_chunks(network, past, [4], cache, context=context)
    cache.reorder(rows)
    expected = network(torch.cat([past[rows], step], dim=1), context=context[rows])[:, -1:]
    same(in_chunks(network, step, [1], cache, context=context[rows]), expected)


def test_a_full_cache_says_so() -> None:
    network = decoder()
    cache = network.new_cache(4)
    in_chunks(network, torch.randn(1, 4, DIM), [4], cache)
    with pytest.raises(ValueError, match="the cache holds 4 positions, 5 are needed"):
        network(torch.randn(1, 1, DIM), cache=cache)
    with pytest.raises(ValueError, match="the cache holds 0 positions, 3 are needed"):
        decoder(context_dim=DIM)(torch.randn(1, 1, DIM), context=torch.randn(1, 3, DIM), cache=network.new_cache(4))


def test_cache_arithmetic() -> None:
    layer = LayerCache(4)
    with pytest.raises(ValueError, match="empty"):
        layer.read()
    key, value = torch.randn(2, 1, 3, 5), torch.randn(2, 1, 3, 6)
    assert [torch.equal(mine, given) for mine, given in zip(layer.append(key, value), (key, value), strict=True)]
    assert layer.length == 3
    for length in (-1, 4):
        with pytest.raises(ValueError, match=f"cannot cut a cache of 3 positions to {length}"):
            layer.truncate(length)
    network = decoder("grouped")
    cache = network.new_cache(7)
    assert (cache.length, cache.bytes) == (0, 0)
    in_chunks(network, torch.randn(2, 3, DIM), [3], cache)
    assert cache.length == 3
    assert cache.bytes == 2 * 2 * 2 * 2 * 7 * 4 * 4  # layers, key and value, batch, heads, capacity, width, float32


def torch_decoder_layer(norm_first: bool) -> nn.TransformerDecoderLayer:
    return nn.TransformerDecoderLayer(
        DIM, HEADS, dim_feedforward=24, activation="gelu", batch_first=True, norm_first=norm_first
    )


@pytest.mark.parametrize("norm_first", [False, True])
def test_decoder_equals_torch(norm_first: bool) -> None:
    ours = Decoder(
        dim=DIM,
        depth=3,
        heads=HEADS,
        context_dim=DIM,
        block=PreNormBlock if norm_first else PostNormBlock,
        mlp=partial(MLP, hidden=24),
    ).eval()
    scramble(ours)
    theirs = nn.TransformerDecoder(torch_decoder_layer(norm_first), 3, norm=nn.LayerNorm(DIM)).eval()
    theirs.load_state_dict(torch_state(ours, torch_table(cross=True)))
    x, context = torch.randn(2, 5, DIM), torch.randn(2, 7, DIM)
    real, context_real = padding_mask([3, 5]), padding_mask([7, 4])
    expected = theirs(
        x,
        context,
        tgt_mask=~causal_mask(5, 5),
        tgt_key_padding_mask=~real,
        memory_key_padding_mask=~context_real,
    )
    same(ours(x, context=context, mask=key_mask(real), context_mask=key_mask(context_real)), expected)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")  # nn.Transformer does not let us say otherwise
@pytest.mark.parametrize("norm_first", [False, True])
def test_encoder_decoder_equals_torch(norm_first: bool) -> None:
    options: Any = {"block": PreNormBlock if norm_first else PostNormBlock, "mlp": partial(MLP, hidden=24)}
    ours = EncoderDecoder(
        Encoder(dim=DIM, depth=2, heads=HEADS, **options),
        Decoder(dim=DIM, depth=3, heads=HEADS, context_dim=DIM, **options),
    ).eval()
    scramble(ours)
    theirs = nn.Transformer(
        DIM, HEADS, 2, 3, dim_feedforward=24, activation="gelu", batch_first=True, norm_first=norm_first
    ).eval()
    tables = (
        torch_table(ours="encoder.", theirs="encoder."),
        torch_table(ours="decoder.", theirs="decoder.", cross=True),
    )
    both = KeyTable(*(row for table in tables for row in table.rows))
    theirs.load_state_dict(torch_state(ours, both))
    source, target, real = torch.randn(2, 7, DIM), torch.randn(2, 5, DIM), padding_mask([7, 4])
    expected = theirs(
        source,
        target,
        src_key_padding_mask=~real,
        memory_key_padding_mask=~real,
        tgt_mask=~causal_mask(5, 5),
    )
    answer = ours(source, target, source_mask=key_mask(real))
    same(answer, expected)

    cache = ours.decoder.new_cache(5, context_capacity=7)
    context = ours.encoder(source, mask=key_mask(real))
    steps = in_chunks(ours.decoder, target, [2, 1, 2], cache, context=context, context_mask=key_mask(real))
    same(steps, answer)


def test_encoder_and_decoder_must_fit() -> None:
    encoder = Encoder(dim=8, depth=1, heads=2)
    for context_dim in (None, 12):
        with pytest.raises(ValueError, match="context_dim=8"):
            EncoderDecoder(encoder, Decoder(dim=DIM, depth=1, heads=HEADS, context_dim=context_dim))


def test_autocast_trains_a_rotary_decoder() -> None:
    """Queries and keys are bfloat16 there while the stack, for which the rotation was made ready, is float32."""
    network, x = decoder("rotary"), torch.randn(2, STEPS, DIM)
    with torch.autocast("cpu", torch.bfloat16):
        answer = network(x)
    answer.float().sum().backward()
    assert_close(answer.float(), network(x), rtol=0.1, atol=0.2)
    assert all(value.grad is not None for value in network.parameters())
