"""Forecasts as files: a table for programs, pictures for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...core.errors import UserError
from . import metrics, picture, storage
from .forecast import NAIVE, Forecast, stack
from .frames import pd
from .heads import LEVELS
from .tables import write_table

PICTURES, TABLES = (".svg", ".png"), (".csv", ".csv.gz", ".parquet")
FILES = (*PICTURES, ".csv", ".gz", ".parquet", ".xlsx", ".xls", ".ods", ".tsv", ".txt", ".json", ".jsonl", ".feather",
         ".arrow", ".pdf", ".eps", ".jpg", ".jpeg", ".gif", ".webp", ".html", ".zip")  # fmt: skip
"""Endings by which a person means a file and no folder; those that are neither tables nor pictures are refused."""


def render(forecasts: Sequence[Forecast], target: Path, *, table: str = "csv", pictures: bool = True) -> list[Path]:
    """What a person asked for: the one table or picture that `target` names, else a folder with both; of schedules
    where batteries were planned for. Raises UserError for a file of another kind."""
    planned = any(item.planned for item in forecasts)
    if target.suffix in PICTURES:
        return [storage.picture_schedule(forecasts[0], target) if planned else picture_of(forecasts, target)]
    if target.name.endswith(TABLES):
        return [(storage.write_schedules if planned else write_forecasts)(forecasts, target)]
    if target.suffix in FILES:
        raise UserError(
            f"Forecasts cannot be written as {target.name}.",
            f"Let --output end in {', '.join(TABLES)}, {' or '.join(PICTURES)}, or name a folder.",
        )
    files = [write_forecasts(forecasts, target / f"forecast.{table}")]
    if planned:
        files.append(storage.write_schedules(forecasts, target / f"schedule.{table}"))
        files += [storage.picture_schedule(forecasts[0], target / "schedule.png")] if pictures else []
    return [*files, picture_of(forecasts, target / "forecast.png")] if pictures else files


def render_scores(forecasts: Sequence[Forecast], folder: Path, *, steps: bool) -> list[Path]:
    """Tables of an evaluation: a row for each step of the horizon, where `steps` are asked for, and one for each
    schedule, where batteries were planned for. Raises UserError for a file instead of a folder."""
    if folder.suffix in FILES:
        raise UserError(f"Scores are several files, more than {folder.name} can hold.", "Let --output name a folder.")
    files = [write_steps(forecasts, folder / "steps.csv")] if steps else []
    if any(item.planned for item in forecasts):
        files.append(storage.write_savings(forecasts, folder / "savings.csv"))
    return files


def write_forecasts(forecasts: Sequence[Forecast], path: Path) -> Path:
    """All forecasts in one tidy table, by the ending of `path`."""
    write_table(pd.concat([item.frame() for item in forecasts], ignore_index=True), path)
    return path


def write_steps(forecasts: Sequence[Forecast], path: Path) -> Path:
    """A row for each step of the horizon: scores of the model, and the MAE of every baseline."""
    rows = stack(forecasts)
    own = metrics.per_step(rows.y, rows.y_hat, rows.quantiles, LEVELS, rows.scale)
    others = {f"mae {name}": metrics.per_step(rows.y, y_hat)["mae"] for name, y_hat in rows.others.items()}
    write_table(pd.DataFrame({"horizon": np.arange(1, rows.y.shape[1] + 1), **own, **others}), path)
    return path


def picture_of(forecasts: Sequence[Forecast], path: Path) -> Path:
    """History, forecast, bands, baseline and truth, series by series."""
    drawn = []
    for item in forecasts:
        assert item.window is not None
        track, origin = item.window.track, item.window.origin
        index = track.group.index[:origin]
        for row, name in enumerate(item.ids):
            bands = {}
            if item.quantiles is not None:
                bands = {(LEVELS[low], LEVELS[high]): (item.quantiles[row, low], item.quantiles[row, high])
                         for low, high, part in metrics.band_pairs(LEVELS) if part in (80, 40)}  # fmt: skip
            known = not np.isnan(item.truth[row]).all()
            drawn.append(
                picture.Forecast(
                    past=index, history=track.group.values[row, :origin], stamps=item.stamps, y_hat=item.y_hat[row],
                    name=name, bands=bands, truth=item.truth[row] if known else None,
                    others={other: item.others[other][row] for other in dict.fromkeys((item.beside, NAIVE))
                            if other in item.others},
                )
            )  # fmt: skip
    unit = forecasts[0].unit if forecasts else ""
    return picture.draw_forecasts(path, drawn, unit=unit)


def picture_scores(forecasts: Sequence[Forecast], folder: Path) -> list[Path]:
    """The error at each step of the horizon beside the baselines', and how much of the truth the bands hold."""
    rows = stack(forecasts)
    if not len(rows.y):
        return []
    own = metrics.per_step(rows.y, rows.y_hat, rows.quantiles, LEVELS)
    errors = {"this model": own["mae"]}
    errors |= {name: metrics.per_step(rows.y, y_hat)["mae"] for name, y_hat in rows.others.items()}
    coverage = {part / 100: own[f"coverage_{part}"] for part in (80, 40) if f"coverage_{part}" in own}
    path = folder / "horizon.png"
    title = f"{int(rows.origin[-1]) + 1:,} forecasts"
    picture.draw_backtest(path, errors, coverage, title=title, unit=forecasts[0].unit)
    return [path]
