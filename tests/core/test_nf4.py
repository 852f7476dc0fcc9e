"""Four bits a weight: the paper's table, a bounded error, gradients to the input."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from tsuite.core.nf4 import BLOCK, VALUES, NF4Linear, quantise, widen


def test_the_papers_table():
    nf4 = pytest.importorskip("torchao.quantization.quantize_.workflows.nf4.nf4_tensor")
    weight = torch.randn(256, 64, generator=torch.Generator().manual_seed(0))
    theirs = nf4.to_nf4(weight, BLOCK, 256)
    torch.testing.assert_close(theirs.nf4.float(), torch.tensor(VALUES), atol=1e-4, rtol=0)
    ours = widen(*quantise(weight), weight.shape)
    assert (ours - weight).norm() <= 1.001 * (theirs.get_original_weight() - weight).norm()


@pytest.mark.parametrize("shape", [(4, 64), (3, 50), (1,), (2, 33)])
def test_there_and_back(shape):
    torch.manual_seed(0)
    weight = torch.randn(shape)
    codes, scales = quantise(weight)
    wide = widen(codes, scales, weight.shape)
    assert wide.shape == weight.shape
    gaps = torch.tensor(VALUES).diff().max() / 2
    assert (wide - weight).abs().max() <= 1.01 * gaps * weight.abs().max()
    again = widen(*quantise(wide), wide.shape)
    torch.testing.assert_close(again, wide, rtol=1e-3, atol=1e-3)


def test_error_and_memory():
    """What the README may say: about 9 % of a normal matrix's norm, and less than a seventh of float32."""
    torch.manual_seed(0)
    weight = 0.02 * torch.randn(256, 576)
    codes, scales = quantise(weight)
    error = (widen(codes, scales, weight.shape) - weight).norm() / weight.norm()
    assert 0.08 < error < 0.1
    assert codes.nbytes + scales.nbytes < weight.nbytes / 7


def test_zeros_and_large_numbers():
    weight = torch.zeros(2, BLOCK)
    weight[1, 3] = 60000.0
    wide = widen(*quantise(weight), weight.shape)
    assert not wide[0].any()
    assert wide[1, 3] == pytest.approx(60000, rel=1e-3)


@pytest.mark.parametrize("bias", [True, False])
def test_linear(bias):
    torch.manual_seed(0)
    plain = nn.Linear(24, 10, bias=bias)
    narrow = NF4Linear(plain)
    x = torch.randn(2, 3, 24, requires_grad=True)
    wide = narrow.widened()
    torch.testing.assert_close(narrow(x), wide(x))
    upstream = torch.randn(2, 3, 10)
    torch.testing.assert_close(torch.autograd.grad(narrow(x), x, upstream), torch.autograd.grad(wide(x), x, upstream))
    assert not any(value.requires_grad for value in narrow.parameters())
    assert not narrow(x.detach()).requires_grad
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert narrow(x).dtype == torch.bfloat16
    half = NF4Linear(plain.bfloat16())
    assert half.weight.dtype == half.widened().weight.dtype == torch.bfloat16
