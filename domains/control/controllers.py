"""Controllers written by hand: the teachers of recordings, and a yardstick for whatever learns from them.

Most are a law that gives one signed push for each row, which becomes a choice or a number of the environment; turned
around it is as bad as it was good. Environments with a table of transitions are solved by value iteration instead.

Axes: N rows (environments side by side), D numbers of one observation, S states, A choices.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ...core.errors import UserError, near
from .spaces import Space

if TYPE_CHECKING:
    from .episodes import Setting

Law = Callable[[np.ndarray], np.ndarray]
"""Observations [N, D] to pushes [N], positive: to the right, or anticlockwise."""


class Controller(Protocol):
    """What acts on what it sees now, for N rows at once."""

    def act(self, observations: np.ndarray, *, against: bool = False) -> np.ndarray:
        """Actions [N, …] for observations [N, …]; `against`: the worst it knows rather than the best."""
        ...


# -- laws -------------------------------------------------------------------------------------------------------------


def cart_pole(seen: np.ndarray) -> np.ndarray:
    """Linear feedback of place, speed, angle and its speed: 500 of 500 in CartPole-v1."""
    return seen @ np.array([0.5, 1.0, 12.0, 2.5])


def inverted_pendulum(seen: np.ndarray) -> np.ndarray:
    """Linear feedback of place, angle and their speeds (N): the 1000 steps of InvertedPendulum-v5."""
    return seen @ np.array([0.5, 10.0, 0.8, 1.5])


def mountain_car(seen: np.ndarray) -> np.ndarray:
    """Push the way it rolls, which adds energy at every step."""
    return np.where(seen[:, 1] >= 0, 1.0, -1.0)


def mountain_car_continuous(seen: np.ndarray) -> np.ndarray:
    """The same, softly: force is paid for by its square. Above 93 of the 90 asked for."""
    return 20 * seen[:, 1] + 0.05 * mountain_car(seen)


def pendulum(seen: np.ndarray) -> np.ndarray:
    """Near the top linear feedback of angle and speed, else as much energy as it takes to get there (Nm).

    Åström and Furuta 2000, Swinging up a pendulum by energy control."""
    cosine, sine, speed = seen.T
    balance = -(10 * np.arctan2(sine, cosine) + 2.5 * speed)
    energy = 0.5 * speed**2 + 15 * (cosine - 1)  # per moment of inertia; 0 at rest at the top
    swing = np.where(speed == 0, 2.0, -2 * energy * np.sign(speed))
    return np.where(cosine > 0.9, balance, swing)


def acrobot(seen: np.ndarray) -> np.ndarray:
    """The elbow's torque along its own speed: its power is never negative, so energy only grows."""
    return np.where(seen[:, 5] >= 0, 1.0, -1.0)


LAWS: dict[str, Law] = {
    "CartPole-v0": cart_pole,
    "CartPole-v1": cart_pole,
    "InvertedPendulum-v4": inverted_pendulum,
    "InvertedPendulum-v5": inverted_pendulum,
    "MountainCar-v0": mountain_car,
    "MountainCarContinuous-v0": mountain_car_continuous,
    "Pendulum-v1": pendulum,
    "Acrobot-v1": acrobot,
}


class Push:
    """A law in an environment whose action is one number, or a choice between left and right (and nothing)."""

    def __init__(self, law: Law, action: Space) -> None:
        self._law, self._action = law, action

    def act(self, observations: np.ndarray, *, against: bool = False) -> np.ndarray:
        push = self._law(np.asarray(observations, np.float64))
        return act_by(-push if against else push, self._action)


def act_by(push: np.ndarray, action: Space) -> np.ndarray:
    """Pushes [N] as actions: the outermost choices, or numbers within the bounds."""
    if action.kind == "discrete":
        return np.where(push > 0, action.start + action.sizes[0] - 1, action.start)
    assert action.bounds is not None
    return np.clip(push[:, None], *action.bounds).astype(action.dtype)


# -- a controller that ends when it is told to ------------------------------------------------------------------------


class CartPoleDrift:
    """Ends an episode of CartPole after about so many steps, smoothly and the longer the better it plays.

    Below 125 steps the pole's angle follows a ramp that meets the limit of 12 degrees at that step; above, the cart
    walks off the track (2.4 m) at a steady speed. What will become of an episode can be told from its first steps.
    """

    SECONDS, ANGLE, TRACK, RUN_UP = 0.02, 0.2095, 2.4, 30
    GAINS = np.array([0.5, 1.0, 12.0, 2.5])

    def __init__(self, steps: np.ndarray) -> None:
        self._rate = self.ANGLE / (1.03 * steps + 1)  # rad a step
        self._leans = steps < 125
        far = np.maximum(steps - 18.0, 100.0)
        self._speed = self.TRACK / (self.SECONDS * (far - self.RUN_UP))  # m/s

    def act(self, observations: np.ndarray, step: int) -> np.ndarray:
        """Choices [N] for observations [N, 4] of this step."""
        place = self._speed * self.SECONDS * max(step - self.RUN_UP, 0)
        walk = observations - np.stack([place, self._speed, 0 * place, 0 * place], 1)
        lean = observations - np.stack([0 * place, 0 * place, self._rate * step, self._rate / self.SECONDS], 1)
        lean[:, :2] = 0
        return (np.where(self._leans[:, None], lean, walk) @ self.GAINS > 0).astype(np.int64)


DRIFTS: dict[str, type[CartPoleDrift]] = {"CartPole-v1": CartPoleDrift}


# -- tables -----------------------------------------------------------------------------------------------------------


class Table:
    """What a table of transitions says is best: FrozenLake, CliffWalking, Taxi and whatever else has `P`."""

    DISCOUNT, SWEEPS, ENOUGH = 0.999, 20_000, 1e-9

    def __init__(self, transitions: dict[int, dict[int, list[tuple[float, int, float, bool]]]]) -> None:
        self._values = self._solve(transitions)

    def act(self, observations: np.ndarray, *, against: bool = False) -> np.ndarray:
        values = self._values[np.asarray(observations, np.int64)]
        return (values.argmin(1) if against else values.argmax(1)).astype(np.int64)

    def _solve(self, transitions: Any) -> np.ndarray:
        """[S, A]: what each choice in each state is worth, by value iteration (Bellman 1957)."""
        states, choices = len(transitions), len(transitions[0])
        chances = np.zeros((states, choices, states))
        gains = np.zeros((states, choices))
        for state, options in transitions.items():
            for choice, outcomes in options.items():
                for chance, after, reward, ended in outcomes:
                    gains[state, choice] += chance * reward
                    chances[state, choice, after] += chance * (not ended)
        values = np.zeros(states)
        for _ in range(self.SWEEPS):
            worth = gains + self.DISCOUNT * chances @ values
            change = float(np.abs(worth.max(1) - values).max())
            values = worth.max(1)
            if change < self.ENOUGH:
                break
        return gains + self.DISCOUNT * chances @ values


class GridTeacher:
    """The way to the goal that A* finds on our own grid maps."""

    def __init__(self, setting: Setting) -> None:
        self._options = dict(setting.env_options)

    def act(self, observations: np.ndarray, *, against: bool = False) -> np.ndarray:
        from . import grid

        if against:
            raise UserError("There is no worst way on a grid map.", "Try --policy random, or noisy:0.5.")
        return grid.teacher(observations, **self._options)


# -- which one --------------------------------------------------------------------------------------------------------


def controller(setting: Setting) -> Controller:
    """The controller for an environment. Raises UserError where there is none, naming those that there are."""
    name = setting.env.rpartition(":")[2]
    if name in LAWS:
        return Push(LAWS[name], setting.action)
    if name.startswith("tsuite/GridPath"):
        return GridTeacher(setting)
    if setting.observation.kind == setting.action.kind == "discrete":
        from .environments import make

        made = make(setting.env, **setting.env_options)
        transitions = getattr(made.unwrapped, "P", None)
        made.close()
        if transitions:
            return Table(transitions)
    raise UserError(
        f"There is no scripted controller for {setting.env or 'data without an environment'}.",
        f"{near(name, LAWS)} Others: random, sb3:ALGORITHM:FILE.zip, tsuite:CHECKPOINT.",
    )


def drift(setting: Setting, steps: np.ndarray) -> CartPoleDrift:
    """A controller whose episodes end after about `steps` [N] steps. UserError where there is none."""
    name = setting.env.rpartition(":")[2]
    if name not in DRIFTS:
        raise UserError(
            f"drift: is for {', '.join(DRIFTS)}, not for {name}.", "late:LOW-HIGH or noisy:LOW-HIGH work anywhere."
        )
    return DRIFTS[name](np.asarray(steps, np.float64))
