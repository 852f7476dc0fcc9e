"""A forecaster in three calls, in the manner of scikit-learn.

    model = ForecastModel(horizon=48, future="Temperature")
    model.fit(frame)                    a pandas frame, a file, or the name of a data set
    model.predict(24)                   a tidy frame: unique_id, ds, horizon, y_hat, q10 … q90
    model.update({"Demand": 4123.0})    what happened next; the following forecast begins after it

C series, H horizon.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ....core import checkpoint, registry
from ....core.errors import UserError, near
from ....core.options import build
from ....core.train import fit
from ..covariates import matched, reaching
from ..frames import pd
from ..panel import Group, Panel
from ..windows import window_at
from .options import FinetuneOptions, RunOptions
from .parts import panel_of
from .task import ForecastTask
from .training import prepare


class ForecastModel:
    """Options are those of `tsuite finetune timeseries.patchtst`, with underscores; what is none of them is a setting
    of the network (dim=64), as --set takes it."""

    def __init__(self, **options: Any) -> None:
        known = {item.name for item in dataclasses.fields(FinetuneOptions)}
        self.settings = {name: str(value) for name, value in options.items() if name not in known}
        self.options = build(FinetuneOptions, {name: value for name, value in options.items() if name in known})
        self._task: ForecastTask | None = None
        self._panel: Panel | None = None

    @classmethod
    def load(cls, source: str | Path) -> ForecastModel:
        """A trained one: a folder that `save` or a training wrote, `embedded`, or `hf://org/name`."""
        model = cls()
        model._task = _kind().load(str(source))
        return model

    @property
    def task(self) -> ForecastTask:
        """The trained task. UserError before `fit` or `load`."""
        if self._task is None:
            raise UserError(
                "This forecaster has learnt nothing yet.", "Call fit(frame), or ForecastModel.load(folder)."
            )
        return self._task

    def fit(self, data: Any) -> ForecastModel:
        """Learn from a frame, a pandas Series, a file or a named data set; its end is where forecasts then begin."""
        prepared = prepare(_kind(), self.options, data=data, checkpoint=None, settings=self.settings)
        with tempfile.TemporaryDirectory() as folder:
            fit(prepared.task, prepared.splits, prepared.options, folder)
        self._task = prepared.task  # pyright: ignore[reportAttributeAccessIssue]
        return self.follow(data)

    def follow(self, data: Any) -> ForecastModel:
        """Forecast what comes after the end of `data`; of the past only as much is kept as forecasts look at."""
        task = self.task
        self._panel, _ = matched(panel_of(data, self.options, task.around), task.around.told, 0)
        self._trim()
        return self

    def predict(self, horizon: int = 0, *, future: pd.DataFrame | None = None, **options: Any) -> pd.DataFrame:
        """The next `horizon` steps (0: as many as were trained) of every series, tidy.

        future: the covariates known ahead, a column each, for these steps; not needed where the table that was followed
        went on with them. Other options are those of `tsuite run timeseries.patchtst`.
        """
        task, panel = self.task, self._followed()
        asked = build(RunOptions, {**options, "horizon": horizon})
        horizon = horizon or task.network.config.horizon
        if future is not None:
            panel = dataclasses.replace(panel, groups=tuple(_ahead(group, panel, future) for group in panel.groups))
        panel, _ = matched(panel, task.around.told, horizon)
        windows = [window_at(track, track.steps, horizon) for track in task.tracks(panel)]
        frames = [result.frame() for result in task.infer(windows, asked)]
        return pd.concat(frames, ignore_index=True)

    def update(self, observed: Mapping[str, Any] | pd.Series | pd.DataFrame) -> ForecastModel:
        """What happened in the next step, or in several (a frame's rows): series and covariates by name. A series that
        is not named was not observed. Raises UserError for a name that is neither."""
        rows = observed if isinstance(observed, pd.DataFrame) else pd.DataFrame([dict(observed)])
        panel = self._followed()
        known = (*panel.ids, *panel.past, *panel.future)
        for name in rows.columns:
            if name not in known:
                raise UserError(f"There is no series or covariate {name!r}.", near(str(name), known))
        self._panel = dataclasses.replace(panel, groups=tuple(_grown(group, panel, rows) for group in panel.groups))
        self._trim()
        return self

    def save(self, folder: str | Path) -> Path:
        """Write a checkpoint that `load` and every tsuite command read."""
        checkpoint.write(Path(folder), self.task.save)
        return Path(folder)

    def _followed(self) -> Panel:
        if self._panel is None:
            raise UserError("This forecaster follows no series yet.", "Call follow(frame) first.")
        return self._panel

    def _trim(self) -> None:
        """Forget what no forecast looks at, so that an update costs the same for ever."""
        panel, task = self._followed(), self.task
        reach = max(task.network.config.lookback, 2 * task.around.season)
        groups = (group.slice(max(0, len(group) - reach), len(group), ahead=group.ahead) for group in panel.groups)
        self._panel = dataclasses.replace(panel, groups=tuple(groups))


def _kind() -> type[ForecastTask]:
    return registry.card("timeseries.patchtst").load_task()  # pyright: ignore[reportReturnType]


def _columns(rows: pd.DataFrame, names: tuple[str, ...]) -> np.ndarray:
    """The columns of that name as rows [X, N], NaN for those that are not there."""
    empty = np.full(len(rows), np.nan)
    found = [np.asarray(rows[name], dtype=np.float32) if name in rows else empty for name in names]
    return np.asarray(found, dtype=np.float32).reshape(len(names), len(rows))


def _grown(group: Group, panel: Panel, rows: pd.DataFrame) -> Group:
    """The group with more steps at its end; covariates that were known ahead for them stay, unless told anew."""
    end, count, group = len(group), len(rows), reaching(group, panel.frequency, len(rows))
    told, future = _columns(rows, panel.future), group.future.copy()
    future[:, end : end + count] = np.where(np.isnan(told), future[:, end : end + count], told)
    return dataclasses.replace(
        group,
        values=np.concatenate([group.values, _columns(rows, group.ids)], axis=1),
        past=np.concatenate([group.past, _columns(rows, panel.past)], axis=1),
        future=future,
    )


def _ahead(group: Group, panel: Panel, future: pd.DataFrame) -> Group:
    """The group with the covariates of `future` after its end."""
    lacking = [name for name in panel.future if name not in future.columns]
    if lacking:
        raise UserError(
            f"The frame of what is known ahead lacks {lacking[0]}.", near(lacking[0], map(str, future.columns))
        )
    alone = reaching(group.slice(0, len(group)), panel.frequency, len(future))
    told = np.concatenate([group.future[:, : len(group)], _columns(future, panel.future)], axis=1)
    return dataclasses.replace(alone, future=told)
