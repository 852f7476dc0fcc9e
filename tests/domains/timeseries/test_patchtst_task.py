"""timeseries.patchtst through the flow of the commands: a small model on two towns' hourly demand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tsuite.core import flow
from tsuite.core.errors import UserError
from tsuite.domains.timeseries.heads import LEVELS
from tsuite.domains.timeseries.patchtst.options import EvaluateOptions, RunOptions
from tsuite.domains.timeseries.patchtst.parts import told_apart
from tsuite.domains.timeseries.tables import read_panel

from . import tinyseries
from .tinyseries import HORIZON, LOOKBACK, STEPS, frame, request, task

pd = pytest.importorskip("pandas")
BANDS = [f"q{round(100 * level)}" for level in LEVELS]


def run(*inputs: Any, output: Path | None = None, checkpoint: Any = None, **options: Any) -> Any:
    asked = request(checkpoint=checkpoint or tinyseries.trained()[0], output=output)
    return flow.run(asked, inputs, RunOptions(**{"picture": False, **options}))


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# -- run ----------------------------------------------------------------------------------------------------------


def test_a_file_becomes_a_table_a_picture_and_json(tmp_path: Path) -> None:
    report = run(tinyseries.data(), output=tmp_path / "out", picture=True)
    (result,) = report.to_json()["results"]
    assert result["ds"][0] == "2024-01-26 00:00:00"
    assert [row["unique_id"] for row in result["series"]] == ["north", "south"]
    assert set(result["series"][0]) == {"unique_id", "y_hat", *BANDS}
    table = pd.read_csv(tmp_path / "out" / "forecast.csv")
    assert list(table.columns) == ["unique_id", "ds", "horizon", "y_hat", *BANDS]
    assert len(table) == 2 * HORIZON
    assert (np.diff(table[BANDS], axis=1) >= 0).all()
    assert table["horizon"].tolist() == [*range(1, HORIZON + 1)] * 2
    north, south = (table[table["unique_id"] == name]["y_hat"] for name in ("north", "south"))
    assert 90 < north.min() < north.max() < 160
    assert 3500 < south.min() < south.max() < 6000
    assert (tmp_path / "out" / "forecast.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(("name", "read"), [("f.parquet", "read_parquet"), ("f.csv", "read_csv")])
def test_one_file_of_forecasts(name: str, read: str, tmp_path: Path) -> None:
    assert [str(path) for path in run(tinyseries.data(), output=tmp_path / name).artifacts] == [str(tmp_path / name)]
    assert len(getattr(pd, read)(tmp_path / name)) == 2 * HORIZON


def test_nothing_after_the_origin_counts() -> None:
    """The same file cut off at the origin forecasts the same, to the last bit, as the held-out part of the whole."""
    whole, horizon = frame(), HORIZON
    changed = whole.copy()
    origin = task().held_out(str(tinyseries.data())).examples[40].origin
    for name in ("north", "south"):
        changed.loc[origin:, name] *= 1000
    changed.to_csv("changed.csv", index=False)
    options = RunOptions()
    one, two = (
        next(iter(task().infer([task().held_out(str(path)).examples[40]], options)))
        for path in (tinyseries.data(), "changed.csv")
    )
    assert not np.array_equal(one.truth, two.truth)
    np.testing.assert_array_equal(one.quantiles, two.quantiles)
    np.testing.assert_array_equal(one.others["ridge"], two.others["ridge"])
    cut = changed.copy()
    cut.loc[origin:, ["north", "south"]] = np.nan
    alone = task()(cut.iloc[: origin + horizon])
    np.testing.assert_allclose(alone.quantiles, one.quantiles, rtol=1e-5)
    assert list(alone.stamps) == list(one.stamps)


def test_a_new_series_is_not_scaled_by_its_future(tmp_path: Path) -> None:
    names = {"north": "east", "south": "west"}
    for name, factor in (("a.csv", 1), ("b.csv", 1000)):
        new = frame().rename(columns=names)
        new.loc[500:, ["east", "west"]] *= factor
        new.to_csv(name, index=False)
    one, two = (next(iter(task().infer([task().held_out(name).examples[10]], RunOptions()))) for name in
                ("a.csv", "b.csv"))  # fmt: skip
    np.testing.assert_array_equal(one.quantiles, two.quantiles)
    said = flow.evaluate(request("a.csv", checkpoint=tinyseries.trained()[0]), EvaluateOptions(stride=12)).to_json()
    assert said["metrics"]["mase"] < 1  # also of a series it never met


def test_the_calendar_is_known_beyond_the_table() -> None:
    """Where nothing but the calendar is known ahead, it makes no difference whether the table has rows for it."""
    (window,) = task().read([frame()], RunOptions())
    batch = task().preprocess([window])
    assert not batch.known[0, 0, LOOKBACK:].any()  # temperature
    assert batch.known[0, 1:].all()


def test_covariates_ahead_are_used_and_may_be_missing() -> None:
    with_it, without = task()(frame(ahead=HORIZON)), task()(frame())
    assert "temperature is not known after the end of the frame: forecast without it." in without.notices
    assert not any("without it" in notice for notice in with_it.notices)
    assert (with_it.y_hat != without.y_hat).any()
    gone = task()(frame().drop(columns="temperature"))
    assert "the frame lacks temperature: forecast without it." in gone.notices
    assert np.isfinite(gone.y_hat).all()


def test_covariates_that_are_needed(tmp_path: Path) -> None:
    tinyseries.train(tmp_path / "run", max_steps=2, hide=0.0)
    needs = tinyseries.task_class().load(str(tmp_path / "run"))
    with pytest.raises(UserError, match="lacks temperature"):
        needs(frame().drop(columns="temperature"))
    with pytest.raises(UserError, match="temperature is not known at 2024-01-26 04:00:00"):
        needs(frame(ahead=4))
    assert np.isfinite(needs(frame(ahead=HORIZON)).y_hat).all()


def test_a_longer_horizon_rolls_on_and_says_so() -> None:
    result = task()(frame(), horizon=30)
    assert result.y_hat.shape == (2, 30)
    assert any("trained for 12 steps" in notice for notice in result.notices)
    widths = result.quantiles[:, -1] - result.quantiles[:, 0]
    assert (widths[:, HORIZON] > 0.99 * widths[:, HORIZON - 1]).all()
    assert str(result.stamps[-1]) == "2024-01-27 05:00:00"
    short = task()(frame(), horizon=3)
    assert short.y_hat.shape == (2, 3)
    assert not any("trained for" in notice for notice in short.notices)


def test_bands_are_calibrated_unless_told_otherwise() -> None:
    calibrated, raw = task()(frame()), task()(frame(), calibrated=False)
    np.testing.assert_array_equal(calibrated.y_hat, raw.y_hat)
    assert (calibrated.quantiles[:, 0] != raw.quantiles[:, 0]).all()


def test_a_series_with_gaps() -> None:
    holes = frame(ahead=HORIZON)
    holes.loc[[570, 585, 599], ["north", "south"]] = np.nan
    holes = holes.drop(index=range(575, 580))
    result = task()(holes)
    assert np.isfinite(result.quantiles).all()
    assert str(result.stamps[0]) == "2024-01-25 23:00:00"  # where temperature is known and demand is not
    told = " ".join(result.notices)
    assert "5 of 612 stamps are missing, first 2024-01-24 23:00:00" in told
    shifted = np.abs(result.y_hat[:, 1:] / task()(frame(ahead=HORIZON)).y_hat[:, :-1] - 1)
    assert shifted.max() < 0.25
    no_covariate = holes.iloc[:-HORIZON].drop(columns="temperature")
    unobserved = task()(no_covariate)
    assert str(unobserved.stamps[0]) == "2024-01-26 00:00:00"
    assert "Not observed at the end" in " ".join(unobserved.notices)


def test_a_series_shorter_than_the_look_back() -> None:
    result = task()(frame(30))
    assert np.isfinite(result.quantiles).all()
    assert "north is shorter than the look-back of 48 steps: the rest is unobserved" in result.notices
    assert np.isfinite(task()(frame(2)).y_hat).all()


def test_a_constant_series() -> None:
    flat = frame()
    flat["north"] = 5.0
    result = task()(flat)
    assert "Always the same value: north." in result.notices
    np.testing.assert_allclose(result.y_hat[0], 5, atol=0.5)
    assert np.isfinite(result.quantiles).all()


def test_another_frequency_is_said() -> None:
    for frequency in ("D", "15min", "MS"):
        stamps = pd.date_range("2020-01-01", periods=80, freq=frequency)
        result = task()(pd.DataFrame({"ds": stamps, "sales": np.arange(80.0) % 7}))
        assert any("learnt from steps of h, these are of" in notice for notice in result.notices)
        assert np.isfinite(result.y_hat).all()
    weekly = task()(pd.DataFrame({"ds": pd.date_range("2020-01-01", periods=80, freq="D"), "a": np.arange(80.0) % 7}))
    assert weekly.others["seasonal naive"][0].tolist() == [(80 + step) % 7 for step in range(HORIZON)]
    numbered = task()(pd.DataFrame({"a": np.arange(80.0), "b": np.ones(80)}))
    assert np.isfinite(numbered.y_hat).all()


def test_never_below_zero() -> None:
    falling = pd.DataFrame({"time": frame()["time"], "rain": np.linspace(30, 0, STEPS)})
    assert task()(falling).quantiles.min() < 0
    cut = task()(falling, non_negative=True)
    assert cut.quantiles.min() == 0 <= cut.y_hat.min()


def test_a_long_table() -> None:
    wide = frame(ahead=HORIZON)
    long = wide.melt(["time", "temperature"], ["north", "south"], "unique_id", "y").rename(columns={"time": "ds"})
    results = task()(long)
    np.testing.assert_allclose(results.y_hat, task()(wide).y_hat, rtol=1e-6)
    mixed = task()(long.sample(frac=1, random_state=0))
    order = [mixed.ids.index(name) for name in results.ids]
    np.testing.assert_allclose(mixed.y_hat[order], results.y_hat, rtol=1e-6)
    late = long[(long["unique_id"] == "north") | (long["ds"] >= "2024-01-10")]
    apart = task()(late)
    assert [result.ids for result in apart] == [("north",), ("south",)]
    np.testing.assert_allclose(np.concatenate([result.y_hat for result in apart]), results.y_hat, rtol=1e-4)


def test_a_series_of_pandas_and_several_inputs() -> None:
    hours = frame().set_index("time")["north"]
    result = task()(hours)
    assert result.ids == ("north",)
    assert isinstance(result.stamps, pd.DatetimeIndex)
    several = task()(hours, frame())
    assert [each.ids for each in several] == [("frame 1: north",), ("frame 2: north", "south")]
    np.testing.assert_allclose(several[0].y_hat, result.y_hat, rtol=1e-6)


def test_time_zones() -> None:
    stamps = pd.date_range("2024-03-08", periods=STEPS, freq="h", tz="Europe/Berlin")
    zoned = frame().assign(time=stamps)
    result = task()(zoned)
    assert str(result.stamps.tz) == "Europe/Berlin"
    gaps = np.diff(result.stamps.tz_convert("UTC").asi8)
    assert (gaps == gaps[0]).all()
    with_change = task()(zoned.iloc[: 23 * 24], horizon=6)  # ends before the night in which clocks change
    assert [stamp.hour for stamp in with_change.stamps] == [0, 1, 3, 4, 5, 6]
    text = zoned.assign(time=zoned["time"].dt.tz_convert("UTC").dt.tz_localize(None))
    told = task()(text, timezone="UTC")
    assert str(told.stamps.tz) == "UTC"


def test_run_without_input_shows_a_forecast_of_the_held_out_part(tmp_path: Path) -> None:
    asked = request(tinyseries.data(), checkpoint=tinyseries.trained()[0], output=tmp_path / "out")
    said = flow.run(asked, [], RunOptions()).to_json()
    (result,) = said["results"]
    assert len(result["series"][0]["y"]) == HORIZON
    assert set(said["baselines"]) == {"seasonal naive", "repeat last", "ridge"}
    assert (tmp_path / "out" / "forecast.png").is_file()


def test_a_loaded_checkpoint_forecasts_the_same() -> None:
    first, second = task(), tinyseries.task_class().load(str(tinyseries.trained()[0] / "best"))
    one, two = first(frame(ahead=HORIZON)), second(frame(ahead=HORIZON))
    np.testing.assert_array_equal(one.quantiles, two.quantiles)
    report = run(tinyseries.data()).to_json()
    from_file = [row["y_hat"] for row in report["results"][0]["series"]]
    np.testing.assert_allclose(first(str(tinyseries.data())).y_hat, from_file, rtol=1e-5)


def test_series_of_one_name_in_several_files_are_told_apart(tmp_path: Path) -> None:
    for name in ("a", "b"):
        frame(seed=ord(name)).to_csv(f"{name}.csv", index=False)
    report = run("a.csv", "b.csv", output=tmp_path / "out")
    called = ["a: north", "a: south", "b: north", "b: south"]
    written = pd.read_csv(tmp_path / "out" / "forecast.csv")
    assert written["unique_id"].drop_duplicates().tolist() == called
    assert len(written.drop_duplicates(["unique_id", "ds"])) == len(written) == 4 * HORIZON
    (said,) = [notice for notice in report.notices if "north" in notice and "2 tables" in notice]
    assert "2 tables have a series north: these are called a: north, b: north, and so on." in said
    (alone,) = run("b.csv", output=tmp_path / "b").results
    np.testing.assert_allclose(written["y_hat"][2 * HORIZON :], alone.y_hat.ravel(), rtol=1e-5)
    names, notices = told_apart([read_panel(Path(one)) for one in ("a.csv", "a.csv")])
    assert (names[1]["north"], len(notices)) == ("a 2: north", 1)


# -- evaluate -----------------------------------------------------------------------------------------------------


def test_evaluate_scores_every_origin(tmp_path: Path) -> None:
    asked = request(tinyseries.data(), checkpoint=tinyseries.trained()[0], output=tmp_path / "out")
    said = flow.evaluate(asked, EvaluateOptions()).to_json()
    _, report = tinyseries.trained()
    assert said["metrics"] == pytest.approx(report.metrics, rel=1e-4)
    assert said["origins"] == 109
    assert said["diebold_mariano"]["p_value"] < 1
    assert len(said["per_step"]["coverage_80"]) == HORIZON
    assert 0.5 < said["metrics"]["coverage80"] < 1
    sparse = flow.evaluate(asked, EvaluateOptions(stride=12, horizon=24)).to_json()
    assert sparse["origins"] == 9  # (120 - 24) // 12 + 1
    assert len(sparse["per_step"]["mae"]) == 24
    assert (said["data"]["n"], sparse["data"]["n"]) == (109, 9)  # what was scored


def test_refits_leave_the_origins_where_they_are() -> None:
    asked = request(tinyseries.data(), checkpoint=tinyseries.trained()[0])
    said = flow.evaluate(asked, EvaluateOptions(backtest=True, stride=20, refit=50)).to_json()
    assert said["origins"] == said["data"]["n"] == 6  # 0, 20 ... 100: refits come after 60 steps


def test_evaluate_is_told_which_columns_are_meant() -> None:
    asked = request(tinyseries.data(), checkpoint=tinyseries.trained()[0])
    said = flow.evaluate(asked, EvaluateOptions(target="south", stride=12)).to_json()
    assert said["metrics"]["mae"] > 30  # the larger town's alone
    with pytest.raises(UserError, match="no column 'sout'"):
        flow.evaluate(asked, EvaluateOptions(target="sout"))


def test_columns_of_a_training_are_known_later(tmp_path: Path) -> None:
    wide = frame().assign(other=1.0)
    wide.to_csv("wide.csv", index=False)
    tinyseries.train(tmp_path / "run", "wide.csv", target="north", max_steps=2)
    said = flow.evaluate(request("wide.csv", checkpoint=tmp_path / "run"), EvaluateOptions(stride=12)).to_json()
    assert said["metrics"]["mae"] < 10
    result = run("wide.csv", checkpoint=tmp_path / "run").to_json()["results"][0]
    assert [row["unique_id"] for row in result["series"]] == ["north"]


def test_a_held_out_part_that_is_too_short() -> None:
    asked = request(tinyseries.data(), checkpoint=tinyseries.trained()[0])
    with pytest.raises(UserError, match="shorter than the horizon, 200"):
        flow.evaluate(asked, EvaluateOptions(horizon=200))
