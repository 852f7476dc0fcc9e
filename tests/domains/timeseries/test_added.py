"""Rows added to series that are followed: found by stamp and series, or refused in a sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tsuite.core.errors import UserError

pd = pytest.importorskip("pandas")

from tsuite.domains.timeseries.added import grown, known_ahead  # noqa: E402
from tsuite.domains.timeseries.panel import Panel  # noqa: E402
from tsuite.domains.timeseries.tables import Columns, read_panel  # noqa: E402

STEPS, HORIZON = 30, 4
HEAT = Columns(future=("heat",))


def table(**ids: float) -> Any:
    """Hourly rows to the end of the horizon, y without it; heat is the hour times each series' factor."""
    hour = np.arange(STEPS + HORIZON)
    parts = [
        pd.DataFrame({"unique_id": name, "ds": pd.date_range("2024-01-01", periods=len(hour), freq="h"),
                      "y": np.where(hour < STEPS, hour, np.nan), "heat": factor * hour})
        for name, factor in ids.items()
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def past(whole: Any) -> Panel:
    return read_panel(whole[whole["y"].notna()], HEAT)


def same(panel: Panel, other: Panel) -> bool:
    """Whether both know the same of every series."""

    def series(one: Panel) -> dict[str, tuple[Any, ...]]:
        return {
            name: (group.index.tolist(), group.values[row].tolist(), group.future.tolist())
            for group in one.groups
            for row, name in enumerate(group.ids)
        }

    return series(panel) == series(other)


@pytest.mark.parametrize("factors", [{"a": 1, "b": 1}, {"a": 1, "b": -3, "c": 1}])
def test_each_series_has_its_own_rows(factors: dict[str, float]) -> None:
    whole = table(**factors)
    for future in (whole, whole[whole["y"].isna()], whole.sample(frac=1, random_state=0)):
        assert same(known_ahead(past(whole), future, HORIZON, Columns()), read_panel(whole, HEAT))


def test_series_that_only_differ_ahead_part() -> None:
    whole = table(a=1, b=1)
    whole.loc[(whole["unique_id"] == "b") & whole["y"].isna(), "heat"] = -1.0
    assert [group.ids for group in past(whole).groups] == [("a", "b")]
    told = known_ahead(past(whole), whole, HORIZON, Columns())
    assert [group.ids for group in told.groups] == [("a",), ("b",)]
    assert same(told, read_panel(whole, HEAT))


def test_rows_for_all_series() -> None:
    whole = table(a=1, b=1)
    shared = whole[whole["unique_id"] == "a"].drop(columns=["unique_id", "y"])
    for future in (shared, shared.set_index("ds"), shared[["heat"]][-HORIZON:]):
        assert same(known_ahead(past(whole), future, HORIZON, Columns()), read_panel(whole, HEAT))


def test_columns_by_other_names() -> None:
    names = {"unique_id": "town", "ds": "when"}
    whole = table(a=1, b=2).rename(columns=names)
    said = Columns(id="town", time="when", targets=("y",), future=("heat",))
    panel = read_panel(whole[whole["y"].notna()], said)
    assert same(known_ahead(panel, whole, HORIZON, said), read_panel(whole, said))


def test_several_targets_of_a_series() -> None:
    whole = table(a=1, b=2).assign(z=lambda one: 2 * one["y"])
    said = Columns(targets=("y", "z"), future=("heat",))
    panel = read_panel(whole[whole["y"].notna()], said)
    assert panel.ids == ("a y", "a z", "b y", "b z")
    assert same(known_ahead(panel, whole, HORIZON, Columns()), read_panel(whole, said))


WHOLE = table(a=1, b=2)
AHEAD = WHOLE[WHOLE["y"].isna()]
MISTAKES: list[tuple[Any, str]] = [
    (AHEAD[AHEAD["ds"] != "2024-01-02 07:00"], "no row of a for 2024-01-02 07:00:00. A horizon of 4 needs"),
    (AHEAD.assign(ds=AHEAD["ds"] + pd.Timedelta("30D")), "no row of a for 2024-01-02 06:00:00"),
    (AHEAD[AHEAD["unique_id"] == "a"], "no row of the series b"),
    (AHEAD.drop(columns="unique_id"), "row 0 and row 4 are both for 2024-01-02 06:00:00.*unique_id"),
    (pd.concat([AHEAD, AHEAD[:1]]), "row 0 and row 8 are both for 2024-01-02 06:00:00 of a. Keep one"),
    (AHEAD[["heat"]], "has 8 rows and no time stamps; a horizon of 4 needs 4"),
    (AHEAD[["unique_id", "heat"]][1:], "has 3 rows of a and no time stamps"),
    (AHEAD.assign(heat="warm"), "row 0: 'warm' in the column heat is no number"),
    (AHEAD.assign(heat=np.inf), "'inf' in the column heat is no number"),
    (AHEAD.assign(ds="noon"), "'noon' in the time column ds is no date"),
    (AHEAD.assign(ds=AHEAD["ds"].dt.tz_localize("UTC")), "has a time zone, those of the series have none"),
    (AHEAD.assign(ds=range(8)), "the stamp 0 in the column ds is of another kind"),
    (AHEAD.drop(columns="heat"), "lacks heat"),
    ([1, 2, 3], "is a pandas frame, not a list"),
    ("heat.csv", "is a pandas frame, not a str"),
]


@pytest.mark.parametrize(("future", "said"), MISTAKES)
def test_what_cannot_be_known_ahead(future: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        known_ahead(past(WHOLE), future, HORIZON, Columns())


def test_steps_without_dates() -> None:
    panel = read_panel(pd.DataFrame({"y": range(STEPS), "heat": range(STEPS)}), HEAT)
    future = pd.DataFrame({"heat": [5.0, 6.0], "step": [31, 30]})
    assert known_ahead(panel, future[["heat"]], 2, Columns()).groups[0].future[0, STEPS:].tolist() == [5, 6]
    assert known_ahead(panel, future, 2, Columns()).groups[0].future[0, STEPS:].tolist() == [6, 5]


def test_whole_numbers_are_no_stamps_of_dates() -> None:
    panel = past(table(a=1))
    future = pd.DataFrame({"heat": [5.0, 6.0], "day": [2, 2]})
    assert known_ahead(panel, future, 2, Columns()).groups[0].future[0, STEPS:].tolist() == [5, 6]


def test_what_happened_next() -> None:
    panel = past(WHOLE)
    next_rows = AHEAD[:2].rename(columns={"y": "a"}).drop(columns="unique_id").assign(a=[7.0, None])
    for rows in (next_rows, next_rows.set_index("ds"), next_rows.drop(columns="ds")):
        longer = grown(panel, rows, Columns())
        assert longer.groups[0].values[0, STEPS:].tolist()[0] == 7.0
        assert np.isnan(longer.groups[0].values[0, STEPS + 1])
        assert np.isnan(longer.groups[1].values[0, STEPS:]).all()
        assert longer.groups[0].future[0, STEPS:].tolist() == [30, 31]
    assert grown(panel, next_rows[:0], Columns()) is panel


@pytest.mark.parametrize(
    ("observed", "said"),
    [
        ({"a": np.inf}, "'inf' in the column a is no number"),
        ({"a": -1e300}, "in the column a is no number"),
        ({"heat": float("-inf")}, "in the column heat is no number"),
        ({"a": "x"}, "row 0: 'x' in the column a is no number"),
        ({"c": 1.0}, "no series or covariate 'c'"),
        ({"a": 1.0, "ds": "2024-01-02 07:00"}, "next of a is 2024-01-02 06:00:00, not 2024-01-02 07:00:00"),
        (pd.DataFrame({"a": [1.0]}, index=pd.to_datetime(["2024-01-01 00:00"])), "not 2024-01-01 00:00:00"),
        (3.0, "cannot be a float"),
    ],
)
def test_what_cannot_have_happened(observed: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        grown(past(WHOLE), observed, Columns())
