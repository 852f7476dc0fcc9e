"""The commands over timeseries.patchtst: what a person types, and what they are told where it cannot work."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ...commands import tsuite
from . import tinyseries
from .tinyseries import HORIZON, NAME, frame

pd = pytest.importorskip("pandas")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_cache: Path) -> None:
    monkeypatch.chdir(tmp_path)


def run(*words: object, code: int = 0) -> Any:
    return tsuite("run", NAME, *words, "--checkpoint", tinyseries.trained()[0], "--threads", 1, code=code)


def finetune(*words: object, code: int = 0) -> Any:
    shape = [word for key, value in tinyseries.SHAPE.items() for word in ("--set", f"{key}={value}")]
    return tsuite("finetune", NAME, *words, "--max-steps", 3, "--threads", 1, *shape, code=code)


def written(change: Callable[[Any], Any], name: str = "load.csv", ahead: int = 0) -> str:
    """The usual table, changed."""
    made = frame(200, ahead=ahead).astype({"north": object})
    change(made).to_csv(name, index=False)
    return name


def put(row: int, column: str, value: Any) -> Callable[[Any], Any]:
    def change(table: Any) -> Any:
        table.loc[row, column] = value
        return table

    return change


def test_run_on_a_file() -> None:
    said = run(written(lambda table: table), "--json", "--no-picture").json
    assert (said["command"], said["name"]) == ("run", NAME)
    assert [row["unique_id"] for row in said["results"][0]["series"]] == ["north", "south"]
    shown = run("load.csv", "--horizon", 3).out
    assert "north" in shown
    assert "q10" in shown
    assert Path("outputs", NAME, "forecast.csv").is_file()
    assert len(pd.read_csv(Path("outputs", NAME, "forecast.csv"))) == 6


def test_finetune_needs_no_flag_but_the_horizon() -> None:
    frame(500).to_csv("load.csv", index=False)
    said = finetune("--data", "load.csv", "--horizon", 12, "--run", "run", "--json").json
    assert set(said["baselines"]) == {"seasonal naive", "repeat last", "ridge"}
    chosen = " ".join(json.loads(Path("run/card.json").read_text(encoding="utf-8"))["chosen"])
    assert "season 24, look-back 124, horizon 12" in chosen or "look-back" in chosen
    shown = finetune("--data", "load.csv", "--run", "two", "--network", "decoder").out
    assert "seasonal naive" in shown
    assert "Diebold-Mariano" in shown


def test_evaluate_says_every_step() -> None:
    frame().to_csv("load.csv", index=False)
    words = ["evaluate", NAME, "--data", "load.csv", "--checkpoint", tinyseries.trained()[0], "--threads", 1]
    said = tsuite(*words, "--backtest", "--stride", 6, "--json").json
    assert said["origins"] == 19
    assert any(path.endswith("steps.csv") for path in said["artifacts"])
    table = pd.read_csv(next(path for path in said["artifacts"] if path.endswith("steps.csv")))
    assert len(table) == HORIZON
    shown = tsuite(*words, "--stride", 6).out
    for word in ("this model", "seasonal naive", "ridge", "repeat last", "mase", "Diebold-Mariano"):
        assert word in shown


CANNOT: list[tuple[str, Callable[[Any], Any], list[object], list[str]]] = [
    ("a cell that is no number", put(7, "north", "n/a?"), [], ["load.csv", "line 9", "north", "'n/a?'"]),
    ("an infinite value", put(7, "north", "inf"), [], ["line 9", "inf"]),
    ("a stamp twice", put(8, "time", pd.Timestamp("2024-01-01 07:00")), [], ["2024-01-01 07:00:00", "9", "line 10"]),
    ("a stamp that is none", lambda table: put(5, "time", "noon")(table.astype({"time": str})), [], ["noon", "line 7"]),
    ("mixed frequencies", lambda table: table.drop(index=[*range(100, 200, 3), *range(101, 200, 3)])
        .assign(time=lambda one: one["time"] + pd.to_timedelta(np.arange(len(one)) % 7, "min")), [], ["load.csv"]),
    ("no value at all", lambda table: table.assign(north=np.nan, south=np.nan), [], ["no"]),
    ("no column of that name", lambda table: table, ["--target", "nort"], ["no column 'nort'", "north"]),
    ("a column with two roles", lambda table: table, ["--past", "south", "--future", "south"], ["south", "twice"]),
    ("a horizon below nothing", lambda table: table, ["--horizon", -1], ["--horizon", "-1"]),
    ("an unknown zone", lambda table: table, ["--timezone", "Europe/Berln"], ["Europe/Berlin"]),
    ("an unknown frequency", lambda table: table, ["--frequency", "hourly"], ["hourly"]),
    ("another hour", lambda table: table, ["--frequency", "7min"], ["7min"]),
    ("no rows", lambda table: table.iloc[:0], [], ["no rows"]),
    ("one row", lambda table: table.iloc[:1], [], ["load.csv"]),
]  # fmt: skip


@pytest.mark.parametrize(("change", "words", "said"), [case[1:] for case in CANNOT], ids=[case[0] for case in CANNOT])
def test_what_cannot_be_forecast_is_said_in_a_sentence(
    change: Callable[[Any], Any], words: list[object], said: list[str]
) -> None:
    told = run(written(change), *words, code=2)
    for word in said:
        assert word in told.err
    assert len(told.err.strip().splitlines()) <= 4
    assert not told.out


def test_a_column_named_twice() -> None:
    Path("load.csv").write_text("time,load,load\n2024-01-01,1,2\n2024-01-02,2,3\n", encoding="utf-8")
    err = run("load.csv", code=2).err
    assert "load.csv: the columns 2 and 3 are both named 'load'" in err


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [("load.csv", b"", "load.csv"), ("load.csv", b"\x00\xff\xfe", "load.csv"), ("load.parquet", b"PAR", "load.parquet"),
     ("load.xlsx", b"PK", "load.xlsx"), ("load.csv.gz", b"\x1f\x8b", "load.csv.gz")],
)  # fmt: skip
def test_a_file_that_is_no_table(name: str, content: bytes, said: str) -> None:
    Path(name).write_bytes(content)
    assert said in run(name, code=2).err


def test_a_file_that_is_not_there() -> None:
    frame(100).to_csv("load.csv", index=False)
    assert "laod.csv" in run("laod.csv", code=2).err
    err = finetune("--data", "laod.csv", code=2).err
    assert "laod.csv" in err
    assert "load.csv" in err


def test_what_can_be_forecast_all_the_same() -> None:
    """Unsorted rows, missing rows, empty cells, a constant, too short, too far: forecast, and said."""
    cases: list[tuple[Callable[[Any], Any], list[object], str]] = [
        (lambda table: table.sample(frac=1, random_state=0), [], "order"),
        (lambda table: table.drop(index=range(50, 60)), [], "10 of 200 stamps are missing"),
        (put(100, "north", None), [], "Empty cells"),
        (put(199, "north", None), [], "Not observed at the end"),
        (lambda table: table.assign(north=7), [], "Always the same value: north"),
        (lambda table: table.iloc[:20], [], "shorter than the look-back"),
        (lambda table: table, ["--horizon", 40], "trained for 12 steps"),
        (lambda table: table.drop(columns="temperature"), [], "lacks temperature"),
        (lambda table: table.assign(time=pd.date_range("2020", periods=200, freq="D")), [], "these are of D"),
    ]  # fmt: skip
    for change, words, said in cases:
        told = run(written(change), *words, "--json", "--no-picture").json
        assert said in " ".join(told["notices"])
        for row in told["results"][0]["series"]:
            assert None not in row["y_hat"]
            assert None not in row["q90"]


def test_future_covariates_that_end_too_soon() -> None:
    err = run(written(lambda table: table, ahead=5), code=2).err
    assert "temperature is not known at 2024-01-09 13:00:00" in err
    assert run(written(lambda table: table, ahead=5), "--horizon", 5, "--no-picture").code == 0


def test_never_below_zero() -> None:
    written(lambda table: table.assign(north=np.linspace(20, 0, 200)))
    low = [run("load.csv", *words, "--json", "--no-picture").json["results"][0]["series"][0]["q10"]
           for words in ([], ["--non-negative"])]  # fmt: skip
    assert min(low[0]) < 0 == min(low[1])


@pytest.mark.parametrize(
    ("steps", "words", "said"),
    [
        (3, [], "load.csv"),
        (100, ["--horizon", 60], "shorter --horizon"),
        (300, ["--horizon", 12, "--lookback", 24, "--set", "patch=48"], "longer than the look-back"),
        (300, ["--validation", 0.6, "--test", 0.5], "60% for validation and 50% for test leave nothing"),
        (300, ["--horizon", 12, "--test", 0, "--validation", 0], "validation"),
        (300, ["--finance", "returns"], "return"),
        (300, ["--set", "dims=8"], "dim"),
        (300, ["--finance", "return", "--protocol", "ltsf"], "--protocol"),
        (300, ["--checkpoint", "nowhere"], "nowhere"),
        (300, ["--network", "patch"], "patchtst"),
    ],
)
def test_trainings_that_cannot_be(steps: int, words: list[object], said: str) -> None:
    frame(steps).to_csv("load.csv", index=False)
    err = finetune("--data", "load.csv", *words, code=2).err
    assert said in err


def test_no_test_part_is_no_score() -> None:
    frame(300).to_csv("load.csv", index=False)
    said = finetune("--data", "load.csv", "--horizon", 12, "--test", 0, "--json", "--run", "run").json
    assert said["data"] is None
    assert said["metrics"]["mae"] == said["validation"]["mae"]


def test_evaluate_where_nothing_is_held_out() -> None:
    frame(30).to_csv("short.csv", index=False)
    words = ["evaluate", NAME, "--checkpoint", tinyseries.trained()[0], "--data", "short.csv"]
    assert "shorter than the horizon" in tsuite(*words, code=2).err
    assert "--stride" in tsuite(*words, "--stride", 0, code=2).err
