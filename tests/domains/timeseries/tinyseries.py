"""A forecaster of two seasonal series, trained in seconds."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from tsuite.core import finetune, flow, registry
from tsuite.domains.timeseries.frames import pd
from tsuite.domains.timeseries.patchtst.options import FinetuneOptions
from tsuite.domains.timeseries.patchtst.task import ForecastTask

NAME = "timeseries.patchtst"
STEPS, LOOKBACK, HORIZON = 600, 48, 12
SHAPE = {"dim": "16", "depth": "1", "heads": "2", "hidden": "16", "dropout": "0"}
QUICK: dict[str, Any] = {"horizon": HORIZON, "lookback": LOOKBACK, "future": "temperature", "max_steps": 60, "lr": 3e-3,
                         "batch_size": 32}  # fmt: skip


def task_class() -> type[ForecastTask]:
    return registry.card(NAME).load_task()


def frame(steps: int = STEPS, *, ahead: int = 0, seed: int = 0) -> pd.DataFrame:
    """Hourly demand of two towns: a day's wave, what temperature adds, noise; `ahead` rows more with it alone."""
    random, hour = np.random.default_rng(seed), np.arange(steps + ahead)
    warmth = 15 + 8 * np.sin(2 * np.pi * hour / 24 / 7) + random.normal(0, 2, steps + ahead)
    wave = np.sin(2 * np.pi * hour / 24)
    towns = {"north": 100 + 20 * wave + warmth, "south": 4000 + 500 * wave + 40 * warmth}
    made = pd.DataFrame({"time": pd.date_range("2024-01-01", periods=steps + ahead, freq="h")})
    for name, values in towns.items():
        noisy = values * (1 + random.normal(0, 0.01, steps + ahead))
        made[name] = np.where(hour < steps, noisy, np.nan)
    made["temperature"] = warmth
    return made


def folder(prefix: str) -> Path:
    """A new one that goes when the tests end."""
    made = Path(tempfile.mkdtemp(prefix=f"tsuite-{prefix}-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


@cache
def data() -> Path:
    """load.csv of `frame()`; made once."""
    path = folder("series") / "load.csv"
    frame().to_csv(path, index=False)
    return path


def request(source: Any = None, *, checkpoint: Any = None, **more: Any) -> flow.Request:
    return flow.Request(
        name=NAME, data=None if source is None else str(source), checkpoint=checkpoint and str(checkpoint),
        device="cpu", threads=1, **more,
    )  # fmt: skip


def train(where: Path, source: Any = None, *, checkpoint: Any = None, shape: Any = None, **options: Any) -> Any:
    """Fine-tune through the flow of the command; gives its report."""
    settings = {} if checkpoint else {**SHAPE, **(shape or {})}
    asked = request(source or data(), checkpoint=checkpoint, settings=settings)
    report = finetune.finetune(asked, FinetuneOptions(**{**QUICK, **options}), where)
    assert report is not None
    return report


@cache
def trained() -> tuple[Path, Any]:
    """A run folder and its report; made once."""
    where = folder("series-run") / "run"
    return where, train(where)


@cache
def task() -> ForecastTask:
    """The trained task; not to be changed."""
    made = task_class().load(str(trained()[0]))
    made.network.eval()
    return made
