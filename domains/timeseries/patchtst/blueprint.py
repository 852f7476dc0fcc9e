"""What `plan` rehearses: a forecaster from its configuration alone, forecasting or learning."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any

from ....core.options import override, split_settings
from ....core.plan.blueprint import Blueprint, Wanted, length_of, method_of, plain
from ....core.weights import without_weights
from ..frequency import Frequency
from . import checkpoints, sizes

LONGEST = 100_000
"""Steps of a look-back, at most."""


def blueprint(cls: Any, wanted: Wanted) -> Blueprint:
    """The work of `run` or `finetune` on a network without weights; series as those of the default data."""
    fresh = wanted.command == "finetune" and wanted.checkpoint in (None, "none", "scratch")
    task = cls.load(None if fresh else wanted.checkpoint, settings={} if fresh else wanted.settings)
    options, config, said = wanted.options, task.network.config, ()
    if fresh:
        told = (f"series like those of {cls.card.data} are assumed: steps of half an hour",)
        config, said = _config(config, wanted)
        with without_weights():
            task.network = checkpoints.build_network(options.network, dataclasses.asdict(config))
        task = cls(task.network, task.around, task.origin)
        said = (*told, *said)
    elif wanted.length and wanted.length != config.lookback:
        said = (f"--length {wanted.length}: this checkpoint looks back on {config.lookback} steps, which are planned",)
    method, unknown = method_of(wanted, ("full",))
    return plain(
        task, wanted, batch=lambda size: _batch(task, size), length=config.lookback,
        longest=LONGEST if fresh else config.lookback, unit="steps", method=method, notices=(*said, *unknown),
    )  # fmt: skip


def _batch(task: Any, size: int) -> Any:
    """Windows of one series each; whose they are is known."""
    batch = task.example_batch(size)
    return replace(batch.to("meta"), window=batch.window)


def _config(known: Any, wanted: Wanted) -> tuple[Any, tuple[str, ...]]:
    """The shape of a network from scratch; its covariates are those of `known`."""
    options = wanted.options
    kind = checkpoints.KINDS[options.network][0]
    blank = kind(lookback=known.lookback, horizon=known.horizon)
    asked = int(split_settings(wanted.settings, blank, options)[0].get("lookback", 0))
    usual = options.lookback or asked or known.lookback
    lookback, said = length_of(wanted, usual=usual, longest=LONGEST, unit="steps")
    shaped = sizes.shape(options.network, Frequency(alias=options.frequency or "30min"), lookback)
    facts = {"lookback": lookback, "horizon": options.horizon or known.horizon, "ahead": known.ahead}
    fields = {item.name for item in dataclasses.fields(kind)}
    config = replace(blank, **{name: value for name, value in {**shaped, **facts}.items() if name in fields})
    settings = {name: value for name, value in wanted.settings.items() if name != "lookback"}
    return override(config, split_settings(settings, config, options)[0]), said
