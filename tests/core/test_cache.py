"""The key/value cache: rows change their places, layers lie together."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from tsuite.core.cache import Cache


def filled(rows: int, length: int = 3) -> Cache:
    cache = Cache(2, capacity=5)
    torch.manual_seed(rows)
    for layer in cache.own:
        layer.append(torch.randn(rows, 2, length, 4), torch.randn(rows, 2, length, 4))
    return cache


def held(cache: Cache) -> list[Tensor]:
    return [tensor.clone() for layer in cache.own for tensor in layer.read()]


@pytest.mark.parametrize(
    "rows",
    [
        [*range(20)],  # nothing changes
        [*range(19)],  # the last leaves
        [0, 1, 2, 19, 4, 18, *range(6, 18)],  # the last stand in for some that left
        [1, 0, *range(2, 20)],  # two change places
        [19, 0, *range(1, 19)],  # all move
        [3],
        [0, 0, 1, 1, *range(20)],  # more than there were
    ],
)
def test_a_row_continues_what_another_was(rows: list[int]) -> None:
    cache = filled(20)
    before = held(cache)
    cache.reorder(rows)
    assert cache.batch == len(rows)
    for now, then in zip(held(cache), before, strict=True):
        assert torch.equal(now, then[rows])
    more = torch.randn(len(rows), 2, 1, 4)
    keys, _ = cache.own[0].append(more, more)
    assert torch.equal(keys[:, :, :3], before[0][rows])
    assert torch.equal(keys[:, :, 3:], more)


def test_rows_that_stay_are_not_copied() -> None:
    cache = filled(20)
    assert cache.own[0].keys is not None
    place = cache.own[0].keys.data_ptr()
    cache.reorder([0, 1, 2, 19, *range(4, 19)])
    assert cache.own[0].keys.data_ptr() == place


@pytest.mark.parametrize("rows", [None, [0, 1], [2, 0, 0], [1]])
def test_all_layers_at_once_are_as_each_by_itself(rows: list[int] | None) -> None:
    one, other = filled(3), filled(3)
    for new in (1, 1):
        if rows is not None and new:
            one.reorder(rows)
            other.reorder(rows)
            rows = None
        keys, values = torch.randn(2, one.batch, 2, new, 4), torch.randn(2, one.batch, 2, new, 4)
        one.extend(keys, values)
        for layer, key, value in zip(other.own, keys, values, strict=True):
            layer.append(key, value)
        assert one.length == other.length
        for whole, apart in zip(one.together(), zip(*(layer.read() for layer in other.own), strict=True), strict=True):
            assert torch.equal(whole, torch.stack(apart))
        assert all(torch.equal(a, b) for a, b in zip(held(one), held(other), strict=True))
    one.truncate(2)
    assert one.together()[0].shape == (2, one.batch, 2, 2, 4)
    with pytest.raises(ValueError, match="5 positions"):
        one.extend(torch.randn(2, one.batch, 2, 4, 4), torch.randn(2, one.batch, 2, 4, 4))


def test_an_empty_cache_takes_all_layers_at_once() -> None:
    cache, keys = Cache(2, capacity=5), torch.randn(2, 1, 2, 3, 4)
    with pytest.raises(ValueError, match="empty"):
        cache.together()
    cache.extend(keys, -keys)
    assert torch.equal(cache.together()[1], -keys)
