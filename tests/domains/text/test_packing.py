"""Packed samples are as alone; every sample is in one row; targets are what comes next."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close
from tsuite.core.decoder import Decoder
from tsuite.core.language import LanguageModel
from tsuite.core.positions import Alibi, Rotary
from tsuite.domains.text.chat import Encoded
from tsuite.domains.text.packing import IGNORE, Packed, collate, plan

PAD = 63


def sample(size: int, start: int = 1) -> Encoded:
    return Encoded(list(range(start, start + size)), [place >= 2 for place in range(size)])


def model(kind: str) -> LanguageModel:
    torch.manual_seed(0)
    options = {"rotary": Rotary(head_dim=4)} if kind == "rotary" else {}
    if kind == "alibi":
        options = {"position_bias": Alibi(heads=2)}
    decoder = Decoder(dim=8, depth=2, heads=2, window=4 if kind == "window" else None, **options)  # type: ignore[arg-type]
    return LanguageModel(vocabulary=64, decoder=decoder, length=16, learned=kind == "learned").eval()


@pytest.mark.parametrize("kind", ["rotary", "learned", "alibi", "window"])
def test_logits_of_a_packed_row_are_those_of_each_sample(kind: str) -> None:
    network = model(kind)
    rows = [[sample(5), sample(3, 20), sample(6, 30)], [sample(4, 40), sample(2, 50)]]
    batch = collate(rows, pad_id=PAD, multiple=8)
    assert batch.tokens.shape == (2, 16)
    with torch.no_grad():
        together = network(batch.tokens, mask=batch.mask, positions=batch.positions)
        for number, row in enumerate(rows):
            start = 0
            for one in row:
                alone = network(torch.tensor([one.ids]))[0]
                assert_close(together[number, start : start + len(one.ids)], alone, rtol=1e-5, atol=1e-5)
                start += len(one.ids)


@pytest.mark.parametrize("kind", ["rotary", "learned"])
def test_logits_beside_padding_are_those_of_each_sample(kind: str) -> None:
    network = model(kind)
    samples = [sample(5), sample(9, 20), sample(2, 40)]
    batch = collate(samples, pad_id=PAD)
    assert batch.mask is None
    with torch.no_grad():
        together = network(batch.tokens)
        for number, one in enumerate(samples):
            alone = network(torch.tensor([one.ids]))[0]
            assert_close(together[number, : len(one.ids)], alone, rtol=1e-5, atol=1e-5)


def test_the_mask_by_hand() -> None:
    batch = collate([[sample(2), sample(3, 10)], [sample(4, 20)]], pad_id=PAD)
    assert batch.segments is not None
    assert batch.positions is not None
    assert batch.mask is not None
    assert batch.segments.tolist() == [[0, 0, 1, 1, 1], [0, 0, 0, 0, -1]]
    assert batch.positions.tolist() == [[0, 1, 0, 1, 2], [0, 1, 2, 3, 0]]
    assert batch.mask.shape == (2, 1, 5, 5)
    assert batch.mask[0, 0].int().tolist() == [[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], *[[0, 0, 1, 1, 1]] * 3]
    assert batch.mask[1, 0, :, 4].tolist() == [False] * 4 + [True]
    assert batch.tokens.tolist() == [[1, 2, 10, 11, 12], [20, 21, 22, 23, PAD]]


def test_targets_are_the_next_token_of_the_same_sample() -> None:
    batch = collate([[sample(4), sample(3, 10)]], pad_id=PAD)
    assert batch.targets.tolist() == [[IGNORE, 3, 4, IGNORE, IGNORE, 12, IGNORE]]
    assert batch.learnt == 3
    padded = collate([sample(4), sample(2, 10)], pad_id=PAD, multiple=3)
    assert padded.targets.tolist() == [[IGNORE, 3, 4, *[IGNORE] * 3], [IGNORE] * 6]
    everything = collate([Encoded([5, 6], [True, True])], pad_id=PAD)
    assert everything.targets.tolist() == [[6, IGNORE]]
    assert everything.to("cpu").segments is None


@given(st.lists(st.integers(1, 20), max_size=60), st.integers(20, 40))
@settings(max_examples=100, deadline=None)
def test_a_plan_holds_every_sample_once(lengths: list[int], length: int) -> None:
    rows = plan(lengths, length)
    assert sorted(index for row in rows for index in row) == list(range(len(lengths)))
    filled = [sum(lengths[index] for index in row) for row in rows]
    assert all(0 < tokens <= length for tokens in filled)
    assert len(rows) <= 1 + 2 * sum(lengths) / length  # no two rows could have been one
    assert plan(lengths, length) == rows


def test_a_plan_wastes_little() -> None:
    lengths = np.random.default_rng(0).integers(5, 300, 2000).tolist()
    rows = plan(lengths, 512)
    assert sum(lengths) / (512 * len(rows)) > 0.98
    with pytest.raises(ValueError, match="example 1 has 600 tokens"):
        plan([5, 600], 512)


def test_packed_rows() -> None:
    packed = Packed([sample(size) for size in (5, 3, 8, 2)], 8)
    assert packed.lengths.tolist() == [8, 8, 2]
    assert [[len(one.ids) for one in row] for row in packed] == [[8], [5, 3], [2]]
    assert packed[1:] == list(packed)[1:]
