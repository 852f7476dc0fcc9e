"""The buffer between a source and a slower taker: what is stored waits, what is live loses its oldest, and returns."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from itertools import pairwise

import pytest
from tsuite.core import feed as feeds
from tsuite.core.errors import UserError
from tsuite.core.feed import Feed

Numbers = Generator[int, None, None]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(feeds, "GRACE", 0.2)


def ended(feed: Feed[int]) -> bool:
    return not feed._thread.is_alive()


def test_what_is_stored_waits_for_a_slow_taker() -> None:
    ahead = []

    def read() -> Numbers:
        for number in range(20):
            ahead.append(number)
            yield number

    taken = []
    with Feed(read, name="film", live=False, room=3) as feed:
        for item in feed:
            time.sleep(0.005)
            taken.append(item)
            assert len(ahead) - len(taken) <= 5  # 3 wait, one is being put, one is being taken
    assert taken == list(range(20))
    assert (feed.seen, feed.dropped) == (20, 0)
    assert ended(feed)


def test_what_is_live_loses_its_oldest() -> None:
    given = threading.Event()

    def read() -> Numbers:
        yield from range(10)
        given.set()
        time.sleep(0.05)
        yield 10

    with Feed(read, name="camera", live=True, reconnect=0) as feed:
        given.wait(2)
        assert feed.take() == 9
        assert feed.take() == 10
    assert (feed.seen, feed.dropped) == (11, 9)


def test_many_go_at_once_where_small_gaps_are_worse() -> None:
    given = threading.Event()

    def read() -> Numbers:
        yield from range(10)
        given.set()
        time.sleep(0.8)

    with Feed(read, name="microphone", live=True, room=4, spill=4) as feed:
        given.wait(2)
        assert [feed.take() for _ in range(2)] == [8, 9]
        assert feed.take(0.01) is None
        assert not feed.over
        assert feed.dropped == 8
        start = time.monotonic()
    assert time.monotonic() - start < 0.6  # it hangs in its read, and is not waited for
    assert not ended(feed)
    feed._thread.join(2)
    assert ended(feed)


def test_a_source_that_vanishes_and_comes_back() -> None:
    visits, told = [], []

    def read() -> Numbers:
        visits.append(len(visits))
        if visits[-1] in (1, 2):
            raise UserError("camera cannot be read: no route.", "hint")
        yield visits[-1]
        if visits[-1] == 0:
            raise UserError("camera cannot be read: reset.")
        while True:
            time.sleep(0.001)
            yield visits[-1]

    with Feed(read, name="camera", live=True, tell=told.append, reconnect=5) as feed:
        taken = [item for item, _ in zip(feed, range(3), strict=False)]
    assert taken == [0, 3, 3]
    assert feed.reconnects == 1
    assert told == ["camera is gone (cannot be read: reset); it is tried again for 5 s", "camera is back after 0 s"]
    assert ended(feed)


def test_a_live_source_that_ends_is_gone_too_and_for_good_after_a_while() -> None:
    times: list[float] = []

    def read() -> Numbers:
        times.append(time.monotonic())
        if len(times) == 1:
            yield 1

    with Feed(read, name="camera", live=True, reconnect=0.2) as feed:
        assert feed.take() == 1
        with pytest.raises(UserError, match=r"camera has been gone for 0.2 s \(it ended\)"):
            list(feed)
    waits = [after - before for before, after in pairwise(times)]
    assert 4 <= len(waits) <= 7
    assert waits[-2] > 3 * waits[0]  # they grow
    assert ended(feed)


def test_a_source_that_cannot_be_opened_is_not_tried_again() -> None:
    visits = []

    def read() -> Numbers:
        visits.append(1)
        raise UserError("There is no camera.")
        yield 0

    with Feed(read, name="camera", live=True) as feed, pytest.raises(UserError, match="no camera"):
        list(feed)
    assert visits == [1]


def test_a_fault_of_the_source_is_the_takers_to_raise() -> None:
    def read() -> Numbers:
        yield 1
        raise ZeroDivisionError

    with Feed(read, name="film", live=False) as feed:
        assert feed.take() == 1
        with pytest.raises(ZeroDivisionError):
            feed.take()


@pytest.mark.parametrize("live", [True, False])
def test_leaving_closes_the_source(live: bool) -> None:
    closed = []

    def read() -> Numbers:
        try:
            while True:
                time.sleep(0.001)
                yield 1
        finally:
            closed.append(True)

    with Feed(read, name="camera", live=live) as feed:
        feed.take()
    assert closed == [True]
    assert ended(feed)


def test_leaving_while_a_source_is_gone_does_not_wait_for_it() -> None:
    gone = threading.Event()

    def read() -> Numbers:
        if not gone.is_set():
            yield 1
        gone.set()

    with Feed(read, name="camera", live=True, tell=lambda _: gone.set(), reconnect=60) as feed:
        assert feed.take() == 1
        gone.wait(2)
        start = time.monotonic()
    assert time.monotonic() - start < 0.5
    assert ended(feed)
