"""Narrow weights against the float network they were made from."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close
from tsuite.core.errors import UserError
from tsuite.core.generate import generate
from tsuite.core.layers import MLP
from tsuite.core.quantize import GROUP, Int4Linear, Int8Linear, NarrowLinear, fits_8_bits, quantize
from tsuite.core.sampling import Sampling

from .families import scramble
from .small import LENGTH, PROMPTS, VOCABULARY, llama


def eight(linear: nn.Linear) -> NarrowLinear:
    return Int8Linear(linear)


def packed(linear: nn.Linear) -> NarrowLinear:
    return Int4Linear(linear, packed=True)


def pairs(linear: nn.Linear) -> NarrowLinear:
    return Int4Linear(linear, packed=False)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", [(64, 48), (33, 17), (8, 3)])
@pytest.mark.parametrize("make", [eight, packed, pairs])
def test_a_layer_is_its_rounded_self(make: Any, sizes: tuple[int, int], bias: bool) -> None:
    linear = nn.Linear(*sizes, bias=bias)
    layer = make(linear)
    assert layer.weight.shape == linear.weight.shape
    step = linear.weight.abs().amax(1, keepdim=True) / 127
    if make is not eight:
        filled = F.pad(linear.weight, (0, -sizes[0] % GROUP)).unflatten(1, (-1, GROUP))
        spread = (filled.amax(2) - filled.amin(2)) / 15
        step = spread.repeat_interleave(GROUP, 1)[:, : sizes[0]]
    assert ((layer.weight - linear.weight).abs() <= step * 0.55 + 4e-3 * linear.weight.abs() + 1e-8).all()
    for rows in (1, 5, 100):  # both ways to multiply
        x = torch.randn(2, rows, sizes[0])
        expected = F.linear(x, layer.weight, linear.bias)
        with torch.no_grad():
            found = layer(x)
        assert found.dtype == x.dtype
        assert_close(found, expected.detach(), atol=0.03, rtol=0.02)  # bfloat16 activations


def test_both_orders_of_four_bits_are_the_same_weights() -> None:
    linear = nn.Linear(96, 32)
    assert_close(packed(linear).weight, pairs(linear).weight, atol=0, rtol=0.01)


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_a_layer_with_weights_far_above_the_rest_stays(kind: str) -> None:
    network: Any = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64))
    steep = network[1].weight.data  # up to an eighth
    steep[:, 3] = 3.0
    assert not fits_8_bits(steep)
    assert fits_8_bits(network[0].weight)
    quantize(network, kind)
    assert isinstance(network[0], NarrowLinear)
    assert type(network[1]) is nn.Linear


def test_four_bits_that_do_not_fit_become_eight() -> None:
    network = nn.Sequential(nn.Linear(64, 64))
    weight = network[0].weight.data = torch.rand(64, 64) * 0.02
    weight[:, ::GROUP] = 0.25  # one of each group far above the others
    quantize(network, "int4")
    assert type(network[0]) is Int8Linear


def test_a_row_of_zeros_stays_zero() -> None:
    linear = nn.Linear(8, 4, bias=False)
    linear.weight.data[2] = 0
    assert (Int8Linear(linear)(torch.randn(3, 8))[:, 2] == 0).all()


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("kind", "least"), [("int8", 0.999), ("int4", 0.92)])
def test_a_language_model_keeps_its_answers(tied: bool, kind: str, least: float) -> None:
    torch.manual_seed(0)
    model = llama(tied=tied, dim=64, hidden=96)
    scramble(model, std=0.15)
    narrow = quantize(copy.deepcopy(model), kind)
    tokens = torch.randint(VOCABULARY, (8, LENGTH))
    with torch.no_grad():
        expected, found = model(tokens), narrow(tokens)
        step = narrow(tokens[:, :1])
    alike = F.cosine_similarity(expected, found, dim=-1)
    assert alike.mean() > least
    assert (expected.argmax(-1) == found.argmax(-1)).float().mean() > (0.95 if kind == "int8" else 0.6)
    assert_close(step, found[:, :1], atol=0.1, rtol=0.02)  # one position at a time and all together
    kinds = {name: type(module) for name, module in narrow.named_modules()}
    assert kinds["head.projection"] is Int8Linear
    assert kinds["decoder.blocks.0.mlp.down"] is (Int8Linear if kind == "int8" else Int4Linear)
    assert not any(issubclass(kind, nn.Linear) for kind in kinds.values())
    assert torch.equal(narrow.get_parameter("tokens.weight"), model.tokens.weight)


def test_generation_with_int8_weights() -> None:
    model = llama(dim=64, hidden=96, tied=True)
    scramble(model)
    narrow = copy.deepcopy(model)
    quantize(narrow)
    plain, found = generate(model, PROMPTS, Sampling(max_new=6)), generate(narrow, PROMPTS, Sampling(max_new=6))
    agreed = [a == b for x, y in zip(plain, found, strict=True) for a, b in zip(x.ids, y.ids, strict=True)]
    assert sum(agreed) >= len(agreed) / 2
    assert found[0].probabilities[0] == pytest.approx(plain[0].probabilities[0], abs=0.05)


@pytest.mark.parametrize(("kind", "share"), [("int8", 0.29), ("int4", 0.19)])
def test_memory(kind: str, share: float) -> None:
    network = MLP(64)
    before = sum(value.nbytes for value in network.state_dict().values())
    assert sum(value.nbytes for value in quantize(network, kind).state_dict().values()) < share * before


def test_only_known_kinds() -> None:
    with pytest.raises(UserError, match="'int9'"):
        quantize(MLP(4), "int9")
