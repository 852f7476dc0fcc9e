"""From molecules and options to a model that is ready to learn them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ....core.errors import UserError
from ....core.options import build, override, split_settings
from ....core.task import Origin, Prepared, Split, Splits
from ....core.weights import count_parameters
from ..data import Molecules, collect
from ..properties import known, measured
from ..tokenizer import SmilesTokenizer
from ..tokens import Tokens, tokenise, vocabulary
from . import sizes
from .checkpoints import Around, DataFacts
from .config import SmilesGPTConfig
from .given import rejected
from .model import SmilesGPT
from .options import EvaluateOptions, FinetuneOptions
from .rows import Rows
from .seen import Seen

CHECKED = 2_000
"""Molecules of the validation part that each validation looks at, at most."""
MOST = 512
"""Tokens of the longest molecule, where nobody says more."""
QUANTILES = np.linspace(0, 1, 21)


def prepare(
    cls: Any, options: FinetuneOptions, *, data: Any, checkpoint: str | None, settings: Mapping[str, Any]
) -> Prepared:
    """The task, its molecules as ids, and the options with everything open decided."""
    torch.manual_seed(options.seed)
    way = options.split or "fixed"
    parts = data if isinstance(data, Molecules) else collect(data, column=options.column, split=way)
    parts.splits()  # says what is missing
    train, validation = parts.split("train"), parts.split("validation")
    fresh = checkpoint in (None, "none", "scratch")
    how: dict[str, Any] = {"random": options.random, "seed": options.seed}
    if fresh:
        names = known(options.told)
        tokenizer = vocabulary(train, notation=options.notation, **how)
        values = _values(train, names, options)
        tokens, length = _tokens(train, tokenizer, options.length, how)
        facts = {**sizes.shape(options, len(tokens)), "vocabulary": len(tokenizer), "length": length}
        task, options = _from_scratch(cls, options, tokenizer, {**facts, "conditions": names}, settings)
        _normalise(task.network, values)
    else:
        task = cls.load(checkpoint)
        if not isinstance(task, cls):
            raise UserError(f"{checkpoint} predicts a property; it does not draw.", "Say which one to learn: --target.")
        options = override(options, settings)
        _as_it_was(task, options)
        tokenizer, length, names = task.around.tokenizer, task.network.config.length, task.network.config.conditions
        values = _values(train, names, options)
        tokens = tokenise(train, tokenizer, length=length, **how)
    checks = tokenise(validation, tokenizer, length=length)
    rows = Rows(tokens, values, most=options.molecules or None)
    options = sizes.decided(options, len(rows), fresh=fresh)
    learnt = () if fresh or task.around.data is None else (*task.around.data.before, task.around.data.name)
    earlier = None if fresh else task.known()
    facts = replace(_facts(parts, values, names), before=tuple(dict.fromkeys(learnt)))
    task.around = Around(tokenizer=tokenizer, data=facts)
    task.seen, task.learning, task.half = Seen.of(parts.train).joined(earlier), True, options.half
    splits = Splits(
        train=Split(name=parts.name, part="train", examples=rows, sha256=parts.sha256),
        validation=replace(validation, examples=Rows(checks, most=CHECKED)),
        test=task.to_score(parts, EvaluateOptions()) if len(parts.test) else None,
    )
    chosen = (*parts.notices, *tokens.notices, *_in_words(options, parts, task, rows, values))
    return Prepared(
        task=task,
        splits=splits,
        options=options,
        chosen=chosen,
        files=rejected(parts, (*tokens.left_out, *checks.left_out)),
    )


def _values(train: Split, names: tuple[str, ...], options: FinetuneOptions) -> np.ndarray:
    """Properties [M, P] of the first molecules: they are in random order."""
    if not names:
        return np.empty((0, 0))
    most = min(options.measured, options.molecules or options.measured)
    return measured(train, names, most=most)


def _tokens(train: Split, tokenizer: SmilesTokenizer, length: int, how: Mapping[str, Any]) -> tuple[Tokens, int]:
    """The training molecules as ids, and how long the longest may be."""
    if length:
        return tokenise(train, tokenizer, length=length, **how), length
    tokens = tokenise(train, tokenizer, length=MOST, **how)
    longest, usual = int(tokens.lengths.max()), int(np.quantile(tokens.lengths, 0.999))
    if longest <= 1.5 * usual:
        return tokens, longest
    return tokenise(train, tokenizer, length=usual, **how), usual


def _from_scratch(
    cls: Any,
    options: FinetuneOptions,
    tokenizer: SmilesTokenizer,
    facts: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> tuple[Any, FinetuneOptions]:
    """A fresh model; `facts` are what follows from the molecules."""
    config = build(SmilesGPTConfig, dict(facts))
    shape, rest = split_settings(settings, config, options) if settings else ({}, {})
    for name in ("vocabulary", "length", "conditions"):
        if name in shape:
            raise UserError(f"{name} follows from the data and from --length and --conditions.")
    network = SmilesGPT(override(config, shape))
    origin = Origin(source="scratch", parameters=count_parameters(network))
    return cls(network, Around(tokenizer=tokenizer), origin), override(options, rest)


def _normalise(network: SmilesGPT, values: np.ndarray) -> None:
    """Conditions in deviations of these molecules, [M, P]."""
    if network.conditions is not None and len(values):
        network.conditions.mean.copy_(torch.from_numpy(np.nanmean(values, axis=0)))
        network.conditions.deviation.copy_(torch.from_numpy(np.nanstd(values, axis=0)).clamp(min=1e-6))


def _as_it_was(task: Any, options: FinetuneOptions) -> None:
    """UserError for what a checkpoint that learns on cannot become."""
    blank, config = FinetuneOptions(), task.network.config
    fixed = {
        "size": f"{config.dim} wide",
        "length": f"{config.length} tokens long",
        "notation": task.around.tokenizer.notation,
        "conditions": ", ".join(config.conditions) or "none",
    }
    for name, has in fixed.items():
        if getattr(options, name) != getattr(blank, name):
            raise UserError(f"A checkpoint's --{name} stays what it is ({has}).", "Leave it out, or --checkpoint.")


def _facts(parts: Molecules, values: np.ndarray, names: tuple[str, ...]) -> DataFacts:
    rows = np.nanquantile(values, QUANTILES, axis=0).T.tolist() if len(values) else [[]] * len(names)
    quantiles = {name: tuple(row) for name, row in zip(names, rows, strict=True) if row}
    return DataFacts(name=parts.name, sha256=parts.sha256, molecules=len(parts.train), measured=len(values),
                     quantiles=quantiles)  # fmt: skip


def _in_words(options: FinetuneOptions, parts: Molecules, task: Any, rows: Rows, values: np.ndarray) -> list[str]:
    config, tokenizer = task.network.config, task.around.tokenizer
    told = f"can be told {', '.join(config.conditions)}, known of {min(len(values), len(rows)):,} molecules"
    length = f"{options.max_steps:,} steps" if options.max_steps else f"{options.epochs} passes"
    return [
        f"{len(rows):,} molecules to learn from, {len(tokenizer)} tokens ({tokenizer.notation}), at most "
        f"{config.length} in a molecule; {told if config.conditions else 'takes no conditions'}",
        f"{count_parameters(task.network):,} parameters: width {config.dim}, {config.depth} layers, {config.heads} "
        f"heads; {length} in batches of {options.batch_size}, learning rate {options.lr:g}",
    ]
