"""Items are made when asked for, by number or by slice."""

from __future__ import annotations

import pytest
from tsuite.core.lazy import LazySequence


class Squares(LazySequence[int]):
    def __init__(self) -> None:
        self.made: list[int] = []

    def __len__(self) -> int:
        return 5

    def item(self, number: int) -> int:
        self.made.append(number)
        return number**2


def test_items_and_slices() -> None:
    squares = Squares()
    assert (squares[3], squares[-1]) == (9, 16)
    assert squares.made == [3, 4]
    assert squares[1:4] == [1, 4, 9]
    assert squares[::-2] == [16, 4, 0]
    assert list(squares) == [0, 1, 4, 9, 16]
    assert 9 in squares
    for beyond in (5, -6):
        with pytest.raises(IndexError):
            squares[beyond]
