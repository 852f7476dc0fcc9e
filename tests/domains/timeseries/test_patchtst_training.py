"""`finetune` of timeseries.patchtst: what a training says, keeps and goes on from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tsuite.core import checkpoint, flow
from tsuite.core.errors import UserError
from tsuite.domains.timeseries.patchtst.options import EvaluateOptions, FinetuneOptions, RunOptions
from tsuite.domains.timeseries.patchtst.training import prepare

from . import tinyseries
from .tinyseries import HORIZON, LOOKBACK, STEPS, frame, request, task

pd = pytest.importorskip("pandas")


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_training_reports_what_it_scored_beside_the_baselines() -> None:
    where, report = tinyseries.trained()
    said = report.to_json()
    assert said["data"]["split"] == "test"
    assert said["data"]["n"] == 0.2 * STEPS - HORIZON + 1  # every origin of the last fifth
    assert said["metrics"]["mase"] < 0.8
    assert said["metrics"]["mae"] < 0.8 * said["baselines"]["seasonal naive"]["mae"]
    assert set(said["baselines"]) == {"seasonal naive", "repeat last", "ridge"}
    assert {"mae", "rmse", "smape", "mase"} <= set(said["baselines"]["ridge"])
    card = json.loads((where / "card.json").read_text(encoding="utf-8"))
    assert card["test"]["baselines"] == said["baselines"]
    assert card["test"]["details"]["diebold_mariano"] == said["diebold_mariano"]
    assert said["diebold_mariano"]["against"] == "seasonal naive"
    assert said["diebold_mariano"]["p_value"] < 0.05
    assert len(said["per_step"]["mae"]) == HORIZON
    chosen = " ".join(card["chosen"])
    for word in ("steps of h", "season 24", "look-back 48", "horizon 12", "known ahead: temperature", "calendar",
                 "70% train", "train 361, validation 49, test 109", "at most 60 steps"):  # fmt: skip
        assert word in chosen
    assert "forecast without" not in chosen


def test_what_is_embedded_is_small_and_safe() -> None:
    best = tinyseries.trained()[0] / "best"
    names = {path.name for path in best.iterdir()}
    assert {"config.json", "model.safetensors"} <= names
    assert not {path.suffix for path in best.iterdir()} & {".pt", ".pkl", ".bin"}
    config = json.loads((best / "config.json").read_text(encoding="utf-8"))
    assert config["conformal"]["counts"] == [98] * HORIZON  # 49 windows of two series: the bands are calibrated
    assert set(config["scaling"]["series"]) == {"north", "south"}
    assert config["table"] == {"future": "temperature"}


def test_a_saved_task_is_the_task(tmp_path: Path) -> None:
    checkpoint.write(tmp_path / "copy", task().save)
    copy = tinyseries.task_class().load(str(tmp_path / "copy"))
    np.testing.assert_array_equal(copy(frame()).quantiles, task()(frame()).quantiles)
    assert copy.around.table == task().around.table
    assert copy.around.shares == task().around.shares


def test_training_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    start = tinyseries.trained()[0]
    said = tinyseries.train(
        tmp_path / "run", checkpoint=start, horizon=0, lookback=0, future="", max_steps=5, lr=1e-4
    ).to_json()
    chosen = json.loads((tmp_path / "run" / "card.json").read_text(encoding="utf-8"))["chosen"]
    assert "known ahead: temperature" in " ".join(chosen)  # it knows its covariates by name
    assert said["data"]["n"] == 109
    assert abs(said["metrics"]["mae"] / tinyseries.trained()[1].metrics["mae"] - 1) < 0.2
    assert "ridge" in said["baselines"]


def test_a_checkpoint_begins_where_it_ended() -> None:
    start = tinyseries.trained()[0]
    made = tinyseries.task_class().for_training(
        FinetuneOptions(), data=str(tinyseries.data()), checkpoint=str(start), settings={}
    )
    before = task().network.state_dict()
    assert all((value == before[name]).all() for name, value in made.task.network.state_dict().items())


@pytest.mark.parametrize(
    ("options", "said"),
    [({"horizon": 24}, "horizon of 12"), ({"lookback": 96}, "look-?back"), ({"finance": "return"}, "--finance return"),
     ({"protocol": "ltsf"}, "--protocol ltsf")],
)  # fmt: skip
def test_a_checkpoint_is_what_it_was_made_for(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        tinyseries.train(tmp_path / "run", checkpoint=tinyseries.trained()[0], **options)


def test_shares_of_a_training_stay_held_out_later(tmp_path: Path) -> None:
    report = tinyseries.train(tmp_path / "run", max_steps=2, test=0.1, validation=0.1)
    assert report.to_json()["data"]["n"] == 0.1 * STEPS - HORIZON + 1
    said = flow.evaluate(request(tinyseries.data(), checkpoint=tmp_path / "run"), EvaluateOptions()).to_json()
    assert said["data"]["n"] == 0.1 * STEPS - HORIZON + 1
    again = tinyseries.train(tmp_path / "two", checkpoint=tmp_path / "run", max_steps=2, horizon=0, lookback=0)
    assert again.to_json()["data"]["n"] == 0.1 * STEPS - HORIZON + 1


@pytest.mark.parametrize(
    ("network", "head"), [("itransformer", "quantiles"), ("decoder", "studentt"), ("patchtst", "point")]
)
def test_other_networks_and_heads(network: str, head: str, tmp_path: Path) -> None:
    said = tinyseries.train(tmp_path / "run", network=network, head=head, max_steps=15).to_json()
    assert np.isfinite(said["metrics"]["mase"])
    assert ("coverage80" in said["metrics"]) == (head != "point")
    asked = request(checkpoint=tmp_path / "run")
    result = flow.run(asked, [tinyseries.data()], RunOptions(picture=False)).to_json()["results"][0]
    assert ("q10" in result["series"][0]) == (head != "point")


def test_settings_shape_the_network_and_unknown_ones_are_named(tmp_path: Path) -> None:
    where = tinyseries.train(tmp_path / "run", shape={"decode": "flatten", "patch": "8"}, max_steps=2) and tmp_path
    config = json.loads((where / "run" / "best" / "config.json").read_text(encoding="utf-8"))["config"]
    assert (config["decode"], config["patch"], config["dim"]) == ("flatten", 8, 16)
    for wrong in ("dims", "ahead"):
        with pytest.raises(UserError, match=wrong[:3]):
            tinyseries.train(tmp_path / "other", shape={wrong: "8"})


def chosen(source: Any, **options: Any) -> tuple[Any, str]:
    """What a training begins with, and what it says of it."""
    given = {**tinyseries.QUICK, "future": "", **options}
    made = prepare(
        tinyseries.task_class(), FinetuneOptions(**given), data=source, checkpoint=None, settings=tinyseries.SHAPE
    )
    return made, " ".join(made.chosen)


def daily(**lengths: int) -> Any:
    """A long table of weekly waves, each as many days long."""
    parts = [
        pd.DataFrame({"unique_id": name, "ds": pd.date_range("2023-01-01", periods=steps, freq="D"),
                      "y": 100 + np.sin(2 * np.pi * np.arange(steps) / 7), "region": name[0]})
        for name, steps in lengths.items()
    ]  # fmt: skip
    return pd.concat(parts)


def test_a_few_short_series_do_not_shorten_the_look_back() -> None:
    made, said = chosen(daily(a=400, b=400, c=40), horizon=0, lookback=0)
    assert "3 series with steps of D; season 7" in said
    assert made.task.network.config.lookback >= 28
    assert len(made.splits.train.examples) > 200
    assert {window.track.group.ids for window in made.splits.train.examples} == {("a", "b"), ("c",)}


def test_words_that_never_change() -> None:
    made, said = chosen(daily(east=100, west=90), horizon=7, lookback=21, static="region")
    assert "fixed: region" in said
    static = made.task.preprocess([made.splits.train.examples[0], made.splits.train.examples[-1]]).static
    assert static[0, 0] == -static[1, 0] != 0


def test_a_season_that_never_comes_again() -> None:
    with pytest.raises(UserError, match=r"A season of 421 steps is longer than the training part .*420.*for 24"):
        chosen(frame(), season=421)
    assert "season 420" in chosen(frame(), season=420)[1]


def test_a_look_back_longer_than_what_is_learnt_from_is_said() -> None:
    assert "look-back of 450 steps is longer than the training part, 420" in chosen(frame(), lookback=450)[1]
    assert "is longer than the training part" not in chosen(frame(), lookback=300)[1]


def test_weights_are_kept_exactly_unless_half_is_asked_for(tmp_path: Path) -> None:
    for half, dtype in ((False, torch.float32), (True, torch.float16)):
        made, _ = chosen(frame(), half=half)
        checkpoint.write(tmp_path / str(half), made.task.save)
        kept = checkpoint.load_tensors(tmp_path / str(half) / "model.safetensors")
        assert {value.dtype for value in kept.values() if value.is_floating_point()} == {dtype}
        copy: Any = tinyseries.task_class().load(str(tmp_path / str(half)))
        same = torch.equal(copy.network.linear.map.weight, made.task.network.linear.map.weight)
        assert same == np.array_equal(copy.around.ridge, made.task.around.ridge) == (not half)


def test_the_linear_start_is_solved_in_spite_of_gaps() -> None:
    holes = frame()
    random = np.random.default_rng(0)
    for name in ("north", "south"):
        holes.loc[random.random(STEPS) < 0.2, name] = np.nan  # no stretch of 60 is whole
    made, _ = chosen(holes, future="temperature")
    assert made.task.network.linear.map.weight.abs().sum() > 0
    made.task.network.eval()
    results = list(made.task.infer(made.splits.test.examples, RunOptions()))
    truth = np.stack([item.truth for item in results])
    error = np.nanmean(np.abs(truth - np.stack([item.y_hat for item in results])))
    assert error < 0.8 * np.nanmean(np.abs(truth - np.stack([item.others["seasonal naive"] for item in results])))


def test_nothing_but_gaps_begins_with_repeat_last() -> None:
    holes = frame()
    holes.loc[holes.index % 10 != 0, ["north", "south"]] = np.nan
    made, said = chosen(holes, future="temperature")
    assert "closed form" not in said
    assert made.task.around.ridge is None
    assert not made.task.network.linear.map.weight.any()


def test_wide_tables_learn_in_parts() -> None:
    many = pd.DataFrame(np.random.default_rng(0).standard_normal((200, 100)), columns=[f"c{i}" for i in range(100)])
    many.insert(0, "ds", pd.date_range("2024-01-01", periods=200, freq="h"))
    made, _ = chosen(many, batch_size=64)
    assert made.options.accumulate == 4  # 6,400 rows
    assert chosen(frame())[0].options.accumulate == 1


def test_hidden_covariates_leave_the_calendar() -> None:
    torch.manual_seed(0)
    made = tinyseries.task_class().load(str(tinyseries.trained()[0]))
    windows = made.held_out(str(tinyseries.data())).examples[:40]
    made.hide = 0.5
    batch = made.preprocess(windows, training=True)
    behind, after = batch.known[:, 0, :LOOKBACK].all(1), batch.known[:, 0, LOOKBACK:].all(1)
    assert (after <= behind).all()  # what is known of the future is known of the past
    assert 0 < (~behind).sum() < (~after).sum() < 40
    assert not batch.ahead[~behind, 0].any()
    assert not batch.ahead[~after, 0, LOOKBACK:].any()
    assert batch.known[:, 1:].all()
    assert made.preprocess(windows).known.all()


def test_bands_calibrated_on_too_little_are_said(tmp_path: Path) -> None:
    daily(a=60).to_csv("short.csv", index=False)
    tinyseries.train(tmp_path / "run", "short.csv", horizon=4, lookback=14, future="", max_steps=2)
    notices = tinyseries.task_class().load(str(tmp_path / "run")).origin.notices
    assert "The 80% band was calibrated on 3 windows, fewer than the 4 it takes" in notices[0]
    assert not task().origin.notices


def test_the_time_zone_of_a_training_is_known_later() -> None:
    made, _ = chosen(frame(), timezone="Europe/Berlin")
    (window,) = made.task.read([frame()], RunOptions())
    assert str(window.track.group.index.tz) == "Europe/Berlin"
    (window,) = made.task.read([frame()], RunOptions(timezone="UTC"))
    assert str(window.track.group.index.tz) == "UTC"
