"""Tables as panels: which column is what, groups, gaps, the known future; and everything a bad file can hold."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tsuite.core.errors import UserError
from tsuite.core.sources import sha256_file
from tsuite.domains.timeseries.tables import Columns, read_panel, tidy, write_table

pd = pytest.importorskip("pandas")


def written(folder: Path, text: str, name: str = "load.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def hours(count: int, **columns: Any) -> Any:
    return pd.DataFrame({"ds": pd.date_range("2014-01-01", periods=count, freq="h")} | columns)


# -- which column is what ---------------------------------------------------------------------------------------------


def test_wide(tmp_path: Path) -> None:
    path = written(tmp_path, "site,when,load,wind\nA,2014-01-01 00:00,1.5,TRUE\nA,2014-01-01 01:00,,FALSE\n")
    panel = read_panel(path)
    (group,) = panel.groups
    assert (group.ids, panel.targets, panel.frequency.alias) == (("load", "wind"), ("load", "wind"), "h")
    np.testing.assert_array_equal(group.values, np.array([[1.5, np.nan], [1, 0]], dtype=np.float32))
    assert group.values.dtype == np.float32
    assert (panel.name, panel.sha256) == ("load.csv", sha256_file(path))
    assert panel.notices[0] == "Left out, since they are no numbers: site."


def test_long(tmp_path: Path) -> None:
    path = written(
        tmp_path, "unique_id,ds,y,temp\nb,2014-01-02,3,9\na,2014-01-01,1,9\nb,2014-01-01,4,9\na,2014-01-02,2,9\n"
    )
    panel = read_panel(path)
    (group,) = panel.groups
    assert group.ids == ("b", "a")
    assert group.values.tolist() == [[4, 3], [1, 2]]
    assert any("not in the order of time (first at 2014-01-01 00:00:00)" in said for said in panel.notices)


def test_long_with_other_names_and_several_targets() -> None:
    frame = hours(6, price=range(6), load=range(6, 12), site=["n", "s"] * 3)
    frame["ds"] = np.repeat(frame["ds"].to_numpy()[:3], 2)
    panel = read_panel(frame, Columns(id="site"))
    assert panel.ids == ("n price", "n load", "s price", "s load")
    assert panel.groups[0].values[3].tolist() == [7, 9, 11]
    assert read_panel(frame, Columns(id="site", targets=("load",))).ids == ("n", "s")


def test_groups_share_a_timeline() -> None:
    parts = [hours(5, unique_id="a", y=1.0), hours(5, unique_id="b", y=2.0), hours(7, unique_id="c", y=3.0)]
    panel = read_panel(pd.concat(parts))
    assert [group.ids for group in panel.groups] == [("a", "b"), ("c",)]
    assert [len(group) for group in panel.groups] == [5, 7]
    assert panel.longest == 7


def test_covariates_of_their_own_part_the_series() -> None:
    frame = pd.concat([hours(4, unique_id=name, y=1.0, sun=float(sun)) for name, sun in (("a", 1), ("b", 2), ("c", 1))])
    panel = read_panel(frame, Columns(future=("sun",)))
    assert [group.ids for group in panel.groups] == [("a", "c"), ("b",)]
    assert panel.groups[1].future.tolist() == [[2, 2, 2, 2]]


def test_the_known_future() -> None:
    frame = hours(8, y=[1, 2, np.nan, 4, 5, np.nan, np.nan, np.nan], wind=1.0, sun=[*range(7), np.nan])
    panel = read_panel(frame, Columns(past=("wind",), future=("sun",)))
    group = panel.groups[0]
    assert (len(group), group.ahead, group.past.shape, group.future.shape) == (5, 2, (1, 5), (1, 7))
    assert "Future covariates are known for 2 steps after the last target." in panel.notices
    assert "Empty cells of the targets: 1; they count as not observed." in panel.notices


def test_static_covariates() -> None:
    frame = pd.concat(
        [hours(2, unique_id=name, y=1.0, kind=kind, area=area) for name, kind, area in
         (("a", "shop", 2.5), ("b", "home", 4.0))]
    )  # fmt: skip
    panel = read_panel(frame, Columns(static=("area", "kind")))
    assert panel.groups[0].static.tolist() == [[2.5, 1], [4.0, 0]]
    assert panel.static_levels == {"kind": ("home", "shop")}
    frame.iloc[0, frame.columns.get_loc("area")] = 7
    with pytest.raises(UserError, match="static column area changes in series a"):
        read_panel(frame, Columns(static=("area",)))


def test_numbers_without_header_and_dates(tmp_path: Path) -> None:
    panel = read_panel(written(tmp_path, "0.7,1.6\n0.8,1.5\n0.9,1.4\n", "exchange_rate.txt"))
    assert (panel.ids, panel.frequency.alias) == (("0", "1"), "")
    assert panel.groups[0].index.tolist() == [0, 1, 2]
    assert panel.notices == ("There is no column of dates: steps are counted from 0.",)


def test_a_series_and_an_index() -> None:
    stamps = pd.date_range("2014-01-01", periods=3, freq="MS")
    panel = read_panel(pd.Series([1, 2, 3], index=stamps, name="sales"))
    assert (panel.ids, panel.frequency.alias, panel.name) == (("sales",), "MS", "the frame")
    assert len(panel.sha256) == 64
    assert read_panel(pd.DataFrame({"a": [1, 2]}, index=stamps[:2].to_period())).ids == ("a",)


@pytest.mark.parametrize(
    ("text", "alias", "first"),
    [
        ("Datum;Last\n31.01.2014 00:00;1,5\n31.01.2014 00:15;2,5\n", "15min", "2014-01-31 00:00:00"),
        ("date\tload\n1/31/2014\t1\n2/1/2014\t2\n2/2/2014\t3\n", "D", "2014-01-31 00:00:00"),
        ("date,load\n01/02/2014,1\n01/03/2014,2\n01/04/2014,3\n01/05/2014,4\n", "D", "2014-01-02 00:00:00"),
        ("date,load\n01/12/2013,1\n01/01/2014,2\n01/02/2014,3\n", "MS", "2013-12-01 00:00:00"),
        ("quarter,gdp\n2014Q1,1\n2014Q2,2\n", "QS", "2014-01-01 00:00:00"),
        ("week,gas\n2014 W01,1\n2014 W02,2\n", "W-MON", "2013-12-30 00:00:00"),
        ("month,gas\nJan 2014,1\nFeb 2014,2\n", "MS", "2014-01-01 00:00:00"),
        ("Year,gas\n1990,1\n1991,2\n", "YS", "1990-01-01 00:00:00"),
        ("date,gas\n20140131,1\n20140201,2\n", "D", "2014-01-31 00:00:00"),
        ("timestamp,gas\n1400000000,1\n1400003600,2\n", "h", "2014-05-13 16:53:20+00:00"),
        (",date,gas\n1,2014-01-01,7\n2,2014-01-02,8\n", "D", "2014-01-01 00:00:00"),
        ("\ufeffdate , gas\r\n2014-01-01,7\r\n2014-01-02,8\r\n\r\n", "D", "2014-01-01 00:00:00"),
    ],
)  # fmt: skip
def test_ways_to_write_a_table(tmp_path: Path, text: str, alias: str, first: str) -> None:
    panel = read_panel(written(tmp_path, text))
    assert (panel.frequency.alias, str(panel.groups[0].index[0]), len(panel)) == (alias, first, 1)
    assert np.isfinite(panel.groups[0].values).all()


def test_day_or_month_is_said(tmp_path: Path) -> None:
    panel = read_panel(written(tmp_path, "date,load\n01/12/2013,1\n01/01/2014,2\n01/02/2014,3\n"))
    assert panel.notices == (
        "In the time column date, 01/12/2013 is read as 01 December 2013, not as 12 January 2013.",
    )


# -- rows that are missing, doubled, unsorted -------------------------------------------------------------------------


def test_gaps_are_not_observed() -> None:
    panel = read_panel(hours(10, load=range(10)).drop([3, 4, 7]))
    values = panel.groups[0].values[0]
    assert np.flatnonzero(np.isnan(values)).tolist() == [3, 4, 7]
    assert values[[2, 5]].tolist() == [2, 5]
    assert panel.notices == (
        "3 of 10 stamps are missing, first 2014-01-01 03:00:00: they count as not observed.",
    )  # fmt: skip


def test_constant_and_ended_and_empty_series() -> None:
    frame = hours(6, flat=1.0, ended=[1, 2, 3, 4, np.nan, np.nan], empty=np.nan)
    panel = read_panel(frame)
    assert panel.ids == ("flat", "ended")
    assert set(panel.notices) == {
        "Always the same value: flat.",
        "Not observed at the end, where forecasts begin: ended (last 2).",
        "Empty cells of the targets: 2; they count as not observed.",
        "Left out, since they hold no value: empty.",
    }
    with pytest.raises(UserError, match="holds no value of empty"):
        read_panel(frame[["ds", "empty"]])


def test_doubles_are_named(tmp_path: Path) -> None:
    text = "Date,Symbol,Close\n2014-01-02,A,1\n2014-01-03,A,2\n2014-01-02,B,3\n2014-01-03,B,4\n"
    with pytest.raises(UserError, match=r"2014-01-02 00:00:00 twice: .*, line 2 and .*, line 4.*--id Symbol$"):
        read_panel(written(tmp_path, text))
    text = text.replace("3,B", "2,B")
    with pytest.raises(UserError, match=r"00:00:00 twice in series B: load\.csv, line 4 and load\.csv, line 5"):
        read_panel(written(tmp_path, text), Columns(id="Symbol"))


def test_a_series_of_another_frequency_is_named() -> None:
    hourly = hours(20, unique_id="a", y=1.0)
    daily = pd.DataFrame({"ds": pd.date_range("2014-01-01", periods=9, freq="D"), "unique_id": "b", "y": 1.0})
    with pytest.raises(UserError, match="series b, mixes frequencies: from 2014-01-01 00:00:00 on its step is 1 day"):
        read_panel(pd.concat([hourly, daily]))


def test_frequency_given() -> None:
    one = hours(1, load=1.0)
    with pytest.raises(UserError, match="--frequency"):
        read_panel(one)
    assert read_panel(one, frequency="h").groups[0].values.shape == (1, 1)
    with pytest.raises(UserError, match="the stamp 2014-01-01 01:00:00 does not lie on its step of 2h"):
        read_panel(hours(5, load=1.0), frequency="2h")


# -- what cannot be read ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "ds,load\n2014-01-01,1\n2014-01-02,2\n2014-01-03,?\n",
            "line 4: '?' in the column load is no number",
        ),
        ("ds,load\n2014-01-01,1\n2014-01-02,1e39\n", "line 3: '1e+39' in the column load is no number"),
        ("ds,load\n2014-01-01,1\n2014-02-31,2\n", "line 3: '2014-02-31' in the time column ds is not a date"),
        ("ds,load\n2014-01-01,1\n,2\n", "line 3: the time column ds is empty"),
        ("ds,load\n2014-01-01 01:00Z,1\n2014-01-01 02:00,2\n", "line 3: '2014-01-01 02:00' in the time column ds and"),
        ("ds,load,load\n2014-01-01,1,2\n", "the columns 2 and 3 are both named 'load'"),
        ("ds,load\n2014-01-01,1\n", "only the stamp 2014-01-01"),
        ("ds,load\n", "has no rows"),
        ("", "is empty"),
        ("name,load\nx,1\ny,2\n", "no column of dates: name begins with 'x'"),
        ("ds,name\n2014-01-01,x\n2014-01-02,y\n", "no column of numbers to forecast. Its columns are ds, name."),
        ("Dear Sir,\nplease, find, this\n", "is no table"),
        ("ds,load\n2014-01-01,1,2\n2014-01-02,1,2\n", "is no table"),
        ("\x00\x01\x02", "is no table of text"),
        ("unique_id,ds,y\na,2014-01-01,1\n,2014-01-02,2\n", "line 3: the column unique_id is empty"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        read_panel(written(tmp_path, text))
    assert words in str(caught.value)
    assert "load.csv" in str(caught.value)


def test_cut_short_and_missing_files(tmp_path: Path) -> None:
    whole = gzip.compress(b"ds,load\n" + b"".join(b"2014-01-%02d,1\n" % day for day in range(1, 30)))
    (tmp_path / "load.csv.gz").write_bytes(whole)
    assert read_panel(tmp_path / "load.csv.gz").longest == 29
    (tmp_path / "load.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cut short or damaged"):
        read_panel(tmp_path / "load.csv.gz")
    with pytest.raises(UserError, match=r"Did you mean load\.csv\.gz"):
        read_panel(tmp_path / "laod.csv.gz")
    with pytest.raises(UserError, match="cannot be read as parquet"):
        read_panel(written(tmp_path, "ds,load\n", "load.parquet"))


def test_columns_that_are_not_there_or_named_twice() -> None:
    frame = hours(4, load=1.0, sun=2.0)
    with pytest.raises(UserError, match=r"no column 'laod'\. Did you mean load"):
        read_panel(frame, Columns(targets=("laod",)))
    with pytest.raises(UserError, match=r"'sun' is named twice, as a past covariate and as a future .*A future cov"):
        read_panel(frame, Columns(past=("sun",), future=("sun",)))
    with pytest.raises(UserError, match=r"'load' is named twice as a target\. Name it once"):
        read_panel(frame, Columns(targets=("load", "load")))
    with pytest.raises(UserError, match="both named 'load'"):
        read_panel(frame.set_axis(["ds", "load", "load"], axis=1))
    with pytest.raises(UserError, match="no time zone called 'Melborne'"):
        read_panel(frame, timezone="Melborne")
    with pytest.raises(UserError, match="frequency 'hourly' is not known"):
        read_panel(frame, frequency="hourly")


def test_values_that_frames_may_hold() -> None:
    frame = hours(3, whole=pd.array([1, None, 3], dtype="Int64"), text=["1", " 2 ", None], yes=[True, False, None])
    values = read_panel(frame).groups[0].values
    np.testing.assert_array_equal(values, np.array([[1, np.nan, 3], [1, 2, np.nan], [1, 0, np.nan]], np.float32))


@pytest.mark.parametrize("given", [[1, 2.5, None], (1, 2.5, np.nan), np.array([1, 2.5, np.nan], np.float32)])
def test_plain_numbers_are_a_series_with_steps(given: Any) -> None:
    panel = read_panel(given)
    assert (panel.ids, panel.frequency.alias) == (("y",), "")
    np.testing.assert_array_equal(panel.groups[0].values, np.array([[1, 2.5, np.nan]], np.float32))


@pytest.mark.parametrize("given", [3, ["a", "b"], [[1, 2], [3]], np.zeros((3, 2)), {"load": [1, 2]}, None])
def test_what_holds_no_table(given: Any) -> None:
    with pytest.raises(UserError, match=r"cannot be read from this \w+\. Give a pandas frame"):
        read_panel(given)


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is a folder\..*it holds none"):
        read_panel(tmp_path)
    written(tmp_path, "ds,load\n")
    with pytest.raises(UserError, match=r"is a folder. Name the table in it: load\.csv"):
        read_panel(tmp_path)


# -- writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_forecasts_survive_their_file(tmp_path: Path, ending: str) -> None:
    stamps = pd.date_range("2014-01-01", periods=3, freq="h", tz="Australia/Melbourne")
    frame = tidy(["a"] * 3, stamps, [1, 2, 3], np.array([1.0, 2, 3]), {0.9: np.ones(3), 0.1: np.zeros(3)})
    assert list(frame.columns) == ["unique_id", "ds", "horizon", "y_hat", "q10", "q90"]
    path = write_table(frame, tmp_path / "new" / f"forecast.{ending}")
    assert [item.name for item in path.parent.iterdir()] == [path.name]
    panel = read_panel(path, Columns(targets=("y_hat",)), timezone="Australia/Melbourne")
    assert (panel.ids, panel.groups[0].values.tolist()) == (("a",), [[1, 2, 3]])
    assert list(panel.groups[0].index) == list(stamps)


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"end in \.csv or \.csv\.gz or \.parquet"):
        write_table(hours(2), tmp_path / "forecast.xlsx")
    with pytest.raises(UserError, match="cannot be written"):
        write_table(hours(2), written(tmp_path, "") / "forecast.csv")


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_table(hours(2, y=1.0), tmp_path / "load.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for use in (lambda: read_panel(path), lambda: write_table(hours(2), path)):
        with pytest.raises(UserError, match=r"pyarrow, which is not installed.*timeseries"):
            use()


def test_hints_give_roles_to_columns_that_are_there() -> None:
    frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=8, freq="D"), "load": range(8), "heat": range(8)})
    hints = Columns(future=("heat", "wind"), past=("load",))
    panel = read_panel(frame, Columns(targets=("load",)), hints=hints)
    assert (panel.targets, panel.future, panel.past) == (("load",), ("heat",), ())
