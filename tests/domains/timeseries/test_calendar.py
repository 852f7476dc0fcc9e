"""Calendar features: the same local hour, weekday or day of the year gives the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
from tsuite.domains.timeseries.calendar import calendar
from tsuite.domains.timeseries.frequency import Frequency

pd = pytest.importorskip("pandas")

HALF = Frequency(alias="30min")


def rows(features: np.ndarray, names: tuple[str, ...], cycle: str) -> np.ndarray:
    return features[[number for number, name in enumerate(names) if name.startswith(cycle)]]


def test_shape_and_range() -> None:
    index = pd.date_range("2012-01-01", periods=3 * 17_520, freq="30min", tz="Australia/Melbourne")
    features, names = calendar(index, HALF)
    assert features.shape == (len(names), len(index)) == (14, 52_560)
    assert features.dtype == np.float32
    assert np.abs(features).max() <= 1
    assert len(set(names)) == len(names)


def test_local_hours_stay_the_same_across_changes_of_clocks() -> None:
    index = pd.date_range("2012-10-06 23:00", periods=60, freq="30min", tz="Australia/Melbourne")
    day = rows(*calendar(index, HALF), "day")
    nine = [number for number, stamp in enumerate(index) if f"{stamp:%H:%M}" == "09:00"]
    assert len(nine) == 1
    plain, names = calendar(pd.DatetimeIndex(["2012-07-01 09:00"]), HALF)
    np.testing.assert_allclose(day[:, nine], rows(plain, names, "day"), atol=1e-6)
    assert len(np.unique(day.round(4), axis=1).T) == len({f"{stamp:%H:%M}" for stamp in index})


def test_utc_and_local_stamps_differ() -> None:
    local = pd.date_range("2014-01-01", periods=48, freq="30min", tz="Australia/Melbourne")
    here, names = calendar(local, HALF)
    there, _ = calendar(local.tz_convert("UTC"), HALF)
    assert names[0] == "day sin 1"
    assert here[0, 0] == pytest.approx(0, abs=1e-6)
    assert there[0, 0] == pytest.approx(np.sin(2 * np.pi * 13 / 24), abs=1e-6)


def test_weekdays_are_told_fully_apart() -> None:
    index = pd.date_range("2014-01-06", periods=14, freq="D")
    features, names = calendar(index, Frequency(alias="D"))
    week = rows(features, names, "week")
    np.testing.assert_allclose(week[:, :7], week[:, 7:], atol=1e-6)
    any_weekday = np.linalg.matrix_rank(np.vstack([week[:, :7], np.ones(7)]))
    assert any_weekday == 7  # a linear map of them can give every weekday a value of its own


def test_leap_years_end_where_they_begin() -> None:
    index = pd.DatetimeIndex(["2012-12-31", "2013-12-31", "2013-01-01"])
    year = rows(*calendar(index, Frequency(alias="D")), "year")
    assert np.abs(year - year[:, 2:]).max() < 0.05
    assert np.abs(year[:, 2] - [0, 1, 0, 1]).max() < 1e-6


@pytest.mark.parametrize(
    ("alias", "cycles"),
    [("h", {"day", "week", "year"}), ("D", {"week", "year"}), ("B", {"week", "year"}), ("W", {"year"}),
     ("MS", {"year"}), ("QS", {"year"}), ("YS", set())],
)  # fmt: skip
def test_cycles_suit_the_frequency(alias: str, cycles: set[str]) -> None:
    features, names = calendar(pd.date_range("2014-01-01", periods=9, freq=alias), Frequency(alias=alias))
    assert {name.split()[0] for name in names} == cycles
    assert features.shape == (len(names), 9)


def test_whole_numbers_have_no_calendar() -> None:
    features, names = calendar(pd.RangeIndex(5), Frequency(alias=""))
    assert features.shape == (0, 5)
    assert names == ()
