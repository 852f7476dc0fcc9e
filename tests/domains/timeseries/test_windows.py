"""Windows: places in a timeline, cut out when a batch is made; and the scaling of what they hold."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from tsuite.domains.timeseries.frequency import Frequency
from tsuite.domains.timeseries.panel import Group
from tsuite.domains.timeseries.windows import Scaling, Track, Windows, batch_of, cut, in_parts, moments, window_at

from .networks import batch

pd = pytest.importorskip("pandas")
HOURLY = Frequency(alias="h")


def group(steps: int = 60, ahead: int = 4, series: int = 2) -> Group:
    """Series that count: value = 1000 series + step; the past covariate is -step, the future one 10 step."""
    place = np.arange(steps + ahead, dtype=np.float32)
    return Group.of(
        np.stack([1000 * number + place[:steps] for number in range(series)]),
        pd.date_range("2024-01-01", periods=steps + ahead, freq="h"),
        past=-place[None, :steps],
        future=10 * place[None],
        static=np.arange(series, dtype=np.float32)[:, None],
    )


def plain(given: Group, *, marks: int = 0) -> Track:
    """A track in the group's own units."""
    one = ((0.0, 1.0),)
    known = dict.fromkeys(given.ids, (0.0, 1.0))
    track = Scaling(series=known, past=one, ahead=one, static=one).track(given, HOURLY, marks=marks)
    values = dataclasses.replace(track, values=given.values)
    return dataclasses.replace(values, location=np.zeros_like(track.location), scale=np.ones_like(track.scale))


def test_a_window_holds_what_lies_before_and_after_its_origin() -> None:
    made = batch_of([window_at(plain(group()), 20, 5), window_at(plain(group()), 30, 5)], lookback=8)
    assert made.values.shape == (4, 8)
    assert made.values[1].tolist() == [1000 + step for step in range(12, 20)]
    assert made.target[1].tolist() == [1000 + step for step in range(20, 25)]
    assert made.past[0, 0].tolist() == [-step for step in range(12, 20)]  # none after the origin
    assert made.ahead[1, 0].tolist() == [10 * step for step in range(22, 35)]
    assert made.window.tolist() == [0, 0, 1, 1]
    assert made.static[:, 0].tolist() == [0, 1, 0, 1]
    assert made.observed.all()
    assert made.known.all()
    assert made.target_observed.all()


def test_what_lies_outside_of_the_timeline_is_not_observed() -> None:
    made = batch_of([window_at(plain(group(steps=10)), 3, 5)], lookback=8)
    assert made.observed.tolist() == [[False] * 5 + [True] * 3] * 2
    assert not made.values[:, :5].any()
    made = batch_of([window_at(plain(group(steps=10, ahead=4)), 10, 6)], lookback=8)
    assert not made.target_observed.any()
    assert made.known[0, 0].tolist() == [True] * 12 + [False] * 2  # four steps known ahead


@pytest.mark.parametrize(("start", "stop"), [(0, 3), (-2, 2), (3, 8), (-4, -1), (7, 9), (-2, 9), (5, 5)])
def test_cut_pads_with_unknown(start: int, stop: int) -> None:
    array = np.arange(10.0).reshape(2, 5)
    expected = [[row[step] if 0 <= step < 5 else np.nan for step in range(start, stop)] for row in array]
    np.testing.assert_array_equal(cut(array, start, stop), np.asarray(expected).reshape(2, stop - start))


def test_missing_values_are_zeros_that_are_marked() -> None:
    given = group(series=1)
    given.values[0, 17] = given.past[0, 18] = given.future[0, 22] = given.static[0, 0] = np.nan
    made = batch_of([window_at(plain(given), 20, 5)], lookback=8)
    assert made.observed[0].tolist() == [True] * 5 + [False] + [True] * 2
    assert made.values[0, 5] == made.past[0, 0, 6] == made.ahead[0, 0, 10] == made.static[0, 0] == 0
    assert made.known[0, 0].logical_not().nonzero().tolist() == [[10]]
    assert all(torch.isfinite(value).all() for value in vars(made).values())


def test_windows_are_numbered_over_all_tracks() -> None:
    tracks = [plain(group(steps=50)), plain(group(steps=20))]
    windows = Windows(tracks, [(10, 20), (5, 6)], horizon=3)
    assert len(windows) == 11
    assert [window.origin for window in windows] == [*range(10, 20), 5]
    assert windows[-1].track is tracks[1]
    assert [window.origin for window in windows[8:]] == [18, 19, 5]
    assert [window.origin for window in Windows(tracks, [(10, 20), (5, 6)], horizon=3, stride=4)] == [10, 14, 18, 5]
    assert len(Windows(tracks, [(10, 10), (9, 5)], horizon=3)) == 0
    with pytest.raises(IndexError):
        windows[11]


def test_a_batch_in_parts_is_the_batch() -> None:
    given = batch(2, 1, 3, 1, 1, gaps=0.2)
    parts = list(in_parts(given, 3))
    assert [len(part.values) for part in parts] == [3, 3, 2]
    assert [part.window.tolist() for part in parts] == [[0, 0, 1], [0, 0, 0], [0, 1]]
    for name, value in vars(given).items():
        if name != "window":
            assert torch.equal(torch.cat([getattr(part, name) for part in parts]), value)
    assert len(list(in_parts(given, 100))) == 1


def test_scaling_is_learnt_before_the_border_only() -> None:
    given = group()
    changed = dataclasses.replace(given, values=given.values.copy(), past=given.past.copy(), future=given.future.copy())
    for array in (changed.values, changed.past, changed.future):
        array[:, 40:] = 1e6
    assert Scaling.learn([given], [40]) == Scaling.learn([changed], [40])
    mean, deviation = Scaling.learn([given], [40]).series["1"]
    assert (mean, deviation) == pytest.approx((1019.5, np.arange(40.0).std()))


def test_a_new_series_is_scaled_by_its_history() -> None:
    given, scaling = group(), Scaling.learn([group()], [40])
    new = dataclasses.replace(given, ids=("a", "b"))
    later = dataclasses.replace(new, values=np.where(np.arange(60) < 30, new.values, 1e6).astype(np.float32))
    tracks = [scaling.track(one, HOURLY, end=30) for one in (new, later)]
    assert tracks[0].location[0, 0] == pytest.approx(14.5)
    np.testing.assert_array_equal(tracks[0].values[:, :30], tracks[1].values[:, :30])
    np.testing.assert_allclose(tracks[0].restored(tracks[0].values), given.values, rtol=1e-5)


def test_a_series_that_only_has_the_name_of_a_known_one_is_scaled_by_itself() -> None:
    given, scaling = group(series=1), Scaling.learn([group(series=1)], [40])
    assert scaling.track(given, HOURLY).location[0, 0] == pytest.approx(19.5)
    other = dataclasses.replace(given, values=given.values * 1000)
    assert scaling.track(other, HOURLY).location[0, 0] == pytest.approx(29_500)


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e12])
def test_any_unit_is_standardised(unit: float) -> None:
    mean, deviation = moments((unit * (5 + np.arange(100) % 2)).astype(np.float32))
    assert (mean / unit, deviation / unit) == pytest.approx((5.5, 0.5))


@pytest.mark.parametrize("row", [np.full(9, 3.25), np.full(9, np.nan), np.zeros(9), np.full(9, 3e7)])
def test_what_does_not_vary_is_not_divided_by_nothing(row: np.ndarray) -> None:
    mean, deviation = moments(row.astype(np.float32))
    assert deviation == 1.0
    assert mean == (0.0 if np.isnan(row).all() else row[0])


def test_the_calendar_is_known_ahead() -> None:
    track = plain(group(), marks=4)
    made = batch_of([window_at(track, 60, 4)], lookback=8)
    assert made.ahead.shape == (1, 5, 12)
    assert made.known.all()
    angle = 2 * np.pi * np.arange(52, 64) / 24 / 366  # hours of a leap year
    np.testing.assert_allclose(made.ahead[0, -4], np.sin(angle), atol=1e-6)
