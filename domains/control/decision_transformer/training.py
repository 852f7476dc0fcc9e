"""From recorded episodes and options to a policy that is ready to learn, and what is done once it has learnt."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ....core.errors import Interrupted, UserError
from ....core.options import override, split_settings
from ....core.task import Collection, Origin, Prepared, Split, Splits
from ....core.train import fit
from ....core.weights import count_parameters
from ..data import check_against, collect
from ..episodes import Episodes
from ..safety import Statistics
from ..scores import summary_of
from ..words import counted
from . import routes, sizes, targets
from .checkpoints import Around, DataFacts
from .config import DecisionTransformerConfig
from .model import DecisionTransformer
from .options import FRESH, EvaluateOptions, FinetuneOptions, refuse
from .plays import Play, returns_of
from .windows import Windows

ENOUGH = 20_000_000
"""Numbers of observations that means and deviations are taken of, at most."""
BESIDE = {"cloning": 0.0, "10 % cloning": 0.1}
"""What is trained to be compared with, and the best share of the steps that it learns from (0: all)."""


def prepare(
    cls: Any, options: FinetuneOptions, *, data: str | Collection, checkpoint: str | None, settings: Mapping[str, Any]
) -> Prepared:
    """The task, its windows, and the options with everything open decided."""
    torch.manual_seed(options.seed)
    parts = data if isinstance(data, Collection) else collect(data)
    parts.splits()  # says what is missing
    episodes: Episodes = parts.train
    if routes.on_maps(episodes.setting):
        refuse(options, ("baselines",), "on maps no return is told; plans are compared with those of A*")
    learnt = episodes.best(options.top) if options.top else episodes
    scratch = checkpoint in (None, "none", "scratch")
    if scratch:
        task, options = _from_scratch(cls, options, learnt, settings)
    else:
        task = cls.load(checkpoint)
        options = _go_on(task, override(options, settings), learnt)
    config: DecisionTransformerConfig = task.network.config
    options = sizes.for_maps(options) if config.rounds else options
    facts = DataFacts.of(episodes, parts.name, parts.sha256)
    task.around = replace(task.around, data=facts, target=facts.high, tried=(), baselines={}, top=options.top)
    if task.around.statistics is None:
        task.around = replace(task.around, statistics=statistics_of(learnt))
    task.play_in(options.env, options.env_options)
    task.plan = options
    hindrance = targets.hindrance(task.around.setting)
    if hindrance and options.baselines:
        raise UserError(f"--baselines play episodes, and none can be played: {hindrance.what}", hindrance.hint)
    sizes.check_room(config, options)
    windows = Windows(learnt, context=config.context)
    every = sizes.every(len(windows), options.batch_size)
    examples = Windows(learnt, context=config.context, every=every, drawn=True) if every > 1 else windows
    thinned = sizes.STEPS_OF_A_MAP if config.rounds else config.context
    checks = Windows(parts.validation, context=config.context, every=thinned)
    splits = Splits(
        train=Split(name=parts.name, part="train", examples=examples, sha256=parts.sha256),
        validation=Split(name=parts.name, part="validation", examples=checks, sha256=parts.sha256),
        test=_test(parts, task, plays=options.episodes > 0, playable=not hindrance),
    )
    options = sizes.decided(options, dim=config.dim, fresh=scratch, maps=config.rounds > 0)
    chosen = (*parts.notices, *_in_words(options, parts, learnt, task, hindrance))
    return Prepared(task=task, splits=splits, options=options, chosen=chosen)


def _from_scratch(
    cls: Any, options: FinetuneOptions, episodes: Episodes, settings: Mapping[str, Any]
) -> tuple[Any, FinetuneOptions]:
    setting = episodes.setting
    facts: dict[str, Any] = sizes.shape(setting, episodes, options)
    to_go = DataFacts.of(episodes, "", "").to_go
    facts = {
        "observation": setting.observation,
        "action": setting.action,
        "condition": options.condition,
        "chunk": options.chunk,
        "value": options.value,
        "return_scale": options.return_scale or sizes.return_scale(*to_go),
        **facts,
    }
    config = DecisionTransformerConfig(**facts)
    shape, rest = split_settings(settings, config, options)
    config, options = override(config, shape), override(options, rest)
    longest = int(episodes.lengths.max())
    if config.context > longest:  # nothing could be learnt of what lies further back
        config, options = replace(config, context=longest), replace(options, context=config.context)
    if config.chunk > longest:
        config, options = replace(config, chunk=longest), replace(options, chunk=longest)
    network = DecisionTransformer(config)
    mean, std = moments(episodes, pictures=setting.observation.is_image, last=config.channels_last)
    if setting.observation.kind == "box":
        network.states.learn(mean, std)
    if setting.action.kind == "box" and setting.action.bounds is None:
        done = np.concatenate([item.actions.reshape(len(item), -1) for item in episodes])
        network.head.learn(done.mean(0), done.std(0))
    origin = Origin(source="scratch", parameters=count_parameters(network))
    return cls(network, Around(setting=setting), origin), options


def _go_on(task: Any, options: FinetuneOptions, episodes: Episodes) -> FinetuneOptions:
    """A checkpoint that learns on, with its own scaling; what it is like cannot be changed."""
    check_against(episodes.setting, task.around.setting)
    config, default = task.network.config, FinetuneOptions()
    for name in ("condition", "context", "chunk", "return_scale", "value"):
        asked = getattr(options, name)
        if asked not in (getattr(default, name), getattr(config, name)):
            raise UserError(
                f"{task.origin.source} was made with {name} {getattr(config, name)}, not {asked}.",
                "Leave it out, or train from scratch (no --checkpoint).",
            )
    if not task.around.setting.env:
        task.around = replace(task.around, setting=episodes.setting)
    return options


def moments(episodes: Episodes, *, pictures: bool = False, last: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each number of an observation, or of each channel of a picture."""
    seen = _observations(episodes)
    if pictures:
        axes = (0, 1, 2) if last else (0, 2, 3)
        return seen.mean(axes), seen.std(axes)
    flat = seen.reshape(len(seen), -1)
    return flat.mean(0), flat.std(0)


def statistics_of(episodes: Episodes) -> Statistics | None:
    """What observations are like, for the flag of what was never seen; None for pictures and choices."""
    space = episodes.setting.observation
    return None if space.kind != "box" or space.is_image else Statistics.of(_observations(episodes))


def _observations(episodes: Episodes) -> np.ndarray:
    """Observations [rows, *shape] of all episodes, or of some spread over them."""
    stride = max(1, episodes.steps * episodes.setting.observation.numbers // ENOUGH)
    firsts = np.cumsum([0, *episodes.lengths])
    parts = [item.observations[:-1][-first % stride :: stride] for first, item in zip(firsts, episodes, strict=False)]
    return np.concatenate(parts).astype(np.float64)


def _test(parts: Collection, task: Any, *, plays: bool, playable: bool) -> Split | None:
    """Fresh episodes of the environment, asked for the return that will be chosen; else actions of held-out ones."""
    if plays and routes.on_maps(task.around.setting):
        maps = routes.routes(task.around.setting, count=EvaluateOptions().episodes, seed=FRESH)
        return Split(name=task.around.setting.env, part="fresh seeds", examples=maps)
    if plays and playable:
        fresh = [Play(id=f"seed {seed}", seed=seed, target=None) for seed in _fresh(EvaluateOptions().episodes)]
        return Split(name=task.around.setting.env, part="fresh seeds", examples=fresh)
    if not len(parts.test):
        return None
    windows = Windows(parts.test, context=task.network.config.context, every=task.network.config.context)
    return Split(name=parts.name, part="test", examples=windows, sha256=parts.sha256)


def _fresh(count: int) -> range:
    return range(FRESH, FRESH + count)


# -- once it has learnt -----------------------------------------------------------------------------------------------


def settle(task: Any, splits: Splits) -> None:
    """Choose the return to ask for on validation seeds, and score what was trained beside it on fresh ones."""
    around, options = task.around, task.plan
    if options is None or targets.hindrance(around.setting):
        return
    if task.network.config.conditioned and options.episodes:
        target, tried = targets.choose(around.setting, task.actor(), around.data, episodes=options.episodes)
        task.around = around = replace(around, target=target, tried=tuple(tried))
    if options.baselines:
        try:
            scores = {name: cloned(task, splits, share) for name, share in BESIDE.items()}
        except Interrupted:
            raise Interrupted(
                "Stopped while cloning was trained to compare with; the policy itself has learnt.",
                "Continue with the same command and --resume.",
            ) from None
        task.around = replace(around, baselines=scores)


def cloned(task: Any, splits: Splits, share: float) -> dict[str, Any]:
    """Train the same network without the return on the same episodes (the best `share` of them; 0: all), with the same
    options, and give the returns of fresh episodes."""
    options = replace(task.plan, condition="none", top=share, baselines=False, episodes=0, value=False)
    episodes: Episodes = splits.train.examples.episodes  # pyright: ignore[reportAttributeAccessIssue]
    checks: Episodes = splits.validation.examples.episodes  # pyright: ignore[reportAttributeAccessIssue]
    config = replace(task.network.config, condition="none", value=False)
    torch.manual_seed(options.seed)
    network = DecisionTransformer(config)
    for name, buffer in network.named_buffers():
        buffer.copy_(task.network.get_buffer(name))
    clone = type(task)(network, replace(task.around, target=0.0), Origin())
    learnt = episodes.best(share) if share else episodes
    windows = Windows(learnt, context=config.context)
    every = sizes.every(len(windows), options.batch_size)
    own = Splits(
        train=replace(splits.train, examples=Windows(learnt, context=config.context, every=every, drawn=True)),
        validation=replace(splits.validation, examples=Windows(checks, context=config.context, every=config.context)),
    )
    device = next(task.network.parameters()).device
    clone.network.to(device)
    with tempfile.TemporaryDirectory() as folder:
        fit(clone, own, sizes.decided(options, dim=config.dim, fresh=True), Path(folder) / "run")
    seeds = _fresh(EvaluateOptions().episodes)
    returns = returns_of(task.around.setting, clone.actor(), targets=[0.0], seeds=seeds)[0]
    return {**summary_of(returns), "episodes learnt from": len(learnt), "first seed": FRESH}


# -- words ------------------------------------------------------------------------------------------------------------


def _in_words(
    options: FinetuneOptions, parts: Collection, learnt: Episodes, task: Any, hindrance: UserError | None
) -> list[str]:
    config, facts = task.network.config, task.around.data
    assert facts is not None
    longer = f" (no episode is longer; {options.context:,} were asked for)" if options.context > config.context else ""
    told = "told the return still asked for" if config.conditioned else "cloning, told no return"
    looks = f"{told}; context {counted(config.context, 'step')}{longer}; returns divided by {config.return_scale:.4g}"
    if config.rounds:
        looks = f"reads a map {counted(config.rounds, 'time')} over, and says what cost remains from every cell"
    counts = ", ".join(f"{name} {len(getattr(parts, name)):,}" for name in ("train", "validation", "test"))
    setting = task.around.setting
    sentences = [
        f"{setting.words()}; episodes: {counts}; returns {facts.low:g} to {facts.high:g}, mean {facts.mean:.4g}",
        f"{looks}; width {config.dim}, {counted(config.depth, 'layer')}, "
        f"{counted(count_parameters(task.network), 'parameter')}",
        f"{_length(options)}, learning rate {options.lr:g}, batches of {options.batch_size} windows",
    ]
    if options.top:
        sentences.append(
            f"learns from the best {len(learnt):,} of {counted(len(parts.train), 'episode')} "
            f"({options.top:.0%} of the steps)"
        )
    if config.chunk > 1:
        sentences.append(f"says {config.chunk} actions ahead")
    return [*sentences, *_target_in_words(options, facts, hindrance, conditioned=config.conditioned)]


def _target_in_words(
    options: FinetuneOptions, facts: DataFacts, hindrance: UserError | None, *, conditioned: bool
) -> list[str]:
    """What is played to choose the return to ask for, if anything."""
    high = [f"asks for {facts.high:g}, the highest return of the data, where nobody says another"] * conditioned
    if not options.episodes:
        return [*high, "no episodes are played (--episodes 0): held-out actions are scored at last"]
    if hindrance:
        return [*high, f"no episodes are played: {str(hindrance).rstrip('.')}"]
    if not conditioned:
        return []
    tried = ", ".join(f"{value:g}" for value in targets.candidates(facts))
    seeds = f"{counted(options.episodes, 'episode')} of validation seeds each"
    return [f"the return to ask for is chosen among {tried} by {seeds}"]


def _length(options: FinetuneOptions) -> str:
    return counted(options.max_steps, "step") if options.max_steps else counted(options.epochs, "epoch")
