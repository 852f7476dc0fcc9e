"""What a forecaster learns from and forecasts: an origin in a timeline, the look-back before it, the horizon after it.

    values  . . . [ look-back . . . . . . ) origin [ horizon . . . ) . . .
    covariates    [ known up to the origin )       [ known ahead    )

A window is a place, not a copy: what it holds is cut out of the timeline when a batch is made.

Axes: B windows, R rows (the series of all windows, one below the other), C series of a group, N steps, L look-back,
H horizon, P past covariates, F covariates known ahead (calendar included).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ...core.lazy import LazySequence
from ...core.task import Batch, Example
from .calendar import calendar
from .frequency import Frequency
from .panel import Group


@dataclass(frozen=True, kw_only=True)
class Track:
    """A group as a network sees it: standardised, with what is missing marked by NaN.

    values [C, N]; past [P, N]; ahead [F, N + K], calendar last; static [C, S]; location and scale [C, 1] undo the
    standardisation of the values.
    """

    group: Group
    frequency: Frequency
    values: np.ndarray
    past: np.ndarray
    ahead: np.ndarray
    static: np.ndarray
    location: np.ndarray
    scale: np.ndarray

    @property
    def steps(self) -> int:
        """N."""
        return self.values.shape[1]

    def restored(self, values: np.ndarray, rows: slice | int = slice(None)) -> np.ndarray:
        """Standardised values [C, ..., H] in original units."""
        shape = (-1, *[1] * (values.ndim - 1))
        return values * self.scale[rows].reshape(shape) + self.location[rows].reshape(shape)


@dataclass(frozen=True, kw_only=True)
class Window(Example):
    """Forecast from `origin` on, the first step that is not known, for `horizon` steps."""

    track: Track = field(repr=False)
    origin: int
    horizon: int
    notices: tuple[str, ...] = ()


class Windows(LazySequence[Window]):
    """The windows of tracks whose origins lie in a range for each: numbers stand for places, and nothing is cut out.

    spans: for each track the first origin and the one after the last; stride: steps between origins.
    """

    def __init__(
        self, tracks: Sequence[Track], spans: Sequence[tuple[int, int]], *, horizon: int, stride: int = 1
    ) -> None:
        self.tracks, self.spans, self.horizon, self.stride = list(tracks), list(spans), horizon, stride
        counts = [max(0, -(-(last - first) // stride)) for first, last in spans]
        self._ends = np.cumsum([0, *counts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def item(self, number: int) -> Window:
        place = int(np.searchsorted(self._ends, number, side="right")) - 1
        origin = self.spans[place][0] + (number - int(self._ends[place])) * self.stride
        return window_at(self.tracks[place], origin, self.horizon)


def window_at(track: Track, origin: int, horizon: int) -> Window:
    """The window of a track that begins to forecast at `origin`."""
    ids, index = track.group.ids, track.group.index
    name = ids[0] if len(ids) == 1 else f"{len(ids)} series"
    when = f"from {index[origin]}" if origin < len(index) else f"after {index[-1]}"
    return Window(id=f"{name} {when}", track=track, origin=origin, horizon=horizon)


@dataclass(frozen=True, kw_only=True)
class WindowBatch(Batch):
    """Rows of a batch. Where nothing is known, values are 0 and `observed` (`target_observed`) False.

    values, observed [R, L]; target, target_observed [R, H]; past [B, P, L], ahead [B, F, L + H] with NaN as 0;
    known [B, F, L + H]: False where a covariate is missing; window [R]: the window that a row belongs to;
    static [R, S].
    """

    values: Tensor
    observed: Tensor
    target: Tensor
    target_observed: Tensor
    past: Tensor
    ahead: Tensor
    known: Tensor
    window: Tensor
    static: Tensor


def cut(array: np.ndarray, start: int, stop: int) -> np.ndarray:
    """array [X, N] from `start` to `stop` -> [X, stop - start], NaN outside of it."""
    inside = array[:, max(0, start) : max(0, stop)]
    before, behind = max(0, -start), max(0, stop - max(array.shape[1], start))
    before = min(before, stop - start)
    if not (before or behind):
        return inside
    behind = (stop - start) - before - inside.shape[1]
    return np.pad(inside, ((0, 0), (before, behind)), constant_values=np.nan)


def batch_of(windows: Sequence[Window], *, lookback: int) -> WindowBatch:
    """Windows of one horizon as tensors; a look-back that reaches before the beginning is unobserved there."""
    horizon = windows[0].horizon
    pasts, aheads, values, targets, numbers, statics = [], [], [], [], [], []
    for number, window in enumerate(windows):
        track, origin = window.track, window.origin
        start, stop = origin - lookback, origin + horizon
        values.append(cut(track.values, start, origin))
        targets.append(cut(track.values, origin, stop))
        pasts.append(cut(track.past, start, origin))
        aheads.append(cut(track.ahead, start, stop))
        statics.append(track.static)
        numbers += [number] * len(track.values)
    value, target = torch.from_numpy(np.concatenate(values)), torch.from_numpy(np.concatenate(targets))
    past, ahead = torch.from_numpy(np.stack(pasts)), torch.from_numpy(np.stack(aheads))
    return WindowBatch(
        values=value.nan_to_num(0.0),
        observed=~value.isnan(),
        target=target.nan_to_num(0.0),
        target_observed=~target.isnan(),
        past=past.nan_to_num(0.0),
        ahead=ahead.nan_to_num(0.0),
        known=~ahead.isnan(),
        window=torch.tensor(numbers),
        static=torch.from_numpy(np.concatenate(statics)).float(),
    )


# -- from groups to tracks --------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """Mean and deviation by which a checkpoint's series and covariates are standardised; learnt from training steps.

    series: for each known id its (mean, deviation); one that is not known takes those of its own history. covariates:
    (mean, deviation) of the past ones, then of those known ahead, then of the fixed ones.
    """

    series: dict[str, tuple[float, float]]
    past: tuple[tuple[float, float], ...] = ()
    ahead: tuple[tuple[float, float], ...] = ()
    static: tuple[tuple[float, float], ...] = ()

    @classmethod
    def learn(cls, groups: Sequence[Group], ends: Sequence[int]) -> Scaling:
        """From the steps before `ends`, one for each group."""
        series = {}
        for group, end in zip(groups, ends, strict=True):
            for name, row in zip(group.ids, group.values[:, :end], strict=True):
                series[name] = moments(row)
        return cls(
            series=series,
            past=_joint([group.past[:, :end] for group, end in zip(groups, ends, strict=True)]),
            ahead=_joint([group.future[:, :end] for group, end in zip(groups, ends, strict=True)]),
            static=_joint([group.static.T for group in groups]),
        )

    def track(self, group: Group, frequency: Frequency, *, end: int | None = None, marks: bool = True) -> Track:
        """The group standardised. end: steps from which on nothing is to be known (of series that are new)."""
        rows = zip(group.ids, group.values[:, :end], strict=True)
        found = np.asarray([self._of(name, row) for name, row in rows], dtype=np.float32)
        location, scale = found[:, :1], found[:, 1:]
        ahead = _standardised(group.future, self.ahead)
        if marks:
            ahead = np.concatenate([ahead, calendar(group.index, frequency)[0]])
        return Track(
            group=group,
            frequency=frequency,
            values=((group.values - location) / scale).astype(np.float32),
            past=_standardised(group.past, self.past),
            ahead=ahead.astype(np.float32),
            static=_standardised(group.static.T, self.static).T,
            location=location,
            scale=scale,
        )

    def _of(self, name: str, row: np.ndarray) -> tuple[float, float]:
        """What a series is standardised by: what was learnt of it, unless one of the same name is another."""
        mean, deviation = own = moments(row)
        learnt = self.series.get(name)
        if learnt is None:
            return own
        alike = abs(mean - learnt[0]) < 5 * learnt[1] and 0.2 < deviation / learnt[1] < 5
        return learnt if alike or np.isnan(row).all() else own


def moments(row: np.ndarray) -> tuple[float, float]:
    """Mean and deviation of what is observed in row [N]; a constant has the deviation 1."""
    seen = row[~np.isnan(row)].astype(np.float64)
    if not len(seen):
        return 0.0, 1.0
    deviation = float(seen.std())
    return float(seen.mean()), deviation if deviation > 1e-6 * max(1.0, abs(float(seen.mean()))) else 1.0


def _joint(arrays: Sequence[np.ndarray]) -> tuple[tuple[float, float], ...]:
    """Moments of each covariate over all groups: arrays of [X, N]."""
    return tuple(moments(np.concatenate(rows)) for rows in zip(*arrays, strict=True))


def _standardised(array: np.ndarray, known: Sequence[tuple[float, float]]) -> np.ndarray:
    """array [X, N] by its (mean, deviation)."""
    if not len(array):
        return array.astype(np.float32)
    means, deviations = np.asarray(known, dtype=np.float32).T[..., None]
    return ((array - means) / deviations).astype(np.float32)
