"""Who acts while episodes are recorded, in words: "noisy:0.3", "mix:0.1*scripted+0.9*against".

A policy acts for N environments side by side. Whatever it draws for a row it draws from that row's own seed, so an
episode is the same beside any others.

Axes: N rows (environments side by side).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ...core.errors import UserError, near
from .controllers import Controller, controller, drift
from .spaces import Space

if TYPE_CHECKING:
    from .episodes import Setting
    from .rollout import Actor

NOISE, DRAWN, PART = 1, 2, 3
"""What a row's seed is used for: random actions, a number of the episode, its part of a mixture."""
ROUNDED = 0.005
"""By how much the shares of a mixture may miss 1, as three of 0.333 do."""
FORMS = {
    "random": "any action there is",
    "scripted": "the controller that we have for the environment",
    "against": "the same turned around: as bad as it can be",
    "noisy:SHARE": "scripted, with this share of random actions (noisy:LOW-HIGH: a share drawn for each episode)",
    "late:STEP": "scripted until this step, against from then on (late:LOW-HIGH: drawn for each episode)",
    "drift:STEPS": "ends the episode after about so many steps (drift:LOW-HIGH: drawn for each episode)",
    "mix:0.2*scripted+0.8*random": "one of several, drawn for each episode",
    "tsuite:CHECKPOINT": "one of our own, @RETURN behind it asks for that return",
    "sb3:ALGORITHM:FILE.zip": "a policy that stable_baselines3 has saved (needs --allow-pickle)",
}


class Policy(Protocol):
    """What acts in recordings."""

    names: list[str]
    """[N] who acts in each row since the last reset, in words."""

    def reset(self, seeds: Sequence[int]) -> None:
        """A new episode begins in every row; their number is that of `seeds`."""
        ...

    def act(self, observations: np.ndarray) -> np.ndarray:
        """Actions [N, …] for observations [N, …]."""
        ...

    def reward(self, rewards: np.ndarray) -> None:
        """What the last action earned in each row [N]."""
        ...


def policy(words: str, setting: Setting, *, trusted: bool = False) -> Policy:
    """The policy of these words (see `FORMS`); `trusted` allows files that hold pickled code.

    Raises UserError for words that are not understood, and where an environment has no such controller.
    """
    kind, _, rest = words.strip().partition(":")
    if kind == "mix":
        return Mixture(*_parts(rest, lambda part: policy(part, setting, trusted=trusted)))
    if kind == "random" and not rest:
        return Random(setting.action)
    if kind in ("scripted", "against") and not rest:
        return Scripted(controller(setting), kind)
    if kind == "noisy":
        return Noisy(controller(setting), setting.action, *_range(words, rest, most=1.0))
    if kind == "late":
        return Late(controller(setting), *_range(words, rest))
    if kind == "drift":
        low, high = _range(words, rest)
        drift(setting, np.array([high]))
        return Drift(setting, low, high)
    if kind == "tsuite":
        return _own(rest, setting)
    if kind == "sb3":
        from .baselines3 import load

        return load(rest, setting, trusted=trusted)
    raise UserError(f"There is no policy {words!r}.", f"{near(kind, {form.partition(':')[0] for form in FORMS})}")


# -- of their own -----------------------------------------------------------------------------------------------------


def _generator(seed: int, use: int) -> np.random.Generator:
    return np.random.default_rng((seed, use))


def draw(action: Space, generator: np.random.Generator) -> Any:
    """Any action there is: uniform over choices and within bounds, standard normal where a number has none."""
    if action.kind == "discrete":
        return int(generator.integers(action.sizes[0])) + action.start
    if action.kind == "multi-discrete":
        return generator.integers(np.reshape(action.sizes, action.shape))
    values = generator.standard_normal(action.shape) if action.bounds is None else generator.uniform(*action.bounds)
    return np.asarray(values).astype(action.dtype)


class Plain:
    """What most have in common: nothing is made of rewards."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def reward(self, rewards: np.ndarray) -> None:
        """Not looked at."""


class Random(Plain):
    """Any action there is."""

    def __init__(self, action: Space) -> None:
        super().__init__()
        self._action = action

    def reset(self, seeds: Sequence[int]) -> None:
        self.names = ["random"] * len(seeds)
        self._generators = [_generator(seed, NOISE) for seed in seeds]

    def act(self, observations: np.ndarray) -> np.ndarray:
        return np.stack([draw(self._action, generator) for generator in self._generators])


class Scripted(Plain):
    """A controller, or with the name "against" its opposite."""

    def __init__(self, controller: Controller, name: str = "scripted") -> None:
        super().__init__()
        self._controller, self._name = controller, name

    def reset(self, seeds: Sequence[int]) -> None:
        self.names = [self._name] * len(seeds)

    def act(self, observations: np.ndarray) -> np.ndarray:
        return self._controller.act(observations, against=self._name == "against")


class Noisy(Plain):
    """A controller of whose actions a share, drawn for each episode between `low` and `high`, is random."""

    def __init__(self, controller: Controller, action: Space, low: float, high: float) -> None:
        super().__init__()
        self._controller, self._action, self._low, self._high = controller, action, low, high

    def reset(self, seeds: Sequence[int]) -> None:
        self._shares = [_drawn(seed, self._low, self._high) for seed in seeds]
        self._generators = [_generator(seed, NOISE) for seed in seeds]
        self.names = [f"noisy:{share:.3g}" for share in self._shares]

    def act(self, observations: np.ndarray) -> np.ndarray:
        actions = np.array(self._controller.act(observations))
        for row, (share, generator) in enumerate(zip(self._shares, self._generators, strict=True)):
            if generator.random() < share:
                actions[row] = draw(self._action, generator)
        return actions


class Late(Plain):
    """A controller that turns against itself at a step drawn for each episode."""

    def __init__(self, controller: Controller, low: float, high: float) -> None:
        super().__init__()
        self._controller, self._low, self._high = controller, low, high

    def reset(self, seeds: Sequence[int]) -> None:
        self._turns = np.array([round(_drawn(seed, self._low, self._high)) for seed in seeds])
        self._step = 0
        self.names = [f"late:{turn}" for turn in self._turns]

    def act(self, observations: np.ndarray) -> np.ndarray:
        good, bad = (self._controller.act(observations, against=against) for against in (False, True))
        turned = (self._turns <= self._step).reshape(-1, *[1] * (good.ndim - 1))
        self._step += 1
        return np.where(turned, bad, good)


class Drift(Plain):
    """Ends each episode after about as many steps as are drawn for it."""

    def __init__(self, setting: Setting, low: float, high: float) -> None:
        super().__init__()
        self._setting, self._low, self._high = setting, low, high

    def reset(self, seeds: Sequence[int]) -> None:
        steps = np.array([round(_drawn(seed, self._low, self._high)) for seed in seeds])
        self._controller, self._step = drift(self._setting, steps), 0
        self.names = [f"drift:{count}" for count in steps]

    def act(self, observations: np.ndarray) -> np.ndarray:
        self._step += 1
        return self._controller.act(observations, self._step - 1)


class Mixture(Plain):
    """One of several policies for each episode, drawn by their weights."""

    def __init__(self, weights: Sequence[float], parts: Sequence[Policy]) -> None:
        super().__init__()
        self._chances, self._parts = np.asarray(weights) / np.sum(weights), parts

    def reset(self, seeds: Sequence[int]) -> None:
        chosen = [_generator(seed, PART).choice(len(self._parts), p=self._chances) for seed in seeds]
        self._rows = [np.flatnonzero(np.equal(chosen, number)).tolist() for number in range(len(self._parts))]
        self.names = [""] * len(seeds)
        for rows, part in zip(self._rows, self._parts, strict=True):
            if len(rows):
                part.reset([seeds[row] for row in rows])
                for row, name in zip(rows, part.names, strict=True):
                    self.names[row] = name

    def act(self, observations: np.ndarray) -> np.ndarray:
        actions: np.ndarray | None = None
        for rows, part in zip(self._rows, self._parts, strict=True):
            if len(rows):
                own = part.act(observations[rows])
                actions = np.empty((len(observations), *own.shape[1:]), own.dtype) if actions is None else actions
                actions[rows] = own
        assert actions is not None
        return actions

    def reward(self, rewards: np.ndarray) -> None:
        for rows, part in zip(self._rows, self._parts, strict=True):
            if len(rows):
                part.reward(rewards[rows])


# -- of others --------------------------------------------------------------------------------------------------------


class Acting:
    """An actor as a policy: it is asked for one return, and told what it earned by whoever steps the environments."""

    def __init__(self, actor: Actor, name: str, target: float | None) -> None:
        self.actor, self._name, self._target = actor, name, target
        self.names: list[str] = []

    def reset(self, seeds: Sequence[int]) -> None:
        self.names = [self._name] * len(seeds)
        targets = None if self._target is None else np.full(len(seeds), self._target)
        self.actor.reset(len(seeds), targets=targets, seed=seeds[0])

    def act(self, observations: np.ndarray) -> np.ndarray:
        return self.actor.act(observations)

    def reward(self, rewards: np.ndarray) -> None:
        """What the last action earned in each row."""
        self.actor.reward(rewards)


def _own(rest: str, setting: Setting) -> Acting:
    """`CHECKPOINT` or `CHECKPOINT@RETURN`; without a checkpoint the one that is embedded."""
    from ...core.registry import card

    path, at, target = rest.partition("@")
    task = card("control.decision_transformer").load_task().load(path or None)
    trained = getattr(task, "setting", None)
    if trained is not None:
        from .data import check_against

        check_against(setting, trained)
    try:
        asked = float(target) if at else None
    except ValueError:
        asked = np.nan
    if asked is not None and not np.isfinite(asked):
        raise UserError(f"tsuite:{rest} asks for the return {target!r}, which is no finite number.")
    return Acting(task.actor(), f"tsuite:{rest}", asked)


# -- words ------------------------------------------------------------------------------------------------------------


def _drawn(seed: int, low: float, high: float) -> float:
    return low if low == high else float(_generator(seed, DRAWN).uniform(low, high))


def _range(words: str, rest: str, most: float = np.inf) -> tuple[float, float]:
    """`0.3` or `0.1-0.5` as (low, high)."""
    found = re.fullmatch(r"(\d*\.?\d+)(?:-(\d*\.?\d+))?", rest)
    low, high = (float(found[1]), float(found[2] or found[1])) if found else (1.0, 0.0)
    if not 0 <= low <= high <= most:
        limits = f"from 0 to {most:g}" if np.isfinite(most) else "of steps"
        raise UserError(
            f"The policy {words!r} cannot be read: behind the colon stands a number {limits}, or LOW-HIGH.",
            f"For example: {words.partition(':')[0]}:{'0.3' if np.isfinite(most) else '50-400'}",
        )
    return low, high


def _parts(rest: str, make: Callable[[str], Policy]) -> tuple[list[float], list[Policy]]:
    """`0.1*scripted+0.9*noisy:0.5` as weights and policies."""
    weights, parts = [], []
    for item in re.split(r"\+(?=\d*\.?\d+\*)", rest):
        found = re.fullmatch(r"(\d*\.?\d+)\*(.+)", item.strip())
        if not found or not float(found[1]) > 0:
            raise UserError(
                f"The mixture {rest!r} cannot be read at {item!r}.", "For example: mix:0.1*scripted+0.9*against"
            )
        weights.append(float(found[1]))
        parts.append(make(found[2]))
    if abs(sum(weights) - 1) > ROUNDED:
        raise UserError(
            f"The shares of the mixture {rest!r} add up to {sum(weights):g}, not to 1.",
            "For example: mix:0.1*scripted+0.9*against",
        )
    return weights, parts
