"""Masks against matrices typed by hand: 1 = may attend."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from tsuite.core.masks import causal_mask, combine_masks, key_mask, padding_mask, sliding_window_mask


def matrix(*rows: str) -> Tensor:
    """`matrix("10", "11")` is [[True, False], [True, True]]."""
    return torch.tensor([[digit == "1" for digit in row] for row in rows])


def test_causal() -> None:
    assert torch.equal(causal_mask(4, 4), matrix("1000", "1100", "1110", "1111"))


def test_causal_after_a_cache() -> None:
    assert torch.equal(causal_mask(2, 5), matrix("11110", "11111"))
    assert torch.equal(causal_mask(1, 3), matrix("111"))


def test_causal_with_more_queries_than_keys() -> None:
    """The first queries come before every key and see nothing."""
    assert torch.equal(causal_mask(3, 2), matrix("00", "10", "11"))


def test_sliding_window() -> None:
    assert torch.equal(sliding_window_mask(5, 5, window=2), matrix("10000", "11000", "01100", "00110", "00011"))
    assert torch.equal(sliding_window_mask(5, 5, window=3), matrix("10000", "11000", "11100", "01110", "00111"))
    assert torch.equal(sliding_window_mask(3, 3, window=1), matrix("100", "010", "001"))
    assert torch.equal(sliding_window_mask(4, 4, window=9), causal_mask(4, 4))


def test_sliding_window_after_a_cache() -> None:
    assert torch.equal(sliding_window_mask(2, 5, window=3), matrix("01110", "00111"))


def test_sliding_window_both_ways() -> None:
    expected = matrix("11000", "11100", "01110", "00111", "00011")
    assert torch.equal(sliding_window_mask(5, 5, window=2, causal=False), expected)
    assert torch.equal(sliding_window_mask(3, 3, window=1, causal=False), matrix("100", "010", "001"))


def test_sliding_window_needs_a_position() -> None:
    with pytest.raises(ValueError, match="not 0"):
        sliding_window_mask(3, 3, window=0)


def test_padding() -> None:
    assert torch.equal(padding_mask([2, 4, 0]), matrix("1100", "1111", "0000"))
    assert torch.equal(padding_mask(torch.tensor([2, 1]), 3), matrix("110", "100"))
    assert torch.equal(padding_mask([2, 4], left=True), matrix("0011", "1111"))
    assert torch.equal(padding_mask([1], 3, left=True), matrix("001"))


def test_key_mask_stands_for_every_head_and_query() -> None:
    mask = key_mask(padding_mask([1, 2]))
    assert mask.shape == (2, 1, 1, 2)
    assert torch.equal(mask.expand(2, 3, 2, 2)[0, 2], matrix("10", "10"))


def test_combining() -> None:
    combined = combine_masks(causal_mask(3, 3), None, key_mask(padding_mask([2, 3])))
    assert combined is not None
    assert torch.equal(combined[0, 0], matrix("100", "110", "110"))
    assert torch.equal(combined[1, 0], matrix("100", "110", "111"))
    assert combine_masks(None, None) is None
    assert combine_masks() is None
