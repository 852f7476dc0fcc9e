"""The policy as a task: episodes in, actions out, played wherever the environment is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ....core import pretrained
from ....core.errors import UserError
from ....core.export.graph import Graph
from ....core.task import Learner, Origin, Prepared, Split, Splits, Summary, Task
from .. import environments
from ..data import check_against, collect, load_episodes
from ..episodes import Setting
from ..plans import Plan
from ..policies import policy
from ..scores import summary_of
from . import checkpoints, exported, planning, routes, show, targets
from .acting import Player
from .checkpoints import Around
from .model import DecisionTransformer, Said
from .options import EvaluateOptions, FinetuneOptions, RunOptions, when_planning, when_playing, when_reading
from .plays import Play, PlayBatch, Played, Theatre, returns_of
from .show import Told
from .windows import TrajectoryBatch, Window, Windows, batch_of

MAPS = "grid-path"
"""The checkpoint that plans paths."""
MOST_WINDOWS = 20_000
"""Steps of held-out episodes that are scored, at most."""


class ControlTask(Task):
    """A Decision Transformer with its environment, the return to ask for, and what the data were like."""

    run_options = RunOptions
    evaluate_options = EvaluateOptions
    train_options = FinetuneOptions
    monitor = ("loss", "min")
    unit = "trajectories"
    network: DecisionTransformer

    def __init__(self, network: DecisionTransformer, around: Around, origin: Origin) -> None:
        self.network, self.around, self.origin = network, around, origin
        self.learner = Learner(network)
        self.plan: FinetuneOptions | None = None
        self._theatre: Theatre | None = None
        self._warned: tuple[str, ...] = ()  # of the returns that an evaluation asks for
        self._others: dict[str, dict[str, float]] = {}  # scores of what it is compared with

    # -- making one ---------------------------------------------------------------------------------------------

    @classmethod
    def load(cls, checkpoint: str | None = None, *, settings: Mapping[str, Any] | None = None) -> ControlTask:
        located = pretrained.locate(cls.card, checkpoint)
        if located.is_ours:
            if settings:
                raise UserError(f"A trained policy's {next(iter(settings))} cannot be set.", "Train another one.")
            network, around = checkpoints.load(located, cls.card)
        else:
            from . import transformers

            network, around = transformers.load(located, settings or {})
        origin = pretrained.origin_of(located, network)
        return cls(network, around, origin)

    @classmethod
    def default_checkpoint(cls, inputs: Sequence[Any], options: RunOptions) -> str | None:
        """Maps are for the policy that plans."""
        return MAPS if MAPS in cls.card.checkpoints and any(map(routes.is_map, inputs)) else None

    @classmethod
    def for_training(
        cls, options: FinetuneOptions, *, data: Any, checkpoint: str | None, settings: Mapping[str, Any]
    ) -> Prepared:
        from .training import prepare

        return prepare(cls, options, data=data or cls.card.data, checkpoint=checkpoint, settings=settings)

    def save(self, folder: Path) -> None:
        checkpoints.save(folder, self.card, self.network, self.around)

    @property
    def setting(self) -> Setting:
        """What it was made for."""
        return self.around.setting

    def play_in(self, env: str, made_with: str = "") -> None:
        """Play in the environment of this id from now on, made with `made_with` (option=value, …); "" leaves it. Where
        it is the one of the data, what those were recorded with still holds. Raises UserError where it does not fit."""
        if env:
            name, setting = environments.name(env), self.setting
            options: dict[str, Any] = {}
            if name == setting.env:
                limit = {"max_episode_steps": setting.max_steps} if setting.max_steps else {}
                options = {**setting.env_options, **limit}
            found = environments.setting_of(name, **{**options, **environments.options_in(made_with)})
            check_against(found, setting)
            self.around = replace(self.around, setting=found)

    def actor(self, **how: Any) -> Player:
        """Who acts: see `Player`; asked for the return that was chosen in training, where nobody says another."""
        return Player(self.network, **{"target": self.around.target, "bounds": self.around.bounds, **how})

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        return super().__call__(*inputs, **{"film": False, **options})

    # -- Source -> Example -> Batch -> Output -> Result -> Artifact -----------------------------------------------

    def inputs(self, given: Sequence[Any], options: RunOptions) -> Sequence[Any]:
        """Where nothing is named, the episodes that the options ask for."""
        self.play_in(options.env, options.env_options)
        if given or type(options) is not RunOptions:
            return given
        if routes.on_maps(self.setting):
            when_planning(options)
            return routes.routes(self.setting, count=options.episodes, seed=options.seed)
        self._require_environment()
        self._check_playing(options)
        return self._plays(options.asked or (self.around.target,), options)

    def read(self, inputs: Sequence[Any], options: RunOptions) -> list[Any]:
        """A number is a return to ask for in an episode, a .txt file a map to plan on; anything else names recorded
        episodes, at whose end the policy says what it would do."""
        self.play_in(options.env, options.env_options)
        examples: list[Any] = []
        for given in inputs:
            if isinstance(given, Play | routes.Route):
                examples.append(given)
            elif routes.is_map(given):
                self._require_maps(given)
                when_planning(options)
                examples.append(routes.route_of(given))
            elif (asked := _number(given)) is not None:
                self._check_asked(given, asked, options)
                examples += self._plays([asked], options)
            else:
                when_reading(options)
                episodes = load_episodes(given)
                check_against(episodes.setting, self.setting)
                windows = Windows(episodes, context=self.network.config.context, endings=True)
                ends = np.cumsum(episodes.lengths) - 1
                examples += [replace(windows[int(end)], id=f"{episodes.name}, episode {item.id}")
                             for end, item in zip(ends, episodes, strict=True)]  # fmt: skip
        if len({type(item) for item in examples}) > 1:
            raise UserError("Returns, maps and recorded episodes cannot be mixed.", "Name those of one kind at a time.")
        return examples

    def held_out(self, data: str | None = None) -> Split:
        return self.to_score(data, EvaluateOptions())

    def sample(self, data: str | None = None) -> Split:
        if data is not None:
            return self.held_out(data)
        asked = self.network.config.conditioned and not routes.on_maps(self.setting)
        few = EvaluateOptions(episodes=RunOptions().episodes, returns=f"{self.around.target}" if asked else "")
        return self.to_score(None, few)

    def to_score(self, data: str | None, options: EvaluateOptions) -> Split:
        """Episodes (or maps) of fresh seeds; where there is no environment, or `data` is given, actions of held-out
        episodes."""
        self.play_in(options.env, options.env_options)
        if data is None and options.episodes and routes.on_maps(self.setting):
            when_planning(options)
            maps = routes.routes(self.setting, count=options.episodes, seed=options.seed)
            return Split(name=self.setting.env, part="fresh seeds", examples=maps)
        hindrance = targets.hindrance(self.setting) if options.episodes else UserError("No episodes are asked for.")
        if not hindrance and data is None:
            return self._sweep(options)
        if data is None and self.around.data is None:
            raise UserError(f"Nothing can be scored. {hindrance}", "Or name recorded episodes with --data.")
        when_reading(options, hindrance.what.rstrip(".") if hindrance and data is None and options.episodes else "")
        parts = collect(data or self.around.data.name)  # pyright: ignore[reportOptionalMemberAccess]
        held = parts.held_out()
        check_against(held.examples.setting, self.setting)  # pyright: ignore[reportAttributeAccessIssue]
        windows = Windows(held.examples, context=self.network.config.context, endings=True)  # pyright: ignore[reportArgumentType]
        every = max(1, len(windows) // MOST_WINDOWS)
        return replace(held, examples=Windows(windows.episodes, context=windows.context, endings=True, every=every))

    def _sweep(self, options: EvaluateOptions) -> Split:
        """Episodes that are asked for several returns."""
        self._check_playing(options)
        asked = options.asked or targets.sweep(self.around.data, self.around.target)
        asked = sorted({*asked, self.around.target}) if self.network.config.conditioned else [0.0]
        self._warned = tuple(targets.warnings_of(asked, self.around.data).values())
        return Split(name=self.setting.env, part="fresh seeds", examples=self._plays(asked, options))

    def _check_playing(self, options: RunOptions) -> None:
        choices = self.setting.action.kind != "box"
        when_playing(options, conditioned=self.network.config.conditioned, choices=choices)

    def _check_asked(self, given: Any, asked: float, options: RunOptions) -> None:
        """Raise UserError unless a return can be asked for, and is asked for once."""
        if not np.isfinite(asked):
            raise UserError(f"A return to ask for is a finite number, not {given}.")
        if routes.on_maps(self.setting) or not self.network.config.conditioned:
            raise UserError(f"This policy is told no return, so {given} cannot be asked for.", "Leave it out.")
        if options.returns:
            raise UserError(
                f"Returns are asked for twice: {given}, and --returns {options.returns.strip()}.", "Leave one out."
            )
        self._require_environment()
        self._check_playing(options)

    def _plays(self, asked: Sequence[float], options: RunOptions) -> list[Play]:
        warned = targets.warnings_of(asked, self.around.data) if self.network.config.conditioned else {}
        return [
            Play(
                id=f"{'' if len(asked) == 1 else f'asked {target:g}, '}seed {seed}",
                seed=seed,
                target=target,
                notices=(warned[target],) if target in warned and seed == options.seed else (),
            )
            for target in asked
            for seed in range(options.seed, options.seed + options.episodes)
        ]

    def _require_maps(self, given: Any) -> None:
        if not routes.on_maps(self.setting):
            raise UserError(
                f"{given} is a map, and this policy is for {self.setting.words()}.", f"Try --checkpoint {MAPS}."
            )

    def _require_environment(self) -> None:
        if hindrance := targets.hindrance(self.setting):
            raise UserError(
                f"No episode can be played: {hindrance.what}",
                f"Recorded episodes can be named, to see what the policy would do. {hindrance.hint}".strip(),
            )

    def preprocess(self, examples: Sequence[Any], *, training: bool = False) -> Any:
        if isinstance(examples[0], Play):
            return PlayBatch(plays=tuple(examples))
        if isinstance(examples[0], routes.Route):
            return routes.RouteBatch(routes=tuple(examples))
        config = self.network.config
        return batch_of(examples, context=config.context, chunk=config.chunk)

    def predict(self, batch: Any, options: RunOptions) -> Any:
        if isinstance(batch, TrajectoryBatch):
            return self.network(batch), batch
        if isinstance(batch, routes.RouteBatch):
            names = [route.id for route in batch.routes]
            return planning.plan_many(
                self.network, [route.map for route in batch.routes], weight=options.weight, names=names
            )
        return self._stage(options).play([self._decided(play) for play in batch.plays])

    def _decided(self, play: Play) -> Play:
        return replace(play, target=self.around.target) if play.target is None else play

    def _stage(self, options: RunOptions) -> Theatre:
        """The environment of this command, made once."""
        if self._theatre is None or self._theatre.options is not options:
            if options.execute > self.network.config.chunk:
                ahead = self.network.config.chunk
                raise UserError(f"--execute {options.execute} is more than this policy says ahead, {ahead}.")
            player = self.actor(execute=options.execute, temperature=options.temperature)
            self._theatre = Theatre(self.setting, player, options, self.around.statistics)
        return self._theatre

    def postprocess(self, output: Any, examples: Sequence[Any], options: RunOptions) -> list[Any]:
        if isinstance(output, list):
            return output
        said, batch = output
        return self._told(said, batch, examples)

    def _told(self, said: Said, batch: TrajectoryBatch, examples: Sequence[Window]) -> list[Told]:
        actions = self.network.head.decode(said.raw[:, :, 0])  # [B, K, A]
        truth = batch.actions[:, : actions.shape[1]]
        right = (actions == truth).all(-1) & batch.scored
        errors = (actions.float() - truth.float()).square().mean(-1) * batch.scored
        counts = batch.scored.sum(1).tolist()
        return [
            Told(id=window.id, action=actions[row, -1].tolist(), taken=truth[row, -1].tolist(), counted=counts[row],
                 right=float(right[row].sum()), error=float(errors[row].sum()))
            for row, window in enumerate(examples)
        ]  # fmt: skip

    # -- scores and pictures ------------------------------------------------------------------------------------------

    def assess(self, split: Split, options: Any, **how: Any) -> tuple[list[Any], Summary]:
        results, summary = super().assess(split, options, **how)
        if results and isinstance(results[0], Played):
            self._others = self._baselines([item.seed for item in results])
            summary = replace(summary, baselines=self._others)
        return results, summary

    def _baselines(self, seeds: Sequence[int]) -> dict[str, dict[str, float]]:
        """What any policy has to beat: random actions on the same seeds, who recorded the data, cloning of the data."""
        data = self.around.data
        seeds = sorted(set(seeds))
        returns = returns_of(self.setting, Unaware(policy("random", self.setting), seeds), targets=[0.0], seeds=seeds)
        found: dict[str, dict[str, float]] = {"random": summary_of(returns[0])}
        if data is not None:
            found["the data's own policy"] = {
                "mean": data.mean, "std": data.std, "median": data.quantiles[10], "min": data.low, "max": data.high,
                "n": data.episodes,
            }  # fmt: skip
        numbers = ("mean", "std", "median", "min", "max", "n")
        return found | {name: {key: line[key] for key in numbers} for name, line in self.around.baselines.items()}

    def summarise(self, results: Sequence[Any]) -> Summary:
        if results and isinstance(results[0], Plan):
            return routes.summarise(results)
        conduct = self._theatre.report() if self._theatre else {}
        return replace(show.summarise(results, self.around), conduct=conduct)

    def table(self, results: Sequence[Any], summary: Summary) -> Any:
        if results and isinstance(results[0], Plan):
            return routes.table(results, summary)
        said = self._theatre.words() if self._theatre else []
        return show.table(results, summary, self.around, [*self._warned, *said])

    def render(self, results: Sequence[Any], folder: Path, options: RunOptions) -> list[Path]:
        from . import files

        if results and isinstance(results[0], Plan):
            return routes.render(results, folder)
        return files.write(results, folder, self.around, self._theatre, self._others)

    # -- learning -------------------------------------------------------------------------------------------------

    @property
    def trainable(self) -> nn.Module:
        return self.learner

    def loss(self, network: nn.Module, batch: TrajectoryBatch) -> Tensor:
        return network(batch)

    def weight(self, batch: TrajectoryBatch) -> float:
        return self.network.weight(batch)

    def finish(self, splits: Splits) -> None:
        from .training import settle

        settle(self, splits)

    kept_beside_graphs = ("states.", "actions.", "returns.", "times.", "norm.", "head.", "answer.", "value.")

    def graphs(self) -> list[Graph]:
        return exported.graphs(self.network, self.example_batch(2))

    def use(self) -> dict[str, Any]:
        return exported.use(self.network)

    def example_batch(self, size: int) -> TrajectoryBatch:
        config = self.network.config
        space, steps = config.observation, config.context + config.chunk - 1
        whole = space.kind != "box"
        observations = (
            torch.full((size, config.context, *space.shape), space.start)
            if whole
            else torch.randn(size, config.context, *space.shape)
        )
        real = torch.ones(size, config.context, dtype=torch.bool)
        return TrajectoryBatch(
            mask=real,
            observations=observations,
            actions=torch.full((size, steps, config.action.numbers), config.action.start),
            known=torch.ones(size, steps, dtype=torch.bool),
            returns=torch.zeros(size, config.context),
            steps=torch.arange(config.context).repeat(size, 1),
            scored=real,
        )


class Unaware:
    """A policy of recordings as an actor that no return is asked of. seeds: of its episodes, in the order of play."""

    def __init__(self, own: Any, seeds: Sequence[int]) -> None:
        self.own, self.seeds, self.done = own, list(seeds), 0

    def act(self, observations: np.ndarray) -> np.ndarray:
        return self.own.act(observations)

    def reset(self, count: int, *, targets: Any, seed: int) -> None:
        self.own.reset(self.seeds[self.done : self.done + count])
        self.done += count

    def reward(self, rewards: np.ndarray) -> None:
        return


def _number(given: Any) -> float | None:
    try:
        return float(given)
    except (TypeError, ValueError):
        return None
