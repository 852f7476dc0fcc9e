"""Windows of episodes: what one example of a training is, and the batch that the network is given.

    windows of K = 4 at the start of an episode           [ .  .  .  s0 ]  [ .  .  s0 s1 ]   padded on the left
    in its middle, with H = 3 actions ahead               [ s5 s6 s7 s8 ]                    actions a5 ... a10
    at its end                                            [ .  .  s8 s9 ]  [ .  .  .  s9 ]

So each step is in K windows, with 0 to K - 1 steps before it: as often as any other, and with all that it may see when
the network acts.

Axes: E episodes, T steps of one, B batch, K steps of the context, H actions ahead, A numbers of an action.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import torch
from torch import Tensor

from ....core.task import Batch, Example
from ..episodes import Episode, Episodes


@dataclass(frozen=True, kw_only=True)
class Window(Example):
    """Steps `start` to `stop` of an episode; returns_to_go [T] are those of the whole of it. last_only: of its actions
    only the last is scored."""

    episode: Episode
    returns_to_go: np.ndarray
    start: int
    stop: int
    last_only: bool = False


@dataclass(frozen=True, kw_only=True)
class TrajectoryBatch(Batch):
    """mask [B, K]: True for real steps, which stand on the right. observations [B, K, *shape], returns [B, K] to go,
    steps [B, K] of the episode. actions, known [B, K + H - 1(, A)]: those of the window, and H - 1 after it.
    scored [B, K]: at which steps the action counts."""

    mask: Tensor
    observations: Tensor
    actions: Tensor
    known: Tensor
    returns: Tensor
    steps: Tensor
    scored: Tensor


class Windows(Sequence[Window]):
    """All windows of `episodes`, or with `endings` one that ends with each step, in which that step is scored.

    every: only each so manieth, in training drawn from that many. The rewards of all episodes are kept in memory, the
    rest is read when it is asked for.
    """

    def __init__(
        self, episodes: Episodes, *, context: int, endings: bool = False, every: int = 1, drawn: bool = False
    ) -> None:
        self.episodes, self.context, self.endings, self.every, self.drawn = episodes, context, endings, every, drawn
        self._returns = [episode.returns_to_go() for episode in episodes]
        more = 0 if endings else context - 1
        self._firsts = np.cumsum([0, *(len(part) + more for part in self._returns)])

    def __len__(self) -> int:
        return (int(self._firsts[-1]) + self.every - 1) // self.every

    @overload
    def __getitem__(self, index: int) -> Window: ...
    @overload
    def __getitem__(self, index: slice) -> list[Window]: ...
    def __getitem__(self, index: int | slice) -> Window | list[Window]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        total = int(self._firsts[-1])
        place = index * self.every
        if not 0 <= place < total:
            raise IndexError(index)
        if self.drawn and self.every > 1:  # the training loop seeds numpy's own generator for each batch
            place = min(place + int(np.random.randint(self.every)), total - 1)  # noqa: NPY002
        number = int(np.searchsorted(self._firsts, place, side="right")) - 1
        stop, returns = place - int(self._firsts[number]) + 1, self._returns[number]
        episode = self.episodes[number]
        return Window(
            id=f"{episode.id}, step {min(stop, len(returns)) - 1}",
            episode=episode,
            returns_to_go=returns,
            start=max(0, stop - self.context),
            stop=min(stop, len(returns)),
            last_only=self.endings,
        )


def batch_of(windows: Sequence[Window], *, context: int, chunk: int = 1) -> TrajectoryBatch:
    """Windows side by side, padded on the left to `context` steps."""
    first = windows[0].episode
    shape = first.observations.shape[1:]
    count, ahead = len(windows), context + chunk - 1
    numbers = int(np.prod(first.actions.shape[1:], dtype=int))
    whole = first.observations.dtype.kind in "iub"
    observations = np.zeros((count, context, *shape), first.observations.dtype if whole else np.float32)
    actions = np.zeros((count, ahead, numbers), np.int64 if first.actions.dtype.kind in "iub" else np.float32)
    returns, steps = np.zeros((count, context), np.float32), np.zeros((count, context), np.int64)
    mask, known = np.zeros((count, context), bool), np.zeros((count, ahead), bool)
    for row, window in enumerate(windows):
        episode, start, stop = window.episode, window.start, window.stop
        left, end = context - (stop - start), min(stop + chunk - 1, len(episode))
        observations[row, left:] = episode.observations[start:stop]
        returns[row, left:] = window.returns_to_go[start:stop]
        steps[row, left:] = np.arange(start, stop)
        mask[row, left:] = True
        actions[row, left : left + end - start] = episode.actions[start:end].reshape(end - start, numbers)
        known[row, left : left + end - start] = True
    scored = mask & ~np.array([[window.last_only] for window in windows])
    scored[:, -1] = True
    tensors = {"mask": mask, "observations": observations, "actions": actions, "known": known, "returns": returns,
               "steps": steps, "scored": scored}  # fmt: skip
    return TrajectoryBatch(**{name: torch.from_numpy(values) for name, values in tensors.items()})
