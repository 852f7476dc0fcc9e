"""From options to a task that is ready to learn: games recorded or read, sizes, lengths."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ....core import checkpoint as checkpoints
from ....core.options import override, split_settings
from ....core.sources.derived import derived
from ....core.task import Collection, Origin, Prepared
from ....core.weights import count_parameters
from .config import BoardConfig
from .data import GameExample, Games, parts_of, read_games, unpacked
from .games import CONNECT_FOUR, TIC_TAC_TOE, Game, game_called
from .model import MoveModel
from .options import EvaluateOptions, FinetuneOptions
from .recording import Recorded, record

RECORDED = "recorded"
"""The data that are recorded rather than read."""
RECORDER = 1
"""Counts up when the recorder's games change."""
HELD_BACK = 50
"""Of so many recorded games one is kept to choose the best weights by."""
EPOCHS, RATE = 12, 2e-3


def prepare(
    cls: Any, options: FinetuneOptions, *, data: str, checkpoint: str | None, settings: Mapping[str, Any]
) -> Prepared:
    """The task, its games, and the options with everything open decided."""
    torch.manual_seed(options.seed)
    if checkpoint in (None, "none", "scratch"):
        shape, rest = split_settings(settings, BoardConfig(), options)
        options = override(options, rest)
        network = MoveModel(override(BoardConfig(), shape))
        task = cls(network, Origin(source="scratch", parameters=count_parameters(network)))
        options = replace(options, lr=options.lr or RATE, epochs=_epochs(options, EPOCHS))
    else:
        options = override(options, settings)
        task = cls.load(checkpoint)
        options = replace(options, lr=options.lr or RATE / 10, epochs=_epochs(options, 3))
    if data == RECORDED:
        splits = recorded(options).splits()
        splits = replace(splits, test=task.to_score(None, _scoring(options)))
    else:
        found, sha256 = read_games(data, game_called(options.game))
        splits = parts_of(Path(data).name, found, sha256).splits()
    task.conditioned = options.conditioned
    positions = int(splits.train.examples.lengths.sum())  # pyright: ignore[reportAttributeAccessIssue]
    length = f"{options.epochs} epochs" if options.epochs else f"{options.max_steps:,} steps"
    sentences = (
        f"{len(splits.train.examples):,} games with {positions:,} positions, {len(splits.validation.examples):,} games "
        "to choose by",
        f"{count_parameters(task.network):,} parameters, told {task.network.config.told}, {length}, learning "
        f"rate {options.lr:g}",
    )
    return Prepared(task=task, splits=splits, options=options, chosen=sentences)


def _scoring(options: FinetuneOptions) -> EvaluateOptions:
    """How the finished network is scored: after a small training by fewer games, and none that take long."""
    if options.games >= 1_000:
        return EvaluateOptions()
    return EvaluateOptions(games=max(1, options.games // 100), opponents="random,one-ply", ways="policy,search-1")


def _epochs(options: FinetuneOptions, usual: int) -> int:
    return options.epochs or (0 if options.max_steps else usual)


# -- recorded games ---------------------------------------------------------------------------------------------------


def recorded(options: FinetuneOptions) -> Collection:
    """Games of both kinds by our own players; kept in the cache, so that they are recorded once."""
    examples: list[GameExample] = []
    digest = hashlib.sha256()
    for game, count, exact in ((CONNECT_FOUR, options.games, options.exact), (TIC_TAC_TOE, options.tic_tac_toe, 0)):
        if count:
            made = _kept(game, count, exact, options.outcomes, options.seed)
            digest.update(made.moves.tobytes() + made.policy.tobytes() + made.value.tobytes())
            examples += unpacked(game, made)
    held = Games(examples[::HELD_BACK] if len(examples) >= HELD_BACK else examples[:1])
    rest = Games([one for number, one in enumerate(examples) if number % HELD_BACK])
    return Collection(name=RECORDED, train=rest, validation=held, test=(), sha256=digest.hexdigest())


def _kept(game: Game, count: int, exact: int, outcomes: int, seed: int) -> Recorded:
    told = f"{RECORDER} {game.name} {count} {exact} {outcomes} {seed}"

    def produce(folder: Path) -> None:
        made = record(game, count, exact_from=exact, outcomes=outcomes, seed=seed)
        tensors = {item.name: torch.from_numpy(getattr(made, item.name)) for item in dataclasses.fields(made)}
        checkpoints.save_tensors(folder / "games.safetensors", tensors)

    folder = derived("board-games", hashlib.sha256(told.encode()).hexdigest()[:32], produce)
    tensors = checkpoints.load_tensors(folder / "games.safetensors")
    return Recorded(**{name: tensor.numpy() for name, tensor in tensors.items()})
