"""The chunked cross-entropy equals the plain one; DPO equals its formula."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from tsuite.core import losses
from tsuite.core.losses import IGNORED, chunked_cross_entropy, dpo_loss, sequence_log_probabilities

ROWS, WIDTH, VOCABULARY = 23, 8, 31


def inputs(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    hidden, weight, bias = torch.randn(ROWS, WIDTH), torch.randn(VOCABULARY, WIDTH), torch.randn(VOCABULARY)
    targets = torch.randint(0, VOCABULARY, (ROWS,))
    targets[::4] = IGNORED
    hidden, weight, bias = (tensor.to(dtype).requires_grad_() for tensor in (hidden, weight, bias))
    return hidden, weight, bias, targets


def plain(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    return F.cross_entropy(F.linear(hidden, weight, bias), targets, reduction="sum", ignore_index=IGNORED)


@pytest.mark.parametrize("chunk", [1, 5, ROWS, 1000, None])
@pytest.mark.parametrize("with_bias", [True, False])
def test_equals_the_plain_one(chunk, with_bias):
    hidden, weight, bias, targets = inputs()
    learning = [hidden, weight, *([bias] if with_bias else [])]
    used = bias if with_bias else None
    ours = chunked_cross_entropy(hidden, weight, used, targets, chunk=chunk)
    theirs = plain(hidden, weight, used, targets)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-6)
    for mine, other in zip(
        torch.autograd.grad(3 * ours, learning), torch.autograd.grad(3 * theirs, learning), strict=True
    ):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-6)


def test_gradcheck():
    hidden, weight, bias, targets = inputs(torch.float64)

    def loss(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return chunked_cross_entropy(hidden, weight, bias, targets, chunk=4)

    assert torch.autograd.gradcheck(loss, (hidden, weight, bias))


def test_parts_of_the_vocabulary():
    """Old rows that are fixed above new ones that learn: the same loss, and the new rows' own gradient."""
    hidden, weight, bias, targets = inputs()
    hidden = hidden.detach()
    weights = weight[:20].detach(), weight[20:].detach().requires_grad_()
    biases = bias[:20].detach(), bias[20:].detach().requires_grad_()
    ours, theirs = (
        chunked_cross_entropy(hidden, weights, biases, targets, chunk=6),
        plain(hidden, weight, bias, targets),
    )
    torch.testing.assert_close(ours, theirs)
    ours.backward()
    theirs.backward()
    assert weight.grad is not None
    assert bias.grad is not None
    assert weights[0].grad is None
    torch.testing.assert_close(weights[1].grad, weight.grad[20:])
    torch.testing.assert_close(biases[1].grad, bias.grad[20:])


def test_only_what_learns_gets_a_gradient(monkeypatch):
    hidden, weight, bias, targets = inputs()
    weight, bias = weight.detach(), bias.detach()
    chunked_cross_entropy(hidden, weight, bias, targets).backward()
    assert hidden.grad is not None
    assert weight.grad is None

    def refuse(*_: object) -> None:
        raise AssertionError("a gradient was computed that nobody asked for")

    monkeypatch.setattr(losses, "_add_gradients", refuse)
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            loss = chunked_cross_entropy(hidden, weight, bias, targets, chunk=4)
        assert not loss.requires_grad
        torch.testing.assert_close(loss.clone(), plain(hidden, weight, bias, targets).detach())
    assert not chunked_cross_entropy(hidden.detach(), weight, bias, targets).requires_grad


def test_nothing_counts():
    hidden, weight, bias, targets = inputs()
    loss = chunked_cross_entropy(hidden, weight, bias, torch.full_like(targets, IGNORED))
    loss.backward()
    assert loss == 0
    assert hidden.grad is not None
    assert not hidden.grad.any()


def test_low_precision():
    """Products in bfloat16, softmax in float32; under autocast as under a plain linear layer."""
    hidden, weight, bias, targets = inputs()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = chunked_cross_entropy(hidden, weight, bias, targets, chunk=7)
        theirs = plain(hidden, weight, bias, targets)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=0)
    mine, other = torch.autograd.grad(ours, (hidden, weight)), torch.autograd.grad(theirs, (hidden, weight))
    for one, two in zip(mine, other, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, two, rtol=0.1, atol=0.05)
    half = chunked_cross_entropy(hidden.bfloat16(), weight.bfloat16(), None, targets)
    assert half.dtype == torch.float32


def test_never_holds_all_logits(monkeypatch):
    rows: list[int] = []
    whole = losses._logits
    monkeypatch.setattr(losses, "_logits", lambda h, w, b: rows.append(len(h)) or whole(h, w, b))
    hidden, weight, bias, targets = inputs()
    targets = targets.clamp(min=0)
    monkeypatch.setattr(losses, "CHUNK_BYTES", 4 * VOCABULARY * 10)
    chunked_cross_entropy(hidden, weight, bias, targets)
    assert rows == [10, 10, 3]


@pytest.mark.parametrize("head_learns", [True, False])
def test_sequences(head_learns):
    torch.manual_seed(0)
    hidden, weight = torch.randn(3, 6, WIDTH, requires_grad=True), torch.randn(VOCABULARY, WIDTH)
    weight.requires_grad_(head_learns)
    targets = torch.randint(0, VOCABULARY, (3, 6))
    targets[1, :4] = IGNORED
    ours = sequence_log_probabilities(hidden, weight, None, targets)
    logs = F.linear(hidden, weight).log_softmax(-1).gather(-1, targets.clamp(min=0)[..., None]).squeeze(-1)
    theirs = (logs * (targets != IGNORED)).sum(-1)
    torch.testing.assert_close(ours, theirs)
    learning = [hidden, weight] if head_learns else [hidden]
    factors = torch.tensor([1.0, -2.0, 0.5])
    for mine, other in zip(
        torch.autograd.grad((ours * factors).sum(), learning),
        torch.autograd.grad((theirs * factors).sum(), learning),
        strict=True,
    ):
        torch.testing.assert_close(mine, other)


def test_dpo():
    chosen, rejected = torch.tensor([-4.0, -9.0], requires_grad=True), torch.tensor([-6.0, -8.0], requires_grad=True)
    found, up, down = dpo_loss(chosen, rejected, torch.tensor([-5.0, -9.0]), torch.tensor([-5.0, -9.0]), 0.1)
    assert up.tolist() == pytest.approx([0.1, 0.0])
    assert down.tolist() == pytest.approx([-0.1, 0.1])
    assert found.tolist() == pytest.approx([math.log1p(math.exp(-0.2)), math.log1p(math.exp(0.1))])
    found.sum().backward()
    assert chosen.grad is not None
    assert rejected.grad is not None
    assert (chosen.grad < 0).all()  # a step makes the preferred reply likelier and the other one less so
    assert (rejected.grad > 0).all()
    same = torch.tensor([-3.0])
    assert dpo_loss(same, same, same, same, 0.1)[0].item() == pytest.approx(math.log(2))
