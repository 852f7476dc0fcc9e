"""Rows of a table, sorted by series and stamp, as groups on timelines without gaps.

R rows, C series of a group, N time steps, K steps known ahead, P past covariates, F future-known covariates.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ...core.errors import UserError
from .frames import pd
from .frequency import Frequency, check_steps
from .panel import Group


@dataclass(frozen=True, kw_only=True)
class Rows:
    """R rows: `stamps` [R], `codes` [R] (which series of `ids`), and float32 blocks [columns, R]; `order` [R] is each
    row's number in the table."""

    stamps: pd.Index
    codes: np.ndarray
    ids: tuple[str, ...]
    targets: np.ndarray
    past: np.ndarray
    future: np.ndarray
    order: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def sorted(self) -> tuple[Rows, tuple[str, ...]]:
        """The rows series by series in the order of time, and a notice if any series was not."""
        time = self.stamps.asi8 if isinstance(self.stamps, pd.DatetimeIndex) else self.stamps.to_numpy(np.int64)
        order = np.argsort(self.codes, kind="stable")
        backwards = (np.diff(time[order]) < 0) & (np.diff(self.codes[order]) == 0)
        notice: tuple[str, ...] = ()
        if backwards.any():
            at = order[int(np.argmax(backwards)) + 1]
            notice = (f"The rows were not in the order of time (first at {self.stamps[at]}); they are now.",)
            order = np.lexsort((time, self.codes))
        if (order == np.arange(len(order))).all():
            return dataclasses.replace(self, order=order), notice
        blocks = {name: getattr(self, name)[:, order] for name in ("targets", "past", "future")}
        moved = dataclasses.replace(
            self, stamps=self.stamps.take(order), codes=self.codes[order], order=order, **blocks
        )
        return moved, notice

    @property
    def starts(self) -> np.ndarray:
        """The row at which each series begins, once sorted."""
        return np.concatenate([[0], np.flatnonzero(np.diff(self.codes)) + 1])

    def longest(self) -> pd.Index:
        """The stamps of the series with the most rows."""
        starts = self.starts
        counts = np.diff(np.append(starts, len(self.codes)))
        which = int(np.argmax(counts))
        return self.stamps[starts[which] : starts[which] + counts[which]]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The series of one timeline: row i of the table's stamps stands at `place[i]`; targets [C, all steps]; they end
    after `steps`, what is known of them ahead after `total`."""

    names: tuple[str, ...]
    stamps: pd.Index
    place: np.ndarray
    targets: np.ndarray
    steps: int
    total: int


@dataclass
class Found:
    """What is told of the series once all are assembled."""

    missing: int = 0
    steps: int = 0
    first_missing: str = ""
    empty: list[str] = field(default_factory=list)
    constant: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    unobserved: int = 0
    ahead: set[int] = field(default_factory=set)

    def look(self, one: Spread, frequency: Frequency) -> None:
        """Note what there is to say about the series of one timeline."""
        observed = np.isfinite(one.targets)
        gaps = observed.shape[1] - len(one.place)
        self.steps += observed.shape[1]
        if gaps:
            before = int(np.argmax(np.diff(one.place) > 1))
            self.missing += gaps
            self.first_missing = self.first_missing or str(frequency.after(one.stamps[before], 1)[0])
        self.unobserved += int((~observed[:, : one.steps]).sum()) - gaps * len(one.names)
        if one.total > one.steps:
            self.ahead.add(one.total - one.steps)
        for name, there, row in zip(one.names, observed, one.targets, strict=True):
            if not there[one.steps - 1]:
                self.ended.append(f"{name} (last {int(np.argmax(there[: one.steps][::-1]))})")
            values = row[there]
            if len(values) > 1 and (values == values[0]).all():
                self.constant.append(name)

    def notices(self) -> tuple[str, ...]:
        """Sentences for the person."""
        told = []
        if self.missing:
            told.append(f"{self.missing:,} of {self.steps:,} stamps are missing, first {self.first_missing}: "
                        "they count as not observed.")  # fmt: skip
        if self.unobserved:
            told.append(f"Empty cells of the targets: {self.unobserved:,}; they count as not observed.")
        if self.ended:
            told.append(f"Not observed at the end, where forecasts begin: {_some(self.ended)}.")
        if self.constant:
            told.append(f"Always the same value: {_some(self.constant)}.")
        if self.empty:
            told.append(f"Left out, since they hold no value: {_some(self.empty)}.")
        if self.ahead:
            steps = f"{min(self.ahead)}" if len(self.ahead) == 1 else f"{min(self.ahead)} to {max(self.ahead)}"
            told.append(f"Future covariates are known for {steps} steps after the last target.")
        return tuple(told)


def assemble(
    rows: Rows, frequency: Frequency, static: np.ndarray, *, target_names: Sequence[str], wide: bool, name: str
) -> tuple[tuple[Group, ...], tuple[str, ...]]:
    """Groups of sorted rows without doubles, and notices. Series share a group if they share timeline and covariates.

    static [series, S]. UserError for mixed frequencies and where no series holds a value."""
    starts = rows.starts
    number, _ = check_steps(frequency, rows.stamps, name=name, starts=starts, ids=rows.ids)
    stops = np.append(starts[1:], len(rows.codes))
    found = Found()
    parts: dict[tuple[object, ...], list[tuple[tuple[str, ...], np.ndarray, np.ndarray]]] = {}
    shared: dict[tuple[object, ...], tuple[pd.Index, np.ndarray, np.ndarray]] = {}
    for start, stop in zip(starts, stops, strict=True):
        series = rows.ids[rows.codes[start]]
        names = tuple(target_names) if wide else _names(series, target_names)
        place = number[start:stop] - number[start]
        total = int(place[-1]) + 1
        targets, past, future = (
            _on_ruler(block[:, start:stop], place, total) for block in (rows.targets, rows.past, rows.future)
        )
        kept = np.asarray(np.isfinite(targets).any(axis=1))
        found.empty += [one for one, has in zip(names, kept, strict=True) if not has]
        if not kept.any():
            continue
        names = tuple(one for one, has in zip(names, kept, strict=True) if has)
        targets = targets if kept.all() else targets[kept]
        steps, total = _ends(np.isfinite(targets), future)
        one = Spread(
            names=names, stamps=rows.stamps[start:stop], place=place, targets=targets, steps=steps, total=total
        )
        found.look(one, frequency)
        past, future = past[:, :steps], future[:, :total]
        key = (rows.stamps[start], steps, total, _key(past, future))
        if key not in shared:
            shared[key] = frequency.ruler(rows.stamps[start], total), past, future
        constants = np.repeat(static[rows.codes[start]][None], len(names), axis=0)
        parts.setdefault(key, []).append((names, targets[:, :steps], constants))
    if not parts:
        raise UserError(f"{name} holds no value of {', '.join(target_names)}.", "At least one cell has to be a number.")
    return tuple(_group(parts[key], *shared[key]) for key in parts), found.notices()


def _names(series: str, target_names: Sequence[str]) -> tuple[str, ...]:
    return (series,) if len(target_names) == 1 else tuple(f"{series} {target}" for target in target_names)


def _on_ruler(block: np.ndarray, place: np.ndarray, total: int) -> np.ndarray:
    """[columns, rows] -> [columns, total]: each row at its place, NaN elsewhere."""
    if len(place) == total:
        return block
    spread = np.full((len(block), total), np.nan, dtype=np.float32)
    spread[:, place] = block
    return spread


def _ends(observed: np.ndarray, future: np.ndarray) -> tuple[int, int]:
    """(N, N + K): steps at the end without a target but with a future covariate are the known future."""
    total = observed.shape[1]
    last = int(np.flatnonzero(observed.any(axis=0))[-1]) + 1
    known = np.flatnonzero(np.isfinite(future[:, last:]).any(axis=0))
    return (last, last + int(known[-1]) + 1) if len(known) else (total, total)


def _key(past: np.ndarray, future: np.ndarray) -> bytes:
    """Equal for equal covariates."""
    if not (len(past) or len(future)):
        return b""
    return hashlib.sha256(np.ascontiguousarray(past).tobytes() + np.ascontiguousarray(future).tobytes()).digest()


def _group(
    parts: list[tuple[tuple[str, ...], np.ndarray, np.ndarray]], index: pd.Index, past: np.ndarray, future: np.ndarray
) -> Group:
    return Group(
        ids=tuple(name for names, _, _ in parts for name in names),
        index=index,
        values=np.concatenate([values for _, values, _ in parts]),
        past=np.ascontiguousarray(past),
        future=np.ascontiguousarray(future),
        static=np.concatenate([constants for _, _, constants in parts]),
    )


def _some(names: list[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
