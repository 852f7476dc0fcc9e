"""Policies that stable_baselines3 has trained and saved.

Its zip files hold pickled Python objects, and whoever made such a file decides what runs when it is read; therefore
none is opened unless a person says that it may be.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import UserError, near
from .spaces import Space
from .words import reason

if TYPE_CHECKING:
    from .episodes import Setting

ALGORITHMS = ("a2c", "ddpg", "dqn", "ppo", "sac", "td3")


class Baselines3:
    """A saved policy, acting without exploring."""

    def __init__(self, model: Any, name: str) -> None:
        self._model, self._name = model, name
        self.names: list[str] = []

    def reset(self, seeds: Sequence[int]) -> None:
        """A new episode begins in every row."""
        self.names = [self._name] * len(seeds)

    def act(self, observations: np.ndarray) -> np.ndarray:
        """Actions [N, …] for observations [N, …]."""
        actions, _ = self._model.predict(observations, deterministic=True)
        return np.asarray(actions)

    def reward(self, rewards: np.ndarray) -> None:
        """Not looked at."""


def load(rest: str, setting: Setting, *, trusted: bool) -> Baselines3:
    """The policy of `ALGORITHM:FILE.zip`. Raises UserError where `trusted` is False, the package is not installed, the
    file cannot be read, or it was trained in an environment of other shapes."""
    algorithm, _, name = rest.partition(":")
    algorithm = algorithm.lower()
    if algorithm not in ALGORITHMS or not name:
        raise UserError(
            f"sb3:{rest} names no algorithm and file.", f"{near(algorithm, ALGORITHMS)} For example: sb3:ppo:model.zip"
        )
    path = Path(name).expanduser()
    if not path.is_file():
        raise UserError(f"There is no file {path}.", "stable_baselines3 writes it with model.save(...).")
    if not trusted:
        raise UserError(
            f"{path} is a file of stable_baselines3, which holds pickled code: whatever its maker put there runs "
            "when it is opened.",
            "If you trust where it comes from, say so with --allow-pickle.",
        )
    model = _opened(algorithm, path)
    for what in ("observation", "action"):
        own, theirs = getattr(setting, what), Space.from_gymnasium(getattr(model, f"{what}_space"))
        if (own.kind, own.shape, own.sizes) != (theirs.kind, theirs.shape, theirs.sizes):
            raise UserError(
                f"{path} was trained with {what}s of {theirs.words()}; {setting.env} has {own.words()}.",
                "Is it of another environment?",
            )
    return Baselines3(model, f"sb3:{algorithm}:{path.name}")


def _opened(algorithm: str, path: Path) -> Any:
    import torch

    try:
        stable_baselines3 = import_module("stable_baselines3")  # never a dependency
    except ModuleNotFoundError as error:
        raise UserError(
            f"{path} needs the package stable_baselines3, which is not installed.",
            "Try: pip install stable-baselines3",
        ) from error
    torch.set_num_threads(1)  # its networks are small
    try:
        return getattr(stable_baselines3, algorithm.upper()).load(path, device="cpu")
    except Exception as error:  # whatever unpickling a file of another version raises
        raise UserError(
            f"{path} cannot be read as {algorithm.upper()} of stable_baselines3: {reason(error)}.",
            "Was it saved by another algorithm or a much older version?",
        ) from error
