"""The covariates that a checkpoint knows, out of whatever a table brings."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from tsuite.core.errors import UserError
from tsuite.domains.timeseries.covariates import Told, matched
from tsuite.domains.timeseries.frequency import Frequency
from tsuite.domains.timeseries.panel import Group, Panel

pd = pytest.importorskip("pandas")


def panel(ahead: int = 0) -> Panel:
    """Two series of 10 hours with two past covariates, two future ones, and a region."""
    group = Group.of(
        np.zeros((2, 10)),
        pd.date_range("2024-01-01", periods=10 + ahead, freq="h"),
        past=np.stack([np.full(10, 1), np.full(10, 2)]),
        future=np.stack([np.full(10 + ahead, 3), np.full(10 + ahead, 4)]),
        static=np.asarray([[0], [1]]),
    )
    return Panel(
        groups=(group,), frequency=Frequency(alias="h"), name="load.csv", past=("wind", "rain"),
        future=("temperature", "holiday"), static=("region",), static_levels={"region": ("east", "west")},
    )  # fmt: skip


def told(**changed: object) -> Told:
    return dataclasses.replace(Told.of(panel(), optional=False), **changed)  # type: ignore[arg-type]


def test_rows_come_in_the_order_of_the_checkpoint() -> None:
    found, notices = matched(panel(3), told(past=("rain", "wind"), future=("holiday", "temperature")), 3)
    assert found.groups[0].past[:, 0].tolist() == [2, 1]
    assert found.groups[0].future[:, 0].tolist() == [4, 3]
    assert (found.past, found.future, notices) == (("rain", "wind"), ("holiday", "temperature"), ())


def test_what_the_checkpoint_does_not_know_is_left_out() -> None:
    found, notices = matched(panel(), Told(), 0)
    (group,) = found.groups
    assert (group.past.shape, group.future.shape, group.static.shape) == ((0, 10), (0, 10), (2, 0))
    assert notices == ()


@pytest.mark.parametrize("role", ["past", "future", "static"])
def test_a_needed_one_that_is_lacking_is_named_with_what_is_near(role: str) -> None:
    lacking = told(**{role: ("temperatures",)})
    with pytest.raises(UserError, match=r"load.csv lacks temperatures.*Did you mean temperature"):
        matched(panel(), lacking, 0)


def test_one_that_can_be_done_without_is_unknown_and_said() -> None:
    found, notices = matched(panel(), told(past=("wind", "snow"), static=("size", "region"), optional=True), 0)
    assert np.isnan(found.groups[0].past[1]).all()
    assert found.groups[0].past[0].tolist() == [1] * 10
    assert np.isnan(found.groups[0].static[:, 0]).all()
    assert notices == ("load.csv lacks snow, size: forecast without them.",)


def test_words_take_the_codes_of_the_checkpoint() -> None:
    found, _ = matched(panel(), told(static_levels={"region": ("south", "west", "east")}), 0)
    assert found.groups[0].static[:, 0].tolist() == [2, 1]
    found, _ = matched(panel(), told(static_levels={"region": ("west",)}), 0)
    assert np.isnan(found.groups[0].static[0, 0])  # never met: not known, which is not the first word
    assert found.groups[0].static[1, 0] == 0


def test_the_timeline_reaches_over_the_horizon() -> None:
    (group,) = matched(panel(2), told(optional=True, future=("holiday",), past=()), 2)[0].groups
    assert len(group.index) == 12
    (group,) = matched(panel(), Told(), 5)[0].groups
    assert group.index.equals(pd.date_range("2024-01-01", periods=15, freq="h"))
    assert group.future.shape == (0, 15)
    assert len(group) == 10


@pytest.mark.parametrize("optional", [False, True])
def test_known_for_too_few_steps_names_the_first_that_is_missing(optional: bool) -> None:
    with pytest.raises(UserError, match="temperature is not known at 2024-01-01 13:00:00"):
        matched(panel(3), told(optional=optional), 4)


def test_what_was_matched_once_may_be_matched_again() -> None:
    need = told(future=("temperature", "snow"), optional=True)
    once, _ = matched(panel(4), need, 0)
    twice, notices = matched(once, need, 4)  # snow, a row of nothing by now, is not asked for
    np.testing.assert_array_equal(twice.groups[0].future, once.groups[0].future)
    np.testing.assert_array_equal(twice.groups[0].static, once.groups[0].static)
    assert notices == ()


def test_not_known_ahead_at_all() -> None:
    with pytest.raises(UserError, match="temperature is not known at 2024-01-01 10:00:00"):
        matched(panel(), told(), 4)
    assert matched(panel(), told(), 0)[1] == ()  # nothing is asked ahead: it is learnt from
    found, notices = matched(panel(), told(optional=True), 4)
    assert np.isnan(found.groups[0].future[:, 10:]).all()
    assert notices == ("temperature, holiday are not known after the end of load.csv: forecast without them.",)
