"""What a forecaster learns from and forecasts: an origin in a timeline, the look-back before it, the horizon after it.

    values  . . . [ look-back . . . . . . ) origin [ horizon . . . ) . . .
    covariates    [ known up to the origin )       [ known ahead    )

A window is a place, not a copy: what it holds is cut out of the timeline when a batch is made.

Axes: B windows, R rows (the series of all windows, one below the other), C series of a group, N steps, L look-back,
H horizon, P past covariates, F covariates known ahead (calendar included).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ...core.lazy import LazySequence
from ...core.task import Batch, Example
from .calendar import calendar
from .frames import pd
from .frequency import Frequency
from .panel import Group


@dataclass(frozen=True, kw_only=True)
class Track:
    """A group as a network sees it: standardised, with what is missing marked by NaN.

    values [C, N]; past [P, N]; ahead [F, N + K], calendar last; static [C, S]; location and scale [C, 1] undo the
    standardisation of the values; errors [C]: the error that MASE counts in, in deviations (None: not known). unit: of
    the values before that.
    """

    group: Group
    frequency: Frequency
    values: np.ndarray
    past: np.ndarray
    ahead: np.ndarray
    static: np.ndarray
    location: np.ndarray
    scale: np.ndarray
    errors: np.ndarray | None = None
    unit: str = ""

    @property
    def steps(self) -> int:
        """N."""
        return self.values.shape[1]

    def restored(self, values: np.ndarray) -> np.ndarray:
        """Standardised values [C, ..., H] in original units."""
        shape = (-1, *[1] * (values.ndim - 1))
        return values * self.scale.reshape(shape) + self.location.reshape(shape)


@dataclass(frozen=True, kw_only=True)
class Window(Example):
    """Forecast from `origin` on, the first step that is not known, for `horizon` steps; in original units, or with
    `deviations` in the track's own, in which the literature scores."""

    track: Track = field(repr=False)
    origin: int
    horizon: int
    deviations: bool = False
    notices: tuple[str, ...] = ()


class Windows(LazySequence[Window]):
    """The windows of tracks whose origins lie in a range for each: numbers stand for places, and nothing is cut out.

    spans: for each track the first origin and the one after the last; stride: steps between origins; deviations: see
    `Window`.
    """

    def __init__(
        self,
        tracks: Sequence[Track],
        spans: Sequence[tuple[int, int]],
        *,
        horizon: int,
        stride: int = 1,
        deviations: bool = False,
    ) -> None:
        self.tracks, self.spans, self.horizon, self.stride = list(tracks), list(spans), horizon, stride
        self.deviations = deviations
        counts = [max(0, -(-(last - first) // stride)) for first, last in spans]
        self._ends = np.cumsum([0, *counts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def item(self, number: int) -> Window:
        place = int(np.searchsorted(self._ends, number, side="right")) - 1
        origin = self.spans[place][0] + (number - int(self._ends[place])) * self.stride
        return window_at(self.tracks[place], origin, self.horizon, deviations=self.deviations)


def window_at(track: Track, origin: int, horizon: int, *, deviations: bool = False) -> Window:
    """The window of a track that begins to forecast at `origin`."""
    ids, index = track.group.ids, track.group.index
    name = ids[0] if len(ids) == 1 else f"{len(ids)} series"
    when = f"from {index[origin]}" if origin < len(index) else f"after {index[-1]}"
    return Window(id=f"{name} {when}", track=track, origin=origin, horizon=horizon, deviations=deviations)


@dataclass(frozen=True, kw_only=True)
class WindowBatch(Batch):
    """Rows of a batch. Where nothing is known, values are 0 and `observed` (`target_observed`) False.

    values, observed [R, L]; target, target_observed [R, H]; past [B, P, L], ahead [B, F, L + H] with NaN as 0;
    known [B, F, L + H]: False where a covariate is missing; window [R]: the window that a row belongs to;
    static [R, S], 0 (the mean) where it is not known.
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
    before = min(max(0, -start), stop - start)
    behind = stop - start - before - inside.shape[1]
    if not (before or behind):
        return inside
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
        static=torch.from_numpy(np.concatenate(statics)).float().nan_to_num(0.0),
    )


def batch_of_values(values: Tensor, *, horizon: int) -> WindowBatch:
    """values [B, L, C], nothing missing and nothing told beside them, as the batch that they make."""
    count, lookback, series = values.shape
    rows = values.transpose(1, 2).reshape(-1, lookback)
    return WindowBatch(
        values=rows,
        observed=torch.ones_like(rows, dtype=torch.bool),
        target=rows.new_zeros(len(rows), horizon),
        target_observed=torch.zeros(len(rows), horizon, dtype=torch.bool),
        past=rows.new_zeros(count, 0, lookback),
        ahead=rows.new_zeros(count, 0, lookback + horizon),
        known=torch.zeros(count, 0, lookback + horizon, dtype=torch.bool),
        window=torch.arange(count).repeat_interleave(series),
        static=rows.new_zeros(len(rows), 0),
    )


def in_parts(batch: WindowBatch, rows: int) -> Iterator[WindowBatch]:
    """The batch in parts of whole windows with about so many rows each, so that wide tables fit into memory."""
    ends = torch.bincount(batch.window, minlength=len(batch.past)).cumsum(0)
    number = (ends - 1) // rows  # the part that each window goes to
    for part in number.unique().tolist():
        windows = number == part
        chosen = windows[batch.window]
        cut_out = {
            item.name: getattr(batch, item.name)[windows if item.name in ("past", "ahead", "known") else chosen]
            for item in dataclasses.fields(batch)
        }
        yield dataclasses.replace(batch, **{**cut_out, "window": cut_out["window"] - cut_out["window"][0]})


def without_some(batch: WindowBatch, told: int, share: float) -> WindowBatch:
    """The batch with covariates hidden in a share of its windows, so that a network learns to do without them: in half
    of these all of them, in half only what is known ahead, where a history has them and nobody knows how they go on.

    told: of those known ahead the first so many; the calendar behind them is always known."""
    draw = torch.rand(len(batch.past))[:, None, None]
    behind = torch.arange(batch.ahead.shape[2]) < batch.values.shape[1]
    seen = (draw >= share) | ((draw >= share / 2) & behind)  # [B, 1, L + H]
    always = batch.ahead.shape[1] - told
    seen = torch.cat([seen.expand(-1, told, -1), seen.new_ones(len(seen), always, seen.shape[2])], dim=1)
    return dataclasses.replace(
        batch, past=batch.past * (draw >= share / 2), ahead=batch.ahead * seen, known=batch.known & seen
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

    def track(self, group: Group, frequency: Frequency, *, end: int | None = None, marks: int = 0) -> Track:
        """The group standardised, with so many rows of `calendar_of`. end: the step before which a series' own mean and
        deviation are taken (None: all that there is of it)."""
        rows = zip(group.ids, group.values[:, :end], strict=True)
        found = np.asarray([self._of(name, row) for name, row in rows], dtype=np.float32)
        location, scale = found[:, :1], found[:, 1:]
        ahead = _standardised(group.future, self.ahead)
        if marks:
            ahead = np.concatenate([ahead, calendar_of(group.index, marks)])
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


def calendar_of(index: pd.Index, marks: int) -> np.ndarray:
    """The calendar that a network takes which learnt `marks` rows of it: [marks, N], NaN for stamps that have none.

    Cycles go from short to long, and those that suit a frequency are the last of all: so whatever frequency a network
    meets later, it is told what it was told while it learnt."""
    rows, _ = calendar(index, Frequency(alias="h"))
    return rows[len(rows) - marks :] if len(rows) else np.full((marks, len(index)), np.nan, dtype=np.float32)


def moments(row: np.ndarray) -> tuple[float, float]:
    """Mean and deviation of what is observed in row [N]; a constant has the deviation 1."""
    seen = row[~np.isnan(row)].astype(np.float64)
    if not len(seen):
        return 0.0, 1.0
    deviation = float(seen.std())
    return float(seen.mean()), deviation if deviation > max(1e-6 * abs(float(seen.mean())), 1e-30) else 1.0


def _joint(arrays: Sequence[np.ndarray]) -> tuple[tuple[float, float], ...]:
    """Moments of each covariate over all groups: arrays of [X, N]."""
    return tuple(moments(np.concatenate(rows)) for rows in zip(*arrays, strict=True))


def _standardised(array: np.ndarray, known: Sequence[tuple[float, float]]) -> np.ndarray:
    """array [X, N] by its (mean, deviation)."""
    if not len(array):
        return array.astype(np.float32)
    means, deviations = np.asarray(known, dtype=np.float32).T[..., None]
    return ((array - means) / deviations).astype(np.float32)
