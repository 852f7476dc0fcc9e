"""What forecasts are for: markets, with the verdict on the random walk; batteries, with what they save."""

from __future__ import annotations

import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from tsuite.core import flow
from tsuite.core.errors import UserError
from tsuite.domains.timeseries.forecast import table
from tsuite.domains.timeseries.patchtst.options import EvaluateOptions, RunOptions

from . import tinyseries
from .tinyseries import frame, request

pd = pytest.importorskip("pandas")
WALKS = {"price": "repeat-last", "return": "no change"}


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def prices(steps: int = 700) -> Any:
    """Two shares on business days: random walks whose volatility comes and goes."""
    random = np.random.default_rng(1)
    made: dict[str, Any] = {"date": pd.bdate_range("2018-01-01", periods=steps)}
    for name, start in (("ACME", 100.0), ("BOLT", 20.0)):
        size = 0.01 * np.exp(1.2 * np.sin(2 * np.pi * np.arange(steps) / 120))
        made[name] = (start * np.exp((size * random.standard_normal(steps)).cumsum())).round(4)
    return pd.DataFrame(made)


@cache
def market(target: str) -> tuple[Path, dict[str, Any]]:
    """A run on that target, and its report."""
    where = tinyseries.folder("market")
    prices().to_csv(where / "shares.csv", index=False)
    options = {"finance": target, "horizon": 5, "lookback": 40, "future": "", "max_steps": 10, "days": 5}
    return where, tinyseries.train(where / "run", where / "shares.csv", **options).to_json()


def shown(report: Any) -> str:
    """What the terminal would show."""
    console = Console(file=io.StringIO(), width=160)
    console.print(report.shown)
    return console.file.getvalue()  # type: ignore[attr-defined]


def evaluated(target: str, **options: Any) -> dict[str, Any]:
    where, _ = market(target)
    return flow.evaluate(
        request(where / "shares.csv", checkpoint=where / "run", output=where / "out"), EvaluateOptions(**options)
    ).to_json()


@pytest.mark.parametrize("target", ["price", "return", "volatility"])
def test_the_verdict_on_each_share_is_said_plainly(target: str) -> None:
    said = evaluated(target)
    assert set(said["verdicts"]) == {"ACME", "BOLT"}
    for name, verdict in said["verdicts"].items():
        assert verdict["sentence"].startswith(f"{name}: the forecast of ")
        assert "beat" in verdict["sentence"] or "is worse than" in verdict["sentence"]
        if target in WALKS:
            assert verdict["naive"] == WALKS[target]
            assert verdict["beats"] is not True  # nothing beats a random walk
        else:
            assert verdict["naive"] in ("repeat-last", "exponential mean")
    assert "repeat last" in said["baselines"]  # never without it
    assert said["diebold_mariano"]["against"] == "seasonal naive"


def test_volatility_is_compared_with_the_exponential_mean_and_purged() -> None:
    where, said = market("volatility")
    assert "exponential mean" in said["baselines"]
    chosen = " ".join(json.loads((where / "run" / "card.json").read_text(encoding="utf-8"))["chosen"])
    train, validation, test = 489 - 40 - 5 - 4 + 1, 71 - 5 - 4 + 1, 140 - 5 + 1  # four steps less before each border
    assert f"windows: train {train}, validation {validation}, test {test}" in chosen
    _, returns = market("return")
    assert "no change" in returns["baselines"]


def test_prices_in_the_units_of_the_target_out() -> None:
    for target, largest in (("price", 1000.0), ("return", 0.5), ("volatility", 0.5)):
        where, _ = market(target)
        report = flow.run(
            request(checkpoint=where / "run", output=where / target), [prices()], RunOptions(picture=True)
        )
        (result,) = report.to_json()["results"]
        for row in result["series"]:
            assert np.abs(row["y_hat"]).max() < largest
        if target == "price":
            last = prices()[["ACME", "BOLT"]].iloc[-1].to_numpy(np.float32)
            for row, price in zip(result["series"], last, strict=True):
                assert row["repeat_last"] == pytest.approx([price] * 5)  # never a price without the random walk
            written = pd.read_csv(where / target / "forecast.csv")
            assert list(written.columns)[3:6] == ["y_hat", "repeat_last", "q10"]
            assert "repeat last" in shown(report)
        else:
            assert result["unit"] == {"return": "log return", "volatility": "volatility over 5 steps"}[target]
        assert result["ds"][0] == "2020-09-07 00:00:00"  # the Monday after the last Friday
        assert "repeat last" in next(iter(report.results)).others


def test_a_market_goes_on_as_what_it_began(tmp_path: Path) -> None:
    where, _ = market("volatility")
    said = tinyseries.train(
        tmp_path / "run", where / "shares.csv", checkpoint=where / "run", max_steps=2, horizon=0, lookback=0, future=""
    ).to_json()
    assert said["metrics"]["mae"] < 0.05  # of volatilities, not of prices
    assert "exponential mean" in said["baselines"]


def test_a_price_of_nothing_has_no_return(tmp_path: Path) -> None:
    wrong = prices()
    wrong.loc[5, "BOLT"] = 0.0
    wrong.to_csv(tmp_path / "wrong.csv", index=False)
    with pytest.raises(UserError, match=r"wrong.csv: the price of BOLT at 2018-01-08"):
        tinyseries.train(tmp_path / "run", tmp_path / "wrong.csv", finance="return", future="", horizon=5, lookback=40)


def test_the_verdict_stands_below_the_table() -> None:
    where, _ = market("price")
    task = tinyseries.task_class().load(str(where / "run"))
    task.network.eval()
    results, summary = task.assess(task.held_out(str(where / "shares.csv")), EvaluateOptions())
    told = [str(part) for part in table(results, summary).renderables[1:]]
    assert [sentence.split(":")[0] for sentence in told[1:]] == ["ACME", "BOLT"]
    assert all("random walk" in sentence for sentence in told[1:])


# -- batteries ----------------------------------------------------------------------------------------------------


def dispatched(*inputs: Any, output: Path, **options: Any) -> Any:
    asked = request(tinyseries.data(), checkpoint=tinyseries.trained()[0], output=output)
    return flow.run(asked, inputs, RunOptions(task="dispatch", **{"picture": False, **options}))


def test_a_battery_at_forecast_prices(tmp_path: Path) -> None:
    report = dispatched(
        frame(ahead=48), output=tmp_path, of="price", capacity=2.0, power=1.0, efficiency=0.9, horizon=48, picture=True
    )  # fmt: skip
    (result,) = report.to_json()["results"]
    plan = result["series"][0]["dispatch"]
    charge, discharge, level = (np.asarray(plan[name]) for name in ("charge_mw", "discharge_mw", "level_mwh"))
    assert 0 <= charge.min() <= charge.max() <= 1 + 1e-6
    assert 0 <= discharge.min() <= discharge.max() <= 1 + 1e-6
    assert -1e-6 <= level.min() <= level.max() <= 2 + 1e-6
    assert (np.minimum(charge, discharge) < 1e-6).all()
    prices = np.asarray(result["series"][0]["y_hat"])
    assert plan["expected_bill"] == pytest.approx(float((charge - discharge) @ prices), rel=1e-3)
    assert plan["expected_bill"] < 0  # the day's wave is worth more than what is lost
    assert "settlement" not in plan  # nobody knows yet
    written = pd.read_csv(tmp_path / "schedule.csv")
    assert list(written.columns) == ["unique_id", "ds", "price", "charge", "discharge", "level"]
    assert len(written) == 2 * 48
    assert {path.name for path in report.artifacts} == {"forecast.csv", "forecast.png", "schedule.csv", "schedule.png"}


def test_what_a_battery_saved_where_the_truth_is_known(tmp_path: Path) -> None:
    said = dispatched(output=tmp_path, of="price").to_json()
    for row in said["results"][0]["series"]:
        bills = row["dispatch"]["settlement"]
        assert bills["perfect"] <= bills["scheduled"] + 1e-6
        assert bills["savings"] == pytest.approx(bills["without"] - bills["scheduled"])


def test_a_battery_below_a_peak_of_demand(tmp_path: Path) -> None:
    options = {"of": "demand", "peak_charge": 1000.0, "capacity": 50.0, "power": 10.0}
    said = dispatched(frame(588, ahead=24), output=tmp_path, horizon=24, **options).to_json()  # before the peak
    for row in said["results"][0]["series"]:
        net = np.asarray(row["y_hat"]) + row["dispatch"]["charge_mw"] - row["dispatch"]["discharge_mw"]
        assert net.max() < max(row["y_hat"]) - 1  # the forecast's peak is shaved
    for row in dispatched(output=tmp_path, **options).to_json()["results"][0]["series"]:
        bills = row["dispatch"]["settlement"]
        assert bills["perfect"] <= bills["without"]


def test_one_file_of_schedules(tmp_path: Path) -> None:
    dispatched(frame(ahead=48), output=tmp_path / "plan.csv", of="price", horizon=48)
    assert list(pd.read_csv(tmp_path / "plan.csv").columns)[2:] == ["price", "charge", "discharge", "level"]


def test_cautious_plans_differ(tmp_path: Path) -> None:
    plans = [
        dispatched(frame(ahead=48), output=tmp_path / str(risk), of="price", risk=risk, horizon=48).to_json()
        for risk in (0.0, 1.0)
    ]
    expected = [plan["results"][0]["series"][0]["dispatch"]["expected_bill"] for plan in plans]
    assert expected[0] != expected[1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "price or a demand"),
        ({"of": "demand"}, "--peak-charge"),
        ({"of": "price", "capacity": -1.0}, "capacity"),
        ({"of": "price", "efficiency": 1.5}, "efficiency"),
        ({"of": "price", "power": 0.0}, "power"),
    ],
)
def test_what_no_battery_can_do(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        dispatched(output=tmp_path, **options)


@pytest.mark.parametrize("frequency", ["MS", ""])
def test_steps_that_are_no_length_of_time(frequency: str, tmp_path: Path) -> None:
    values = pd.DataFrame({"a": np.arange(80.0) % 7, "b": np.arange(80.0) % 5})
    if frequency:
        values.insert(0, "ds", pd.date_range("2015-01-01", periods=80, freq=frequency))
    with pytest.raises(UserError, match="steps of equal length"):
        dispatched(values, output=tmp_path, of="price")
