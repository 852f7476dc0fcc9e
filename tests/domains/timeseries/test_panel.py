"""Groups and panels: their shapes, slices of them, and whether the future is known."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest
from tsuite.core.errors import UserError
from tsuite.domains.timeseries.frequency import Frequency
from tsuite.domains.timeseries.panel import Group, Panel, require_future

pd = pytest.importorskip("pandas")


def panel(*, ahead: int = 3, hole: int | None = None) -> Panel:
    """Two series of ten hours, with one past and two future covariates."""
    index = pd.date_range("2014-01-01", periods=10 + ahead, freq="h")
    future = np.arange(2 * (10 + ahead), dtype=np.float32).reshape(2, -1)
    if hole is not None:
        future[1, hole] = np.nan
    values = np.arange(20, dtype=np.float32).reshape(2, 10)
    group = Group.of(values, index, ids=("a", "b"), past=np.zeros((1, 10)), future=future)
    return Panel(
        groups=(group,), frequency=Frequency(alias="h"), name="load.csv", past=("wind",), future=("sun", "holiday")
    )


def test_sizes() -> None:
    given = panel()
    group = given.groups[0]
    assert len(given) == 2
    assert (given.ids, given.longest) == (("a", "b"), 10)
    assert (len(group), group.ahead) == (10, 3)
    assert (group.past.dtype, group.static.shape) == (np.float32, (2, 0))


def test_arrays_that_do_not_belong_together() -> None:
    with pytest.raises(ValueError, match=r"values \(1, 5\)"):
        Group.of(np.zeros((1, 5)), pd.RangeIndex(4))
    with pytest.raises(ValueError, match="future"):
        Group.of(np.zeros((1, 5)), pd.RangeIndex(6), future=np.zeros((1, 5)))


def test_slices_are_views() -> None:
    group = panel().groups[0]
    part = group.slice(2, 6, ahead=2)
    assert np.shares_memory(part.values, group.values)
    assert part.values[0].tolist() == [2, 3, 4, 5]
    assert (part.future.shape, part.ahead) == ((2, 6), 2)
    assert list(part.index) == list(group.index[2:8])
    assert panel().slice_time(-4, 10).groups[0].values.shape == (2, 4)
    assert panel().slice_time(-4, 10, ahead=9).groups[0].ahead == 3  # there is no more


def test_tidy_frame() -> None:
    frame = panel().to_frame()
    assert list(frame.columns) == ["unique_id", "ds", "y"]
    assert len(frame) == 20
    assert frame.y.tolist() == list(range(20))
    assert frame.ds.iloc[10] == pd.Timestamp("2014-01-01")


def test_a_future_that_is_known() -> None:
    require_future(panel(), 3)
    require_future(panel(hole=4), 3)  # what is missing lies in the past


def test_a_future_that_is_too_short() -> None:
    with pytest.raises(UserError, match=r"covariate sun is not known at 2014-01-01 13:00:00.*horizon of 3.$"):
        require_future(panel(), 4)


def test_a_future_that_is_missing() -> None:
    with pytest.raises(UserError, match=r"sun is not known at 2014-01-01 10:00:00 .*Add 2 rows"):
        require_future(panel(ahead=0), 2)


def test_a_hole_in_the_future() -> None:
    with pytest.raises(UserError, match="covariate holiday is not known at 2014-01-01 11:00:00"):
        require_future(panel(hole=11), 3)


def test_without_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.delitem(sys.modules, "tsuite.domains.timeseries.frames")
    with pytest.raises(UserError, match=r"pandas, which is not installed.*tsuite\[timeseries\]"):
        importlib.import_module("tsuite.domains.timeseries.frames")
