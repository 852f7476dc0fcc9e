"""Spaces: to and from gymnasium and JSON, in words, and what is no value of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tsuite.core.errors import UserError
from tsuite.domains.control.spaces import Space

from .tiny_episodes import SEVERAL, box, choices

gymnasium = pytest.importorskip("gymnasium")


@pytest.mark.parametrize(
    ("space", "words", "count"),
    [
        (box(4), "4 numbers", 4),
        (box(1, low=(-3.0,), high=(3.0,)), "1 number", 1),
        (box(), "1 number", 1),
        (box(2, 3, dtype="float64"), "2 x 3 numbers", 6),
        (box(3, 16, 16, dtype="uint8", low=(0.0,), high=(255.0,)), "picture 3 x 16 x 16", 768),
        (choices(2), "2 choices", 2),
        (choices(5, start=-2), "5 choices from -2", 5),
        (SEVERAL, "choices of 3 and 4", 7),
    ],
)
def test_there_and_back(space: Space, words: str, count: int) -> None:
    assert space.words() == words
    assert space.count == count
    assert Space.from_gymnasium(space.to_gymnasium()) == space
    assert Space.from_json(json.loads(json.dumps(space.to_json()))) == space


def test_bounds() -> None:
    half = gymnasium.spaces.Box(np.array([0, -np.inf], np.float32), np.array([1, 2], np.float32))
    assert (Space.from_gymnasium(half).low, Space.from_gymnasium(half).high) == (None, (1.0, 2.0))
    assert Space.from_gymnasium(half).bounds is None
    largest = np.full(2, np.finfo(np.float32).max)
    assert Space.from_gymnasium(gymnasium.spaces.Box(-largest, largest)).low is None
    found = box(2, low=(-1.0, -2.0), high=(1.0, 2.0)).bounds
    assert found is not None
    assert np.array_equal(found, [[-1, -2], [1, 2]])
    grey = Space.from_gymnasium(gymnasium.spaces.Box(0, 255, (3, 16, 16), np.uint8))
    assert (grey.low, grey.is_image, grey.numbers) == ((0.0,), True, 768)
    assert grey.bounds is not None
    assert grey.bounds[1].shape == (3, 16, 16)


def test_others_of_gymnasium() -> None:
    assert Space.from_gymnasium(gymnasium.spaces.MultiBinary(3)).sizes == (2, 2, 2)
    with pytest.raises(UserError, match="FlattenObservation"):
        Space.from_gymnasium(gymnasium.spaces.Dict(a=gymnasium.spaces.Discrete(2)))
    with pytest.raises(UserError, match="kind Text"):
        Space.from_gymnasium(gymnasium.spaces.Text(5))


@pytest.mark.parametrize(
    ("space", "values", "words"),
    [
        (box(4), np.zeros((2, 3)), r"shape \(2, 3\), where 4 numbers are expected"),
        (box(2), np.array([[0.0, 1.0], [np.nan, 0.0]]), r"holds nan at \[1, 0\]"),
        (box(2), np.array(["a", "b"]), "holds <U1"),
        (choices(2), np.array([0, 1, 2]), "holds 2, which is none of the 2 choices"),
        (choices(2), np.array([0.5]), "holds 0.5"),
        (choices(2, start=1), np.array([0]), "holds 0"),
        (SEVERAL, np.array([[2, 4]]), "holds 4"),
    ],
)
def test_what_is_no_value(space: Space, values: np.ndarray, words: str) -> None:
    with pytest.raises(UserError, match=words):
        space.check(values, "This")


def test_what_is_one() -> None:
    box(2, low=(0.0, 0.0), high=(1.0, 1.0)).check(np.array([[5.0, -5.0]]), "before clipping")
    SEVERAL.check(np.array([2, 3]), "one value")
    choices(2).check(np.array([1.0, 0.0]), "whole numbers of another type")


@pytest.mark.parametrize(
    "fields",
    [{"kind": "bocks"}, {"kind": "discrete", "sizes": ()}, {"kind": "box", "shape": (2,), "low": (0.0, 1.0, 2.0)}],
)
def test_what_is_no_space(fields: dict) -> None:
    with pytest.raises(UserError):
        Space(**fields)
    with pytest.raises(UserError):
        Space.from_json(fields)
