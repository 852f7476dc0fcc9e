"""Losses of language models that never hold the logits of a whole batch.

    hidden [N, C] --+-- chunk 1 -> logits [n, V] -> loss, gradient -> forgotten
                    +-- chunk 2 -> …

A batch of 1,024 tokens over 50,000 ids has 200 MB of logits, and as much again of gradients. They are needed only to
become a loss and a gradient [N, C], so both are computed at once, a few rows at a time, in the forward pass
(the idea of "Cut Your Losses", Wijmans et al. 2024, arXiv 2411.09009, without its kernel).

Axes: B batch, T positions, N positions in all, C width of the model, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from .linear import product
from .rehearsal import again, arithmetic

IGNORED = -100
"""A target that counts for nothing."""

CHUNK_BYTES = 32 << 20
"""Memory for the logits of one chunk, and as much again for their gradient. Measured with V = 49,152 and C = 576:
from 128 rows at a time on (24 MB) the products are as fast as over the whole batch; 64 rows cost 10 % more."""

Parts = Tensor | Sequence[Tensor]
"""A matrix [V, C] or vector [V], or its parts one below the other, of which some may learn and others not."""


def chunked_cross_entropy(
    hidden: Tensor, weight: Parts, bias: Parts | None, targets: Tensor, *, chunk: int | None = None
) -> Tensor:
    """Cross-entropy summed over all positions, F.cross_entropy(hidden @ weight.T + bias, targets, reduction="sum").

    hidden [N, C], weight [V, C], bias [V] or None, targets [N] of ids; rows whose target is `IGNORED` cost nothing.
    chunk: rows at a time, None: as many as fit in `CHUNK_BYTES`. The softmax is in float32 or wider, the products
    in the precision of the inputs, or that of autocast. Gradients reach whichever of the inputs learn.
    """
    weights, biases = _as_parts(weight), None if bias is None else _as_parts(bias)
    counted = targets != IGNORED
    if not bool(counted.all()):
        rows = counted.nonzero().squeeze(1)
        hidden, targets = hidden.index_select(0, rows), targets.index_select(0, rows)
    hidden, weights, biases = _as_autocast(hidden, weights, biases)
    vocabulary = sum(part.shape[0] for part in weights)
    chunk = chunk or max(1, CHUNK_BYTES // (4 * vocabulary))
    with torch.autocast(arithmetic(hidden.device.type), enabled=False):
        plan = _Plan(chunk=chunk, learning=torch.is_grad_enabled(), weights=len(weights))
        loss: Any = _ChunkedCrossEntropy.apply(plan, targets, hidden, *weights, *(biases or ()))
    return loss


class _Plan(NamedTuple):
    """How the sum is to be computed; whether gradients are wanted cannot be asked inside the function."""

    chunk: int
    learning: bool
    weights: int


def _as_parts(whole: Parts) -> tuple[Tensor, ...]:
    return (whole,) if isinstance(whole, Tensor) else tuple(whole)


def _as_autocast(
    hidden: Tensor, weights: tuple[Tensor, ...], biases: tuple[Tensor, ...] | None
) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...] | None]:
    """The inputs in the precision in which a linear layer would compute here."""
    device = arithmetic(hidden.device.type)
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weights[0].dtype
    return (
        hidden.to(dtype),
        tuple(part.to(dtype) for part in weights),
        None if biases is None else tuple(part.to(dtype) for part in biases),
    )


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Loss and gradients in one pass; backward only scales them."""

    @staticmethod
    def forward(ctx: Any, plan: _Plan, targets: Tensor, hidden: Tensor, *parts: Tensor) -> Tensor:
        weights, biases = parts[: plan.weights], parts[plan.weights :]
        wanted = [plan.learning and tensor.requires_grad for tensor in (hidden, *parts)]
        grads = [
            torch.zeros_like(tensor, dtype=_wide(tensor.dtype)) if want else None
            for tensor, want in zip((hidden, *parts), wanted, strict=True)
        ]
        total = hidden.new_zeros((), dtype=_wide(hidden.dtype))
        for start in range(0, len(hidden), plan.chunk):
            rows = slice(start, start + plan.chunk)
            logits = _logits(hidden[rows], weights, biases)
            if not any(wanted):
                total += F.cross_entropy(logits, targets[rows], reduction="sum")
                continue
            loss, gradient = _loss_and_gradient(logits, targets[rows])
            total += loss
            _add_gradients(grads, gradient.to(hidden.dtype), hidden[rows], weights, rows)
        inputs = (hidden, *parts)
        kept = [None if grad is None else grad.to(like.dtype) for grad, like in zip(grads, inputs, strict=True)]
        ctx.save_for_backward(*kept)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return None, None, *(None if grad is None else grad * upstream[0].to(grad.dtype) for grad in ctx.saved_tensors)


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _logits(hidden: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
    """[n, C] -> [n, V], in float32 or wider."""
    if len(weights) == 1:
        return product(hidden, weights[0], biases[0] if biases else None).to(_wide(hidden.dtype))
    logits = hidden.new_empty(len(hidden), sum(len(part) for part in weights), dtype=_wide(hidden.dtype))
    for index, piece in enumerate(logits.split([len(part) for part in weights], dim=1)):
        piece.copy_(product(hidden, weights[index], biases[index] if biases else None))
    return logits


def _loss_and_gradient(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The summed loss of logits [n, V] and its gradient [n, V], softmax(logits) - one_hot(targets)."""
    log_probabilities = logits.log_softmax(dim=1)
    picked = torch.arange(len(targets), device=logits.device), targets
    loss = -log_probabilities[picked].sum()
    gradient = log_probabilities.exp_()
    gradient[picked] -= 1
    return loss, gradient


def _add_gradients(
    grads: Sequence[Tensor | None], logits: Tensor, hidden: Tensor, weights: Sequence[Tensor], rows: slice
) -> None:
    """Pass the gradient of logits [n, V] on to the rows of hidden, and add it to the weights' and biases'."""
    of_hidden, of_weights, of_biases = grads[0], grads[1 : 1 + len(weights)], grads[1 + len(weights) :]
    pieces = logits.split([len(part) for part in weights], dim=1)
    for index, (piece, weight) in enumerate(zip(pieces, weights, strict=True)):
        if of_hidden is not None:
            of_hidden[rows] += product(piece, weight.t())
        if (of_weight := of_weights[index]) is not None:
            of_weight += product(piece.t(), hidden.t())
        if of_biases and (of_bias := of_biases[index]) is not None:
            of_bias += piece.sum(0)


# -- sequences and preferences --------------------------------------------------------------------------------------


def sequence_log_probabilities(
    hidden: Tensor, weight: Parts, bias: Parts | None, targets: Tensor, *, chunk: int | None = None
) -> Tensor:
    """The log-probability of each sequence's counted targets, [B]: hidden [B, T, C], targets [B, T] with `IGNORED`."""
    parts = [*_as_parts(weight), *(() if bias is None else _as_parts(bias))]
    heavy = torch.is_grad_enabled() and any(part.requires_grad for part in parts)

    def one(row: Tensor, target: Tensor) -> Tensor:
        return -chunked_cross_entropy(row, weight, bias, target, chunk=chunk)

    def recomputed(row: Tensor, target: Tensor) -> Tensor:
        """Where the head learns, one gradient [V, C] a sequence would wait for the backward pass: compute it there."""
        result: Any = checkpoint(one, row, target, use_reentrant=False, context_fn=again)
        return result

    return torch.stack([(recomputed if heavy else one)(*pair) for pair in zip(hidden, targets, strict=True)])


def dpo_loss(
    policy_chosen: Tensor, policy_rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor, beta: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290) from log-probabilities [B] of replies.

    Gives the losses [B], -log sigmoid(chosen reward - rejected reward), and both implied rewards [B],
    beta (log policy - log reference), without gradient.
    """
    chosen = beta * (policy_chosen - reference_chosen)
    rejected = beta * (policy_rejected - reference_rejected)
    return -F.logsigmoid(chosen - rejected), chosen.detach(), rejected.detach()
