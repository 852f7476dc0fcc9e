"""The forecaster as a task: tables in, forecasts out; what `run`, `finetune` and `evaluate` compose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ....core import pretrained
from ....core.errors import UserError
from ....core.export.graph import Graph
from ....core.pretrained import Located
from ....core.task import Learner, Origin, Prepared, Split, Splits, Summary, Task
from .. import ltsf, show, storage
from ..baselines import repeat_last, seasonal_naive
from ..conformal import Conformal
from ..covariates import matched
from ..dispatch import Battery, Tariff
from ..finance import volatility_naives
from ..forecast import NAIVE, REPEAT, UNCHANGED, Forecast, stack, summarise, table
from ..heads import LEVELS
from ..metrics import mae, seasonal_scale
from ..panel import Panel
from ..verdict import verdicts
from ..windows import Track, Window, WindowBatch, Windows, batch_of, cut, in_parts, window_at, without_some
from . import checkpoints, exported
from .checkpoints import Surroundings
from .forecaster import Forecaster
from .options import EvaluateOptions, FinetuneOptions, RunOptions
from .parts import panel_of, parts_of, told_apart
from .rolling import forecast, rolled_map, widening_said

TRIED = 4
"""Horizons at the end of a history that a forecaster is tried on before it goes on from there."""
CALIBRATED_ON = 5_000
"""Windows of the validation part that bands are calibrated on, at most."""
MOST_ROWS = 4_096
"""Series of all windows that go through the network at once, about."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """What the network says of the rows of a batch, in deviations: y_hat [R, H], quantiles [R, Q, H]."""

    y_hat: Tensor
    quantiles: Tensor | None


class ForecastTask(Task):
    """A forecaster with what it needs around it: scaling, covariates, calendar, baselines."""

    run_options = RunOptions
    evaluate_options = EvaluateOptions
    train_options = FinetuneOptions
    monitor = ("loss", "min")
    unit = "series"
    output_suffixes = show.FILES
    network: Forecaster

    def __init__(self, network: Forecaster, around: Surroundings, origin: Origin) -> None:
        self.network, self.around, self.origin = network, around, origin
        self.learner = Learner(network)
        self.hide = 0.0  # share of training windows without covariates; only a training sets it
        self.half = False  # whether weights are kept in half precision; the same

    # -- making one ---------------------------------------------------------------------------------------------

    @classmethod
    def load(cls, checkpoint: str | None = None, *, settings: Mapping[str, Any] | None = None) -> ForecastTask:
        located = pretrained.locate(cls.card, checkpoint)
        if settings:
            raise UserError(f"A trained forecaster's {next(iter(settings))} cannot be set.", "Train another one.")
        network, around = cls._read(located)
        notices = () if around.conformal is None else around.conformal.notices
        return cls(network, around, pretrained.origin_of(located, network, notices=notices))

    @classmethod
    def _read(cls, located: Located) -> tuple[Forecaster, Surroundings]:
        if located.is_ours:
            return checkpoints.load(located, cls.card)
        from . import transformers

        return transformers.load(located)

    @classmethod
    def for_training(
        cls, options: FinetuneOptions, *, data: str | None, checkpoint: str | None, settings: Mapping[str, Any]
    ) -> Prepared:
        from .training import prepare

        return prepare(cls, options, data=data or cls.card.data, checkpoint=checkpoint, settings=settings)

    def save(self, folder: Path) -> None:
        checkpoints.save(folder, self.card, self.network, self.around, half=self.half)

    # -- Source -> Example -> Batch -> Output -> Result -> Artifact -----------------------------------------------

    def read(self, inputs: Sequence[Any], options: RunOptions) -> list[Window]:
        horizon, told = options.horizon or self.network.config.horizon, self.around.told
        windows = []
        panels = [panel_of(given, options, self.around) for given in inputs]
        names, said = told_apart(panels)
        for given, called in zip(panels, names, strict=True):
            panel, notices = matched(given, told, horizon)
            notices, said = (*said, *panel.notices, *notices, *self._strange(panel, horizon)), ()
            for track in self.tracks(panel):
                told_of = (*notices, *self._tried(track, horizon))
                window = window_at(replace(track, group=track.group.renamed(called)), track.steps, horizon)
                windows.append(replace(window, notices=told_of))
                notices = ()  # said once
        return windows

    def _tried(self, track: Track, horizon: int) -> tuple[str, ...]:
        """A sentence where seasonal naive would have been better at the end of what is known."""
        origins = [track.steps - number * horizon for number in range(TRIED, 0, -1)]
        windows = [window_at(track, origin, horizon) for origin in origins if origin >= horizon]
        rows = stack(list(self.infer(windows, RunOptions()))) if windows else None
        if rows is None or not len(rows.y):
            return ()
        own, naive = mae(rows.y, rows.y_hat), mae(rows.y, rows.others[NAIVE])
        if not own > naive:
            return ()
        tested = f"the last {len(windows)} times {horizon} steps" if len(windows) > 1 else f"the last {horizon} steps"
        return (
            f"tried on {tested} that are known, seasonal naive is better (MAE {naive:.4g}, this checkpoint {own:.4g}): "
            "train one on this series with tsuite finetune",
        )

    def tracks(self, panel: Panel, ends: Sequence[int | None] = ()) -> list[Track]:
        """The groups of a panel as the network sees them. ends: of each, the step before which a series that is new is
        looked at for its mean and deviation (none: all there is of it)."""
        marks = self.network.config.ahead - len(self.around.told.future)
        pairs = zip(panel.groups, ends or [None] * len(panel.groups), strict=True)
        made = ((self.around.scaling.track(group, panel.frequency, end=end, marks=marks), end) for group, end in pairs)
        return [replace(track, errors=self._errors(track, end), unit=panel.unit) for track, end in made]

    def _errors(self, track: Track, end: int | None) -> np.ndarray:
        """What MASE counts in for each series [C]: learnt in training, else seasonal naive's error before `end`."""
        known = np.asarray([self.around.errors.get(name, np.nan) for name in track.group.ids])
        if not np.isnan(known).any():
            return known
        return np.where(np.isnan(known), seasonal_scale(track.values[:, :end], self._season(track)), known)

    def _strange(self, panel: Panel, horizon: int) -> tuple[str, ...]:
        """What to be aware of when this panel is forecast by this checkpoint."""
        found, config = [], self.network.config
        learnt, given = (one.alias or "numbered rows" for one in (self.around.frequency, panel.frequency))
        if learnt != given:
            found.append(
                f"this checkpoint learnt from steps of {learnt}, these are of {given}: compare it with seasonal naive, "
                "or train one with tsuite finetune"
            )
        if horizon > config.horizon:
            found.append(f"trained for {config.horizon} steps: later ones read the forecasts of earlier ones")
        short = [group.ids[0] for group in panel.groups if len(group) < config.lookback]
        if short:
            found.append(f"{short[0]} is shorter than the look-back of {config.lookback} steps: the rest is unobserved")
        return tuple(found)

    def held_out(self, data: str | None = None) -> Split:
        return self.to_score(data, EvaluateOptions())

    def to_score(self, data: str | None, options: EvaluateOptions) -> Split:
        horizon, around = options.horizon or self.network.config.horizon, self.around
        panel, borders, _ = parts_of(data or self.card.data, options, around, shares=around.shares)
        panel, _ = matched(panel, around.told, 0)
        spans = [(start, end - horizon + 1) for start, end in borders.spans("test")]
        tracks = self.tracks(panel, [start for start, _ in spans])
        how: dict[str, Any] = {"stride": options.stride, "deviations": around.benchmark is not None}
        windows = Windows(tracks, spans, horizon=horizon, **how)
        if not len(windows):
            raise UserError(f"The held-out part of {panel.name} is shorter than the horizon, {horizon} steps.")
        return Split(name=panel.name, part="test", examples=windows, sha256=panel.sha256)

    def sample(self, data: str | None = None) -> Split:
        """One forecast in the middle of the held-out part (the end of a year is like no other days)."""
        split = self.held_out(data)
        windows: Windows = split.examples  # pyright: ignore[reportAssignmentType]
        places = zip(windows.tracks, windows.spans, strict=True)
        middle = [window_at(track, sum(span) // 2, windows.horizon) for track, span in places if span[0] < span[1]]
        return replace(split, part="test, its middle", examples=middle)

    def preprocess(self, examples: Sequence[Window], *, training: bool = False) -> WindowBatch:
        batch = batch_of(examples, lookback=self.network.config.lookback)
        if training and self.hide:
            return without_some(batch, len(self.around.told.future), self.hide)
        return batch

    def predict(self, batch: WindowBatch, options: RunOptions) -> Said:
        parts = [forecast(self.network, part, batch.target.shape[1]) for part in in_parts(batch, MOST_ROWS)]
        quantiles = [part for _, part in parts if part is not None]
        return Said(
            y_hat=torch.cat([y_hat for y_hat, _ in parts]).float().cpu(),
            quantiles=torch.cat(quantiles).float().cpu() if quantiles else None,
        )

    def postprocess(self, output: Said, examples: Sequence[Window], options: RunOptions) -> list[Forecast]:
        y_hat = output.y_hat.numpy()
        quantiles = None if output.quantiles is None else output.quantiles.numpy()
        if quantiles is not None and options.calibrated and self.around.conformal is not None:
            quantiles = self.around.conformal.apply(quantiles)
        counts = np.cumsum([0, *(len(window.track.values) for window in examples)])
        others = self._baselines(examples)
        results = []
        for number, window in enumerate(examples):
            rows = slice(counts[number], counts[number + 1])
            results.append(
                self._result(
                    window, y_hat[rows], None if quantiles is None else quantiles[rows],
                    {name: values[rows] for name, values in others.items()}, options,
                )
            )  # fmt: skip
        return results

    def _result(
        self,
        window: Window,
        y_hat: np.ndarray,
        quantiles: np.ndarray | None,
        others: dict[str, np.ndarray],
        options: RunOptions,
    ) -> Forecast:
        """A window's rows in original units, with dates."""
        track, group = window.track, window.track.group
        stamps = group.index[window.origin : window.origin + window.horizon]
        truth = cut(track.values, window.origin, window.origin + window.horizon)
        scale = np.full(len(group.ids), np.nan) if track.errors is None else track.errors
        if not window.deviations:
            y_hat, truth = track.restored(y_hat), track.restored(truth)
            quantiles = None if quantiles is None else track.restored(quantiles)
            others = {name: track.restored(values) for name, values in others.items()}
            scale = scale * track.scale[:, 0]
        if options.non_negative or self.around.finance == "volatility":
            y_hat, others = np.maximum(y_hat, 0), {name: np.maximum(values, 0) for name, values in others.items()}
            quantiles = None if quantiles is None else np.maximum(quantiles, 0)
        wide = widening_said(quantiles, self.network.config.horizon)
        made = Forecast(
            id=window.id, ids=group.ids, stamps=stamps, y_hat=y_hat, quantiles=quantiles, truth=truth, others=others,
            scale=scale, unit=track.unit, window=window,
            notices=(*window.notices, wide) if wide else window.notices,
            beside=REPEAT if self.around.finance == "price" else "",
        )  # fmt: skip
        return self._dispatched(made, options) if options.task == "dispatch" else made

    def _dispatched(self, made: Forecast, options: RunOptions) -> Forecast:
        """The forecast with what a battery makes of each series."""
        battery = Battery(capacity=options.capacity, power=options.power, efficiency=options.efficiency)
        what = storage.what_is(made.unit, options.of)
        if what == "demand" and not (options.price or options.peak_charge):
            raise UserError(
                "Where demand is forecast, a battery saves by a price that changes or by the highest demand.",
                "Say what a peak costs: --peak-charge 10000 (for each MW).",
            )
        tariff = Tariff(peak_charge=options.peak_charge)
        plan = storage.Storage(battery=battery, tariff=tariff, price=options.price, what=what, risk=options.risk).plan
        hours = storage.hours_of(made)
        return replace(made, planned=tuple(plan(made, row, hours) for row in range(len(made.ids))))

    def _season(self, track: Track) -> int:
        """Steps of the season that seasonal naive repeats: the trained one, unless this is of another frequency."""
        learnt, given = self.around.frequency, track.frequency
        return self.around.season if learnt.alias == given.alias else given.seasons[0]

    def _baselines(self, windows: Sequence[Window]) -> dict[str, np.ndarray]:
        """What the baselines forecast for the same windows: [R, H] each, in deviations."""
        horizon, config = windows[0].horizon, self.network.config
        seasons = [self._season(window.track) for window in windows]
        reach = max(config.lookback, 2 * max(seasons))
        parts = [cut(window.track.values, window.origin - reach, window.origin) for window in windows]
        naive = [seasonal_naive(part, horizon, season) for part, season in zip(parts, seasons, strict=True)]
        history = np.concatenate(parts)
        found = {
            NAIVE: np.concatenate(naive),
            REPEAT: repeat_last(history, horizon),
        }
        if self.around.finance == "return":
            location = np.concatenate([window.track.location / window.track.scale for window in windows])
            found[UNCHANGED] = np.repeat(-location, horizon, axis=1)
        if self.around.finance == "volatility":
            name = "exponential mean"
            found[name] = volatility_naives(history, horizon)[name].astype(np.float32)
        if (ridge := self.around.ridge) is not None:
            name = "ridge" if horizon <= len(ridge) else f"ridge (fitted for {len(ridge)} steps)"
            found[name] = rolled_map(history[:, -config.lookback :], ridge, horizon)
        return found

    # -- scores and pictures ------------------------------------------------------------------------------------------

    def assess(self, split: Split, options: EvaluateOptions, **how: Any) -> tuple[list[Forecast], Summary]:
        windows: Windows = split.examples  # pyright: ignore[reportAssignmentType]
        horizon, stride = options.horizon or windows.horizon, options.stride
        spans = [(first, last + windows.horizon - horizon) for first, last in windows.spans]
        chosen = Windows(windows.tracks, spans, horizon=horizon, stride=stride, deviations=windows.deviations)
        if not len(chosen):
            raise UserError(f"The held-out part is shorter than the horizon, {horizon} steps.")
        if options.refit:
            from .backtest import rolled

            options = replace(options, refit=-(-options.refit // stride) * stride)  # origins stay where they are
            results = rolled(self, chosen, options, infer=lambda task, fold: list(task.infer(fold, options, **how)))
        else:
            results = list(self.infer(chosen, options, **how))
        summary = storage.with_savings(self._beside_published(summarise(results, stride=stride), horizon), results)
        if self.around.finance:
            found = verdicts(results, target=self.around.finance, stride=stride, days=self.around.reach)
            told = {name: {"sentence": verdict.sentence, **verdict.to_json()} for name, verdict in found.items()}
            summary = replace(summary, details={**summary.details, "verdicts": told})
        return results, summary

    def _beside_published(self, summary: Summary, horizon: int) -> Summary:
        """With the literature's rows for the same data, look-back and horizon, where it is made by its protocol."""
        if not self.around.benchmark:
            return summary
        lookback = self.network.config.lookback
        rows = ltsf.published(self.around.benchmark, lookback, horizon)
        told = ltsf.what_is_published(self.around.benchmark, lookback, horizon)
        found = {f"{row.model} (published)": {"mse": row.mse, "mae": row.mae} for row in rows}
        details = {**summary.details, "published": [vars(row) for row in rows], "published_note": told}
        return replace(summary, baselines={**summary.baselines, **found}, details=details)

    def summarise(self, results: Sequence[Forecast]) -> Summary:
        return summarise(results)

    def table(self, results: Sequence[Forecast], summary: Summary) -> Any:
        return storage.table(results) if any(item.planned for item in results) else table(results, summary)

    def render(self, results: Sequence[Forecast], folder: Path, options: RunOptions) -> list[Path]:
        if isinstance(options, EvaluateOptions):
            return show.render_scores(results, folder, steps=options.backtest)
        return show.render(results, folder, table=options.table, pictures=options.picture)

    def picture_training(self, results: Sequence[Forecast], folder: Path) -> list[Path]:
        return show.picture_scores(results, folder) if len(results) > 1 else []

    # -- learning -------------------------------------------------------------------------------------------------

    @property
    def trainable(self) -> nn.Module:
        return self.learner

    def loss(self, network: nn.Module, batch: WindowBatch) -> Tensor:
        return network(batch)

    def weight(self, batch: WindowBatch) -> float:
        return float(batch.target_observed.sum())

    @torch.inference_mode()
    def finish(self, splits: Splits) -> None:
        """Calibrate the bands on the validation part, which chose the weights and taught them nothing else."""
        if self.network.config.head == "point":
            return
        windows: Windows = splits.validation.examples  # pyright: ignore[reportAssignmentType]
        stride = max(1, len(windows) // CALIBRATED_ON)
        some = [replace(window, deviations=True) for window in windows[::stride]]
        rows = stack(list(self.infer(some, RunOptions(calibrated=False))))
        conformal = Conformal.fit(rows.y, rows.quantiles, LEVELS) if rows.quantiles is not None else None
        self.around = replace(self.around, conformal=conformal)

    kept_beside_graphs = (checkpoints.RIDGE,)

    def graphs(self) -> list[Graph]:
        batch = replace(self.example_batch(4), window=torch.tensor([0, 0, 1, 1]))
        batch = replace(batch, past=batch.past[:2], ahead=batch.ahead[:2], known=batch.known[:2])
        return exported.graphs(self.network, batch)

    def use(self) -> dict[str, Any]:
        return exported.use(self.network, self.around)

    def exported(self) -> None:
        if self.network.config.head == "point":
            run = self.network.forward
            self.network.forward = lambda batch: (run(batch), None)  # type: ignore[method-assign]

    def example_batch(self, size: int) -> WindowBatch:
        config = self.network.config
        length = config.lookback + config.horizon
        return WindowBatch(
            values=torch.randn(size, config.lookback),
            observed=torch.ones(size, config.lookback, dtype=torch.bool),
            target=torch.randn(size, config.horizon),
            target_observed=torch.ones(size, config.horizon, dtype=torch.bool),
            past=torch.randn(size, config.past, config.lookback),
            ahead=torch.randn(size, config.ahead, length),
            known=torch.ones(size, config.ahead, length, dtype=torch.bool),
            window=torch.arange(size),
            static=torch.randn(size, config.static),
        )
