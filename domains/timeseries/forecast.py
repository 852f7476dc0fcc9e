"""Forecasts as people take them: with dates, bands and baselines, in the series' own units; and how good they were.

Axes: W windows, C series of a window, H horizon, Q quantile levels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...core.task import Result, Summary
from . import metrics
from .dates import plain
from .frames import pd
from .heads import LEVELS
from .windows import Window

NAIVE = "seasonal naive"
"""The baseline that every test compares with."""
REPEAT = "repeat last"
"""The random walk, which no forecast of prices is shown without."""
UNCHANGED = "no change"
"""The same of returns: that prices stay."""
BAND = 80
"""The band (in %) that the headline numbers speak of: from q10 to q90."""


EVIDENCE = 0.05
"""The p-value below which a difference is said to be real."""


@dataclass(frozen=True, kw_only=True)
class Forecast(Result):
    """What follows one origin: y_hat [C, H], quantiles [C, Q, H] at `LEVELS` (None: the network says none), in `unit`.

    truth [C, H]: what happened, NaN where it is not known. others: forecasts [C, H] of baselines by name. scale [C]:
    the error that MASE counts in. beside: the baseline that this is never shown without ("": none).
    """

    ids: tuple[str, ...]
    stamps: pd.Index
    y_hat: np.ndarray
    quantiles: np.ndarray | None
    truth: np.ndarray
    others: dict[str, np.ndarray]
    scale: np.ndarray
    unit: str = ""
    window: Window | None = field(default=None, repr=False)
    planned: tuple[Any, ...] = ()
    """What a battery makes of each series (`storage.Planned`), where that was asked for."""
    beside: str = ""

    def frame(self) -> pd.DataFrame:
        """One row for each series and step: unique_id, ds, horizon, y_hat, q10 … q90; of prices also repeat_last."""
        from .tables import tidy

        count = len(self.stamps)
        bands = {} if self.quantiles is None else {level: self.quantiles[:, place].ravel()
                                                   for place, level in enumerate(LEVELS)}  # fmt: skip
        table = tidy(
            [name for name in self.ids for _ in range(count)],
            self.stamps.append([self.stamps] * (len(self.ids) - 1)),
            np.tile(np.arange(1, count + 1), len(self.ids)),
            self.y_hat.ravel(),
            bands,
        )
        if self.beside:
            table.insert(4, self.beside.replace(" ", "_"), self.others[self.beside].ravel())
        return table

    def to_json(self) -> dict[str, Any]:
        known = not np.isnan(self.truth).all()
        plain = {
            "id": self.id,
            "unit": self.unit,
            "ds": [str(stamp) for stamp in self.stamps],
            "series": [
                {
                    "unique_id": name,
                    "y_hat": _rounded(self.y_hat[row]),
                    **({self.beside.replace(" ", "_"): _rounded(self.others[self.beside][row])} if self.beside else {}),
                    **({} if self.quantiles is None else {
                        f"q{round(100 * level)}": _rounded(self.quantiles[row, place])
                        for place, level in enumerate(LEVELS)
                    }),
                    **({"y": _rounded(self.truth[row])} if known else {}),
                    **({"dispatch": self.planned[row].to_json()} if self.planned else {}),
                }
                for row, name in enumerate(self.ids)
            ],
        }  # fmt: skip
        return {**plain, "notices": list(self.notices)} if self.notices else plain


def _rounded(values: np.ndarray) -> list[float | None]:
    """Seven digits, which is what float32 knows; what is not a number as None."""
    return [float(f"{value:.7g}") if math.isfinite(value) else None for value in values.tolist()]


# -- scores -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Stacked:
    """Forecasts of windows with one horizon, one below the other: R rows are the series of all windows."""

    y: np.ndarray
    y_hat: np.ndarray
    quantiles: np.ndarray | None
    others: dict[str, np.ndarray]
    scale: np.ndarray
    origin: np.ndarray
    """The window of each row, [R]."""


def stack(forecasts: Sequence[Forecast]) -> Stacked:
    """The forecasts whose truth is known at least in part, in order."""
    known = [item for item in forecasts if not np.isnan(item.truth).all()]
    if not known:
        empty = np.empty((0, 0))
        return Stacked(y=empty, y_hat=empty, quantiles=None, others={}, scale=empty[0:], origin=np.empty(0, np.int64))
    names = [name for name in known[0].others if all(name in item.others for item in known)]
    quantiles = [item.quantiles for item in known if item.quantiles is not None]
    return Stacked(
        y=np.concatenate([item.truth for item in known]),
        y_hat=np.concatenate([item.y_hat for item in known]),
        quantiles=np.concatenate(quantiles) if len(quantiles) == len(known) else None,
        others={name: np.concatenate([item.others[name] for item in known]) for name in names},
        scale=np.concatenate([item.scale for item in known]),
        origin=np.repeat(np.arange(len(known)), [len(item.ids) for item in known]),
    )


def summarise(forecasts: Sequence[Forecast], *, stride: int = 1) -> Summary:
    """Scores beside the baselines', for each step of the horizon, and whether the difference to seasonal naive is real.

    stride: steps between neighbouring origins. Empty where no truth is known.
    """
    rows = stack(forecasts)
    if not len(rows.y):
        return Summary()
    own = metrics.scores(rows.y, rows.y_hat, rows.quantiles, LEVELS, rows.scale)
    baselines = {name: metrics.scores(rows.y, y_hat, scale=rows.scale) for name, y_hat in rows.others.items()}
    steps = metrics.per_step(rows.y, rows.y_hat, rows.quantiles, LEVELS, rows.scale)
    details: dict[str, Any] = {
        "per_step": {name: [_number(value) for value in values] for name, values in steps.items()},
        "origins": int(rows.origin[-1]) + 1,
    }
    if NAIVE in rows.others:
        horizon = max(1, -(-rows.y.shape[1] // max(1, stride)))
        tested = metrics.diebold_mariano(
            _by_origin(rows, rows.y_hat), _by_origin(rows, rows.others[NAIVE]), horizon=horizon
        )
        details["diebold_mariano"] = {"against": NAIVE, "loss": "mae of an origin", **tested.to_json()}
    details["all_scores"] = _finite(own)
    return Summary(metrics=_headline(own), baselines={name: _headline(one) for name, one in baselines.items()},
                   details=details)  # fmt: skip


def _by_origin(rows: Stacked, y_hat: np.ndarray) -> np.ndarray:
    """The mean absolute error of each origin, over its series and steps."""
    error = np.abs(rows.y - y_hat)
    seen = ~np.isnan(error)
    count = np.bincount(rows.origin, seen.sum(1))
    total = np.bincount(rows.origin, np.where(seen, error, 0).sum(1))
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)


def _headline(scores: dict[str, float]) -> dict[str, float]:
    """The scores that people compare by."""
    names = ("mae", "rmse", "mse", "smape", "mase", "wql", f"coverage_{BAND}", f"width_{BAND}")
    return {name.replace("_", ""): scores[name] for name in names if math.isfinite(scores.get(name, math.nan))}


def _finite(scores: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in scores.items() if math.isfinite(value)}


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


# -- on the screen ----------------------------------------------------------------------------------------------------


def table(forecasts: Sequence[Forecast], summary: Summary) -> Any:
    """Scores beside the baselines' where truth is known, else the first steps of each forecast."""
    return _scored(summary) if summary.metrics else _coming(forecasts)


def _scored(summary: Summary) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    count = summary.details["origins"]
    title = f"forecasts from {count:,} origins" if count > 1 else None
    shown = Table(title=title, title_justify="left", header_style="bold", caption_justify="left")
    names = [name for name in ("mae", "rmse", "mse", "mase", "wql", f"coverage{BAND}") if name in summary.metrics]
    shown.add_column("", no_wrap=True)
    for name in names:
        shown.add_column(name, justify="right")
    for who, scores in {"this model": summary.metrics, **summary.baselines}.items():
        values = (scores.get(name) for name in names)
        shown.add_row(who, *("" if value is None else f"{value:.4g}" for value in values))
    told = []
    if (test := summary.details.get("diebold_mariano")) and test["p_value"] is not None:
        told.append(_tested(test))
    told += [verdict["sentence"] for verdict in summary.details.get("verdicts", {}).values()]
    return Group(shown, *(Text(sentence) for sentence in told))  # a caption would be as narrow as the table


def _tested(test: Mapping[str, Any]) -> str:
    """What the Diebold-Mariano test says, in a sentence."""
    better = "better" if test["difference"] < 0 else "worse"
    p = "p < 0.001" if test["p_value"] < 0.001 else f"p = {test['p_value']:.3f}"
    doubt = "" if test["p_value"] < EVIDENCE else ", a difference that can be chance"
    return f"{better} than {test['against']} by {abs(test['difference']):.4g} of MAE{doubt} (Diebold-Mariano {p})"


def _coming(forecasts: Sequence[Forecast], rows: int = 12) -> Any:
    from rich.table import Table

    shown = Table(title=forecasts[0].unit if forecasts else None, title_justify="left", header_style="bold")
    bands = forecasts and all(item.quantiles is not None for item in forecasts)
    for name in ("series", "when"):
        shown.add_column(name)
    beside = forecasts[0].beside if forecasts else ""
    for name in ("forecast", *((beside,) if beside else ()), *(("q10", "q90") if bands else ())):
        shown.add_column(name, justify="right")
    for item in forecasts[:6]:
        for row, name in enumerate(item.ids[:6]):
            for step, when in enumerate(plain(item.stamps)[:rows]):
                values = [item.y_hat[row, step], *([item.others[beside][row, step]] if beside else [])]
                values += (
                    [] if item.quantiles is None else [item.quantiles[row, 0, step], item.quantiles[row, -1, step]]
                )
                shown.add_row(name, when, *(f"{value:,.4g}" for value in values))
            if len(item.stamps) > rows:
                shown.add_row(name, f"… {len(item.stamps) - rows} more steps are in the table of forecasts")
    return shown
