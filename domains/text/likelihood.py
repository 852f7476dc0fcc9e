"""How likely a language model finds given text: log-probabilities of tokens, perplexity, bits per character.

Axes: N tokens, T positions, C width of the model, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ...core.language import LanguageModel
from .metrics import bits_per_character
from .tokenizer import Tokenizer

CHUNK = 256
"""Tokens whose logits over the whole vocabulary are in memory at once (52 MB for phi-1.5)."""


class Perplexity(TypedDict):
    """`perplexity` is that of a token, so it compares models of one vocabulary only; `bits_per_char` compares all."""

    perplexity: float
    bits_per_char: float
    tokens: int
    characters: int


def token_log_probabilities(model: LanguageModel, hidden: Tensor, targets: Tensor) -> Tensor:
    """What the head gives each target: hidden [N, C], ids [N] -> natural logarithms [N], float32."""
    parts = [
        model.head(some).float().log_softmax(dim=-1).gather(1, ids[:, None])[:, 0]
        for some, ids in zip(hidden.split(CHUNK), targets.split(CHUNK), strict=True)
    ]
    return torch.cat(parts) if parts else hidden.new_zeros(0, dtype=torch.float32)


@torch.inference_mode()
def answer_log_probabilities(
    model: LanguageModel, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], *, batch: int = 8
) -> list[float]:
    """The summed log-probability of each answer after its prompt, both as ids and none of them empty.

    A prompt that does not fit is cut at its beginning. Rows of about the same length go together.
    """
    device = model.tokens.weight.device
    rows = [[*prompt, *answer][-model.length - 1 :] for prompt, answer in zip(prompts, answers, strict=True)]
    order = sorted(range(len(rows)), key=lambda row: -len(rows[row]))
    sums = [0.0] * len(rows)
    model.eval()
    for start in range(0, len(order), batch):
        some = order[start : start + batch]
        padded = pad_sequence(
            [torch.tensor(rows[row][:-1]) for row in some], batch_first=True
        )  # right: causal, harmless
        hidden = model.hidden(padded.to(device))  # [B, T, C]
        for place, row in enumerate(some):
            end = len(rows[row])
            begin = max(1, end - len(answers[row]))
            targets = torch.tensor(rows[row][begin:end], device=device)
            sums[row] = float(
                token_log_probabilities(model, hidden[place, begin - 1 : end - 1], targets).double().sum()
            )
    return sums


@torch.inference_mode()
def perplexity(
    model: LanguageModel, tokenizer: Tokenizer, text: str, length: int | None = None, stride: int | None = None
) -> Perplexity:
    """Perplexity of `text` in windows of `length` tokens (default: the model's) that move by `stride` (default: half).

        window 1   ████████            █ scored     ░ context only
        window 2       ░░░░████
        window 3           ░░░░████

    Each token is scored once, the first after the token that begins a text (or, where there is none, ends one).
    """
    length = min(length or model.length, model.length)
    stride = min(stride or max(1, length // 2), length)
    start = tokenizer.bos_id if tokenizer.bos_id is not None else tokenizer.end_id
    targets = tokenizer.encode(text)
    inputs = torch.tensor([start, *targets][: len(targets)], device=model.tokens.weight.device)
    expected = torch.tensor(targets, device=inputs.device)
    model.eval()
    nats, scored = 0.0, 0
    while scored < len(targets):
        end = min(len(targets), length if scored == 0 else scored + stride)
        begin = max(0, end - length)
        hidden = model.hidden(inputs[None, begin:end])[0, scored - begin :]  # [N, C]
        nats -= float(token_log_probabilities(model, hidden, expected[scored:end]).double().sum())
        scored = end
    mean = torch.tensor(nats / scored if scored else torch.nan, dtype=torch.float64)
    return Perplexity(
        perplexity=float(mean.exp()),
        bits_per_char=bits_per_character(nats, len(text)),
        tokens=scored,
        characters=len(text),
    )
