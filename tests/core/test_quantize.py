"""Int8 weights against the float network they were made from."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close
from tsuite.core.errors import UserError
from tsuite.core.generate import generate
from tsuite.core.layers import MLP
from tsuite.core.quantize import Int8Linear, quantize
from tsuite.core.sampling import Sampling

from .families import scramble
from .small import LENGTH, PROMPTS, VOCABULARY, llama


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", [(64, 48), (33, 17), (8, 3)])
def test_a_layer_is_its_rounded_self(sizes: tuple[int, int], bias: bool) -> None:
    linear = nn.Linear(*sizes, bias=bias)
    layer = Int8Linear(linear)
    step = linear.weight.abs().amax(1, keepdim=True) / 127
    assert ((layer.weight - linear.weight).abs() <= step * 0.51 + 1e-8).all()
    for rows in (1, 5, 100):  # both ways to multiply
        x = torch.randn(2, rows, sizes[0])
        expected = F.linear(x, layer.weight, linear.bias)
        with torch.no_grad():
            found = layer(x)
        assert found.dtype == x.dtype
        assert_close(found, expected.detach(), atol=0.03, rtol=0.02)  # bfloat16 activations


def test_a_row_of_zeros_stays_zero() -> None:
    linear = nn.Linear(8, 4, bias=False)
    linear.weight.data[2] = 0
    assert (Int8Linear(linear)(torch.randn(3, 8))[:, 2] == 0).all()


@pytest.mark.parametrize("tied", [True, False])
def test_a_language_model_keeps_its_answers(tied: bool) -> None:
    torch.manual_seed(0)
    model = llama(tied=tied, dim=64, hidden=96)
    scramble(model, std=0.15)
    narrow = quantize(copy.deepcopy(model), "int8")
    tokens = torch.randint(VOCABULARY, (8, LENGTH))
    with torch.no_grad():
        expected, found = model(tokens), narrow(tokens)
        step = narrow(tokens[:, :1])
    alike = F.cosine_similarity(expected, found, dim=-1)
    assert alike.mean() > 0.999
    assert alike.min() > 0.99  # one unlucky position of 320
    assert (expected.argmax(-1) == found.argmax(-1)).float().mean() > 0.95
    assert_close(step, found[:, :1], atol=0.1, rtol=0.02)
    kinds = {name: type(module) for name, module in narrow.named_modules()}
    assert kinds["head.projection"] is Int8Linear
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


def test_int8_takes_a_quarter_of_the_memory() -> None:
    network = MLP(64)
    before = sum(value.nbytes for value in network.state_dict().values())
    assert sum(value.nbytes for value in quantize(network).state_dict().values()) < 0.29 * before


def test_only_known_kinds() -> None:
    with pytest.raises(UserError, match="'int9'"):
        quantize(MLP(4), "int9")
