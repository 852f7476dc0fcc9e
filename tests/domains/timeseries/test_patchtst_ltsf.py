"""`--protocol ltsf`: the literature's split, scaling and scores, on made-up files of the shape of its own."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tsuite.core import flow
from tsuite.core.errors import UserError
from tsuite.domains.timeseries import ltsf
from tsuite.domains.timeseries.patchtst.config import PatchTSTConfig
from tsuite.domains.timeseries.patchtst.options import EvaluateOptions, FinetuneOptions
from tsuite.domains.timeseries.patchtst.task import ForecastTask

from . import tinyseries
from .tinyseries import request

pd = pytest.importorskip("pandas")
LOOKBACK, HORIZON = 96, 96
HOURS = 24 * 30
TRAIN, VALIDATION, TEST = 12 * HOURS, 16 * HOURS, 20 * HOURS


@cache
def file(name: str = "ETTh1.csv", rows: int = 17_420, columns: int = 7) -> Path:
    """Made-up hourly series that look like the hourly ETT files."""
    random, hour = np.random.default_rng(0), np.arange(rows)
    made = {"date": pd.date_range("2016-07-01", periods=rows, freq="h")}
    for column in range(columns):
        wave = np.sin(2 * np.pi * (hour / 24 + column / 7)) + 0.02 * random.standard_normal(rows).cumsum()
        made["OT" if column == columns - 1 else f"load {column}"] = (
            10 + 3 * wave + random.standard_normal(rows)
        ).round(3)
    path = tinyseries.folder("ltsf") / name
    pd.DataFrame(made).to_csv(path, index=False)
    return path


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def train(where: Path, source: Path, **options: Any) -> dict[str, Any]:
    asked = {"protocol": "ltsf", "lookback": LOOKBACK, "horizon": HORIZON, "future": "", "max_steps": 2, **options}
    return tinyseries.train(where, source, shape={"dim": "8", "heads": "1", "hidden": "8"}, **asked).to_json()


def changed(frame: Any, rows: range, factor: float) -> Any:
    """A frame whose values in some rows are others."""
    made = frame.copy()
    made.iloc[rows.start : rows.stop, 1:] *= factor
    return made


@cache
def trained() -> tuple[Path, dict[str, Any]]:
    where = tinyseries.folder("ltsf-run") / "run"
    return where, train(where, file())


@cache
def task() -> ForecastTask:
    made = tinyseries.task_class().load(str(trained()[0]))
    made.network.eval()
    return made


def test_the_scores_are_those_of_the_protocol() -> None:
    where, said = trained()
    assert said["data"]["n"] == TEST - VALIDATION - HORIZON + 1  # 2,785 as published, none dropped
    assert 0 < said["metrics"]["mse"] < 2  # of standardised values
    chosen = " ".join(json.loads((where / "card.json").read_text(encoding="utf-8"))["chosen"])
    assert "This is ETTh1" in chosen
    assert "12, 4 and 4 months of 30 days" in chosen
    assert "windows: train 8,449, validation 2,785, test 2,785" in chosen
    assert "no covariates" in chosen
    assert set(said["baselines"]) >= {"seasonal naive", "repeat last", "ridge"}
    rows = {row.model: row for row in ltsf.published("ETTh1", LOOKBACK, HORIZON)}
    assert said["baselines"]["PatchTST (published)"] == {"mse": rows["PatchTST"].mse, "mae": rows["PatchTST"].mae}
    assert not any("336" in name or "42" in name for name in said["baselines"])  # rows of this look-back alone
    assert {row["model"] for row in said["published"]} >= {"PatchTST"}


def test_it_is_scored_as_the_reference_code_counts() -> None:
    """By hand: every window, standardised by the training rows."""
    values = pd.read_csv(file()).iloc[:, 1:].to_numpy(np.float64).T
    known = values[:, :TRAIN]
    scaled = (values - known.mean(1, keepdims=True)) / known.std(1, keepdims=True)
    windows = np.lib.stride_tricks.sliding_window_view(scaled[:, VALIDATION - 1 : TEST], HORIZON + 1, axis=1)
    error = windows[..., 1:] - windows[..., :1]  # repeat-last
    repeat = trained()[1]["baselines"]["repeat last"]
    assert repeat["mse"] == pytest.approx(np.square(error).mean(), rel=1e-4)
    assert repeat["mae"] == pytest.approx(np.abs(error).mean(), rel=1e-4)
    task_result = next(iter(task().infer(task().held_out(str(file())).examples[5:6], EvaluateOptions())))
    np.testing.assert_allclose(task_result.truth, scaled[:, VALIDATION + 5 : VALIDATION + 5 + HORIZON], atol=1e-4)


def test_the_scores_are_the_same_at_any_batch_size() -> None:
    split = task().held_out(str(file()))
    found = [task().assess(split, EvaluateOptions(batch=size, stride=61))[1].metrics for size in (1, 7, 128)]
    for one in found[1:]:
        assert one == pytest.approx(found[0], rel=1e-6)
    every = task().assess(split, EvaluateOptions(batch=509))[1].metrics
    assert every["mse"] == pytest.approx(trained()[1]["metrics"]["mse"], rel=1e-5)


@pytest.mark.parametrize("rows", [range(VALIDATION, 17_420), range(TEST, 17_420)], ids=["test", "not used"])
def test_the_test_part_teaches_nothing(rows: range, tmp_path: Path) -> None:
    changed(pd.read_csv(file()), rows, 3.0).to_csv(tmp_path / "ETTh1.csv", index=False)
    said = train(tmp_path / "run", tmp_path / "ETTh1.csv")
    one, two = ((where / "best" / "model.safetensors").read_bytes() for where in (tmp_path / "run", trained()[0]))
    assert one == two
    assert said["validation"]["mse"] == trained()[1]["validation"]["mse"]
    if rows.start == TEST:  # rows that the protocol does not use
        assert said["metrics"] == trained()[1]["metrics"]
    else:
        assert said["metrics"]["mse"] != trained()[1]["metrics"]["mse"]


def test_validation_only_chooses(tmp_path: Path) -> None:
    """Validation rows change lambda of the linear start and the epoch, never the scaling nor a gradient."""
    changed(pd.read_csv(file()), range(TRAIN + HORIZON, VALIDATION), 1.5).to_csv(tmp_path / "ETTh1.csv", index=False)
    options = FinetuneOptions(protocol="ltsf", lookback=LOOKBACK, horizon=HORIZON)
    kind, shape = tinyseries.task_class(), {"dim": "8", "heads": "1", "hidden": "8"}
    one, _two = made = [
        kind.for_training(options, data=str(path), checkpoint=None, settings=shape)
        for path in (file(), tmp_path / "ETTh1.csv")
    ]
    tasks: Any = [each.task for each in made]
    assert tasks[0].around.scaling == tasks[1].around.scaling
    assert tasks[0].around.errors == tasks[1].around.errors
    first, last = one.splits.train.examples[0], one.splits.train.examples[-1]
    assert (first.origin, last.origin + HORIZON) == (LOOKBACK, TRAIN)
    for number in (0, -1):
        batches = [each.task.preprocess([each.splits.train.examples[number]]) for each in made]
        for name, value in vars(batches[0]).items():
            assert (value == vars(batches[1])[name]).all()
    assert one.splits.validation.examples[0].origin == TRAIN  # looks back into training, as the reference does
    assert one.options.patience == FinetuneOptions().patience


def test_network_and_head_are_the_papers() -> None:
    config = task().network.config
    assert isinstance(config, PatchTSTConfig)
    assert config.head == "point"
    assert (config.patch, config.stride, config.decode, config.norm) == (16, 8, "flatten", "batch")
    assert (config.ahead, config.past) == (0, 0)
    assert task().around.conformal is None
    assert task().around.benchmark == "ETTh1"


@pytest.mark.parametrize(
    ("name", "rows", "said"),
    [("load.csv", 17_420, "has the shape of ETTh1"), ("ETTh1.csv", 16_000, "called like ETTh1"),
     ("vic.csv", 4_000, "no data set of the literature")],
)  # fmt: skip
def test_published_rows_stand_beside_the_very_data_only(name: str, rows: int, said: str, tmp_path: Path) -> None:
    report = train(tmp_path / "run", file(name, rows), max_steps=1, horizon=48)
    chosen = " ".join(json.loads((tmp_path / "run" / "card.json").read_text(encoding="utf-8"))["chosen"])
    assert said in chosen
    assert "no published figures" in chosen
    assert not any("published" in word for word in report["baselines"])
    months = name != "vic.csv"
    assert report["data"]["n"] == (TEST - VALIDATION if months else 800) - 48 + 1
    again = flow.evaluate(request(file(name, rows), checkpoint=tmp_path / "run"), EvaluateOptions(stride=48)).to_json()
    assert again["origins"] == -(-report["data"]["n"] // 48)


def test_what_is_for_people_is_in_the_series_own_units() -> None:
    """Scored in deviations, but a forecast of what comes next is of use to somebody."""
    (result,) = [task()(str(file()))]
    values = pd.read_csv(file()).iloc[:, 1:].to_numpy().T
    assert abs(result.y_hat.mean() - values[:, -96:].mean()) < 1
    shown = task().sample(str(file())).examples[0]
    np.testing.assert_allclose(next(iter(task().infer([shown], EvaluateOptions()))).truth,
                               values[:, shown.origin : shown.origin + HORIZON], rtol=1e-5)  # fmt: skip


def test_nothing_is_published_for_that_look_back(tmp_path: Path) -> None:
    train(tmp_path / "run", file(), max_steps=1, lookback=48)
    said = flow.evaluate(request(file(), checkpoint=tmp_path / "run"), EvaluateOptions(stride=96)).to_json()
    assert "there is for look-back 96, 336 or 512" in said["published_note"]
    assert said["published"] == []


def test_a_file_too_short_to_split(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="too short"):
        train(tmp_path / "run", file("short.csv", 300, 1))
