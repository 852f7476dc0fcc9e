"""Time zones: stamps on local clocks, with the hour that comes twice and the one that never comes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tsuite.core.errors import UserError
from tsuite.domains.timeseries.frequency import absolute_time
from tsuite.domains.timeseries.panel import Panel
from tsuite.domains.timeseries.tables import Columns, read_panel

pd = pytest.importorskip("pandas")

CHANGES = [
    ("Australia/Melbourne", "30min", "2012-03-31", "2012-10-06"),
    ("Europe/Berlin", "h", "2014-03-29", "2014-10-25"),
    ("America/New_York", "15min", "2014-03-08", "2014-11-01"),
]
"""(zone, step, the days before clocks change)."""


def local_file(folder: Path, zone: str, every: str, start: str, *, days: int = 3) -> tuple[Path, Any]:
    """A file of local times without a zone, as a meter writes them, and the true stamps; the value counts steps."""
    true = pd.date_range(start, pd.Timestamp(start) + pd.Timedelta(days=days), freq=every, tz=zone)
    path = folder / "load.csv"
    pd.DataFrame({"time": true.tz_localize(None), "load": np.arange(len(true))}).to_csv(path, index=False)
    return path, true


def check(panel: Panel, true: Any) -> None:
    (group,) = panel.groups
    assert list(group.index) == list(true)
    assert np.unique(np.diff(absolute_time(group.index))).size == 1  # regular in absolute time
    assert group.values[0].tolist() == list(range(len(true)))
    assert panel.notices == ()


@pytest.mark.parametrize(("zone", "every", "one", "other"), CHANGES)
def test_local_times_with_their_zone(tmp_path: Path, zone: str, every: str, one: str, other: str) -> None:
    for start in (one, other):
        path, true = local_file(tmp_path, zone, every, start)
        assert len(true) != 3 * 24 * 3600 / pd.Timedelta(pd.tseries.frequencies.to_offset(every)).total_seconds() + 1
        panel = read_panel(path, timezone=zone)
        assert panel.frequency.alias == every
        check(panel, true)


@pytest.mark.parametrize(("zone", "every", "one", "other"), CHANGES)
def test_without_a_zone_the_stamp_is_named(tmp_path: Path, zone: str, every: str, one: str, other: str) -> None:
    told = set()
    for start in (one, other):
        path, true = local_file(tmp_path, zone, every, start)
        with pytest.raises(UserError) as caught:
            read_panel(path)
        told.add("twice" if "twice" in str(caught.value) else "skip")
        assert f"--timezone {zone}" in caught.value.hint
        hour = "01" if "twice" in caught.value.what and zone == "America/New_York" else "02"
        assert f" {(true[0] + pd.Timedelta('1D')).date()} {hour}:00:00" in caught.value.what
    assert told == {"twice", "skip"}


def test_both_changes_over_years(tmp_path: Path) -> None:
    path, true = local_file(tmp_path, "Australia/Melbourne", "30min", "2012-01-01", days=1096)
    check(read_panel(path, timezone="Australia/Melbourne"), true)


def test_series_in_a_long_table_each_have_the_hour_twice() -> None:
    true = pd.date_range("2012-03-31 22:00", periods=20, freq="30min", tz="Australia/Melbourne")
    naive = true.tz_localize(None)
    by_time = pd.DataFrame(
        {"unique_id": ["a", "b"] * 20, "ds": np.repeat(naive, 2), "y": np.repeat(np.arange(20.0), 2)}
    )
    for frame in (by_time, by_time.sort_values("unique_id", kind="stable")):
        panel = read_panel(frame, timezone="Australia/Melbourne")
        assert list(panel.groups[0].index) == list(true)
        assert panel.groups[0].values.tolist() == [list(range(20))] * 2


def test_an_hour_that_is_missing_for_another_reason(tmp_path: Path) -> None:
    path, _ = local_file(tmp_path, "Australia/Melbourne", "30min", "2012-10-06")
    panel = read_panel(path, timezone="UTC")
    assert np.isnan(panel.groups[0].values).sum() == 2
    assert panel.notices == (
        "2 of 145 stamps are missing, first 2012-10-07 02:00:00+00:00: they count as not observed.",
    )
    day = pd.date_range("2012-10-06", periods=96, freq="30min").delete([20, 21])  # 10:00, when no clock changes
    assert read_panel(pd.DataFrame({"ds": day, "y": 1.0})).frequency.alias == "30min"


def test_times_that_the_zone_does_not_have(tmp_path: Path) -> None:
    plain = pd.DataFrame({"ds": pd.date_range("2012-10-06", periods=96, freq="30min"), "y": 1.0})
    with pytest.raises(UserError, match=r"row 52: clocks of Australia/Melbourne skip 2012-10-07 02:00:00.*UTC"):
        read_panel(plain, timezone="Australia/Melbourne")
    plain["ds"] = pd.date_range("2012-03-31", periods=96, freq="30min")
    with pytest.raises(UserError, match="show 2012-04-01 02:00:00 twice, but the file has it once"):
        read_panel(plain, timezone="Australia/Melbourne")
    assert str(read_panel(plain, timezone="UTC").groups[0].index[0]) == "2012-03-31 00:00:00+00:00"


def test_offsets_are_kept_in_utc_or_moved(tmp_path: Path) -> None:
    true = pd.date_range("2012-10-06 12:00", periods=60, freq="30min", tz="Australia/Melbourne")
    path = tmp_path / "load.csv"
    pd.DataFrame({"ds": [stamp.isoformat() for stamp in true], "y": np.arange(60)}).to_csv(path, index=False)
    assert "+11:00" in path.read_text() and "+10:00" in path.read_text()  # noqa: PT018
    check(read_panel(path, timezone="Australia/Melbourne"), true)
    panel = read_panel(path)
    assert list(panel.groups[0].index) == list(true.tz_convert("UTC"))
    assert panel.notices == (
        "Days begin at midnight UTC. If another clock counts, name its zone, like --timezone Europe/Berlin",
    )
    frame = pd.DataFrame({"ds": true, "y": np.arange(60)})
    check(read_panel(frame), true)  # a zone of its own is kept


def test_days_stay_dates() -> None:
    frame = pd.DataFrame({"ds": pd.date_range("2012-09-01", periods=90, freq="D"), "y": 1.0})
    panel = read_panel(frame, timezone="Australia/Melbourne")
    assert panel.frequency.alias == "D"
    assert list(panel.groups[0].index) == list(pd.DatetimeIndex(frame["ds"]))


def test_local_midnights_in_utc() -> None:
    true = pd.date_range("2012-09-01", periods=90, freq="D", tz="Australia/Melbourne")
    frame = pd.DataFrame({"ds": true.tz_convert("UTC"), "y": np.arange(90.0)})
    with pytest.raises(UserError, match=r"23 h later\. .*local midnight, name its zone, like --timezone Europe"):
        read_panel(frame)
    panel = read_panel(frame, timezone="Australia/Melbourne")
    assert panel.frequency.alias == "D"
    assert list(panel.groups[0].index) == list(true)
    assert np.isfinite(panel.groups[0].values).all()


def test_the_zone_of_another_column_order(tmp_path: Path) -> None:
    path, true = local_file(tmp_path, "Europe/Berlin", "h", "2014-10-25")
    frame = pd.read_csv(path)[["load", "time"]]
    check(read_panel(frame, Columns(time="time", targets=("load",)), timezone="Europe/Berlin"), true)
