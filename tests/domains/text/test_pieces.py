"""A step that is computed in pieces learns what it would have learnt at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tsuite.core.adapters import Method, apply, learn_rows
from tsuite.core.language import LanguageModel
from tsuite.domains.text import families
from tsuite.domains.text.chat import Encoded, EncodedPair
from tsuite.domains.text.phi15_zh import learning
from tsuite.domains.text.phi15_zh.learning import Learner, Pair, Row, count, learn_batch, pieces


def network() -> LanguageModel:
    torch.manual_seed(0)
    shape = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    more = {"model_type": "llama", "intermediate_size": 24, "max_position_embeddings": 64, "rms_norm_eps": 1e-5}
    made = families.from_hf({**shape, **more, "hidden_act": "silu", "tie_word_embeddings": True}).network()
    apply(made, Method(kind="lora", rank=2))
    learn_rows(made, torch.arange(5))
    return made


def encoded(length: int, *, learnt: bool = True) -> Encoded:
    return Encoded([(7 * place + length) % 40 for place in range(length)], [learnt] * length)


def rows() -> Any:
    """Five rows, one of which teaches nothing."""
    lengths = (30, 22, 9, 5, 12)
    made = [Row(id=str(size), samples=(encoded(size, learnt=size != 9),)) for size in lengths]
    return learn_batch(made, pad_id=0)


def packed() -> Any:
    return learn_batch([Row(id=str(size), samples=(encoded(size), encoded(4))) for size in (20, 11, 7)], pad_id=0)


def pairs() -> Any:
    sizes = ((12, 9), (7, 15), (4, 6))
    made = [EncodedPair(encoded(first), encoded(second)) for first, second in sizes]
    return learn_batch([Pair(id=str(n), pair=pair, start=(-9.0 - n, -8.0)) for n, pair in enumerate(made)], pad_id=0)


@pytest.mark.parametrize("made", [rows, packed, pairs])
@pytest.mark.parametrize("together", [1, 65])
def test_gradients_are_what_they_were(made: Any, together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    batch, gradients = made(), []
    assert len(pieces(batch)) == 1
    monkeypatch.setattr(learning, "TOGETHER", together)
    assert len(pieces(batch)) > 1
    assert sum(map(count, pieces(batch))) == count(batch)
    for parts in ([batch], pieces(batch)):
        learner = Learner(network())
        for part in parts:
            learner(part).backward()
        gradients.append({name: value.grad for name, value in learner.named_parameters() if value.requires_grad})
    whole, summed = gradients
    assert whole.keys() == summed.keys()
    for name, value in whole.items():
        torch.testing.assert_close(summed[name], value, rtol=1e-4, atol=1e-6)
