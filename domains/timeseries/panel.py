"""Series with their covariates: what every forecaster here takes.

G groups, C series of one group, N time steps, K steps after them, P past covariates, F future-known covariates,
S static covariates.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ...core.errors import UserError
from .frames import pd
from .frequency import Frequency


@dataclass(frozen=True, kw_only=True)
class Group:
    """C series on one timeline without gaps.

    `index` [N + K] holds the stamps; the targets end after N, and of the last K only `future` is known. `values`
    [C, N], `past` [P, N] and `future` [F, N + K] are float32, NaN where nothing was observed; covariates are shared by
    the group's series. `static` [C, S] holds numbers, or codes into `Panel.static_levels`.
    """

    ids: tuple[str, ...]
    index: pd.Index
    values: np.ndarray
    past: np.ndarray
    future: np.ndarray
    static: np.ndarray

    @classmethod
    def of(
        cls,
        values: np.ndarray,
        index: pd.Index,
        *,
        ids: tuple[str, ...] = (),
        past: np.ndarray | None = None,
        future: np.ndarray | None = None,
        static: np.ndarray | None = None,
    ) -> Group:
        """A group of arrays; what is not given is empty, `ids` "0", "1", ..."""
        values = np.asarray(values, dtype=np.float32)
        series, steps = values.shape
        return cls(
            ids=ids or tuple(str(number) for number in range(series)),
            index=index,
            values=values,
            past=np.empty((0, steps), np.float32) if past is None else np.asarray(past, np.float32),
            future=np.empty((0, len(index)), np.float32) if future is None else np.asarray(future, np.float32),
            static=np.empty((series, 0), np.float32) if static is None else np.asarray(static, np.float32),
        )

    def __post_init__(self) -> None:
        series, steps = self.values.shape
        ahead = len(self.index) - steps
        shapes = (len(self.ids), ahead >= 0, self.past.shape[1], self.future.shape[1], self.static.shape[0])
        if shapes != (series, True, steps, steps + ahead, series):
            raise ValueError(
                f"values {self.values.shape}, past {self.past.shape}, future {self.future.shape} and static "
                f"{self.static.shape} do not belong to {len(self.ids)} series and {len(self.index)} stamps"
            )

    def __len__(self) -> int:
        """Time steps N of the targets."""
        return self.values.shape[1]

    @property
    def ahead(self) -> int:
        """K: stamps after the targets' end."""
        return len(self.index) - len(self)

    def renamed(self, names: Mapping[str, str]) -> Group:
        """With the series of `names` called otherwise."""
        return dataclasses.replace(self, ids=tuple(names.get(name, name) for name in self.ids))

    def slice(self, start: int, stop: int, *, ahead: int = 0) -> Group:
        """The steps from `start` to before `stop`, and of the future-known covariates at most `ahead` more; views."""
        start, stop, _ = slice(start, stop).indices(len(self))
        return dataclasses.replace(
            self,
            index=self.index[start : stop + ahead],
            values=self.values[:, start:stop],
            past=self.past[:, start:stop],
            future=self.future[:, start : stop + ahead],
        )


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Any number of series of one frequency, in groups that share a timeline.

    `past`, `future` and `static` name the covariates in the order of the groups' rows; `targets` the columns the
    series came from; `static_levels` the words that codes of a static covariate stand for. `sha256` is that of what it
    was read from, `unit` that of the targets; `notices` are sentences for the person.
    """

    groups: tuple[Group, ...]
    frequency: Frequency
    name: str
    past: tuple[str, ...] = ()
    future: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    static_levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sha256: str = ""
    unit: str = ""
    notices: tuple[str, ...] = ()

    def __len__(self) -> int:
        """The number of series."""
        return sum(len(group.ids) for group in self.groups)

    @property
    def ids(self) -> tuple[str, ...]:
        """Every series' name, group by group."""
        return tuple(name for group in self.groups for name in group.ids)

    @property
    def longest(self) -> int:
        """Time steps of the longest series."""
        return max((len(group) for group in self.groups), default=0)

    def slice_time(self, start: int, stop: int, *, ahead: int = 0) -> Panel:
        """Each group's steps from `start` to before `stop` (negative: from its end); see `Group.slice`."""
        return dataclasses.replace(self, groups=tuple(group.slice(start, stop, ahead=ahead) for group in self.groups))

    def to_frame(self) -> pd.DataFrame:
        """The targets as a tidy frame: unique_id, ds, y; unobserved steps are NaN rows."""
        parts = [
            pd.DataFrame({"unique_id": name, "ds": group.index[: len(group)], "y": row})
            for group in self.groups
            for name, row in zip(group.ids, group.values, strict=True)
        ]
        return pd.concat(parts, ignore_index=True)


def require_future(panel: Panel, horizon: int) -> None:
    """UserError, naming series, covariate and first missing stamp, unless the future-known covariates of every group
    cover the `horizon` steps after its targets' end."""
    for group in panel.groups:
        end = len(group)
        known = group.future[:, end : end + horizon]
        for name, row in zip(panel.future, known, strict=True):
            missing = np.flatnonzero(~np.isfinite(row))
            at = int(missing[0]) if len(missing) else len(row)
            if at >= horizon:
                continue
            stamp = panel.frequency.after(group.index[end - 1], at + 1)[-1]
            raise UserError(
                f"{panel.name}: the future covariate {name} is not known at {stamp} (series {group.ids[0]}), but a "
                f"horizon of {horizon} needs it for {horizon} steps after {group.index[end - 1]}.",
                f"Add rows with {name} and without the target, or use a horizon of {at}."
                if at
                else f"Add {horizon} rows with {name} and without the target after the last one.",
            )
