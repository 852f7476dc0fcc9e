"""A forecaster as a graph: a look-back in, the horizon out, its own mean and deviation in it.

Axes: R rows (series of all windows), B windows, L look-back, H horizon, P past and F known-ahead covariates, S fixed
ones, Q quantiles.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from ....core.export.graph import Graph, OfBatch
from ..calendar import calendar
from ..frequency import Frequency
from ..heads import LEVELS
from ..windows import WindowBatch
from .checkpoints import Surroundings
from .forecaster import Forecaster

NAMES = ("values", "observed", "past", "ahead", "known", "window", "static")
ABOUT = {
    "values": "[R, L]: the look-back, (value - mean) / deviation by config.scaling.series, or by its own history's; 0 "
              "where it is missing",
    "observed": "[R, L]: False where a value is missing",
    "past": "[B, P, L]: covariates that are known up to now, by config.scaling.past",
    "ahead": "[B, F, L + H]: those known ahead, by config.scaling.ahead, then the calendar from -1 to 1",
    "known": "[B, F, L + H]: False where one is missing, which is then 0",
    "window": "[R]: the window that a row belongs to",
    "static": "[R, S]: fixed covariates, by config.scaling.static",
    "y_hat": "[R, H]: the forecast, scaled as values are",
    "quantiles": "[R, Q, H]: at use.levels, scaled as values are",
}  # fmt: skip


def graphs(network: Forecaster, batch: WindowBatch) -> list[Graph]:
    """The network. batch: an example."""
    outputs = ("y_hat",) if network.config.head == "point" else ("y_hat", "quantiles")
    return [
        Graph(name="model", owner="network", method="forward", module=OfBatch(network, batch, NAMES), kind="batch",
              inputs={name: getattr(batch, name) for name in NAMES}, free=dict.fromkeys(NAMES, (0,)), outputs=outputs,
              about={name: ABOUT[name] for name in (*NAMES, *outputs)})
    ]  # fmt: skip


def use(network: Forecaster, around: Surroundings) -> dict[str, Any]:
    """See `Exportable.use`."""
    marks = network.config.ahead - len(around.told.future)
    names = calendar(pd.date_range("2020-01-01", periods=1), Frequency(alias="h"))[1]
    return {
        "levels": list(LEVELS),
        "past": list(around.told.past),
        "ahead": [*around.told.future, *names[len(names) - marks :]],
        "static": list(around.told.static),
        "input": "Steps of config.frequency. `cycle sin n` is sin(2 pi n place), place the part of the day, week or "
                 "year that has gone by on the local clock.",
        "output": "y_hat and quantiles times deviation plus mean are in config.unit. config.conformal.widening are "
                  "deviations by which the quantiles' pairs are moved apart, the outermost first.",
    }  # fmt: skip
