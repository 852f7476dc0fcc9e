"""fit, predict, update: the forecaster in three calls."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tsuite.core.errors import UserError

pd = pytest.importorskip("pandas")

from tsuite.domains.timeseries.patchtst import ForecastModel  # noqa: E402

HOURS = 24 * 24
COLUMNS = ["unique_id", "ds", "horizon", "y_hat", *(f"q{level}0" for level in range(1, 10))]


def frame() -> Any:
    """Two series with a day and a covariate that moves the first."""
    random, steps = np.random.default_rng(0), np.arange(HOURS + 48)
    heat = random.normal(size=len(steps))
    return pd.DataFrame(
        {
            "ds": pd.date_range(
                "2024-03-20", periods=len(steps), freq="h", tz="Europe/Berlin"
            ),  # over a change of clocks
            "load": 10 + 3 * np.sin(2 * np.pi * steps / 24) + heat,
            "sun": 5 + 2 * np.cos(2 * np.pi * steps / 24),
            "heat": heat,
        }
    )


@cache
def fitted() -> ForecastModel:
    model = ForecastModel(
        horizon=24, lookback=48, target="load,sun", future="heat", epochs=2, dim=16, heads=2, hidden=32, depth=1
    )
    return model.fit(frame()[:HOURS])


def ahead(start: int, steps: int = 24) -> Any:
    return frame()[["heat"]][start : start + steps]


def test_forecasts_follow_the_frame() -> None:
    table = fitted().follow(frame()[:HOURS]).predict(24, future=ahead(HOURS))
    assert list(table.columns) == COLUMNS
    assert list(table["unique_id"].unique()) == ["load", "sun"]
    first = table[table["unique_id"] == "load"]
    assert list(first["ds"]) == list(frame()["ds"][HOURS : HOURS + 24])
    assert list(first["horizon"]) == list(range(1, 25))
    assert (np.diff(table[COLUMNS[4:]].to_numpy(), axis=1) >= 0).all()


def test_an_update_is_as_if_the_frame_had_been_longer() -> None:
    model, table = fitted().follow(frame()[:HOURS]), frame()
    for row in range(HOURS, HOURS + 5):
        model.update({name: table[name][row] for name in ("load", "sun", "heat")})
    model.update(table[["load", "sun", "heat"]][HOURS + 5 : HOURS + 24])
    updated = model.predict(24, future=ahead(HOURS + 24))
    whole = fitted().follow(table[: HOURS + 24]).predict(24, future=ahead(HOURS + 24))
    assert list(updated["ds"]) == list(whole["ds"])
    np.testing.assert_allclose(updated["y_hat"], whole["y_hat"], rtol=1e-4)


def test_what_is_not_named_was_not_observed() -> None:
    model = fitted().follow(frame()[:HOURS])
    model.update({"load": 12.0})
    assert model._panel is not None
    (group,) = model._panel.groups
    assert group.values[0, -1] == 12.0
    assert np.isnan(group.values[1, -1])
    assert np.isfinite(model.predict(24)["y_hat"]).all()  # heat is not known ahead, and was hidden in training


def test_the_past_that_no_forecast_looks_at_is_forgotten() -> None:
    model = fitted().follow(frame()[:HOURS])
    assert model._panel is not None
    assert len(model._panel.groups[0]) == 48


def test_saved_and_loaded(tmp_path: Path) -> None:
    fitted().save(tmp_path / "model")
    table = frame()[:HOURS].drop(columns="sun")
    mine = fitted().follow(frame()[:HOURS]).predict(24, future=ahead(HOURS))
    other = ForecastModel.load(tmp_path / "model").follow(table).predict(24, future=ahead(HOURS))
    assert list(other["unique_id"].unique()) == ["load"]
    np.testing.assert_allclose(other["y_hat"], mine["y_hat"][:24], rtol=1e-5)
    same = ForecastModel.load(tmp_path / "model").follow(frame()[:HOURS]).predict(24, future=ahead(HOURS))
    pd.testing.assert_frame_equal(same, mine, check_exact=True)


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has learnt nothing yet"):
        ForecastModel().predict(3)
    fitted().save(tmp_path / "model")
    with pytest.raises(UserError, match="follows no series yet"):
        ForecastModel.load(tmp_path / "model").predict(3)
    with pytest.raises(UserError, match="no series or covariate 'loads'"):
        fitted().follow(frame()[:HOURS]).update({"loads": 3})
    with pytest.raises(UserError, match="lacks heat"):
        fitted().follow(frame()[:HOURS]).predict(24, future=pd.DataFrame({"heats": [1.0] * 24}))
    with pytest.raises(UserError, match="'widht'"):
        ForecastModel(widht=3).fit(frame())
    for given, said in (([1, 2, 3], "has 3 steps"), (np.zeros((40, 2)), "from this ndarray"), (7, "from this int")):
        with pytest.raises(UserError, match=said):
            ForecastModel(horizon=2).fit(given)


@pytest.mark.parametrize("steps", [0, -1, 2.5, "3", float("nan")])
def test_no_number_of_steps(steps: Any) -> None:
    with pytest.raises(UserError, match=r"at least 1, not .*predict\(\) forecasts the 24 steps"):
        fitted().follow(frame()[:HOURS]).predict(steps)
    assert len(fitted().predict()) == 48
    assert len(fitted().predict(np.int64(2))) == 4  # pyright: ignore[reportArgumentType]


def test_known_ahead_by_its_stamps() -> None:
    """Whatever its order, and whatever else it holds, it is as if the table had gone on."""
    table, model = frame(), fitted()
    longer = table[: HOURS + 24].copy()
    longer.loc[HOURS:, ["load", "sun"]] = np.nan
    expected = model.follow(longer).predict(24)
    model.follow(table[:HOURS])
    naive = table.assign(ds=table["ds"].dt.tz_localize(None))[HOURS - 5 :]  # on the clock of the series
    for future in (table, ahead(HOURS), table[HOURS:][::-1], table.set_index("ds")["heat"], naive):
        pd.testing.assert_frame_equal(model.predict(24, future=future), expected)


def test_numbers_without_dates() -> None:
    values = 5 + np.sin(np.arange(120) / 2)
    model = ForecastModel(horizon=4, lookback=16, max_steps=1, dim=8, heads=2, hidden=8, depth=1).fit(list(values))
    table = model.predict(2)
    assert table["ds"].tolist() == [120, 121]
    assert table["unique_id"].unique().tolist() == ["y"]
