"""What is made when it is asked for: names of a package, items of a sequence."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, overload

Item = TypeVar("Item")


def lazy_names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A `__getattr__` for the package of that name: each name is imported from its module (`homes[name]`) when it is
    first used, so that to read a model's options does not cost an import of torch."""

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f".{homes[name]}", package), name)

    return get


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
