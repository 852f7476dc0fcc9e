"""What the network sees at each step, as a function of the step alone.

The examples of epoch `e` are put in an order seeded by (seed, e). Step by step, `batch_size` of them (the last
batch of an epoch may hold fewer) are cut into equal shares, one for each accumulated part of each process:

    one step:  | part 0: rank 0, rank 1 | part 1: rank 0, rank 1 | …

Where the examples say how long they are (an attribute `lengths`), batches are made of examples of similar length, so
that little of a batch is padding; which batch comes when stays random. Where they ask for it (`shortest_first`), the
first epoch goes from short to long.

Item k of `MicroBatches` is the share of this process in micro-batch k = step * accumulate + part. Since nothing
depends on the items before it, continuing a run is starting at another k, and helper processes change nothing.
"""

from __future__ import annotations

import itertools
import random
import signal
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ..errors import UserError
from ..options import TrainOptions
from ..task import Task

# What a seed is for: the first number of the sequence that it is made of.
ORDER, BATCH, STEP, EVALUATION, FINISH = range(5)

GROUP = 50
"""Batches that examples are sorted by length within."""

GRACE = 5
"""Seconds that a helper process lives on after SIGTERM."""


def seed_of(*numbers: int) -> int:
    """One 64-bit seed out of several numbers, mixed so that near numbers give unrelated seeds."""
    words = [abs(number) for number in numbers]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0])


def seed_all(*numbers: int) -> None:
    """Seed torch, numpy and python."""
    seed = seed_of(*numbers)
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 (augmentations of other packages draw from the global state)
    random.seed(seed)


@contextmanager
def seeded(*numbers: int) -> Iterator[None]:
    """Seed torch, numpy and python inside the block, and put their states back after it."""
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        seed_all(*numbers)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)


@dataclass(frozen=True)
class MicroBatch:
    """One process's share of one part of a batch; `size` 0 marks a share without examples, whose batch is a
    stand-in."""

    batch: Any
    size: int


class MicroBatches(Dataset):
    """Micro-batch k of this process, for every k from 0 on."""

    def __init__(self, task: Task, examples: Sequence[Any], options: TrainOptions, *, rank: int, world: int) -> None:
        self.task, self.examples, self.options = task, examples, options
        self.rank, self.world = rank, world
        self.steps_per_epoch = -(-len(examples) // options.batch_size)
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, dtype=np.int64))

    def share(self, k: int) -> tuple[list[int], int]:
        """Indices of the examples of micro-batch k, and how many of them count (0: one stand-in that does not)."""
        step, part = divmod(k, self.options.accumulate)
        epoch, place = divmod(step, self.steps_per_epoch)
        size = self.options.batch_size
        whole = self.order(epoch)[place * size : (place + 1) * size]
        pieces, piece = self.world * self.options.accumulate, part * self.world + self.rank
        mine = whole[len(whole) * piece // pieces : len(whole) * (piece + 1) // pieces].tolist()
        return mine or whole[:1].tolist(), len(mine)

    def order(self, epoch: int) -> np.ndarray:
        """The permutation of one epoch; the last one asked for is kept."""
        if self._order[0] != epoch:
            generator = np.random.default_rng(seed_of(ORDER, self.options.seed, epoch))
            order = generator.permutation(len(self.examples))
            lengths = getattr(self.examples, "lengths", None)
            if lengths is not None:
                easy = epoch == 0 and getattr(self.examples, "shortest_first", False)
                arrange = shortest_first if easy else by_length
                order = arrange(order, np.asarray(lengths), self.options.batch_size, generator)
            self._order = epoch, order
        return self._order[1]

    def __getitem__(self, k: int) -> MicroBatch | UserError:
        indices, size = self.share(k)
        try:
            with seeded(BATCH, self.options.seed, k, self.rank), one_thread():
                batch = self.task.preprocess([self.examples[index] for index in indices], training=True)
        except UserError as error:  # handed over as it is: a helper process would wrap it in a traceback
            return error
        return MicroBatch(batch, size)


def by_length(order: np.ndarray, lengths: np.ndarray, size: int, generator: np.random.Generator) -> np.ndarray:
    """The order [N] with examples of similar length together: every `GROUP` batches of it are sorted by `lengths` [N]
    and cut into batches of `size`, which are then shuffled; the incomplete batch stays the last."""
    reach = size * GROUP
    pieces = [order[start : start + reach] for start in range(0, len(order), reach)]
    order = np.concatenate([piece[np.argsort(-lengths[piece], kind="stable")] for piece in pieces])
    whole = len(order) // size * size
    batches = order[:whole].reshape(-1, size)
    return np.concatenate([generator.permutation(batches).reshape(-1), order[whole:]])


def shortest_first(order: np.ndarray, lengths: np.ndarray, size: int, generator: np.random.Generator) -> np.ndarray:
    """The order [N] from short to long, roughly: a length counts for up to a quarter less or more, so that copies of
    one example do not meet in one batch. Short ones show a beginner where things are (Amodei 2015, 1512.02595)."""
    return order[np.argsort(lengths[order] * generator.uniform(0.75, 1.25, len(order)), kind="stable")]


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread, as helper processes do: the order of a float sum depends on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def steps(data: MicroBatches, start: int, end: int) -> Generator[list[MicroBatch], None, None]:
    """The micro-batches of each optimiser step from `start` to before `end`."""
    if start >= end:
        return
    count = data.options.accumulate
    loader = DataLoader(
        data,
        batch_size=None,
        sampler=range(start * count, end * count),
        num_workers=data.options.workers,
        collate_fn=_as_it_is,  # pyright: ignore[reportArgumentType] (typed for lists, which batch_size=None never gives)
        worker_init_fn=_leave_signals_to_the_parent,
    )
    with warnings.catch_warnings():
        # Python 3.12 warns of any fork beside threads; the helpers run preprocess alone, with one thread.
        warnings.filterwarnings("ignore", message=".*multi-threaded, use of fork", category=DeprecationWarning)
        batches = iter(loader)
    try:
        while parts := list(itertools.islice(batches, count)):
            yield [_sound(part) for part in parts]
    finally:  # at once: after an error the traceback would keep the helper processes alive
        getattr(batches, "_shutdown_workers", _nothing)()


def _as_it_is(item: MicroBatch | UserError) -> MicroBatch | UserError:
    return item


def _nothing() -> None:
    pass


def _sound(item: MicroBatch | UserError) -> MicroBatch:
    if isinstance(item, UserError):
        raise item
    return item


def _leave_signals_to_the_parent(_: int) -> None:
    """Ctrl-C and SIGTERM may reach the whole process group, while the running step still needs its batches."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(GRACE))
