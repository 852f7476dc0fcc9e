"""The three residual layouts, and that nothing in them is left untrained."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from tsuite.core.blocks import Block, LayerOptions, ParallelBlock, PostNormBlock, PreNormBlock, View, build_blocks
from tsuite.core.decoder import Decoder
from tsuite.core.encoder import Encoder
from tsuite.core.layers import MLP, DropPath, GatedMLP, RMSNorm
from tsuite.core.positions import Alibi, RelativeBias, Rotary

from .families import scramble

BLOCKS = {"pre": PreNormBlock, "post": PostNormBlock, "parallel": ParallelBlock}


def one(block: type[Block], *, context_dim: int | None = None, **options: Any) -> Any:
    """A single scrambled layer of width 8."""
    layer = build_blocks(dim=8, depth=1, heads=2, context_dim=context_dim, block=block, **options)[0]
    return scramble(layer, std=0.5).eval()


def test_layouts_are_the_drawn_ones() -> None:
    x, view = torch.randn(2, 5, 8), View()
    block = one(PreNormBlock)
    after = x + block.attention(block.attention_norm(x))
    assert_close(block(x, view), after + block.mlp(block.mlp_norm(after)))

    block = one(PostNormBlock)
    after = block.attention_norm(x + block.attention(x))
    assert_close(block(x, view), block.mlp_norm(after + block.mlp(after)))

    block = one(ParallelBlock)
    normed = block.attention_norm(x)
    assert_close(block(x, view), x + block.attention(normed) + block.mlp(normed))


def test_cross_attention_stands_between() -> None:
    x, context = torch.randn(2, 5, 8), torch.randn(2, 3, 6)
    view = View(context=context)
    block = one(PreNormBlock, context_dim=6)
    after = x + block.attention(block.attention_norm(x))
    after = after + block.cross_attention(block.cross_norm(after), context)
    assert_close(block(x, view), after + block.mlp(block.mlp_norm(after)))

    block = one(PostNormBlock, context_dim=6)
    after = block.attention_norm(x + block.attention(x))
    after = block.cross_norm(after + block.cross_attention(after, context))
    assert_close(block(x, view), block.mlp_norm(after + block.mlp(after)))


def test_parallel_has_no_place_for_a_context() -> None:
    with pytest.raises(ValueError, match="no place for cross-attention"):
        one(ParallelBlock, context_dim=6)(torch.randn(1, 2, 8), View(context=torch.randn(1, 2, 6)))


@pytest.mark.parametrize("name", BLOCKS)
def test_keep_gives_the_first_rows(name: str) -> None:
    block, x = one(BLOCKS[name]), torch.randn(2, 5, 8)
    assert_close(block(x, View(keep=2)), block(x, View())[:, :2])


def untrained(network: nn.Module, loss: Tensor) -> list[str]:
    """Names of parameters that the loss does not reach."""
    loss.backward()
    return [name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()]


OPTIONS: dict[str, LayerOptions] = {
    "plain": {},
    "scaled": {"layer_scale": 0.1, "drop_path": 0.1, "dropout": 0.1},
    "modern": {
        "norm": RMSNorm,
        "mlp": partial(GatedMLP, hidden=12),
        "bias": False,
        "kv_heads": 1,
        "qk_norm": RMSNorm,
        "rotary": Rotary(head_dim=4),
    },
}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", BLOCKS)
def test_every_parameter_of_an_encoder_learns(name: str, options: str) -> None:
    torch.manual_seed(0)
    network = Encoder(
        dim=8, depth=2, heads=2, position_bias=RelativeBias(heads=2), **{**OPTIONS[options], "block": BLOCKS[name]}
    )
    assert untrained(network, network(torch.randn(16, 5, 8)).square().sum(-1).sqrt().sum()) == []


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", ["pre", "post"])
def test_every_parameter_of_a_decoder_learns(name: str, options: str) -> None:
    torch.manual_seed(0)
    network = Decoder(
        dim=8,
        depth=2,
        heads=2,
        context_dim=6,
        position_bias=RelativeBias(heads=2, bidirectional=False),
        **{**OPTIONS[options], "block": BLOCKS[name]},
    )
    out = network(torch.randn(16, 5, 8), context=torch.randn(16, 3, 6))
    assert untrained(network, (out * torch.randn(8)).sum()) == []


def test_options_reach_every_layer() -> None:
    rotary = Rotary(head_dim=6)
    blocks: Any = build_blocks(
        dim=8,
        depth=3,
        heads=4,
        kv_heads=2,
        head_dim=6,
        context_dim=5,
        norm=partial(nn.LayerNorm, eps=1e-3),
        mlp=partial(MLP, hidden=10),
        bias=False,
        out_bias=True,
        rotary=rotary,
        qk_norm=RMSNorm,
        scale=0.25,
        dropout=0.5,
        layer_scale=1e-4,
    )
    for block in blocks:
        for attention in (block.attention, block.cross_attention):
            assert (attention.heads, attention.kv_heads, attention.head_dim) == (4, 2, 6)
            assert (attention.scale, attention.dropout) == (0.25, 0.5)
            assert attention.out.bias is not None
            assert isinstance(attention.key_norm, RMSNorm)
        assert block.attention.qkv.bias is None
        assert block.attention.rotary is rotary
        assert block.cross_attention.rotary is None
        assert block.cross_attention.context_dim == 5
        assert block.mlp.up.out_features == 10
        assert {block.attention_norm.eps, block.cross_norm.eps, block.mlp_norm.eps} == {1e-3}
        for branch in (block.attention_branch, block.cross_branch, block.mlp_branch):
            assert torch.equal(branch.scale.gamma, torch.full((8,), 1e-4))
        assert block.mlp_branch.dropout == 0.5


def test_drop_path_grows_linearly_from_nothing() -> None:
    blocks: Any = build_blocks(dim=8, depth=3, heads=2, drop_path=0.4)
    assert blocks[0].mlp_branch.drop_path is None
    assert blocks[1].mlp_branch.drop_path.share == pytest.approx(0.2)
    assert blocks[2].attention_branch.drop_path.share == pytest.approx(0.4)
    assert sum(isinstance(module, DropPath) for module in blocks.modules()) == 4


def test_weights_are_those_of_the_layers_attention() -> None:
    bias, x = Alibi(heads=2)(4, 4), torch.randn(1, 4, 8)
    for name, block in BLOCKS.items():
        layer = one(block)
        seen = x if name == "post" else layer.attention_norm(x)
        weights = layer.weights(x, View(causal=True, bias=bias))
        assert_close(weights, layer.attention.weights(seen, causal=True, bias=bias))
        assert_close(weights.sum(-1), torch.ones(1, 2, 4))
        assert not weights.triu(1).any()
