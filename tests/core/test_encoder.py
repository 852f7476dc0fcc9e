"""The encoder against torch's, and its shortcut for the positions that are needed."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from tsuite.core.attention import MultiHeadAttention
from tsuite.core.blocks import LayerOptions, ParallelBlock, PostNormBlock, PreNormBlock
from tsuite.core.encoder import Encoder
from tsuite.core.layers import MLP, RMSNorm
from tsuite.core.masks import key_mask, padding_mask
from tsuite.core.positions import Alibi, RelativeBias, Rotary

from .families import scramble, torch_state, torch_table

BLOCKS = {"pre": PreNormBlock, "post": PostNormBlock, "parallel": ParallelBlock}


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("norm_first", [False, True])
def test_equals_torch(norm_first: bool, padded: bool) -> None:
    ours = Encoder(
        dim=16, depth=3, heads=4, block=PreNormBlock if norm_first else PostNormBlock, mlp=partial(MLP, hidden=24)
    ).eval()
    scramble(ours)
    layer = nn.TransformerEncoderLayer(
        16, 4, dim_feedforward=24, activation="gelu", batch_first=True, norm_first=norm_first
    )
    theirs = nn.TransformerEncoder(layer, 3, norm=nn.LayerNorm(16), enable_nested_tensor=False).eval()
    theirs.load_state_dict(torch_state(ours, torch_table()))
    x, real = torch.randn(2, 6, 16), padding_mask([4, 6] if padded else [6, 6])
    expected = theirs(x, src_key_padding_mask=~real)[real]
    assert_close(ours(x, mask=key_mask(real))[real], expected, rtol=1e-5, atol=1e-5)


def test_padding_changes_nothing() -> None:
    """A text answers the same alone and in a batch of longer ones."""
    for position_bias in (RelativeBias(heads=4), Alibi(heads=4), None):
        network = Encoder(dim=16, depth=2, heads=4, position_bias=position_bias, rotary=Rotary(head_dim=4))
        scramble(network)
        x = torch.randn(2, 7, 16)
        batched = network(x, mask=key_mask(padding_mask([3, 7])))
        assert_close(batched[:1, :3], network(x[:1, :3]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("name", BLOCKS)
def test_a_place_is_known_by_its_position_alone(name: str, depth: int) -> None:
    """Rows in another order, with their positions, give the same results in that order."""
    network = Encoder(dim=16, depth=depth, heads=4, block=BLOCKS[name], rotary=Rotary(head_dim=4))
    scramble(network)
    x, order = torch.randn(2, 6, 16), torch.tensor([3, 0, 5, 1, 4, 2])
    answer = network(x)
    assert_close(network(x[:, order], positions=order), answer[:, order], rtol=1e-5, atol=1e-5)
    assert_close(network(x[:, order], positions=order.expand(2, 6)), answer[:, order], rtol=1e-5, atol=1e-5)
    assert (network(x[:, order]) - answer[:, order]).abs().max() > 1e-3


def assert_first_rows_equal(network: Encoder, x: Tensor, keep: int, **view: Tensor) -> None:
    """The same first rows with and without the shortcut, and the same gradients of a loss on them."""
    results, gradients = [], []
    direction = torch.randn(x.shape[0], keep, x.shape[2])
    for rows in (network(x, **view)[:, :keep], network(x, keep=keep, **view)):
        results.append(rows)
        gradients.append(torch.autograd.grad(rows, [x, *network.parameters()], direction))
    assert_close(*results, rtol=1e-5, atol=1e-5)
    for full, kept in zip(*gradients, strict=True):
        assert_close(kept, full, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("keep", [1, 3, 6])
@pytest.mark.parametrize("name", BLOCKS)
def test_keep_gives_the_same_rows_and_gradients(name: str, keep: int) -> None:
    options: LayerOptions = {"block": BLOCKS[name], "kv_heads": 2, "rotary": Rotary(head_dim=4), "qk_norm": RMSNorm}
    x = torch.randn(2, 6, 16, requires_grad=True)
    some = torch.rand(2, 4, 6, 6) < 0.6
    masks = ({}, {"mask": key_mask(padding_mask([4, 6]))}, {"mask": some}, {"mask": some[0, 0]})
    for position_bias in (None, RelativeBias(heads=4), Alibi(heads=4)):
        network = Encoder(dim=16, depth=2, heads=4, position_bias=position_bias, **options)
        scramble(network, std=0.3)
        for mask in masks:
            assert_first_rows_equal(network, x, keep, **mask)
        assert_first_rows_equal(network, x, keep, positions=torch.tensor([[0, 1, 2, 3, 4, 5], [9, 8, 7, 6, 5, 4]]))


@pytest.mark.parametrize("name", BLOCKS)
def test_attention_maps_are_those_of_the_forward_pass(name: str) -> None:
    network = Encoder(dim=16, depth=2, heads=4, block=BLOCKS[name], position_bias=Alibi(heads=4))
    scramble(network)
    x, mask = torch.randn(2, 5, 16), key_mask(padding_mask([3, 5]))
    maps = network.attention_maps(x, mask=mask)
    assert [weights.shape for weights in maps] == [(2, 4, 5, 5)] * 2
    for weights in maps:
        assert_close(weights.sum(-1), torch.ones(2, 4, 5))
        assert not weights[0, :, :, 3:].any()
    # The second map is what the second layer makes of the first layer's result.
    view, second = network.view(x, mask=mask, positions=None), network.blocks[1]
    assert_close(maps[1], second.weights(network.blocks[0](x, view), view))  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize("name", ["pre", "post"])
def test_attention_maps_hold_the_scores_that_were_handed_on(name: str) -> None:
    """Mixing each layer's values by its map gives what that layer's attention gave."""
    network = Encoder(dim=16, depth=3, heads=4, block=BLOCKS[name], residual_attention=True)
    scramble(network)
    x, mask = torch.randn(2, 5, 16), key_mask(padding_mask([3, 5]))
    calls: list[Any] = []
    attentions = [module for module in network.modules() if isinstance(module, MultiHeadAttention)]
    for attention in attentions:
        attention.register_forward_hook(lambda _, given, result: calls.append((given[0], result)))
    network(x, mask=mask)
    for attention, (given, mixed), weights in zip(
        attentions, list(calls), network.attention_maps(x, mask=mask), strict=True
    ):
        value = attention.project(given)[2]
        assert_close(attention.out((weights @ value).transpose(1, 2).flatten(2)), mixed, rtol=1e-5, atol=1e-5)


def test_final_norm_is_optional_and_of_the_given_kind() -> None:
    assert Encoder(dim=8, depth=1, heads=2, final_norm=False).norm is None
    assert isinstance(Encoder(dim=8, depth=1, heads=2, norm=RMSNorm).norm, RMSNorm)
