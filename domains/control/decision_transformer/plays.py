"""Episodes to play and episodes played: what `run` and `evaluate` take and give where there is an environment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ....core.task import Batch, Example, Result
from ..episodes import Setting
from ..film import Film
from ..rollout import Actor, Stage, Watcher, play
from ..safety import Guard, Statistics, Watchdog
from .acting import Player
from .options import RunOptions


@dataclass(frozen=True, kw_only=True)
class Play(Example):
    """An episode to play from a seed, asked for a return (None: the one chosen in training); notices: what to be aware
    of."""

    seed: int
    target: float | None
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PlayBatch(Batch):
    """Episodes to play side by side."""

    plays: tuple[Play, ...]


@dataclass(frozen=True, kw_only=True)
class Played(Result):
    """How an episode went. ended: "terminated" by the environment or "truncated" by a time limit. act_ms: what each
    call of the policy took, of all `beside` episodes side by side together."""

    seed: int
    asked: float | None
    achieved: float
    steps: int
    ended: str
    beside: int = 1
    act_ms: np.ndarray = field(default_factory=lambda: np.zeros(0), repr=False)

    def to_json(self) -> dict[str, Any]:
        plain = {"id": self.id, "seed": self.seed, "asked": self.asked, "return": self.achieved, "steps": self.steps,
                 "ended": self.ended}  # fmt: skip
        return {**plain, "notices": list(self.notices)}


class TellingGuard(Guard):
    """A guard that tells the policy what was really done, for that is what it looks back on."""

    def __init__(self, player: Player, statistics: Statistics | None, rate_limit: float) -> None:
        super().__init__(player.config.action, rate_limit=rate_limit or None, statistics=statistics)
        self.player = player

    def check(self, observations: np.ndarray, actions: np.ndarray, **how: Any) -> Any:
        safe, flags = super().check(observations, actions, **how)
        self.player.did(safe)
        return safe, flags


class Theatre:
    """An environment made once, on which plays are played as `options` say; kept for all batches of one command."""

    def __init__(self, setting: Setting, player: Player, options: RunOptions, statistics: Statistics | None) -> None:
        self.player, self.options = player, options
        self.film = Film("episode.gif") if options.film else None
        self.guard = TellingGuard(player, statistics, options.rate_limit) if options.safe else None
        self.watchdog: Watchdog | None = None
        self.stage = Stage(
            setting.env, options.batch, setting.env_options, setting.max_steps, draws=self.film is not None
        )
        self._shown = False

    def report(self) -> dict[str, Any]:
        """What guard and watchdog saw so far, as plain data."""
        parts = {"guard": self.guard, "watchdog": self.watchdog}
        return {name: part.report() for name, part in parts.items() if part is not None}

    def words(self) -> list[str]:
        """The same for people."""
        said = [part.words() for part in (self.guard, self.watchdog) if part is not None]
        if self.film is not None and self.watchdog is not None and not self.watchdog.held:
            said.append("Drawing the film is part of that work: --no-film leaves it out.")
        return [sentence for sentence in said if sentence]

    def play(self, plays: Sequence[Play]) -> list[Played]:
        """Play these side by side, as many as `options.batch` at most."""
        player, targets = self.player, np.array([play.target for play in plays])
        player.reset(len(plays), targets=targets, seed=plays[0].seed)
        player.times.clear()
        conditioned, watcher = player.config.conditioned, None
        if self.film is not None and not self._shown:
            watcher = Watcher(self.film, float(targets[0]) if conditioned else None)
        self._shown = True
        if self.options.hz and self.watchdog is None:
            self.watchdog = Watchdog(self.options.hz)
        seeds = [play.seed for play in plays]
        episodes = self.stage.play(
            seeds, player.act, player.reward, [""] * len(plays),
            guard=self.guard, watchdog=self.watchdog, watcher=watcher,
        )  # fmt: skip
        times = np.array(player.times) * 1e3
        return [
            Played(
                id=play.id,
                notices=play.notices,
                seed=play.seed,
                asked=play.target if conditioned else None,
                achieved=episode.returns,
                steps=len(episode),
                ended="terminated" if episode.terminations[-1] else "truncated",
                beside=len(plays),
                act_ms=times[: len(episode)],
            )
            for play, episode in zip(plays, episodes, strict=True)
        ]


def returns_of(
    setting: Setting, actor: Actor, *, targets: Sequence[float], seeds: Sequence[int], batch: int = 20
) -> np.ndarray:
    """The return of an episode from each seed for each target: [targets, seeds]."""
    episodes = play(
        setting.env, actor, seeds=[*seeds] * len(targets), targets=np.repeat(np.asarray(targets, float), len(seeds)),
        batch=batch, options=setting.env_options, max_steps=setting.max_steps,
    )  # fmt: skip
    return np.reshape([episode.returns for episode in episodes], (len(targets), len(seeds)))
