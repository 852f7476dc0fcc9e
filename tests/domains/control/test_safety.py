"""What stands between a network and a machine."""

from __future__ import annotations

import numpy as np
import pytest
from tsuite.core.errors import UserError
from tsuite.domains.control.safety import Guard, Statistics, Watchdog
from tsuite.domains.control.spaces import Space

TORQUE = Space(kind="box", shape=(2,), low=(-1.0, 0.0), high=(1.0, 4.0))
CHOICE = Space(kind="discrete", sizes=(3,), dtype="int64")
SEEN = np.zeros((2, 3), np.float32)


def test_actions_outside_the_bounds_are_clipped_and_counted() -> None:
    guard = Guard(TORQUE)
    safe, flags = guard.check(SEEN, np.array([[3.0, -1.0], [0.5, 2.0]], np.float32))
    assert safe.tolist() == [[1.0, 0.0], [0.5, 2.0]]
    assert flags.clipped.tolist() == flags.any.tolist() == [True, False]
    assert guard.counts == {"clipped": 1, "slowed": 0, "held": 0, "unusual": 0}
    assert guard.words() == "Of 2 actions 1 clipped to the bounds."


def test_that_nothing_had_to_be_done_is_said() -> None:
    guard = Guard(TORQUE)
    assert guard.words() == ""
    for _ in range(2):
        guard.check(SEEN, np.array([[0.5, 1.0], [0.5, 2.0]], np.float32))
    assert guard.words() == "Nothing had to be changed in 4 actions."
    assert guard.report() == {"actions": 4, "clipped": 0, "slowed": 0, "held": 0, "unusual": 0}


def test_nothing_that_is_no_number_reaches_the_machine() -> None:
    guard = Guard(TORQUE)
    first, flags = guard.check(SEEN, np.array([[np.nan, 1.0], [0.5, 2.0]], np.float32))
    assert first[0].tolist() == [0.0, 2.0]  # the middle: nothing good was ever told
    assert flags.held.tolist() == [True, False]
    second, flags = guard.check(SEEN, np.array([[0.2, 1.0], [np.inf, 2.0]], np.float32))
    assert second[1].tolist() == [0.5, 2.0]  # the last good one
    assert flags.held.tolist() == [False, True]
    assert np.isfinite(second).all()
    guard.reset()
    assert guard.check(SEEN, np.full((2, 2), np.nan, np.float32))[0].tolist() == [[0.0, 2.0]] * 2


def test_choices_that_do_not_exist_are_held() -> None:
    guard = Guard(CHOICE)
    assert guard.check(SEEN, np.array([2, 1]))[0].tolist() == [2, 1]
    safe, flags = guard.check(SEEN, np.array([3, -1]))
    assert safe.tolist() == [2, 1]
    assert flags.held.all()
    assert Guard(Space(kind="multi-discrete", shape=(2,), sizes=(2, 5), dtype="int64")).check(
        SEEN, np.array([[1, 4], [2, 0]])
    )[0].tolist() == [[1, 4], [0, 0]]


def test_the_rate_limit_holds_from_the_first_action_on() -> None:
    guard = Guard(TORQUE, rate_limit=0.25)
    values = [guard.check(SEEN[:1], np.array([[1.0, 2.0]], np.float32))[0][0] for _ in range(6)]
    assert [float(value[0]) for value in values] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert {float(value[1]) for value in values} == {2.0}
    assert guard.counts["slowed"] == 3
    each = Guard(TORQUE, rate_limit=np.array([0.1, 2.0]))
    assert each.check(SEEN[:1], np.array([[-1.0, 4.0]], np.float32))[0][0].tolist() == pytest.approx([-0.1, 4.0])


def test_what_was_never_seen_is_flagged() -> None:
    random = np.random.default_rng(0)
    trained = random.normal([0, 5, 2], [1, 2, 0], (500, 3))
    statistics = Statistics.from_json(Statistics.of(trained).to_json())
    guard = Guard(CHOICE, statistics=statistics)
    seen = np.array([[0, 5, 2], [0, 60, 2], [0, 5, 2.5], [np.nan, 5, 2]], np.float32)
    safe, flags = guard.check(seen, np.array([1, 1, 1, 1]))
    assert flags.unusual.tolist() == [False, True, True, True]
    assert flags.held.tolist() == [False, False, False, True]  # blind: the network has seen nothing
    assert safe.tolist() == [1, 1, 1, 0]
    assert statistics.unusual(trained).sum() == 0
    assert "3 of 4 observations" in guard.words()


def test_together_far_is_unusual_where_each_number_alone_is_in_range() -> None:
    wide = Statistics(mean=np.zeros(3), std=np.full(3, 0.1), low=np.full(3, -1.0), high=np.full(3, 1.0))
    assert wide.unusual(np.array([[0.5, 0.5, 0.5], [0.7, 0.7, 0.7], [0.9, 0.0, 0.0]])).tolist() == [False, True, False]


def test_only_rows_that_still_play_are_counted() -> None:
    guard = Guard(TORQUE)
    guard.check(SEEN, np.full((2, 2), 9.0, np.float32), alive=np.array([True, False]))
    assert (guard.steps, guard.counts["clipped"]) == (1, 1)


def test_limits_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UserError, match="above zero, not 0"):
        Guard(TORQUE, rate_limit=0)
    with pytest.raises(UserError, match="an action is 3 choices"):
        Guard(CHOICE, rate_limit=1.0)
    with pytest.raises(UserError, match="no observations"):
        Statistics.of(np.zeros((0, 3)))


class Clock:
    """Time that passes only when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_ticks_are_absolute_so_that_lateness_does_not_add_up() -> None:
    clock = Clock()
    watchdog = Watchdog(50, clock=clock, sleep=clock.sleep)
    for work in (0.005, 0.019, 0.001):
        clock.now += work
        assert watchdog.wait() == pytest.approx(0, abs=1e-9)
    assert clock.now == pytest.approx(0.06)
    clock.now += 0.025  # 5 ms late: missed, but the tick after it is not
    assert watchdog.wait() == pytest.approx(5)
    clock.now += 0.002
    assert watchdog.wait() == 0
    assert clock.now == pytest.approx(0.1)
    assert (watchdog.ticks, watchdog.missed, watchdog.late_steps) == (5, 1, 1)
    assert watchdog.words().startswith(
        "50 Hz NOT held, 1 of 5 steps was late by more than 2 ms, at worst by 5.00 ms; work p50 "
    )


def test_a_rate_that_cannot_be_held_is_not_said_to_be_held() -> None:
    clock = Clock()
    watchdog = Watchdog(20_000, clock=clock, sleep=clock.sleep)
    assert watchdog.words() == ""
    for _ in range(3):
        clock.now += 0.00021  # four periods and a bit: several ticks are missed at each step
        watchdog.wait()
    report = watchdog.report()
    assert (report["held"], report["ticks"], report["late_steps"], report["missed"]) == (False, 3, 3, 12)
    assert "20000 Hz NOT held, 3 of 3 steps were late" in watchdog.words()


def test_a_step_that_takes_several_periods_misses_each_of_them() -> None:
    clock = Clock()
    watchdog = Watchdog(50, clock=clock, sleep=clock.sleep)
    clock.now += 0.07
    watchdog.wait()
    assert watchdog.missed == 3  # ticks at 20, 40 and 60 ms
    watchdog.wait()
    assert clock.now == pytest.approx(0.08)
    assert watchdog.report()["missed"] == 3
    assert watchdog.report()["work_ms_p99"] == pytest.approx(70, abs=1)


def test_what_lies_between_two_episodes_is_no_step() -> None:
    clock = Clock()
    watchdog = Watchdog(50, clock=clock, sleep=clock.sleep)
    watchdog.wait()
    clock.now += 3.0  # the environment is set up anew
    watchdog.start()
    clock.now += 0.002
    assert watchdog.wait() == 0.0
    assert watchdog.missed == 0
    assert watchdog.report()["work_ms_p99"] < 3


def test_a_real_clock_is_held() -> None:
    import time

    watchdog = Watchdog(200)
    begun = time.perf_counter()
    for _ in range(20):
        watchdog.wait()
    assert time.perf_counter() - begun >= 0.0999
    assert watchdog.words().startswith("200 Hz ")
    with pytest.raises(UserError, match="not 0"):
        Watchdog(0)
