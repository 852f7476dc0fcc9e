"""Positions against their papers' formulas and the libraries that trained with them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from timm.layers.pos_embed import resample_abs_pos_embed
from torch.testing import assert_close
from transformers import Dinov2Config, LlamaConfig, T5Config, ViTConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.bloom.modeling_bloom import build_alibi_tensor
from transformers.models.dinov2.modeling_dinov2 import Dinov2Embeddings
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb
from transformers.models.t5.modeling_t5 import T5Attention
from transformers.models.vit.modeling_vit import ViTEmbeddings
from transformers.models.whisper.modeling_whisper import sinusoids
from tsuite.core.positions import (
    Alibi,
    Interpolation,
    LearnedPositions,
    RelativeBias,
    Rotary,
    RotaryScaling,
    interpolate_grid,
    sinusoidal,
)


def test_sinusoidal_is_the_papers_formula() -> None:
    table = sinusoidal(7, 6)
    for position in range(7):
        for pair in range(3):
            angle = position / 10000 ** (2 * pair / 6)
            assert table[position, 2 * pair].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[position, 2 * pair + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_sinusoidal_is_whispers() -> None:
    assert_close(sinusoidal(50, 16, interleaved=False, last=True), sinusoids(50, 16), rtol=1e-5, atol=1e-5)


def test_sinusoidal_halves_hold_the_same_numbers() -> None:
    table, halves = sinusoidal(9, 8), sinusoidal(9, 8, interleaved=False)
    assert torch.equal(torch.cat([table[:, 0::2], table[:, 1::2]], dim=1), halves)
    assert not torch.equal(sinusoidal(9, 8, max_period=100), table)


def test_sinusoidal_needs_pairs() -> None:
    with pytest.raises(ValueError, match="not 5"):
        sinusoidal(3, 5)


def test_learned_positions() -> None:
    positions = LearnedPositions(length=6, dim=4)
    zeros = torch.zeros(2, 3, 4)
    assert torch.equal(positions(zeros)[1], positions.weight[:3])
    assert torch.equal(positions(zeros, start=3)[0], positions.weight[3:])
    own = torch.tensor([[0, 0, 1], [5, 4, 3]])
    assert torch.equal(positions(zeros, own), positions.weight[own])
    with pytest.raises(ValueError, match="7 positions are asked for, the model knows 6"):
        positions(zeros, start=4)


def test_learned_positions_skip_rows() -> None:
    positions = LearnedPositions(length=4, dim=3, offset=2)
    assert positions.weight.shape == (6, 3)
    zeros = torch.zeros(1, 4, 3)
    assert torch.equal(positions(zeros)[0], positions.weight[2:])
    assert torch.equal(positions(zeros, torch.arange(4))[0], positions.weight[2:])


def llama_config(**rope: Any) -> LlamaConfig:
    rope_parameters: Any = {"rope_type": "default", "rope_theta": 10000.0, **rope}
    return LlamaConfig(
        hidden_size=64, num_attention_heads=4, max_position_embeddings=512, rope_parameters=rope_parameters
    )


def test_rotary_equals_llamas() -> None:
    query, key = torch.randn(2, 4, 5, 16), torch.randn(2, 2, 5, 16)
    positions = torch.tensor([[0, 1, 2, 3, 4], [3, 9, 27, 81, 243]])
    cos, sin = LlamaRotaryEmbedding(llama_config())(query, positions)
    expected = apply_rotary_pos_emb(query, key, cos, sin)
    rotary = Rotary(head_dim=16)
    assert_close((rotary(query, positions), rotary(key, positions)), expected)
    assert_close(rotary(query, positions[1])[1], expected[0][1])  # one row of positions serves the batch


def test_scaled_rates_equal_transformers() -> None:
    linear, _ = ROPE_INIT_FUNCTIONS["linear"](llama_config(rope_type="linear", factor=4.0))
    assert_close(Rotary(head_dim=16, scaling=RotaryScaling(kind="linear", factor=4)).rates, linear)

    stretched = llama_config(
        rope_type="llama3",
        rope_theta=500000.0,
        factor=8.0,
        low_freq_factor=1.0,
        high_freq_factor=4.0,
        original_max_position_embeddings=256,
    )
    scaling = RotaryScaling(kind="llama3", factor=8, original_length=256)
    rates = Rotary(head_dim=16, base=500000, scaling=scaling).rates
    assert_close(rates, ROPE_INIT_FUNCTIONS["llama3"](stretched)[0])
    shares = rates / Rotary(head_dim=16, base=500000).rates
    assert shares[0] == 1  # short waves stay
    assert shares[-1] == 1 / 8  # long ones are stretched
    assert ((shares > 1 / 8) & (shares < 1)).any()  # and some lie between

    # Their base grows with the length; at 4 times the trained one it is our factor 4.
    dynamic, _ = ROPE_INIT_FUNCTIONS["dynamic"](llama_config(rope_type="dynamic", factor=1.0), seq_len=4 * 512)
    assert_close(Rotary(head_dim=16, scaling=RotaryScaling(kind="ntk", factor=4)).rates, dynamic)


def test_ntk_keeps_the_shortest_wave_and_stretches_the_longest() -> None:
    plain, scaled = Rotary(head_dim=16), Rotary(head_dim=16, scaling=RotaryScaling(kind="ntk", factor=4))
    assert scaled.rates[0] == plain.rates[0]
    assert_close(scaled.rates[-1], plain.rates[-1] / 4)


def test_interleaved_rotary_is_a_turn_in_the_complex_plane() -> None:
    x, positions = torch.randn(2, 3, 5, 8), torch.tensor([0, 1, 2, 7, 40])
    angles = torch.outer(positions.float(), 10000.0 ** (-torch.arange(4) / 4))
    turned = torch.view_as_complex(x.unflatten(-1, (4, 2))) * torch.polar(torch.ones_like(angles), angles)
    assert_close(Rotary(head_dim=8, interleaved=True)(x, positions), torch.view_as_real(turned).flatten(-2))


def test_interleaved_and_halved_are_one_turn_in_two_orders() -> None:
    x, positions = torch.randn(1, 2, 4, 8), torch.arange(4)
    halved = torch.cat([x[..., 0::2], x[..., 1::2]], dim=-1)
    expected = Rotary(head_dim=8)(halved, positions)
    answer = Rotary(head_dim=8, interleaved=True)(x, positions)
    assert_close(torch.cat([answer[..., 0::2], answer[..., 1::2]], dim=-1), expected)


@pytest.mark.parametrize("interleaved", [False, True])
def test_partial_rotary_turns_the_first_channels(interleaved: bool) -> None:
    x, positions = torch.randn(2, 2, 4, 12), torch.arange(4)
    answer = Rotary(head_dim=12, share=0.5, interleaved=interleaved)(x, positions)
    assert_close(answer[..., :6], Rotary(head_dim=6, interleaved=interleaved)(x[..., :6], positions))
    assert torch.equal(answer[..., 6:], x[..., 6:])


def test_rotary_scores_depend_on_the_distance() -> None:
    rotary, query, key = Rotary(head_dim=8), torch.randn(1, 1, 4, 8), torch.randn(1, 1, 4, 8)

    def scores(start: int) -> torch.Tensor:
        positions = torch.arange(start, start + 4)
        return rotary(query, positions) @ rotary(key, positions).mT

    assert_close(scores(0), scores(100), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.5])
def test_rotary_refuses_a_width_that_cannot_turn(share: float) -> None:
    with pytest.raises(ValueError, match="must turn"):
        Rotary(head_dim=10, share=share)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_relative_bias_equals_t5s(bidirectional: bool) -> None:
    config = T5Config(
        d_model=8,
        num_heads=3,
        d_kv=4,
        relative_attention_num_buckets=10,
        relative_attention_max_distance=20,
        is_decoder=not bidirectional,
    )
    theirs = T5Attention(config, has_relative_attention_bias=True, layer_idx=0)
    ours = RelativeBias(heads=3, buckets=10, max_distance=20, bidirectional=bidirectional)
    ours.weight.data = torch.randn(10, 3)
    theirs.relative_attention_bias.weight.data = ours.weight.data
    assert torch.equal(ours(60, 60), theirs.compute_bias(60, 60))
    assert torch.equal(ours(2, 60), ours(60, 60)[:, :, -2:])


EIGHT = [1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 128, 1 / 256]


def test_alibi_slopes_are_the_papers() -> None:
    assert Alibi(heads=8).slopes.tolist() == EIGHT
    between = [2**-0.5, 2**-1.5, 2**-2.5, 2**-3.5]
    assert Alibi(heads=12).slopes.tolist() == pytest.approx([*EIGHT, *between])
    assert Alibi(heads=1).slopes.tolist() == [2**-8]


@pytest.mark.parametrize("heads", [1, 2, 3, 8, 12])
def test_alibi_equals_blooms_up_to_a_constant_of_each_query(heads: int) -> None:
    """Theirs grows from the first key on and ours falls to both sides: under a causal mask the softmax is the same."""
    theirs = build_alibi_tensor(torch.ones(1, 6, dtype=torch.long), heads, torch.float32).view(1, heads, 1, 6)
    ahead = torch.ones(6, 6, dtype=torch.bool).triu(1)
    ours = Alibi(heads=heads)(6, 6)
    assert_close(*(bias.expand_as(ours).masked_fill(ahead, -math.inf).softmax(-1) for bias in (ours, theirs)))


def test_alibi_by_hand() -> None:
    expected = torch.tensor([[0.0, -1, -2], [-1, 0, -1], [-2, -1, 0]]) / 256
    assert_close(Alibi(heads=1)(3, 3)[0, 0], expected)
    assert_close(Alibi(heads=1)(1, 3)[0, 0], expected[-1:])


SIZES = [(4, 4), (6, 6), (7, 3), (2, 5)]


@pytest.mark.parametrize("size", SIZES)
def test_grid_as_timm(size: tuple[int, int]) -> None:
    table = torch.randn(1, 16, 6)
    resample: Any = resample_abs_pos_embed
    expected = resample(table, list(size), num_prefix_tokens=0)
    assert_close(interpolate_grid(table, size, how="timm"), expected)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("config", "embeddings"), [(ViTConfig, ViTEmbeddings), (Dinov2Config, Dinov2Embeddings)], ids=["vit", "dinov2"]
)
def test_grid_as_transformers(size: tuple[int, int], config: Any, embeddings: Any) -> None:
    theirs = embeddings(config(hidden_size=6, image_size=16, patch_size=4))
    theirs.position_embeddings.data = torch.randn(1, 17, 6)
    table = theirs.position_embeddings[:, 1:]
    x = torch.zeros(1, size[0] * size[1] + 1, 6)
    expected = theirs.interpolate_pos_encoding(x, 4 * size[0], 4 * size[1])[:, 1:]
    assert_close(interpolate_grid(table, size, how="transformers"), expected)


def test_grid_as_dinov2() -> None:
    """A table trained on 518 / 14 = 37 patches, used at 224 / 14 = 16."""
    table = torch.randn(1, 37 * 37, 3)
    grid = table.view(1, 37, 37, 3).permute(0, 3, 1, 2)
    expected = F.interpolate(grid, scale_factor=((16 + 0.1) / 37,) * 2, mode="bicubic")
    answer = interpolate_grid(table, (16, 16), how="dinov2")
    assert_close(answer, expected.permute(0, 2, 3, 1).reshape(1, 256, 3))
    assert (answer - interpolate_grid(table, (16, 16), how="transformers")).abs().max() > 1e-3


@pytest.mark.parametrize("how", ["timm", "transformers", "dinov2"])
def test_grid_of_the_same_size_is_untouched(how: Interpolation) -> None:
    table = torch.randn(1, 9, 2)
    assert interpolate_grid(table, (3, 3), how=how) is table


def test_grid_keeps_the_precision_and_refuses_what_is_no_square() -> None:
    assert interpolate_grid(torch.randn(1, 9, 2).bfloat16(), (2, 2)).dtype == torch.bfloat16
    with pytest.raises(ValueError, match="10 positions are no square grid"):
        interpolate_grid(torch.randn(1, 10, 2), (2, 2))
