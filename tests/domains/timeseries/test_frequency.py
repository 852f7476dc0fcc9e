"""Frequencies: recognised from stamps with and without gaps, continued beyond them, across changes of clocks."""

from __future__ import annotations

import numpy as np
import pytest
from tsuite.core.errors import UserError
from tsuite.domains.timeseries.frequency import Frequency, check_steps, recognise

pd = pytest.importorskip("pandas")

ALIASES = ("30min", "15min", "h", "2h", "7h", "s", "500ms", "D", "2D", "10D", "B", "W-SUN", "W-WED", "2W-WED", "MS",
           "ME", "2MS", "QS", "QE", "QS-FEB", "QS-MAR", "QE-JAN", "QE-FEB", "YS", "YE", "YS-JUL", "YE-JUN")  # fmt: skip


@pytest.mark.parametrize("zone", [None, "Australia/Melbourne", "Europe/Berlin"])
@pytest.mark.parametrize("alias", ALIASES)
def test_each_is_recognised_and_continued(alias: str, zone: str | None) -> None:
    index = pd.date_range("2012-01-01", periods=50 if "Y" in alias else 400, freq=alias, tz=zone)
    found = recognise(index, name="load.csv")
    assert found.alias == alias
    number, phase = found.places(index)
    assert (np.diff(number) == 1).all()
    assert len(np.unique(phase)) == 1
    assert list(found.ruler(index[0], len(index))) == list(index)
    assert list(found.after(index[-4], 3)) == list(index[-3:])


@pytest.mark.parametrize(
    ("alias", "seasons", "seconds"),
    [
        ("30min", (48, 336), 1800),
        ("h", (24, 168), 3600),
        ("15min", (96, 672), 900),
        ("s", (3600, 86_400, 604_800), 1),
        ("24h", (7,), 86_400),
        ("D", (7,), 86_400),
        ("B", (5,), 7 / 5 * 86_400),
        ("W-SUN", (52,), 604_800),
        ("MS", (12,), 30.4375 * 86_400),
        ("ME", (12,), 30.4375 * 86_400),
        ("QS", (4,), 91.3125 * 86_400),
        ("YS", (1,), 365.25 * 86_400),
        ("10D", (1,), 864_000),
        ("", (1,), None),
        ("10", (1,), None),
    ],
)
def test_seasons_and_length(alias: str, seasons: tuple[int, ...], seconds: float | None) -> None:
    found = Frequency(alias=alias)
    assert found.seasons == seasons
    if seconds is None:
        assert found.seconds is found.steps_per_year is None
    else:
        assert found.seconds == pytest.approx(seconds)
        assert found.steps_per_year == pytest.approx(365.25 * 86_400 / seconds)


def test_aliases_of_older_pandas() -> None:
    assert Frequency(alias="H").step == Frequency(alias="h").step
    assert Frequency(alias="15T").step == Frequency(alias="15min").step
    assert Frequency(alias="M").step == Frequency(alias="ME").step
    assert Frequency(alias="Q-JAN").step == Frequency(alias="QE-JAN").step


@pytest.mark.parametrize("alias", ["fortnight", "0h", "-1D", "BMS", "0"])
def test_what_is_no_regular_step(alias: str) -> None:
    with pytest.raises(UserError, match="30min, h, D"):
        Frequency(alias=alias)


def test_gaps_do_not_matter() -> None:
    whole = pd.date_range("2014-01-01", periods=2000, freq="30min")
    kept = np.random.default_rng(0).random(2000) > 0.2
    assert recognise(whole[kept], name="x").alias == "30min"
    days = pd.bdate_range("2014-01-01", periods=300)
    assert recognise(days.delete([13, 14, 90]), name="x").alias == "B"
    months = pd.date_range("2010-01-01", periods=40, freq="MS").delete([3, 4, 20])
    assert recognise(months, name="x").alias == "MS"


def test_five_days_of_one_week_are_days() -> None:
    assert recognise(pd.date_range("2014-01-06", periods=5, freq="D"), name="x").alias == "D"


def test_any_day_of_the_month() -> None:
    index = pd.DatetimeIndex([f"2014-{month:02}-15 06:00" for month in range(1, 13)])
    found = recognise(index, name="x")
    assert found.alias == "MS"
    assert str(found.after(index[-1], 1)[0]) == "2015-01-15 06:00:00"


def test_whole_numbers() -> None:
    assert recognise(pd.RangeIndex(5), name="x").alias == ""
    tens = recognise(pd.Index([0, 10, 30, 40]), name="x")
    assert tens.alias == "10"
    assert list(tens.after(40, 2)) == [50, 60]


# -- changes of clocks ------------------------------------------------------------------------------------------------


def test_half_hours_in_melbourne() -> None:
    half = Frequency(alias="30min")
    spring = half.after(pd.Timestamp("2012-10-07 01:00", tz="Australia/Melbourne"), 3)
    assert [str(stamp) for stamp in spring] == [
        "2012-10-07 01:30:00+10:00",
        "2012-10-07 03:00:00+11:00",
        "2012-10-07 03:30:00+11:00",
    ]
    autumn = half.after(pd.Timestamp("2012-04-01 01:30", tz="Australia/Melbourne"), 5)
    assert [f"{stamp:%H:%M %z}" for stamp in autumn] == [
        "02:00 +1100",
        "02:30 +1100",
        "02:00 +1000",
        "02:30 +1000",
        "03:00 +1000",
    ]


def test_hours_in_berlin() -> None:
    day = Frequency(alias="h").ruler(pd.Timestamp("2014-10-26", tz="Europe/Berlin"), 26)
    assert str(day[-1]) == "2014-10-27 00:00:00+01:00"  # 25 hours
    assert recognise(day, name="x").alias == "h"


def test_days_keep_to_local_midnight() -> None:
    days = Frequency(alias="D").ruler(pd.Timestamp("2012-10-06", tz="Australia/Melbourne"), 3)
    assert [str(stamp) for stamp in days] == [
        "2012-10-06 00:00:00+10:00",
        "2012-10-07 00:00:00+10:00",
        "2012-10-08 00:00:00+11:00",
    ]
    assert recognise(days, name="x").alias == "D"


def test_24_hours_are_not_a_local_day() -> None:
    index = pd.date_range("2012-09-01", periods=60, freq="24h", tz="UTC").tz_convert("Australia/Melbourne")
    found = recognise(index, name="x")
    assert found.alias == "24h"
    assert list(found.ruler(index[0], 60)) == list(index)


def test_local_midnights_in_utc_ask_for_the_zone() -> None:
    local = pd.date_range("2012-07-01", periods=200, freq="D", tz="Australia/Melbourne")
    with pytest.raises(UserError, match=r"2012-10-07 13:00:00\+00:00.*--timezone"):
        recognise(local.tz_convert("UTC"), name="load.csv")


# -- what does not fit ------------------------------------------------------------------------------------------------


def test_one_stamp() -> None:
    with pytest.raises(UserError, match=r"only the stamp 2014-01-01.*--frequency"):
        recognise(pd.DatetimeIndex(["2014-01-01"]), name="load.csv")


def test_a_stamp_off_the_step_is_named() -> None:
    index = pd.date_range("2014-01-01", periods=100, freq="30min").insert(51, pd.Timestamp("2014-01-02 01:07"))
    with pytest.raises(UserError, match=r"load.csv mixes frequencies: the stamp 2014-01-02 01:07:00") as caught:
        recognise(index, name="load.csv")
    assert "follows 2014-01-02 01:00:00" in str(caught.value)


@pytest.mark.parametrize(("halves", "hours"), [(12, 8), (500, 40)])
def test_a_stretch_with_another_step_is_named(halves: int, hours: int) -> None:
    first = pd.date_range("2014-01-01", periods=halves, freq="30min")
    index = first.append(pd.date_range(first[-1] + pd.Timedelta("1h"), periods=hours, freq="h"))
    with pytest.raises(UserError, match=f"from {first[-1]} on its step is 1 h, not 30min"):
        recognise(index, name="load.csv")


def test_one_series_of_another_frequency() -> None:
    half = pd.date_range("2014-01-01", periods=50, freq="30min")
    hour = pd.date_range("2014-01-01", periods=20, freq="h")
    both, starts = half.append(hour), np.array([0, 50])
    with pytest.raises(UserError, match="series b, mixes frequencies: from 2014-01-01 00:00:00"):
        check_steps(Frequency(alias="30min"), both, name="load.csv", starts=starts, ids=("a", "b"))
    with pytest.raises(UserError, match="series a, mixes frequencies: the stamp 2014-01-01 00:30:00"):
        check_steps(Frequency(alias="h"), both, name="load.csv", starts=starts, ids=("a", "b"))


def test_irregular_stamps() -> None:
    seconds = np.cumsum(np.random.default_rng(0).integers(1, 5000, 300))
    index = pd.DatetimeIndex(pd.Timestamp("2014-01-01") + pd.to_timedelta(seconds, unit="s"))
    with pytest.raises(UserError, match="no regular step"):
        recognise(index, name="trades.csv")
