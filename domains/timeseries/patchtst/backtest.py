"""Rolling origins with refits: what a forecaster is worth that goes on learning as time goes by.

train ....................|validation| origins of fold 1 |
train ............................|validation| origins of fold 2 |        each fold learns from all that came before
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch

from ....core.train import fit
from ..data import Border, Borders
from ..forecast import Forecast
from ..windows import Windows
from .options import EvaluateOptions, FinetuneOptions
from .training import Plan, splits_of

CHOOSE = 0.1
"""Share of what came before, its end, that a refit is chosen and calibrated by."""


def folds(windows: Windows, refit: int) -> Iterator[Windows]:
    """The windows in order of time, cut where `refit` more steps of every track have passed."""
    longest = max(last - first for first, last in windows.spans)
    for start in range(0, longest, refit):
        spans = [(min(first + start, last), min(first + start + refit, last)) for first, last in windows.spans]
        yield Windows(
            windows.tracks, spans, horizon=windows.horizon, stride=windows.stride, deviations=windows.deviations
        )


def rolled(
    task: Any, windows: Windows, options: EvaluateOptions, *, infer: Callable[[Any, Windows], list[Forecast]]
) -> list[Forecast]:
    """Forecasts of every fold, the first by the task as it is, each further one by a copy that learnt on for one epoch
    from everything up to its first origin. The task itself stays as it was."""
    task.need_weights("--refit")
    found: list[Forecast] = []
    learning = task
    for number, fold in enumerate(folds(windows, options.refit)):
        if number:
            learning = _learnt(learning, fold)
        found += infer(learning, fold)
    return found


def _learnt(task: Any, fold: Windows) -> Any:
    """A copy of the task that learnt on from what lies before the fold's first origins."""
    gap, config = task.around.gap, task.network.config
    borders = []
    for first, _ in fold.spans:
        kept = max(int(CHOOSE * first), config.horizon + gap)
        borders.append(Border(train=first - kept, validation=first, test=first))
    learner = type(task)(copy.deepcopy(task.network), task.around, task.origin)
    learner.network.to(next(task.network.parameters()).device)
    plan = Plan(lookback=config.lookback, horizon=config.horizon, season=task.around.season, gap=gap,
                borders=Borders(groups=tuple(borders), words=""))  # fmt: skip
    splits = splits_of(fold.tracks[0].group.ids[0], fold.tracks, plan)
    told = FinetuneOptions(epochs=1, lr=1e-4)
    with tempfile.TemporaryDirectory() as folder, torch.enable_grad():
        fit(learner, replace(splits, test=None), told, folder)
    return learner
