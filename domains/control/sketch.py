"""Pictures of environments drawn from what is seen of them.

A sketch needs Pillow alone: no screen, no GL library, and a small part of the time that MuJoCo's own pictures take
without a graphics card. Environments that are not known here are shown as gauges, and those that see a picture as that
picture.

Axes: H rows, W columns of the sketch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .picture import BLUE, GREEN, INK, ORANGE, QUIET, RULE

SIZE = (480, 320)
"""Width and height of a sketch, in pixels."""
SCALE = 2
"""Drawn so many times larger and then made smaller, for smooth edges."""
PAPER = "#ffffff"

Point = tuple[float, float]


class Paper:
    """A sheet measured in the environment's own units: `middle` is the centre of the picture, `span` its width."""

    def __init__(self, middle: Point, span: float) -> None:
        from PIL import Image, ImageDraw

        self._size = (SIZE[0] * SCALE, SIZE[1] * SCALE)
        self._image = Image.new("RGB", self._size, PAPER)
        self._draw: Any = ImageDraw.Draw(self._image)
        self._middle, self._unit = middle, self._size[0] / span

    def at(self, point: Point) -> Point:
        """Pixels of a point, upwards positive."""
        return (
            self._size[0] / 2 + (point[0] - self._middle[0]) * self._unit,
            self._size[1] / 2 - (point[1] - self._middle[1]) * self._unit,
        )

    def line(self, points: Sequence[Point], width: float, colour: str) -> None:
        """A line of that width, rounded at its ends and bends."""
        wide = max(1, round(width * self._unit))
        self._draw.line([self.at(point) for point in points], fill=colour, width=wide, joint="curve")
        for point in (points[0], points[-1]) if wide > 3 else ():
            self.dot(point, width / 2, colour)

    def dot(self, point: Point, radius: float, colour: str) -> None:
        x, y = self.at(point)
        wide = radius * self._unit
        self._draw.ellipse([x - wide, y - wide, x + wide, y + wide], fill=colour)

    def box(self, low: Point, high: Point, colour: str) -> None:
        (left, bottom), (right, top) = self.at(low), self.at(high)
        self._draw.rectangle([left, top, right, bottom], fill=colour)

    def picture(self) -> np.ndarray:
        """[H, W, 3] uint8."""
        return np.asarray(self._image.reduce(SCALE), np.uint8)


# -- those that are known ---------------------------------------------------------------------------------------------


def cart(seen: np.ndarray, *, track: float, length: float, sign: float = 1.0) -> np.ndarray:
    """A cart with a pole on a track: place, …, angle from upright (rad)."""
    place, angle = seen
    wide = 2.3 * track
    paper = Paper((0.0, 0.22 * wide), wide)
    paper.line([(-wide, 0.0), (wide, 0.0)], 0.004 * wide, QUIET)
    for end in (-track, track):
        paper.line([(end, -0.03 * wide), (end, 0.03 * wide)], 0.006 * wide, ORANGE)
    half, tall = 0.055 * wide, 0.03 * wide
    paper.box((place - half, -tall), (place + half, tall), INK)
    tip = (place + sign * length * math.sin(angle), tall + length * math.cos(angle))
    paper.line([(place, tall), tip], 0.02 * wide, BLUE)
    paper.dot((place, tall), 0.011 * wide, ORANGE)
    return paper.picture()


def cart_pole(seen: np.ndarray) -> np.ndarray:
    return cart(seen[[0, 2]], track=2.4, length=1.0)


def inverted_pendulum(seen: np.ndarray) -> np.ndarray:
    return cart(seen[[0, 1]], track=1.0, length=0.6)


def pendulum(seen: np.ndarray) -> np.ndarray:
    paper = Paper((0.0, 0.0), 3.6)
    paper.line([(0.0, 0.0), (-seen[1], seen[0])], 0.16, BLUE)
    paper.dot((0.0, 0.0), 0.06, INK)
    return paper.picture()


def acrobot(seen: np.ndarray) -> np.ndarray:
    first, second = math.atan2(seen[1], seen[0]), math.atan2(seen[3], seen[2])
    elbow = (math.sin(first), -math.cos(first))
    hand = (elbow[0] + math.sin(first + second), elbow[1] - math.cos(first + second))
    paper = Paper((0.0, 0.0), 6.8)
    paper.line([(-3.4, 1.0), (3.4, 1.0)], 0.03, ORANGE)
    paper.line([(0.0, 0.0), elbow], 0.16, BLUE)
    paper.line([elbow, hand], 0.16, GREEN)
    for joint in ((0.0, 0.0), elbow):
        paper.dot(joint, 0.1, INK)
    return paper.picture()


def mountain_car(seen: np.ndarray) -> np.ndarray:
    def height(place: float) -> float:
        return 0.45 * math.sin(3 * place) + 0.55

    paper = Paper((-0.3, 0.6), 1.9)
    places = np.linspace(-1.2, 0.6, 90)
    paper.line([(float(place), height(place)) for place in places], 0.012, QUIET)
    paper.line([(0.5, height(0.5)), (0.5, height(0.5) + 0.15)], 0.012, ORANGE)
    paper.dot((float(seen[0]), height(float(seen[0])) + 0.04), 0.04, BLUE)
    return paper.picture()


KNOWN: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "CartPole": cart_pole,
    "InvertedPendulum": inverted_pendulum,
    "Pendulum": pendulum,
    "Acrobot": acrobot,
    "MountainCar": mountain_car,
    "MountainCarContinuous": mountain_car,
}


# -- any other --------------------------------------------------------------------------------------------------------


def gauges(values: np.ndarray) -> np.ndarray:
    """Numbers as bars to the left and right of a line; their ends stand for anything from 3 on."""
    values = np.asarray(values, float).ravel()[:24]
    rows = max(1, len(values))
    paper = Paper((0.0, 0.0), 2.2)
    tall = 2 * SIZE[1] / SIZE[0] / rows
    for row, value in enumerate(values):
        middle = tall * ((rows - 1) / 2 - row)
        paper.box((-1.0, middle - 0.3 * tall), (1.0, middle + 0.3 * tall), RULE)
        end = float(np.tanh(np.nan_to_num(value) / 1.5))
        paper.box((min(0.0, end), middle - 0.3 * tall), (max(0.0, end), middle + 0.3 * tall), BLUE)
    paper.line([(0.0, -1.0), (0.0, 1.0)], 0.006, INK)
    return paper.picture()


def enlarged(seen: np.ndarray) -> np.ndarray:
    """A picture [C, h, w] or [h, w, C] that is an observation, made as large as a sketch with its cells kept sharp."""
    first = seen.shape[0] in (1, 3, 4) and seen.shape[0] <= seen.shape[-1]
    picture = np.moveaxis(seen, 0, -1) if first else seen
    picture = picture[..., :3].astype(float)
    top = 255.0 if picture.max(initial=0) > 1 else 1.0
    grey = np.clip(picture / top * 255, 0, 255).astype(np.uint8)
    grey = np.repeat(grey, 3, -1) if grey.shape[-1] == 1 else grey
    times = max(1, SIZE[1] // max(grey.shape[:2]))
    return grey.repeat(times, 0).repeat(times, 1)


def known(name: str) -> bool:
    """Whether the environment `name` (a gymnasium id) has a drawing of its own."""
    return _kind(name) in KNOWN


def draw(name: str, observation: np.ndarray) -> np.ndarray:
    """[H, W, 3] uint8 of the environment `name` (a gymnasium id) at this observation."""
    seen = np.asarray(observation)
    if known(name):
        return KNOWN[_kind(name)](seen.astype(float))
    return enlarged(seen) if seen.ndim == 3 else gauges(seen)


def _kind(name: str) -> str:
    return name.rpartition("/")[2].rpartition(":")[2].partition("-v")[0]
