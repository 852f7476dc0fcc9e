"""What forecasts are told and written as: files by their ending, dates, bounds of what is forecast, longer horizons."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from tsuite.core import flow
from tsuite.core.errors import UserError
from tsuite.domains.timeseries.patchtst.options import EvaluateOptions, RunOptions

from . import tinyseries
from .tinyseries import HORIZON, frame, request

pd = pytest.importorskip("pandas")
pytest.importorskip("scipy")


def shown(report: Any) -> str:
    """What the terminal would show."""
    console = Console(file=io.StringIO(), width=160)
    console.print(report.shown)
    return console.file.getvalue()  # type: ignore[attr-defined]


@cache
def volatility() -> Path:
    """A run on the volatility of a share."""
    where, random = tinyseries.folder("volatility"), np.random.default_rng(1)
    prices = 100 * np.exp(0.01 * random.standard_normal(400).cumsum())
    table = pd.DataFrame({"date": pd.bdate_range("2018-01-01", periods=400), "ACME": prices})
    table.to_csv(where / "shares.csv", index=False)
    tinyseries.train(
        where / "run", where / "shares.csv", finance="volatility", horizon=5, lookback=40, future="", max_steps=3
    )
    return where


def test_volatility_is_never_negative() -> None:
    where = volatility()
    task = tinyseries.task_class().load(str(where / "run"))
    task.network.eval()
    conformal = task.around.conformal
    assert conformal is not None
    wide = replace(conformal, widening=conformal.widening + 50)  # bands that would reach far below nothing
    task.around = replace(task.around, conformal=wide)
    options = RunOptions(calibrated=True)
    (result,) = task.infer(task.read([where / "shares.csv"], options), options)
    assert result.quantiles is not None
    assert result.quantiles.min() == 0
    assert result.y_hat.min() >= 0
    assert (np.diff(result.quantiles, axis=1) >= 0).all()
    assert all(values.min() >= 0 for values in result.others.values())


def test_daily_forecasts_show_dates_alone(tmp_path: Path) -> None:
    where = volatility()
    report = flow.run(
        request(checkpoint=where / "run", output=tmp_path), [where / "shares.csv"], RunOptions(picture=False)
    )
    assert "2019-07-15" in shown(report)
    assert "00:00:00" not in shown(report)


def test_output_names_a_picture_a_table_or_a_folder(tmp_path: Path) -> None:
    def run(name: str) -> Any:
        asked = request(checkpoint=tinyseries.trained()[0], output=tmp_path / name)
        return flow.run(asked, [frame(ahead=HORIZON)], RunOptions(picture=False))

    assert [Path(path).name for path in run("f.svg").artifacts] == ["f.svg"]
    assert "</svg>" in (tmp_path / "f.svg").read_text(encoding="utf-8")
    run("f.csv.gz")
    assert len(pd.read_csv(tmp_path / "f.csv.gz")) == 2 * HORIZON
    with pytest.raises(UserError, match=r"out\.xlsx"):
        run("out.xlsx")
    assert not (tmp_path / "out.xlsx").exists()
    run("runs.v2")
    assert (tmp_path / "runs.v2" / "forecast.csv").is_file()


def evaluated(where: Path, **options: Any) -> Any:
    asked = request(tinyseries.data(), checkpoint=tinyseries.trained()[0], output=where)
    return flow.evaluate(asked, EvaluateOptions(stride=24, **options))


def test_the_ridge_of_a_longer_horizon_says_what_it_was_fitted_for(tmp_path: Path) -> None:
    assert "ridge" in evaluated(tmp_path).to_json()["baselines"]
    said = evaluated(tmp_path, horizon=20)
    assert said.to_json()["baselines"][f"ridge (fitted for {HORIZON} steps)"]["mae"] > 0
    assert f"ridge (fitted for {HORIZON} steps)" in shown(said)


def test_a_longer_horizon_says_how_much_the_bands_widen(tmp_path: Path) -> None:
    asked = request(checkpoint=tinyseries.trained()[0], output=tmp_path)
    notes = " ".join(flow.run(asked, [frame(ahead=20)], RunOptions(horizon=20, picture=False)).to_json()["notices"])
    assert "later ones read the forecasts of earlier ones" in notes
    assert f"times as wide at step 20 as at step {HORIZON}" in notes
    assert "bands widen" not in notes


def test_what_batteries_saved_over_many_origins(tmp_path: Path) -> None:
    report = evaluated(tmp_path, task="dispatch", of="price")
    said = json.loads(json.dumps(report.to_json()))
    assert said["metrics"]["captured"] <= 1
    assert said["metrics"]["saved"] == pytest.approx(said["dispatch"]["mean"]["saved"])
    table = pd.read_csv(tmp_path / "savings.csv")
    assert len(table) == said["dispatch"]["schedules"] == 2 * said["origins"]
    assert table["savings"].sum() == pytest.approx(said["dispatch"]["sum"]["savings"], abs=1e-3)
    assert shown(report).count("north") == said["origins"]
