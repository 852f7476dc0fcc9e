"""From a table, options and a network to a task that is ready to learn: split, scaling, windows, the linear start."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ....core.errors import UserError
from ....core.options import build, override, split_settings
from ....core.task import Origin, Prepared, Split, Splits
from ....core.weights import count_parameters
from ..baselines import RidgeNLinear
from ..calendar import calendar
from ..covariates import Told, matched
from ..data import Border, Borders
from ..finance import purge_gap
from ..metrics import seasonal_scale
from ..panel import Panel
from ..windows import Scaling, Track, Windows
from . import checkpoints, sizes
from .checkpoints import Surroundings
from .config import ForecasterConfig
from .options import FinetuneOptions
from .parts import parts_of

BLOCK = 4_096
"""Windows that the closed-form map is given at once."""
ENOUGH = 60_000
"""Windows that it is solved from, at most: of more, every second or third."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What was decided about the data: look-back, horizon, season in steps, where each group's parts end, and the gap:
    steps that are purged at the end of training and validation, for their targets hold returns of the next part."""

    lookback: int
    horizon: int
    season: int
    borders: Borders
    gap: int = 0


def prepare(
    cls: Any, options: FinetuneOptions, *, data: str, checkpoint: str | None, settings: Mapping[str, Any]
) -> Prepared:
    """The task, its windows, and the options with everything open decided."""
    torch.manual_seed(options.seed)
    scratch = checkpoint in (None, "none", "scratch")
    shares = (1 - options.validation - options.test, options.validation, options.test)
    panel, borders, benchmark = parts_of(
        data, options, shares=shares, standard=options.protocol == "ltsf", finance=options.finance, days=options.days
    )
    if scratch:
        task, options, plan = _from_scratch(cls, options, panel, borders, settings)
        task.around = replace(
            task.around, benchmark=benchmark if options.protocol else None, finance=options.finance, days=options.days
        )
    else:
        options = override(options, settings)
        task, options, plan = _go_on(cls.load(checkpoint), options, panel, borders)
    matching, notices = matched(panel, task.around.told, 0)
    tracks = task.tracks(matching)
    if options.finance == "volatility":
        plan = replace(plan, gap=purge_gap(options.days))
    splits = _splits(panel, tracks, plan)
    if scratch:
        _start_linear(task, tracks, plan)
    task.hide = options.hide if task.around.told.optional else 0.0
    chosen = (*panel.notices, borders.words, *notices, *_in_words(options, panel, plan, splits, task))
    return Prepared(task=task, splits=splits, options=options, chosen=chosen)


# -- what to start from -----------------------------------------------------------------------------------------------


def _from_scratch(
    cls: Any, options: FinetuneOptions, panel: Panel, borders: Borders, settings: Mapping[str, Any]
) -> tuple[Any, FinetuneOptions, Plan]:
    config_type = checkpoints.KINDS[options.network][0]
    blank = build(config_type, {"lookback": 2_000, "horizon": 1})
    shape, rest = split_settings(settings, blank, options) if settings else ({}, {})
    options = override(options, rest)
    standard = options.protocol == "ltsf"
    season = options.season or panel.frequency.seasons[0]
    train = min(border.train for border in borders.groups if border.train)
    horizon = options.horizon or sizes.horizon(panel.frequency, train)
    lookback = options.lookback or int(shape.get("lookback", 0)) or sizes.lookback(panel.frequency, horizon, train)
    told = Told() if standard else Told.of(panel, optional=bool(options.hide))
    marks = options.calendar and not standard
    scaling = Scaling.learn(panel.groups, [border.train for border in borders.groups])
    count = len(calendar(panel.groups[0].index[:1], panel.frequency)[1]) if marks else 0
    facts = {
        "lookback": lookback,
        "horizon": horizon,
        "past": len(told.past),
        "ahead": len(told.future) + count,
        "static": len(told.static),
        "head": "point" if standard and options.head == "quantiles" else options.head,
    }
    shaped = sizes.ltsf(panel) if standard else sizes.shape(options.network, panel.frequency, lookback)
    config: ForecasterConfig = override(build(config_type, {**shaped, **facts}), shape)
    network = checkpoints.build_network(options.network, dataclasses.asdict(config))
    around = Surroundings(
        scaling=scaling, told=told, frequency=panel.frequency, season=season, calendar=marks, unit=panel.unit,
        errors=_errors(panel, scaling, borders, season),
    )  # fmt: skip
    origin = Origin(source="scratch", parameters=count_parameters(network))
    plan = Plan(lookback=config.lookback, horizon=config.horizon, season=season, borders=borders)
    return cls(network, around, origin), sizes.decided(options, train, standard=standard), plan


def _go_on(task: Any, options: FinetuneOptions, panel: Panel, borders: Borders) -> tuple[Any, FinetuneOptions, Plan]:
    """A checkpoint that learns on, with the scaling of the new series."""
    config, around = task.network.config, task.around
    for name in ("horizon", "lookback"):
        asked = getattr(options, name)
        if asked and asked != getattr(config, name):
            raise UserError(
                f"{task.origin.source} was made for a {name} of {getattr(config, name)} steps, not {asked}.",
                "Leave it out, or train from scratch (no --checkpoint).",
            )
    season = options.season or around.season
    fresh = Scaling.learn(panel.groups, [border.train for border in borders.groups])
    scaling = replace(around.scaling, series={**around.scaling.series, **fresh.series})
    task.around = replace(
        around, scaling=scaling, frequency=panel.frequency, season=season, unit=panel.unit or around.unit,
        errors={**around.errors, **_errors(panel, scaling, borders, season)}, conformal=None, ridge=None,
    )  # fmt: skip
    plan = Plan(lookback=config.lookback, horizon=config.horizon, season=season, borders=borders)
    train = min(border.train for border in borders.groups if border.train)
    return (
        task,
        sizes.decided(replace(options, lr=options.lr or 1e-4), train, standard=around.benchmark is not None),
        plan,
    )


def _errors(panel: Panel, scaling: Scaling, borders: Borders, season: int) -> dict[str, float]:
    """Seasonal naive's error on the training part of each series, in deviations: what MASE counts in."""
    found = {}
    for group, border in zip(panel.groups, borders.groups, strict=True):
        errors = seasonal_scale(group.values[:, : border.train], season)
        found |= {
            name: float(error / scaling.series[name][1])
            for name, error in zip(group.ids, errors, strict=True)
            if np.isfinite(error)
        }
    return found


# -- windows ----------------------------------------------------------------------------------------------------------


def _splits(panel: Panel, tracks: Sequence[Track], plan: Plan) -> Splits:
    """Training windows lie wholly in the training part; those of validation and test look back across the border."""
    horizon = plan.horizon + plan.gap
    spans: dict[str, list[tuple[int, int]]] = {"train": [], "validation": [], "test": []}
    for border in plan.borders.groups:
        # A series shorter than the look-back still teaches: what lies before its beginning is unobserved.
        first = min(plan.lookback, max(1, border.train - horizon - plan.season))
        spans["train"].append((first, max(first, border.train - horizon + 1)))
        spans["validation"].append((border.train, max(border.train, border.validation - horizon + 1)))
        spans["test"].append((border.validation, max(border.validation, border.test - plan.horizon + 1)))
    parts = {name: Windows(tracks, found, horizon=plan.horizon) for name, found in spans.items()}
    for name in ("train", "validation"):
        if not len(parts[name]):
            raise UserError(
                f"{panel.name} is too short: no forecast of {plan.horizon} steps fits into its {name} part.",
                f"The longest series has {panel.longest:,} steps. Try a shorter --horizon, or more data.",
            )
    made = {name: Split(name=panel.name, part=name, examples=part, sha256=panel.sha256) for name, part in parts.items()}
    return Splits(train=made["train"], validation=made["validation"], test=made["test"] if len(parts["test"]) else None)


def _start_linear(task: Any, tracks: Sequence[Track], plan: Plan) -> None:
    """Solve the linear map in closed form, for the network to start from and to be compared with."""
    ridge = RidgeNLinear(plan.lookback, plan.horizon)
    for feed, ends in ((ridge.update, (0, "train")), (ridge.validate, ("train", "validation"))):
        count = sum(
            _length(border, ends) * len(track.values) for track, border in zip(tracks, plan.borders.groups, strict=True)
        )
        stride = max(1, -(-count // ENOUGH))
        for track, border in zip(tracks, plan.borders.groups, strict=True):
            start, stop = (getattr(border, end) if isinstance(end, str) else end for end in ends)
            _feed(feed, track.values[:, max(0, start - plan.lookback) : stop], plan, stride)
    if not ridge.training.rows:
        return  # every stretch has a gap: the network begins with repeat-last
    ridge.solve()
    task.around = replace(task.around, ridge=ridge.folded)
    if task.network.linear is not None:
        task.network.linear.start_from(torch.from_numpy(ridge.weight))


def _length(border: Border, ends: tuple[Any, str]) -> int:
    start, stop = (getattr(border, end) if isinstance(end, str) else end for end in ends)
    return stop - start


def _feed(feed: Any, values: np.ndarray, plan: Plan, stride: int) -> None:
    """All windows of values [C, N], block by block: views, never all at once."""
    whole = plan.lookback + plan.horizon
    if values.shape[1] < whole:
        return
    for row in values:
        windows = np.lib.stride_tricks.sliding_window_view(row, whole)[::stride]
        for start in range(0, len(windows), BLOCK):
            block = windows[start : start + BLOCK]
            feed(block[:, : plan.lookback], block[:, plan.lookback :])


# -- words ------------------------------------------------------------------------------------------------------------


def _in_words(options: FinetuneOptions, panel: Panel, plan: Plan, splits: Splits, task: Any) -> list[str]:
    config, told = task.network.config, task.around.told
    counted = ", ".join(
        f"{name} {len(split.examples):,}" for name, split in
        (("train", splits.train), ("validation", splits.validation), ("test", splits.test)) if split is not None
    )  # fmt: skip
    step = panel.frequency.alias or "one row"
    known = [f"known ahead: {', '.join(told.future)}"] if told.future else []
    known += [f"known up to now: {', '.join(told.past)}"] if told.past else []
    known += [f"fixed: {', '.join(told.static)}"] if told.static else []
    known += ["calendar"] if task.around.calendar else []
    sentences = [
        f"{len(panel):,} series with steps of {step}; season {plan.season}, look-back {plan.lookback}, horizon "
        f"{plan.horizon} steps; {'; '.join(known) or 'no covariates'}",
        f"windows: {counted}; scaled by the training part of each series",
        f"{count_parameters(task.network):,} parameters, at most {options.epochs} epochs, learning rate {options.lr:g}",
    ]
    if task.around.ridge is not None and config.linear:
        sentences.append("the Transformer adds to a linear map of the look-back that was solved in closed form")
    return sentences
