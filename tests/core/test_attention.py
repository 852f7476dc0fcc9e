"""The fused attention equals the written-out one, and the module equals torch's own."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.testing import assert_close
from tsuite.core.attention import MultiHeadAttention, ScoreCarry, attend, attend_reference
from tsuite.core.cache import LayerCache
from tsuite.core.encoder import Encoder
from tsuite.core.layers import RMSNorm
from tsuite.core.masks import causal_mask, key_mask, padding_mask, sliding_window_mask
from tsuite.core.positions import Rotary

from .families import scramble

BATCH = 2
SHAPES = {  # query heads, key heads, queries, keys
    "self": (4, 4, 5, 5),
    "cross": (4, 4, 3, 6),
    "more queries than keys": (2, 2, 6, 3),
    "grouped": (4, 2, 5, 5),
    "grouped cross": (6, 3, 3, 5),
    "multi-query": (4, 1, 5, 5),
    "step": (4, 4, 1, 6),
    "grouped step": (4, 2, 1, 6),
    "multi-query step": (4, 1, 1, 6),
}
MASKS = ("none", "causal", "flag", "padding", "window", "arbitrary", "empty rows", "bias", "bias and padding", "all")


def tensors(
    heads: int, groups: int, queries: int, keys: int, *, seed: int = 0, width: int = 4
) -> tuple[Tensor, Tensor, Tensor]:
    """Random query, key and value; the values are wider, to tell the widths apart."""
    generator = torch.Generator().manual_seed(seed)
    shapes = ((BATCH, heads, queries, width), (BATCH, groups, keys, width), (BATCH, groups, keys, width + 2))
    query, key, value = (torch.randn(shape, generator=generator).requires_grad_() for shape in shapes)
    return query, key, value


def view_of(kind: str, heads: int, queries: int, keys: int) -> dict[str, Tensor | bool]:
    """The arguments of `attend` that stand for this kind of mask."""
    generator = torch.Generator().manual_seed(7)
    padding = key_mask(padding_mask([keys - 1, keys], keys))
    some = torch.rand(BATCH, heads, queries, keys, generator=generator) < 0.6
    bias = torch.randn(1, heads, queries, keys, generator=generator)
    empty = some.clone()
    empty[0, :, 0] = empty[1, 0] = False
    options: dict[str, dict[str, Tensor | bool]] = {
        "none": {},
        "causal": {"mask": causal_mask(queries, keys)},
        "flag": {"causal": True},
        "padding": {"mask": padding},
        "window": {"mask": sliding_window_mask(queries, keys, window=2)},
        "arbitrary": {"mask": some},
        "empty rows": {"mask": empty},
        "bias": {"bias": bias},
        "bias and padding": {"bias": bias, "mask": padding},
        "all": {"bias": bias, "mask": empty, "causal": True},
    }
    return options[kind]


def assert_equal_with_gradients(inputs: tuple[Tensor, Tensor, Tensor], **view: Tensor | bool | float | None) -> None:
    fused = attend(*inputs, **view)  # pyright: ignore[reportArgumentType]
    written, weights = attend_reference(*inputs, **view)  # pyright: ignore[reportArgumentType]
    assert_close(fused, written, rtol=1e-5, atol=1e-5)
    direction = torch.randn(fused.shape, generator=torch.Generator().manual_seed(1))
    gradients = torch.autograd.grad(fused, inputs, direction)
    for mine, other in zip(gradients, torch.autograd.grad(written, inputs, direction), strict=True):
        assert mine.isfinite().all()
        assert_close(mine, other, rtol=1e-5, atol=1e-5)
    sums = weights.sum(-1)
    assert_close(sums, (sums > 0.5).float())  # each row shares out one, or nothing


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("shape", SHAPES)
def test_fused_equals_written_out(shape: str, kind: str) -> None:
    heads, _, queries, keys = SHAPES[shape]
    assert_equal_with_gradients(tensors(*SHAPES[shape]), **view_of(kind, heads, queries, keys))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    groups=st.integers(1, 3),
    share=st.integers(1, 3),
    queries=st.integers(1, 5),
    keys=st.integers(1, 6),
    causal=st.booleans(),
    masked=st.booleans(),
    biased=st.booleans(),
    scale=st.sampled_from([None, 0.3, 1.0]),
    seed=st.integers(0, 9),
)
def test_fused_equals_written_out_anywhere(
    *,
    groups: int,
    share: int,
    queries: int,
    keys: int,
    causal: bool,
    masked: bool,
    biased: bool,
    scale: float | None,
    seed: int,
) -> None:
    heads = groups * share
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(BATCH, 1, queries, keys, generator=generator) < 0.5 if masked else None
    bias = torch.randn(heads, queries, keys, generator=generator) if biased else None
    inputs = tensors(heads, groups, queries, keys, seed=seed)
    assert_equal_with_gradients(inputs, mask=mask, bias=bias, causal=causal, scale=scale)


@pytest.mark.parametrize("shape", ["self", "grouped", "grouped step"])
@pytest.mark.parametrize("biased", [False, True])
def test_a_query_that_sees_nothing_gets_zeros(shape: str, biased: bool) -> None:
    heads, _, queries, keys = SHAPES[shape]
    query, key, value = tensors(*SHAPES[shape])
    mask = torch.ones(BATCH, 1, queries, keys, dtype=torch.bool)
    mask[0, :, 0] = False
    out = attend(query, key, value, mask=mask, bias=torch.randn(1, heads, queries, keys) if biased else None)
    assert torch.equal(out[0, :, 0], torch.zeros_like(out[0, :, 0]))
    assert (out[1] != 0).all()
    for gradient in torch.autograd.grad(out.sum(), (query, key, value)):
        assert gradient.isfinite().all()


def test_a_mask_forbids() -> None:
    """What a query may not attend has no influence on it, whatever it holds."""
    query, key, value = (tensor.detach() for tensor in tensors(*SHAPES["self"]))
    other_key, other_value = key.clone(), value.clone()
    other_key[:, :, 3:], other_value[:, :, 3:] = 99.0, -99.0
    out = attend(query, key, value, causal=True)
    other = attend(query, other_key, other_value, causal=True)
    assert torch.equal(out[:, :, :3], other[:, :, :3])
    assert not torch.equal(out[:, :, 3:], other[:, :, 3:])


def test_grouping_equals_repeated_heads() -> None:
    query, key, value = tensors(*SHAPES["grouped"])
    repeated = attend(query, key.repeat_interleave(2, dim=1), value.repeat_interleave(2, dim=1))
    assert_close(attend(query, key, value), repeated)


def test_heads_that_do_not_share_evenly() -> None:
    with pytest.raises(ValueError, match="4 query heads cannot share 3"):
        attend(*tensors(4, 3, 2, 2))
    with pytest.raises(ValueError, match="4 query heads cannot share 3"):
        MultiHeadAttention(dim=8, heads=4, kv_heads=3)
    with pytest.raises(ValueError, match="width 10 does not divide into 4 heads"):
        MultiHeadAttention(dim=10, heads=4)


def torch_twin(ours: MultiHeadAttention) -> nn.MultiheadAttention:
    """torch's module with the same weights."""
    theirs = nn.MultiheadAttention(
        ours.dim, ours.heads, kdim=ours.context_dim, vdim=ours.context_dim, batch_first=True
    ).eval()
    state = {"out_proj.weight": ours.out.weight, "out_proj.bias": ours.out.bias}
    if ours.context_dim is None:
        state |= {"in_proj_weight": ours.qkv.weight, "in_proj_bias": ours.qkv.bias}
    else:
        key, value = ours.key_value.weight.chunk(2)
        bias = torch.cat([ours.query.bias, ours.key_value.bias])
        separate = {"q_proj_weight": ours.query.weight, "k_proj_weight": key, "v_proj_weight": value}
        state |= separate | {"in_proj_bias": bias}
    theirs.load_state_dict(state)
    return theirs


def test_self_attention_equals_torch() -> None:
    ours = MultiHeadAttention(dim=24, heads=4)
    scramble(ours)
    x, real = torch.randn(2, 6, 24), padding_mask([4, 6])
    # torch's boolean masks say what may NOT be attended
    expected, weights = torch_twin(ours)(
        x, x, x, key_padding_mask=~real, attn_mask=~causal_mask(6, 6), average_attn_weights=False
    )
    assert_close(ours(x, mask=key_mask(real), causal=True), expected, rtol=1e-5, atol=1e-5)
    assert_close(ours.weights(x, mask=key_mask(real), causal=True), weights, rtol=1e-5, atol=1e-5)


def test_cross_attention_equals_torch() -> None:
    ours = MultiHeadAttention(dim=24, heads=4, context_dim=10)
    scramble(ours)
    x, context, real = torch.randn(2, 5, 24), torch.randn(2, 7, 10), padding_mask([4, 7])
    expected, weights = torch_twin(ours)(x, context, context, key_padding_mask=~real, average_attn_weights=False)
    assert_close(ours(x, context, mask=key_mask(real)), expected, rtol=1e-5, atol=1e-5)
    assert_close(ours.weights(x, context, mask=key_mask(real)), weights, rtol=1e-5, atol=1e-5)


def test_cross_attention_and_context_belong_together() -> None:
    x = torch.randn(1, 2, 8)
    with pytest.raises(ValueError, match="needs a context"):
        MultiHeadAttention(dim=8, heads=2, context_dim=8)(x)
    with pytest.raises(ValueError, match="takes none"):
        MultiHeadAttention(dim=8, heads=2)(x, x)


@pytest.mark.parametrize("causal", [False, True])
def test_grouped_attention_equals_full_with_copied_projections(causal: bool) -> None:
    grouped = MultiHeadAttention(dim=16, heads=4, kv_heads=2)
    full = MultiHeadAttention(dim=16, heads=4)
    scramble(grouped)
    full.out = grouped.out
    for kind in ("weight", "bias"):
        query, key, value = getattr(grouped.qkv, kind).data.split([16, 8, 8])
        pairs = [rows.unflatten(0, (2, 4)).repeat_interleave(2, dim=0).flatten(0, 1) for rows in (key, value)]
        getattr(full.qkv, kind).data = torch.cat([query, *pairs])
    x = torch.randn(2, 5, 16)
    assert_close(grouped(x, causal=causal), full(x, causal=causal), rtol=1e-5, atol=1e-5)


def test_keep_asks_for_the_first_positions_only() -> None:
    rotary = Rotary(head_dim=4)
    ours = MultiHeadAttention(dim=16, heads=4, kv_heads=2, rotary=rotary, qk_norm=RMSNorm)
    scramble(ours)
    x, positions = torch.randn(2, 6, 16), torch.arange(12).view(2, 6)
    mask = key_mask(padding_mask([4, 6]))
    kept = ours(x, mask=mask, positions=positions, keep=2)
    assert_close(kept, ours(x, mask=mask, positions=positions)[:, :2], rtol=1e-5, atol=1e-5)


def test_keep_and_causal_contradict_each_other() -> None:
    with pytest.raises(ValueError, match="the last positions"):
        MultiHeadAttention(dim=8, heads=2)(torch.randn(1, 4, 8), causal=True, keep=2)


def test_head_width_scale_and_biases_are_used() -> None:
    ours = MultiHeadAttention(dim=16, heads=4, head_dim=6, scale=0.5, bias=False, out_bias=True)
    assert ours.qkv.weight.shape == (72, 16)
    assert ours.qkv.bias is None
    assert ours.out.weight.shape == (16, 24)
    assert ours.out.bias is not None
    scramble(ours)
    x = torch.randn(2, 5, 16)
    mixed, _ = attend_reference(*ours.project(x), scale=0.5)
    assert_close(ours(x), ours.out(mixed.transpose(1, 2).flatten(2)), rtol=1e-5, atol=1e-5)
    assert MultiHeadAttention(dim=16, heads=4, bias=False).out.bias is None


def test_qk_norm_norms_each_head_before_the_rotation() -> None:
    ours = MultiHeadAttention(
        dim=16, heads=2, rotary=Rotary(head_dim=8), qk_norm=partial(nn.LayerNorm, elementwise_affine=False)
    )
    query, key, value = ours.project(torch.randn(2, 5, 16) * 9)
    for turned in (query, key):  # a rotation keeps the length, so it shows the norm's
        assert_close(turned.square().mean(-1), torch.ones(2, 2, 5), rtol=1e-3, atol=1e-3)
    assert (value.square().mean(-1) - 1).abs().max() > 0.1


def test_context_is_projected_once() -> None:
    ours = MultiHeadAttention(dim=8, heads=2, context_dim=8, qk_norm=RMSNorm)
    scramble(ours)
    x, context, cache = torch.randn(2, 3, 8), torch.randn(2, 4, 8), LayerCache(4)
    first = ours(x, context, cache=cache)
    assert_close(first, ours(x, context))
    assert_close(ours(x, torch.full_like(context, torch.nan), cache=cache), first)


def test_steps_take_up_the_positions_where_the_cache_ends() -> None:
    ours = MultiHeadAttention(dim=8, heads=2, rotary=Rotary(head_dim=4))
    scramble(ours)
    x, cache = torch.randn(2, 5, 8), LayerCache(5)
    steps = [ours(piece, causal=True, cache=cache) for piece in x.split([2, 1, 2], dim=1)]
    assert_close(torch.cat(steps, dim=1), ours(x, causal=True), rtol=1e-5, atol=1e-5)


def test_dropout_only_while_training() -> None:
    ours = MultiHeadAttention(dim=8, heads=2, dropout=0.5)
    x = torch.randn(2, 3, 8)
    assert not torch.equal(ours(x), ours(x))
    ours.eval()
    assert torch.equal(ours(x), ours(x))


def test_scores_are_handed_from_layer_to_layer() -> None:
    """RealFormer: the first layer attends as ever, the second by its own scores and those of the first."""
    torch.manual_seed(0)
    encoder = Encoder(dim=16, depth=2, heads=2, residual_attention=True)
    plain = Encoder(dim=16, depth=2, heads=2)
    plain.load_state_dict(encoder.state_dict())
    x, mask = torch.randn(3, 5, 16), key_mask(torch.arange(5) < torch.tensor([[5], [3], [4]]))
    carry, scores = ScoreCarry(), []
    block: Any
    for block in encoder.blocks:
        normed = block.attention_norm(x)
        query, key, value = block.attention.project(normed)
        own = query @ key.transpose(-2, -1) * block.attention.head_dim**-0.5
        scores.append(own if not scores else scores[-1] + own)
        want = (scores[-1].masked_fill(~mask, float("-inf")).softmax(-1) @ value).transpose(1, 2).flatten(2)
        got = block.attention(normed, mask=mask, carry=carry)
        assert_close(got, block.attention.out(want))
        x = x + got
        x = x + block.mlp(block.mlp_norm(x))
    one: Any = plain.blocks[0]
    other: Any = encoder.blocks[0]
    normed = one.attention_norm(x)
    assert_close(one.attention(normed, mask=mask), other.attention(normed, mask=mask, carry=ScoreCarry()))
    assert not torch.allclose(encoder(x, mask=mask), plain(x, mask=mask))
    assert_close(encoder(x, mask=mask, keep=2), encoder(x, mask=mask)[:, :2])


@pytest.mark.parametrize("masked", [False, True])
def test_a_step_of_many_rows_equals_torch(masked: bool) -> None:
    query, key, value = torch.randn(20, 4, 1, 8), torch.randn(20, 4, 33, 8), torch.randn(20, 4, 33, 8)
    mask = key_mask(padding_mask(torch.arange(13, 33), 33, left=True)) if masked else None
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    assert_close(attend(query, key, value, mask=mask, causal=True), expected)
