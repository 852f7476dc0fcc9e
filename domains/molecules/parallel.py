"""Work on many molecules in several processes, fresh ones (spawned), so that it works alike on every system."""

from __future__ import annotations

import itertools
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from ...core.errors import UserError
from ...core.runtime import available_cores

Item = TypeVar("Item")
Result = TypeVar("Result")

CHUNK = 500
"""Molecules handed over at a time."""
WORTH = 4_000
"""Molecules from which on further processes pay: each takes a second to start."""


def spread(
    function: Callable[[Sequence[Item]], Result], items: Iterable[Item], *, workers: int = 1, chunk: int = CHUNK
) -> Iterator[Result]:
    """`function` of each chunk of the items, in order. It must be importable by its name: a lambda is not.

    workers: processes; 0: one for each core. Where there are not more than `WORTH` items, or only one worker, no
    process is started. The items may be a stream of any length. UserError where a process dies.
    """
    rest = iter(items)
    begun = list(itertools.islice(rest, WORTH + 1))
    count = workers or available_cores()
    chunks = _chunks(itertools.chain(begun, rest), chunk)
    if count < 2 or len(begun) <= WORTH:
        return map(function, chunks)
    return _in_processes(function, chunks, count)


def _in_processes(
    function: Callable[[Sequence[Item]], Result], chunks: Iterator[list[Item]], count: int
) -> Iterator[Result]:
    waiting: deque = deque()
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, mp_context=context)
    try:
        for chunk in chunks:
            waiting.append(pool.submit(function, chunk))
            if len(waiting) > 3 * count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise UserError(
            "A process that worked on molecules died.",
            "Was there too little memory? One worker starts no processes; a script of your own needs the line `if "
            '__name__ == "__main__":` before what it does.',
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _chunks(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    while chunk := list(itertools.islice(items, size)):
        yield chunk
