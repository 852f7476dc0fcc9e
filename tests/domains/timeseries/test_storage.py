"""What is told of batteries: bills that are expected and that came, on the screen, as numbers and in files."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from tsuite.core.errors import UserError
from tsuite.core.task import Summary
from tsuite.domains.timeseries import show, storage
from tsuite.domains.timeseries.dispatch import Battery, Tariff
from tsuite.domains.timeseries.forecast import Forecast
from tsuite.domains.timeseries.heads import LEVELS

pd = pytest.importorskip("pandas")
pytest.importorskip("scipy")
DAY = 60 + 40 * np.sin(2 * np.pi * np.arange(24) / 24)


def planned(start: str, *names: str, error: float = 5.0, known: bool = True, demand: bool = False) -> Forecast:
    """A day's forecast of series with that error in the first half of it, and what a battery makes of it."""
    truth = np.stack([DAY + place for place, _ in enumerate(names)])
    y_hat = truth + error * (np.arange(24) < 12)
    made = Forecast(
        id=start, ids=names, stamps=pd.date_range(start, periods=24, freq="h"), y_hat=y_hat,
        quantiles=np.stack([y_hat + 20 * (level - 0.5) for level in LEVELS], axis=1), others={},
        truth=truth if known else np.full_like(truth, np.nan), scale=np.ones(len(names)),
    )  # fmt: skip
    battery, tariff = Battery(capacity=4, power=2), Tariff(peak_charge=1000.0 if demand else 0.0)
    what = "demand" if demand else "price"
    store = storage.Storage(battery=battery, tariff=tariff, price=20.0 if demand else 0.0, what=what, risk=0.0)
    return replace(made, planned=tuple(store.plan(made, row, 1.0) for row in range(len(names))))


def rows(forecasts: list[Forecast]) -> list[list[str]]:
    """The table on the screen: words of each row."""
    console = Console(file=io.StringIO(), width=160)
    console.print(storage.table(forecasts))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return [[cell.strip() for cell in line.strip("│┃").replace("┃", "│").split("│")] for line in text.splitlines()]


def test_what_is_expected_is_told_before_it_is_known() -> None:
    one = planned("2024-05-01", "load", known=False, demand=True)
    told = {row[0]: row[1:] for row in rows([one])}
    (plan,) = one.planned
    without, expected = (float(told[name][0].replace(",", "")) for name in
                         ("bill expected without battery", "bill expected"))  # fmt: skip
    assert without == pytest.approx(20 * one.y_hat.sum() + 1000 * one.y_hat.max(), abs=0.01)
    assert float(told["saving expected"][0].replace(",", "")) == pytest.approx(without - expected, abs=0.02)
    assert without - expected > 1000
    assert "saved" not in told
    assert plan.to_json()["expected_saving"] == pytest.approx(without - expected, abs=0.02)
    assert plan.to_json()["expected_bill_without_battery"] == pytest.approx(without, abs=0.01)


def test_one_price_for_all_steps_leaves_nothing_to_plan() -> None:
    battery = Battery(capacity=4, power=2)
    with pytest.raises(UserError, match=r"highest demand alone.*--peak-charge"):
        storage.Storage(battery=battery, tariff=Tariff(), price=50.0, what="demand", risk=0.0)


def test_many_origins_are_rows_with_their_dates() -> None:
    days = [planned(f"2024-05-{day:02}", "price", error=float(day)) for day in range(1, 26)]
    table = rows(days)
    assert [row[1] for row in table if row[0] == "price"] == [f"2024-05-{day:02}" for day in range(1, 21)]
    assert [row[0] for row in table if row[0].startswith("…")] == ["… 5 more"]
    told = {row[0]: row[2:] for row in table}
    saved = [plan.settlement.savings for item in days for plan in item.planned]
    assert float(told["sum"][3].replace(",", "")) == pytest.approx(sum(saved), abs=0.01)
    assert float(told["mean"][3].replace(",", "")) == pytest.approx(sum(saved) / 25, abs=0.01)
    assert told["sum"][-1] == told["mean"][-1]
    assert told["sum"][-1].endswith("%")
    assert not any("overlap" in cell for row in table for cell in row)
    closer = [planned("2024-05-01 00:00", "price"), planned("2024-05-01 06:00", "price")]
    assert any("overlap" in cell for row in rows(closer) for cell in row)
    assert [row[1] for row in rows([planned("2024-05-01", "a", "b", known=False)]) if row[0] == "cycles"] != []


def test_savings_are_metrics_and_details() -> None:
    days = [planned(f"2024-05-{day:02}", "a", "b") for day in range(1, 4)]
    before = Summary(metrics={"mae": 1.0}, details={"origins": 3})
    summary = storage.with_savings(before, days)
    bills = [plan.settlement for item in days for plan in item.planned]
    assert summary.metrics["saved"] == pytest.approx(np.mean([one.savings for one in bills]))
    assert summary.metrics["saved_by_foresight"] == pytest.approx(np.mean([one.possible for one in bills]))
    assert 0 < summary.metrics["captured"] <= 1
    assert summary.metrics["mae"] == 1.0
    told = summary.details["dispatch"]
    assert (told["schedules"], told["overlapping"], summary.details["origins"]) == (6, False, 3)
    assert told["sum"]["savings"] == pytest.approx(sum(one.savings for one in bills), abs=1e-5)
    unknown = [planned("2024-05-01", "a", known=False)]
    assert storage.with_savings(before, unknown) is before


def test_savings_as_a_file(tmp_path: Path) -> None:
    days = [planned("2024-05-01", "a"), planned("2024-05-02", "a", known=False)]
    (path,) = show.render_scores(days, tmp_path, steps=False)
    table = pd.read_csv(path)
    assert table["from"].tolist() == ["2024-05-01", "2024-05-02"]
    assert {"unique_id", "expected_bill", "expected_saving", "cycles", "savings", "possible", "captured"} <= set(table)
    assert math.isnan(table["savings"][1])
    assert [one.name for one in show.render_scores(days[:1], tmp_path, steps=True)] == ["steps.csv", "savings.csv"]


@pytest.mark.parametrize("name", ["f.svg", "f.png"])
def test_a_picture_of_the_schedule_alone(name: str, tmp_path: Path) -> None:
    one = planned("2024-05-01", "load", known=False, demand=True)
    assert show.render([one], tmp_path / name) == [tmp_path / name]
    assert (tmp_path / name).is_file()
    if name == "f.svg":
        assert "</svg>" in (tmp_path / name).read_text(encoding="utf-8")


def test_one_file_as_its_ending_says(tmp_path: Path) -> None:
    one = planned("2024-05-01", "price")
    for name in ("f.csv", "f.csv.gz", "f.parquet"):
        assert show.render([one], tmp_path / name) == [tmp_path / name]
    assert len(pd.read_csv(tmp_path / "f.csv.gz")) == 24
    for name in ("out.xlsx", "out.json", "out.txt.gz"):
        with pytest.raises(UserError, match=rf"{name}.*\.csv, \.csv\.gz, \.parquet, \.svg or \.png"):
            show.render([one], tmp_path / name)
        assert not (tmp_path / name).exists()
        with pytest.raises(UserError, match="folder"):
            show.render_scores([one], tmp_path / name, steps=True)
    known: list[Any] = [name for name in show.FILES if name in (*show.PICTURES, ".csv", ".gz", ".parquet")]
    assert len(known) == 5
