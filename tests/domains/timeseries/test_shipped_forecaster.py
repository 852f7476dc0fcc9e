"""The forecaster that ships, on series that it never met."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from tsuite.core import registry
from tsuite.core.pretrained import read_json

pd = pytest.importorskip("pandas")


@cache
def shipped() -> Any:
    return registry.card("timeseries.patchtst").load_task().load("embedded")


def series(frequency: str, day: int, steps: int = 2_000) -> Any:
    """A day's wave with a little noise."""
    random, place = np.random.default_rng(0), np.arange(steps)
    wave = 100 + 30 * np.sin(2 * np.pi * place / day) + random.normal(size=steps)
    return pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=steps, freq=frequency), "load": wave})


def test_it_forecasts_what_it_was_not_trained_on() -> None:
    """Half-hours like its own, but of another series, without temperature and holidays."""
    frame = series("30min", 48)
    forecast = shipped()(frame[:-96])
    truth = frame["load"][-96:].to_numpy()
    repeated = forecast.others["repeat last"][0]
    assert np.abs(forecast.y_hat[0] - truth).mean() < 0.75 * np.abs(repeated - truth).mean()
    assert list(forecast.stamps) == list(frame["ds"][-96:])
    assert any("lacks Temperature, Holiday: forecast without them" in notice for notice in forecast.notices)
    assert forecast.unit == ""  # whatever it was trained on


def test_it_says_where_seasonal_naive_is_better() -> None:
    notices = shipped()(series("h", 24)).notices
    assert any("learnt from steps of 30min" in notice for notice in notices)
    assert any("seasonal naive is better" in notice for notice in notices)


def test_its_card_says_how_it_was_made_and_what_it_scores() -> None:
    folder = registry.card("timeseries.patchtst").folder / "checkpoint"
    made = read_json(folder / "card.json")
    assert made["command"] == "tsuite finetune timeseries.patchtst --half"
    scores, naive = made["test"]["metrics"], made["test"]["baselines"]["seasonal naive"]
    assert scores["mae"] < 0.5 * naive["mae"]
    assert 0.77 < scores["coverage80"] < 0.83
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2e6
