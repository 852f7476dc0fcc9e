"""The comparison of two reports: numbers to a tolerance, words exactly, clocks not at all."""

from __future__ import annotations

import copy
from typing import Any

import pytest

REPORT: dict[str, Any] = {
    "seconds": 3.0,
    "metrics": {"wer": 0.05, "rtf": 0.1, "act_ms_p50": 0.2},
    "results": [{"text": "hello", "load": [5000.0, None], "novel": True, "seconds": 1.0, "steps": 54}],
}


def changed(place: str, value: object) -> dict:
    report = copy.deepcopy(REPORT)
    *way, last = place.split(".")
    target: Any = report
    for word in way:
        target = target[int(word)] if isinstance(target, list) else target[word]
    target[last] = value
    return report


def test_a_report_equals_itself_and_what_it_compares_is_counted(compare) -> None:
    found = compare.compare(REPORT, copy.deepcopy(REPORT))
    assert (found.numbers, found.words, found.largest, found.differences) == (3, 4, 0.0, ())


@pytest.mark.parametrize(
    ("place", "value"),
    [("seconds", 9.0), ("metrics.rtf", 7.0), ("metrics.act_ms_p50", 7.0), ("results.0.seconds", 7.0)],
)
def test_times_that_were_measured_do_not_count(compare, place: str, value: float) -> None:
    assert compare.compare(REPORT, changed(place, value)).differences == ()


@pytest.mark.parametrize(
    ("place", "value", "same"),
    [
        ("metrics.wer", 0.0509, True),
        ("metrics.wer", 0.0511, False),
        ("results.0.load", [5004.0, None], True),
        ("results.0.load", [5006.0, None], False),
        ("results.0.load", [5000.0, 0.0], False),
        ("results.0.load", [5000.0], False),
        ("results.0.text", "hallo", False),
        ("results.0.novel", 1, False),
        ("results.0.steps", 55, False),
        ("results.0.more", "", False),
    ],
)
def test_numbers_may_differ_by_a_thousandth_and_nothing_else_at_all(compare, place, value, same: bool) -> None:
    found = compare.compare(REPORT, changed(place, value))
    assert (not found.differences) is same
    if not same:
        assert str(found.differences[0]).startswith(place.replace(".0.", "[0].").split("[0].load")[0])
