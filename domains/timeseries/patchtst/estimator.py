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
from ....core.errors import UserError
from ....core.options import build
from ....core.train import fit
from ..added import grown, known_ahead
from ..covariates import matched
from ..frames import pd
from ..panel import Panel
from ..tables import Columns
from ..windows import window_at
from .options import FinetuneOptions, RunOptions, TableOptions
from .parts import columns_of, panel_of
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
        """Learn from a frame, a Series, numbers [N], a file or a named data set; where it ends forecasts begin."""
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

    def predict(
        self, horizon: int | None = None, *, future: pd.DataFrame | pd.Series | None = None, **options: Any
    ) -> pd.DataFrame:
        """The next `horizon` steps (None: as many as were trained) of every series, tidy.

        future: the covariates known ahead, a column each, for these steps, found by their time stamps (and by series:
        unique_id); without stamps, exactly these steps in order. Not needed where the table that was followed went on
        with them. Other options are those of `tsuite run timeseries.patchtst`.
        """
        task, panel = self.task, self._followed()
        trained = task.network.config.horizon
        horizon = trained if horizon is None else horizon
        if not isinstance(horizon, (int, np.integer)) or horizon < 1:
            raise UserError(
                f"A forecast has a whole number of steps, at least 1, not {horizon!r}.",
                f"predict() forecasts the {trained} steps that were trained.",
            )
        horizon = int(horizon)
        asked = build(RunOptions, {**options, "horizon": horizon})
        if future is not None:
            panel = known_ahead(panel, future, horizon, self._columns())
        panel, _ = matched(panel, task.around.told, horizon)
        windows = [window_at(track, track.steps, horizon) for track in task.tracks(panel)]
        frames = [result.frame() for result in task.infer(windows, asked)]
        return pd.concat(frames, ignore_index=True)

    def update(self, observed: Mapping[str, Any] | pd.Series | pd.DataFrame) -> ForecastModel:
        """What happened in the next step, or in several (a frame's rows): series and covariates by name. A series that
        is not named, or is NaN, was not observed. Raises UserError for a name that is neither, for what is no finite
        number, and for rows whose time stamps are not those that come next."""
        self._panel = grown(self._followed(), observed, self._columns())
        self._trim()
        return self

    def save(self, folder: str | Path) -> Path:
        """Write a checkpoint that `load` and every tsuite command read."""
        checkpoint.write(Path(folder), self.task.save)
        return Path(folder)

    def _columns(self) -> Columns:
        """What is said of the columns of tables, now or when it was trained."""
        now, then = columns_of(self.options), columns_of(TableOptions(**self.task.around.table))
        return Columns(id=now.id or then.id, time=now.time or then.time)

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
