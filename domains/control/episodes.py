"""Episodes: what was seen, done and earned, step by step, and the environment that it was in.

Axes: E episodes, T steps of one episode.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, overload

import numpy as np

from ...core.errors import UserError
from ...core.task import Example
from .spaces import Space

FIELDS = ("observations", "actions", "rewards", "terminations", "truncations")


@dataclass(frozen=True, kw_only=True)
class Episode(Example):
    """One episode of T steps, under the names that Minari gives its parts.

    observations: [T + 1, *observation.shape], the last what the last action led to. Where a source does not hold it, it
    repeats the one before and `has_last` is False. actions: [T, *action.shape] (choices as int64). rewards: [T]
    float32. terminations: [T] bool, the environment ended (a fall, a goal). truncations: [T] bool, a time limit or the
    end of the recording. seed: that of the environment, where it is known; policy: in words, who acted.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminations: np.ndarray
    truncations: np.ndarray
    seed: int | None = None
    policy: str = ""
    has_last: bool = True

    def __len__(self) -> int:
        return len(self.rewards)

    @property
    def returns(self) -> float:
        """The undiscounted sum of its rewards."""
        return float(self.rewards.sum(dtype=np.float64))

    def returns_to_go(self) -> np.ndarray:
        """[T] float32: at each step what is earned from it on."""
        return np.cumsum(self.rewards[::-1], dtype=np.float64)[::-1].astype(np.float32)

    def digest(self) -> str:
        """The sha256 of its five arrays: equal data have equal ones, whatever they are kept in."""
        total = hashlib.sha256()
        for name in FIELDS:
            values = np.ascontiguousarray(getattr(self, name))
            total.update(f"{name} {values.dtype.str} {values.shape}".encode())
            total.update(values.tobytes())
        return total.hexdigest()


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What an environment is, without the environment.

    env: its gymnasium id, "" for data that came without one; env_options: what it is made with. max_steps: its time
    limit in steps. threshold: the return from which on gymnasium calls it solved. reference: the returns of a random
    and an expert policy between which scores are normalised (D4RL, Fu et al. 2020, arXiv 2004.07219).
    """

    observation: Space
    action: Space
    env: str = ""
    env_options: Mapping[str, Any] = field(default_factory=dict)
    max_steps: int | None = None
    threshold: float | None = None
    reference: tuple[float, float] | None = None

    def words(self) -> str:
        """For messages: "CartPole-v1 (4 numbers seen, 2 choices to act)"."""
        return f"{self.env or 'no environment'} ({self.observation.words()} seen, {self.action.words()} to act)"

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "env": self.env,
            "env_options": dict(self.env_options),
            "observation": self.observation.to_json(),
            "action": self.action.to_json(),
            "max_steps": self.max_steps,
            "threshold": self.threshold,
            "reference": None if self.reference is None else list(self.reference),
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Setting:
        """What `to_json` gave; `UserError` for anything else."""
        try:
            spaces = {key: Space.from_json(plain[key]) for key in ("observation", "action")}
            rest = {key: value for key, value in plain.items() if key not in spaces and key != "reference"}
            reference = plain.get("reference")
            return cls(**spaces, **rest, reference=None if reference is None else (reference[0], reference[1]))
        except (KeyError, TypeError, IndexError) as error:
            raise UserError(f"This is no description of an environment: {error!r}.") from error


class Episodes(Sequence[Episode]):
    """Episodes of one environment, each read when it is asked for, so that a large recording is never all in memory.

    lengths: [E] steps. returns: [E] undiscounted. ids: [E]. They are known without reading the steps. sha256: of all
    their data, the same for the same episodes in the same order wherever they are kept. notices: sentences for the
    person. A slice, or `take`, gives Episodes again.
    """

    def __init__(
        self,
        episodes: Sequence[Episode],
        setting: Setting,
        *,
        name: str = "",
        notices: Iterable[str] = (),
        lengths: np.ndarray | None = None,
        returns: np.ndarray | None = None,
        digests: Sequence[str] | None = None,
        ids: Sequence[str] | None = None,
    ) -> None:
        self._episodes, self._digests = episodes, digests
        self.ids = [item.id for item in episodes] if ids is None else ids
        self.setting, self.name, self.notices = setting, name, tuple(notices)
        self.lengths = np.array([len(item) for item in episodes], np.int64) if lengths is None else lengths
        self.returns = np.array([item.returns for item in episodes], np.float64) if returns is None else returns

    def __len__(self) -> int:
        return len(self._episodes)

    @overload
    def __getitem__(self, index: int) -> Episode: ...
    @overload
    def __getitem__(self, index: slice) -> Episodes: ...
    def __getitem__(self, index: int | slice) -> Episode | Episodes:
        if isinstance(index, slice):
            return self.take(range(*index.indices(len(self))))
        return self._episodes[index]

    def __iter__(self) -> Iterator[Episode]:
        return (self._episodes[index] for index in range(len(self)))

    def __repr__(self) -> str:
        return f"Episodes({self.name!r}, {len(self)} episodes, {self.steps} steps, {self.setting.words()})"

    @property
    def steps(self) -> int:
        """Steps of all episodes together."""
        return int(self.lengths.sum())

    @cached_property
    def sha256(self) -> str:
        """The hash of all their data and of their spaces."""
        spaces = f"{self.setting.observation} {self.setting.action} {self.setting.env}"
        return hashlib.sha256("\n".join([spaces, *self.digests]).encode()).hexdigest()

    @property
    def digests(self) -> Sequence[str]:
        """The hash of each episode's data."""
        if self._digests is None:
            self._digests = [item.digest() for item in self]
        return self._digests

    def take(self, indices: Iterable[int]) -> Episodes:
        """Those of these numbers, in that order; nothing is read."""
        chosen = np.fromiter(indices, np.int64)
        return Episodes(
            _Chosen(self._episodes, chosen),
            self.setting,
            name=self.name,
            notices=self.notices,
            lengths=self.lengths[chosen],
            returns=self.returns[chosen],
            digests=None if self._digests is None else [self._digests[int(index)] for index in chosen],
            ids=[self.ids[int(index)] for index in chosen],
        )

    def told(self, *notices: str, name: str | None = None) -> Episodes:
        """The same with more notices, or under another name."""
        fresh = self.take(range(len(self)))
        fresh.notices, fresh.name = (*self.notices, *notices), self.name if name is None else name
        return fresh

    def best(self, share: float) -> Episodes:
        """The episodes of the highest return that make up this share of all steps, but at least one (10 % BC: 0.1)."""
        order = np.argsort(-self.returns, kind="stable")
        enough = np.searchsorted(np.cumsum(self.lengths[order]), share * self.steps) + 1
        return self.take(np.sort(order[:enough]))


class _Chosen(Sequence[Episode]):
    """Some of a sequence."""

    def __init__(self, episodes: Sequence[Episode], chosen: np.ndarray) -> None:
        self._episodes, self._chosen = episodes, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: Any) -> Any:
        return self._episodes[int(self._chosen[index])]


# -- bad input --------------------------------------------------------------------------------------------------------


def check(episode: Episode, setting: Setting) -> None:
    """Raise `UserError` unless its arrays fit together and its values are those of the setting's spaces."""
    steps = len(episode)
    for name in FIELDS:
        expected = steps + (name == "observations")
        if len(getattr(episode, name)) != expected:
            raise UserError(
                f"Episode {episode.id} has {steps} rewards and {len(getattr(episode, name))} {name}, not {expected}."
            )
    _check_rewards(episode)
    setting.observation.check(episode.observations, f"Episode {episode.id}: observations")
    setting.action.check(episode.actions, f"Episode {episode.id}: actions")
    early = np.flatnonzero((episode.terminations | episode.truncations)[:-1])
    if early.size:
        raise UserError(
            f"Episode {episode.id} goes on after it ended at step {early[0]} of {steps}.",
            "Give what follows a number of its own.",
        )


def _check_rewards(episode: Episode) -> None:
    wrong = np.flatnonzero(~np.isfinite(episode.rewards))
    if wrong.size:
        more = f" and at {wrong.size - 1} more" * (wrong.size > 1)
        value = "missing (NaN)" if np.isnan(episode.rewards[wrong[0]]) else "infinite"
        raise UserError(f"Episode {episode.id}: the reward at step {wrong[0]}{more} is {value}.")


def usable(episodes: Iterable[Episode], setting: Setting) -> tuple[list[Episode], list[str]]:
    """Those that can be learnt from, and sentences about the others.

    Episodes without a step and those with missing rewards are left out; one that stops without an end is marked
    truncated. Raises `UserError` where values do not fit the setting, and where nothing is left.
    """
    kept, empty, unpaid, cut = [], [], [], []
    for episode in episodes:
        if not len(episode):
            empty.append(episode.id)
            continue
        if not np.isfinite(episode.rewards).all():
            unpaid.append(_reason(episode))
            continue
        check(episode, setting)
        if not (episode.terminations[-1] or episode.truncations[-1]):
            cut.append(episode.id)
            episode = ended(episode)  # noqa: PLW2901
        kept.append(episode)
    notices = []
    if empty:
        notices.append(f"Left out: {_some(empty)}, without a step.")
    if unpaid:
        notices.append(f"Left out for its rewards: {unpaid[0]}" + f" So {len(unpaid) - 1} more." * (len(unpaid) > 1))
    if cut:
        notices.append(f"Cut short: {_some(cut)} stopped without an end, which is taken as truncated.")
    if not kept:
        raise UserError("No episode can be used.", " ".join(notices) or "There is none.")
    return kept, notices


def ended(episode: Episode) -> Episode:
    """The same, its last step marked truncated."""
    truncations = episode.truncations.copy()
    truncations[-1] = True
    return replace(episode, truncations=truncations)


def _reason(episode: Episode) -> str:
    try:
        _check_rewards(episode)
    except UserError as error:
        return error.what
    return ""


def _some(names: Sequence[str]) -> str:
    """ "episode 7", "3 episodes (7, 8, 9)", at most five of them named."""
    if len(names) == 1:
        return f"episode {names[0]}"
    return f"{len(names)} episodes ({', '.join(names[:5])}{', …' * (len(names) > 5)})"
