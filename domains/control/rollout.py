"""Episodes played by whoever acts, many environments side by side so that a network acts for all in one call.

Axes: N rows (environments side by side), T steps of one episode.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ...core.errors import UserError
from . import environments, sketch
from .episodes import Episode, Setting
from .words import reason

if TYPE_CHECKING:
    from ...core.task import Tick
    from .film import Film
    from .safety import Guard, Watchdog


class Actor(Protocol):
    """Acts for N rows at once, and may be asked for a return.

    Whatever it draws for a row it draws from `seed` + row; what it does in a row does not depend on the others.
    """

    def reset(self, count: int, *, targets: np.ndarray | None, seed: int) -> None:
        """An episode begins in each of `count` rows; `targets` [N]: the return that is asked for in each."""
        ...

    def act(self, observations: np.ndarray) -> np.ndarray:
        """Actions [N, …] for observations [N, …]."""
        ...

    def reward(self, rewards: np.ndarray) -> None:
        """What the last action earned in each row [N]; called after each step (0 where the episode is over)."""
        ...


def play(
    env: str,
    actor: Actor,
    *,
    seeds: Sequence[int],
    targets: float | np.ndarray | None = None,
    batch: int = 16,
    options: Mapping[str, Any] | None = None,
    max_steps: int | None = None,
    film: Film | None = None,
    tick: Tick | None = None,
    guard: Guard | None = None,
    watchdog: Watchdog | None = None,
    policy: str = "",
) -> list[Episode]:
    """Play an episode of the gymnasium environment `env` from each of `seeds`; the first of them is filmed.

    Episode i is asked for targets[i], whatever `batch`, the number of environments
    side by side. options: what the environment is made with. max_steps: cut episodes there (None: the environment's own
    limit). guard: checks every action. watchdog: holds a control rate, which means most with a batch of 1. policy: who
    acted, for the episodes. tick is told (episodes done, in all).

    Raises UserError for an environment that cannot be made, or that fails on the way or gives no number as a reward.
    """
    episodes = len(seeds)
    if episodes < 1:
        raise UserError(f"At least one episode has to be played, not {episodes}.")
    asked = None if targets is None else np.broadcast_to(np.asarray(targets, np.float64), episodes)
    stage = Stage(env, min(batch, episodes), options or {}, max_steps, draws=film is not None)
    done: list[Episode] = []
    try:
        for first in range(0, episodes, batch):
            part = seeds[first : first + batch]
            wanted = None if asked is None else asked[first : first + batch]
            actor.reset(len(part), targets=wanted, seed=part[0])
            watcher = (
                Watcher(film, None if wanted is None else float(wanted[0])) if film is not None and not first else None
            )
            done += stage.play(
                part, actor.act, actor.reward, [policy] * len(part), guard=guard, watchdog=watchdog, watcher=watcher
            )
            if tick:
                tick(len(done), episodes)
    finally:
        stage.close()
    return done


class Watcher:
    """Films the first row, with what it was asked for and has earned below the picture: a sketch where there is one,
    else the environment's own picture, else a sketch of the numbers that are seen."""

    def __init__(self, film: Film, asked: float | None) -> None:
        self._film, self._asked = film, asked
        self._sketched = False

    def see(self, env: Any, observation: np.ndarray, step: int, earned: float) -> None:
        self._film.fps = self._film.fps or env.metadata.get("render_fps")
        asked = "" if self._asked is None else f"asked {self._asked:g} · "
        self._film.add(lambda: self._drawn(env, observation), f"{asked}step {step} · return {earned:.6g}")

    def _drawn(self, env: Any, observation: np.ndarray) -> np.ndarray:
        name = env.spec.id
        frame = None if self._sketched or sketch.known(name) else environments.render(env)
        self._sketched = frame is None
        return sketch.draw(name, observation) if frame is None else frame


@dataclass
class _Track:
    """One episode while it is played."""

    observations: list[np.ndarray]
    actions: list[np.ndarray] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    terminated: bool = False
    truncated: bool = False

    @property
    def over(self) -> bool:
        return self.terminated or self.truncated


class Stage:
    """Some environments of one kind, side by side, on which batches of episodes are played."""

    def __init__(
        self, env: str, count: int, options: Mapping[str, Any], max_steps: int | None = None, *, draws: bool = False
    ) -> None:
        options = {**options, "max_episode_steps": max_steps} if max_steps else options
        self.setting: Setting = environments.setting_of(env, **options)
        self.limit = self.setting.max_steps or environments.ENDLESS
        self._name = env
        self._envs = environments.make_many(env, count, render_first=draws, **options)

    def close(self) -> None:
        """Let go of the environments."""
        for env in self._envs:
            env.close()

    def play(
        self,
        seeds: Sequence[int],
        act: Callable[[np.ndarray], np.ndarray],
        reward: Callable[[np.ndarray], None],
        policies: Sequence[str],
        *,
        guard: Guard | None = None,
        watchdog: Watchdog | None = None,
        watcher: Watcher | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> list[Episode]:
        """One episode from each seed, at most as many as there are environments. A row whose episode is over stands
        still until all are: `act` always sees the same rows. Once `stop()` is true only those that are over by then
        are given."""
        tracks = [_Track([self._reset(row, seed)]) for row, seed in enumerate(seeds)]
        if guard:
            guard.reset()
        if watcher:
            watcher.see(self._envs[0], tracks[0].observations[0], 0, 0.0)
        if watchdog:
            watchdog.start()
        while not (all(track.over for track in tracks) or stop()):
            seen = np.stack([track.observations[-1] for track in tracks])
            actions = np.asarray(act(seen))
            alive = np.array([not track.over for track in tracks])
            if guard:
                actions, _ = guard.check(seen, actions, alive=alive)
            if watchdog:
                watchdog.wait()
            for row in np.flatnonzero(alive).tolist():
                self._step(row, tracks[row], actions[row], seeds[row])
            reward(np.array([track.rewards[-1] if go else 0.0 for track, go in zip(tracks, alive, strict=True)]))
            if watcher and alive[0]:
                first = tracks[0]
                watcher.see(self._envs[0], first.observations[-1], len(first.rewards), sum(first.rewards))
        return [
            self._episode(track, seed, words)
            for track, seed, words in zip(tracks, seeds, policies, strict=True)
            if track.over
        ]

    def _reset(self, row: int, seed: int) -> np.ndarray:
        try:
            with environments.quiet():
                observation, _ = self._envs[row].reset(seed=int(seed))
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"{self._name} cannot begin the episode of seed {seed}: {reason(error)}.") from error
        return self._seen(observation)

    def _step(self, row: int, track: _Track, action: np.ndarray, seed: int) -> None:
        kind = self.setting.action
        action = np.asarray(action, np.dtype(kind.dtype))
        try:
            with environments.quiet():
                given = int(action) if kind.kind == "discrete" else action
                observation, reward, terminated, truncated, _ = self._envs[row].step(given)
        except UserError:
            raise
        except Exception as error:
            raise UserError(
                f"{self._name} failed at step {len(track.rewards)} of the episode of seed {seed}, given the action "
                f"{action.tolist()}: {reason(error)}."
            ) from error
        track.observations.append(self._seen(observation))
        track.actions.append(action)
        track.rewards.append(self._paid(reward, len(track.rewards), seed))
        track.terminated = bool(terminated)
        track.truncated = bool(truncated) or (not terminated and len(track.rewards) >= self.limit)

    def _paid(self, reward: Any, step: int, seed: int) -> float:
        try:
            paid = float(reward)
        except (TypeError, ValueError):
            paid = np.nan
        if not np.isfinite(paid):
            raise UserError(
                f"{self._name} gave {reward!r} as the reward of step {step} of the episode of seed {seed}.",
                "A reward has to be a finite number: this is for the environment to mend.",
            )
        return paid

    def _seen(self, observation: Any) -> np.ndarray:
        """A copy: some environments give the same array again and again."""
        return np.array(observation, np.dtype(self.setting.observation.dtype))

    def _episode(self, track: _Track, seed: int, policy: str) -> Episode:
        ends = np.zeros((2, len(track.rewards)), np.bool_)
        ends[:, -1] = track.terminated, track.truncated
        return Episode(
            id=str(seed),
            observations=np.stack(track.observations),
            actions=np.stack(track.actions),
            rewards=np.array(track.rewards, np.float32),
            terminations=ends[0],
            truncations=ends[1],
            seed=int(seed),
            policy=policy,
        )
