"""The product by oneDNN against `F.linear`, forward and backward, and where it keeps out of the way."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close
from tsuite.core import linear as module
from tsuite.core.linear import Linear, product

SHAPES = [(1,), (3, 5), (2, 3, 4)]


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each product that oneDNN did; nothing is too small for it."""
    if not module._HERE:
        pytest.skip("no oneDNN for x86 here")
    calls: list[int] = []
    onednn = module.onednn
    for name in ("_MUCH", "_MUCH_LEARNT", "_NARROW"):
        monkeypatch.setattr(module, name, 0)
    monkeypatch.setattr(module, "onednn", lambda *a: (calls.append(1), onednn(*a))[1])
    return calls


def layer(bias: bool = True) -> Linear:
    torch.manual_seed(0)
    return Linear(24, 40, bias=bias)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bias", [True, False])
def test_equals_f_linear_with_its_gradients(count: list[int], shape: tuple[int, ...], bias: bool) -> None:
    ours, weight = layer(bias), torch.randn(*shape, 40)
    x = torch.randn(*shape, 24, requires_grad=True)
    wanted = [x, *ours.parameters()]
    expected = F.linear(x, ours.weight, ours.bias)
    answer = ours(x)
    assert_close(answer, expected)
    assert_close(
        torch.autograd.grad((answer * weight).sum(), wanted), torch.autograd.grad((expected * weight).sum(), wanted)
    )
    with torch.no_grad():
        assert_close(ours(x), expected)
    assert len(count) == 3  # the gradient of the weight has a call of its own


def test_only_what_needs_a_gradient_gets_one(count: list[int]) -> None:
    ours = layer().requires_grad_(False)
    x = torch.randn(3, 24, requires_grad=True)
    ours(x).sum().backward()
    assert x.grad is not None
    assert len(count) == 2  # forward, and for x
    assert not ours(x.detach()).requires_grad


@pytest.mark.parametrize("rows", [1, 2, 9])
@pytest.mark.parametrize("bias", [True, False])
def test_a_tall_matrix_in_pieces(count: list[int], monkeypatch: pytest.MonkeyPatch, rows: int, bias: bool) -> None:
    monkeypatch.setattr(module, "_TALL", 32)
    monkeypatch.setattr(module, "_PIECE", 16)
    ours, x = layer(bias), torch.randn(rows, 24)
    with torch.no_grad():
        assert_close(ours(x), F.linear(x, ours.weight, ours.bias))
    assert len(count) == (4 if rows <= 4 else 1)


def test_keeps_out_of_the_way(count: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of other precisions, of autocast, of export and of small products."""
    ours, x = layer(), torch.randn(3, 24)

    def same(found: Tensor, expected: Tensor) -> None:
        assert_close(found, expected)
        assert not count

    same(layer().double()(x.double()), F.linear(x.double(), ours.weight.double(), ours.bias.double()))
    with torch.autocast("cpu", torch.bfloat16):
        same(ours(x), F.linear(x, ours.weight, ours.bias))
    program = torch.export.export(ours, (x,))
    assert "aten.linear" in str(program.graph)
    same(program.module()(x), F.linear(x, ours.weight, ours.bias))
    monkeypatch.setattr(module, "_MUCH", 1 << 20)
    monkeypatch.setattr(module, "_MUCH_LEARNT", 1 << 20)
    same(product(x, ours.weight), F.linear(x, ours.weight))
    assert product(x[:0], ours.weight).shape == (0, 40)


def test_what_is_worth_a_call(count: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Many rows of a small weight, or a single row of a large one; a narrow weight learns by torch."""
    for name, value in {"_MUCH": 24 * 40 * 8, "_MUCH_LEARNT": 24 * 40 * 8, "_LARGE": 40 * 40, "_NARROW": 16}.items():
        monkeypatch.setattr(module, name, value)

    def calls(x: Tensor, weight: Tensor) -> int:
        count.clear()
        product(x, weight)
        return len(count)

    weight, large, thin = torch.randn(40, 24), torch.randn(40, 40), torch.randn(400, 8)
    assert [calls(torch.randn(rows, 24), weight) for rows in (1, 7, 8)] == [0, 0, 1]
    assert calls(torch.randn(1, 40), large) == 1
    for learnt in (weight, large, thin):
        learnt.requires_grad_()
    assert [calls(torch.randn(rows, 24), weight) for rows in (1, 7, 8)] == [0, 0, 1]
    assert [calls(torch.randn(1, 40), large), calls(torch.randn(99, 8), thin)] == [0, 0]
