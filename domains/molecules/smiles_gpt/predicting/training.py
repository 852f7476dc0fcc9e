"""From molecules with measured properties to a predictor that is ready to learn them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from .....core import pretrained
from .....core.errors import UserError
from .....core.options import flag, override, split_settings
from .....core.task import Origin, Prepared, Split, Splits
from .....core.weights import count_parameters
from ...data import Molecules, collect, units
from ...fingerprints import KEPT, nearest, packed
from ...properties import PROPERTIES, properties
from ...splits import Way
from ...tokenizer import SPECIAL, SmilesTokenizer
from .. import checkpoints
from ..config import SHAPES, SmilesGPTConfig
from ..given import rejected
from ..model import SmilesGPT
from ..options import FinetuneOptions
from . import files
from .files import Described, Learnt, Surroundings, Target
from .model import Predictor, PredictorConfig
from .tokens import New, new_tokens, widened

DRAWING = ("conditions", "measured", "random", "half")
FIXED = ("size", "notation", "length")
"""Options of `finetune` that are for drawing molecules, and those that follow from the checkpoint."""
LEAST = 10
"""Molecules with a value that a target needs, at least."""
SEEN, LONGEST = 12_000, 24
"""Spellings that a training sees, and passes at most."""
ROOM = 1.25
"""How much longer than the longest molecule one may be that is asked about, or the same spelt otherwise."""


class Examples(list[Any]):
    """Molecules with the `lengths` [N] by which the loop groups batches."""

    @property
    def lengths(self) -> np.ndarray:
        return np.asarray([len(one.smiles) for one in self])


def prepare(
    cls: Any, options: FinetuneOptions, *, data: Any, checkpoint: str | None, settings: Mapping[str, Any]
) -> Prepared:
    """The task, its molecules, and the options with everything open decided."""
    torch.manual_seed(options.seed)
    fresh = checkpoint in ("none", "scratch")
    _refuse(options, fresh=fresh)
    parts, split, also = _parts(data, options)
    train = Examples(parts.train[: options.molecules or None])
    targets = _targets(train, parts, options, {} if isinstance(data, Molecules) else units(data))
    head, rest = split_settings(settings, PredictorConfig(), options) if settings else ({}, {})
    options = decided(override(options, rest), len(train))
    trunk, tokenizer, origin, new = _trunk(cls, train, parts, options, checkpoint, fresh=fresh)
    described = _described(train) if options.described else Described()
    config = override(
        PredictorConfig(targets=len(targets), described=len(described.names), dropout=options.dropout), head
    )
    network = Predictor(trunk, config)
    seen = packed([one.smiles for one in train[:KEPT]])
    learnt = Learnt(
        name=parts.name, sha256=parts.sha256, column=options.column, split=split, molecules=len(train),
        near=float(np.quantile(nearest(seen, seen, itself=False), 0.05)),
    )  # fmt: skip
    around = Surroundings(tokenizer=tokenizer, targets=targets, described=described, learnt=learnt, seen=seen)
    task = cls(network, around, replace(origin, parameters=count_parameters(network)))
    task.learning, task.augment = True, options.augment
    splits = Splits(
        train=Split(name=parts.name, part="train", examples=train, sha256=parts.sha256),
        validation=parts.split("validation"),
        test=parts.split("test") if len(parts.test) else None,
    )
    chosen = (*parts.notices, *also, *new.notices(), *_in_words(task, options, splits))
    return Prepared(task=task, splits=splits, options=options, chosen=chosen, files=rejected(parts))


def _parts(data: Any, options: FinetuneOptions) -> tuple[Molecules, Way, list[str]]:
    """The molecules in their parts, how they were split, and what to say of that."""
    if isinstance(data, Molecules):
        return data, options.split or "fixed", []
    way: Way = options.split or "scaffold"
    parts = collect(data, column=options.column, split=way, targets=options.targets)
    if not options.split and not (len(parts.validation) and len(parts.test)):
        way, parts = "hash", collect(data, column=options.column, split="hash", targets=options.targets)
    parts.splits()  # says what is missing
    few = "Too few scaffolds to share them out: the parts are taken by their hash, so molecules in them are alike."
    return parts, way, [few] if way == "hash" and not options.split else []


def decided(options: FinetuneOptions, count: int) -> FinetuneOptions:
    """With everything open decided."""
    epochs, steps = options.epochs, options.max_steps
    if not epochs and not steps:
        epochs = min(LONGEST, max(1, round(SEEN / count)))
    return replace(options, epochs=epochs, lr=options.lr or 1e-3)


def _refuse(options: FinetuneOptions, *, fresh: bool) -> None:
    """UserError for options that do not go together with --target."""
    blank = FinetuneOptions()
    for name in (*DRAWING, *(() if fresh else FIXED)):
        if getattr(options, name) != getattr(blank, name):
            why = "is for learning to draw molecules" if name in DRAWING else "follows from the checkpoint"
            hint = "Leave it out." if name in DRAWING else "Leave it out, or begin from scratch: --checkpoint none."
            raise UserError(f"{flag(name)} {why}; with --target a property is learnt.", hint)


def _targets(
    train: Sequence[Any], parts: Molecules, options: FinetuneOptions, known: Mapping[str, str]
) -> tuple[Target, ...]:
    """What is predicted, in deviations of the training molecules. UserError where there is nothing to learn."""
    found = []
    for name in options.targets:
        if name not in parts.names:
            raise UserError(f"{parts.name} came without {name!r}.", f"It has {', '.join(parts.names) or 'no numbers'}.")
        values = np.asarray([one.properties[name] for one in train if name in one.properties])
        if len(values) < LEAST or not np.ptp(values):
            told = "always the same" if len(values) >= LEAST else f"known of {len(values)} of them"
            raise UserError(f"There is no learning {name} from these {len(train):,} molecules: it is {told}.")
        bracketed = re.search(r"[(\[]([^)\]]+)[)\]]\s*$", name)
        unit = options.unit or known.get(name, "") or (bracketed[1] if bracketed else "")
        found.append(
            Target(name=name, unit="" if bracketed and unit == bracketed[1] else unit, mean=float(values.mean()),
                   deviation=float(values.std()), low=float(values.min()), high=float(values.max()))
        )  # fmt: skip
    return tuple(found)


def _trunk(
    cls: Any, train: Sequence[Any], parts: Molecules, options: FinetuneOptions, checkpoint: str | None, *, fresh: bool
) -> tuple[SmilesGPT, SmilesTokenizer, Origin, New]:
    """The language model to begin from, with its tokens and those that it lacked."""
    smiles = [one.smiles for one in train]
    if fresh:
        config = SmilesGPTConfig(vocabulary=len(SPECIAL), **SHAPES[options.size or "small"])
        network, tokenizer = SmilesGPT(config), SmilesTokenizer(SPECIAL, options.notation)
        origin = Origin(source="scratch")
    else:
        located = pretrained.locate(cls.card, checkpoint)
        if files.is_predictor(located):
            predictor, around = files.load(located, cls.card)
            network, tokenizer = predictor.trunk, around.tokenizer
        else:
            network, around = checkpoints.load(located, cls.card)
            tokenizer = around.tokenizer
        origin = pretrained.origin_of(located, network)
    new = new_tokens(smiles, tokenizer)
    wide = SmilesTokenizer((*tokenizer.tokens, *new.tokens), tokenizer.notation)
    everything = (one for part in (parts.train, parts.validation, parts.test) for one in part)
    longest = round(ROOM * max(len(wide.split(one.smiles)) + 2 for one in everything))
    length = options.length or longest
    trunk, tokenizer = widened(network, tokenizer, new.tokens, length=length, dropout=options.dropout)
    return trunk, tokenizer, origin, replace(new, beginning=not fresh)


def _described(train: Sequence[Any]) -> Described:
    values = properties([one.smiles for one in train])
    mean, deviation = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    return Described(
        names=tuple(PROPERTIES), mean=tuple(mean.tolist()), deviation=tuple(np.maximum(deviation, 1e-6).tolist())
    )


def _in_words(task: Any, options: FinetuneOptions, splits: Splits) -> list[str]:
    config, around = task.network.trunk.config, task.around
    told = []
    for one in around.targets:
        holes = sum(one.name not in example.properties for example in splits.train.examples)
        missing = f", unknown of {holes:,}" if holes else ""
        unit = f" {one.unit}" if one.unit else ""
        told.append(
            f"{one.name}: {one.mean:.4g} ± {one.deviation:.4g}{unit}, from {one.low:.4g} to {one.high:.4g} in the "
            f"training molecules{missing}"
        )
    where = "random weights" if task.origin.source == "scratch" else f"the language model {task.origin.source}"
    length = f"{options.max_steps:,} steps" if options.max_steps else f"{options.epochs} passes"
    spelt = "each time spelt another way" if options.augment else "in their canonical spelling"
    beside = f", beside {', '.join(around.described.names)}" if around.described.names else ""
    return [
        *told,
        f"It begins from {where} ({count_parameters(task.network):,} parameters: width {config.dim}, {config.depth} "
        f"layers) and reads SMILES {spelt}{beside}; {length} in batches of {options.batch_size}, learning rate "
        f"{options.lr:g}, until {options.patience} validations are no better",
    ]
