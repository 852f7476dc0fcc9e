"""A step on long recordings that is computed in pieces learns what it would have learnt at once."""

from __future__ import annotations

import pytest
import torch
from tsuite.domains.audio.asr import learning
from tsuite.domains.audio.asr.config import ConformerConfig
from tsuite.domains.audio.asr.learning import CTCLearner, SpeechBatch, WrittenBatch, cut
from tsuite.domains.audio.asr.model import ConformerCTC
from tsuite.domains.audio.asr.recognisers import CTCRecogniser


class Labels:
    blank = 0


def batch() -> SpeechBatch:
    """Five recordings of up to 1.2 s, one without words."""
    lengths = torch.tensor([19_200, 9_000, 16_000, 12_000, 18_000])
    counts = torch.tensor([5, 2, 0, 3, 4])
    waves = torch.randn(5, 19_200, generator=torch.Generator().manual_seed(0))
    return SpeechBatch(
        waveforms=waves * (torch.arange(19_200) < lengths[:, None]),
        lengths=lengths,
        targets=torch.arange(int(counts.sum())) % 7 + 1,
        target_lengths=counts,
    )


def learner() -> CTCLearner:
    torch.manual_seed(0)
    config = ConformerConfig(labels=9, dim=16, depth=2, heads=2, channels=4, intermediate=(1,))
    return CTCLearner(CTCRecogniser(ConformerCTC(config), Labels()), intermediate=0.3).eval()  # pyright: ignore


@pytest.mark.parametrize("together", [1, 2 * 19_200 + 5])
def test_gradients_are_what_they_were(together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(cut(batch())) == 1
    monkeypatch.setattr(learning, "TOGETHER", together)
    smaller = cut(batch())
    assert len(smaller) == (5 if together == 1 else 3)
    assert torch.equal(torch.cat([piece.targets for piece in smaller]), batch().targets)
    gradients = []
    for parts in ([batch()], smaller):
        made = learner()
        for part in parts:
            made(part).backward()
        gradients.append([value.grad for value in made.parameters()])
    assert sum(grad is not None and grad.norm() > 0 for grad in gradients[0]) > 30
    for whole, summed in zip(*gradients, strict=True):
        torch.testing.assert_close(summed, whole, rtol=1e-3, atol=1e-4)


def test_rows_that_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "TOGETHER", 20)
    tokens = torch.arange(12).view(3, 4)
    made = WrittenBatch(
        waveforms=torch.rand(3, 10), lengths=torch.tensor([10, 8, 6]), tokens=tokens, targets=tokens + 1
    )
    found = cut(made)
    assert [len(piece.tokens) for piece in found] == [2, 1]
    for name, value in vars(made).items():
        assert torch.equal(torch.cat([getattr(piece, name) for piece in found]), value)
