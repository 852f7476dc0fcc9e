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
from ....core.parts import Part
from ....core.task import Origin, Prepared, Split, Splits
from ....core.weights import count_parameters
from ..baselines import RidgeNLinear, carried_forward
from ..calendar import calendar
from ..covariates import Told, matched
from ..data import SHARES, Borders
from ..metrics import seasonal_scale
from ..panel import Panel
from ..windows import Scaling, Track, Windows
from . import checkpoints, sizes
from .checkpoints import Surroundings
from .config import ForecasterConfig
from .options import FinetuneOptions
from .parts import parts_of, said_of

BLOCK = 4_096
"""Windows that the closed-form map is given at once."""
ENOUGH = 60_000
"""Windows that it is solved from, at most: of more, every second or third."""
MOST_ROWS = 2_048
"""Series of all windows that a step learns from at once, at most; a step over more is done in parts."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What was decided about the data: look-back, horizon, season in steps, where each group's parts end, and the gap:
    steps that are purged at the end of training and validation, for their targets hold returns of the next part.
    deviations: in which it is scored; see `Window`."""

    lookback: int
    horizon: int
    season: int
    borders: Borders
    gap: int = 0
    deviations: bool = False


def prepare(
    cls: Any, options: FinetuneOptions, *, data: Any, checkpoint: str | None, settings: Mapping[str, Any]
) -> Prepared:
    """The task, its windows, and the options with everything open decided."""
    torch.manual_seed(options.seed)
    scratch = checkpoint in (None, "none", "scratch")
    shares = (1 - options.validation - options.test, options.validation, options.test)
    if scratch:
        panel, borders, benchmark = parts_of(
            data, options, shares=shares, standard=options.protocol == "ltsf", finance=options.finance,
            days=options.days,
        )  # fmt: skip
        task, options, plan = _from_scratch(cls, options, panel, borders, settings)
        task.around = replace(
            task.around, benchmark=benchmark if options.protocol else None, finance=options.finance, days=options.days
        )
    else:
        known, options = cls.load(checkpoint), override(options, settings)
        if (options.validation, options.test) == SHARES[1:]:
            shares = known.around.shares  # what it learnt from stays out of the test part
        panel, borders, _ = parts_of(data, options, known.around, shares=shares)
        task, options, plan = _go_on(known, options, panel, borders)
    task.around = replace(task.around, table={**task.around.table, **said_of(options)}, shares=shares)
    matching, notices = matched(panel, task.around.told, 0)
    _check_season(options.season, panel, borders)
    tracks = task.tracks(matching, [border.train for border in borders.groups])
    standard = task.around.benchmark is not None
    plan = replace(plan, gap=task.around.gap, deviations=standard)
    splits = splits_of(panel.name, tracks, plan, panel.sha256)
    options = sizes.decided(options, len(splits.train.examples), standard=standard)
    rows = options.batch_size * max(len(group.ids) for group in panel.groups)
    options = replace(options, accumulate=max(options.accumulate, min(options.batch_size, -(-rows // MOST_ROWS))))
    _solve_linear(task, tracks, plan, fresh=scratch)
    task.half = options.half
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
    for name in ("past", "ahead", "static"):
        if name in shape:
            raise UserError(
                f"{name} follows from the columns and cannot be set.", "Name them: --past, --future, --static."
            )
    standard = options.protocol == "ltsf"
    season = options.season or panel.frequency.seasons[0]
    train = _typical([border.train for border in borders.groups])
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
    return cls(network, around, origin), options, plan


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
    for name, made in (("finance", around.finance), ("protocol", "" if around.benchmark is None else "ltsf")):
        asked = getattr(options, name)
        if asked and asked != made:
            raise UserError(
                f"{task.origin.source} was not made with --{name} {asked}.", "Train from scratch (no --checkpoint)."
            )
    same = panel.frequency.alias == around.frequency.alias
    season = options.season or (around.season if same else panel.frequency.seasons[0])
    fresh = Scaling.learn(panel.groups, [border.train for border in borders.groups])
    scaling = replace(around.scaling, series={**around.scaling.series, **fresh.series})
    task.around = replace(
        around, scaling=scaling, frequency=panel.frequency, season=season, unit=panel.unit or around.unit,
        errors={**around.errors, **_errors(panel, scaling, borders, season)}, conformal=None, ridge=None,
    )  # fmt: skip
    plan = Plan(lookback=config.lookback, horizon=config.horizon, season=season, borders=borders)
    return task, replace(options, lr=options.lr or 1e-4), plan


def _check_season(season: int, panel: Panel, borders: Borders) -> None:
    """UserError for a season that never came again in what is learnt from: seasonal naive would repeat nothing."""
    train = max(border.train for border in borders.groups)
    if season > train:
        raise UserError(
            f"A season of {season:,} steps is longer than the training part of {panel.name}, {train:,} steps: it never "
            "comes again there.",
            f"Leave --season out for {panel.frequency.seasons[0]}, or give fewer steps.",
        )


def _typical(lengths: Sequence[int]) -> int:
    """The length of the part that the middle one of all steps lies in: a few short series do not count for much."""
    ordered = np.sort(lengths)
    return int(ordered[np.searchsorted(np.cumsum(ordered), ordered.sum() / 2)])


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


def splits_of(name: str, tracks: Sequence[Track], plan: Plan, sha256: str = "") -> Splits:
    """Training windows lie wholly in the training part; those of validation and test look back across the border."""
    horizon = plan.horizon + plan.gap
    spans: dict[str, list[tuple[int, int]]] = {"train": [], "validation": [], "test": []}
    for border in plan.borders.groups:
        # A series shorter than the look-back still teaches: what lies before its beginning is unobserved.
        first = min(plan.lookback, max(1, border.train - horizon - plan.season))
        spans["train"].append((first, max(first, border.train - horizon + 1)))
        spans["validation"].append((border.train, max(border.train, border.validation - horizon + 1)))
        spans["test"].append((border.validation, max(border.validation, border.test - plan.horizon + 1)))
    how: dict[str, Any] = {"horizon": plan.horizon, "deviations": plan.deviations}
    parts = {part: Windows(tracks, found, **how) for part, found in spans.items()}
    for part in ("train", "validation"):
        if not len(parts[part]):
            raise UserError(
                f"{name} is too short: no forecast of {plan.horizon} steps fits into its {part} part.",
                f"The longest series has {max(track.steps for track in tracks):,} steps. Try a shorter --horizon.",
            )
    made = {part: Split(name=name, part=part, examples=found, sha256=sha256) for part, found in parts.items()}
    return Splits(train=made["train"], validation=made["validation"], test=made["test"] if len(parts["test"]) else None)


def _solve_linear(task: Any, tracks: Sequence[Track], plan: Plan, *, fresh: bool) -> None:
    """Solve the linear map in closed form, for the network to be compared with and, if it is fresh, to start from."""
    ridge = RidgeNLinear(plan.lookback, plan.horizon)
    parts: tuple[tuple[Any, Part], ...] = ((ridge.update, "train"), (ridge.validate, "validation"))
    for feed, part in parts:
        spans = list(zip(tracks, plan.borders.spans(part), strict=True))
        count = sum((stop - start) * len(track.values) for track, (start, stop) in spans)
        stride = max(1, -(-count // ENOUGH))
        for track, (start, stop) in spans:
            _feed(feed, track.values[:, max(0, start - plan.lookback) : stop - plan.gap], plan, stride)
    if not ridge.training.rows:
        return  # every horizon has a gap: the network begins with repeat-last
    ridge.solve()
    task.around = replace(task.around, ridge=ridge.folded)
    if fresh and task.network.linear is not None:
        task.network.linear.start_from(torch.from_numpy(ridge.weight))


def _feed(feed: Any, values: np.ndarray, plan: Plan, stride: int) -> None:
    """All windows of values [C, N], block by block: views, never all at once."""
    whole = plan.lookback + plan.horizon
    if values.shape[1] < whole:
        return
    for row in values:
        windows = np.lib.stride_tricks.sliding_window_view(row, whole)[::stride]
        for start in range(0, len(windows), BLOCK):
            block = windows[start : start + BLOCK]
            x = block[:, : plan.lookback]
            block = block[2 * np.isnan(x).sum(axis=1) <= plan.lookback]  # of more gaps there is nothing to learn
            feed(carried_forward(block[:, : plan.lookback]), block[:, plan.lookback :])


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
    length = f"{options.epochs} epochs" if options.epochs else f"{options.max_steps:,} steps"
    sentences = [
        f"{len(panel):,} series with steps of {step}; season {plan.season}, look-back {plan.lookback}, horizon "
        f"{plan.horizon} steps; {'; '.join(known) or 'no covariates'}",
        f"windows: {counted}; scaled by the training part of each series",
        f"{count_parameters(task.network):,} parameters, at most {length}, learning rate {options.lr:g}",
    ]
    train = max(border.train for border in plan.borders.groups)
    if plan.lookback > train:
        sentences.append(
            f"the look-back of {plan.lookback:,} steps is longer than the training part, {train:,}: only "
            f"{len(splits.train.examples):,} windows are left to learn from, and the beginning of each was never "
            f"observed; try --lookback {max(2, train // 4)}"
        )
    if task.around.ridge is not None and config.linear:
        sentences.append("the Transformer adds to a linear map of the look-back that was solved in closed form")
    return sentences
