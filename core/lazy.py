"""Sequences whose items are made when they are asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TypeVar, overload

Item = TypeVar("Item")


class LazySequence(Sequence[Item], ABC):
    """A subclass says how many items there are (`__len__`) and makes item `number`, from 0 on (`item`); slices are
    lists."""

    @abstractmethod
    def item(self, number: int) -> Item:
        """The item of a number that exists."""

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        numbers = range(len(self))[index]
        return [self.item(number) for number in numbers] if isinstance(numbers, range) else self.item(numbers)

    def __iter__(self) -> Iterator[Item]:
        return (self.item(number) for number in range(len(self)))
