"""What `run`, `evaluate` and `finetune` may be told. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from ....core.options import Options, TrainOptions, option
from ....core.options import RunOptions as CoreRunOptions


@dataclass(frozen=True, kw_only=True)
class TableOptions(Options):
    """Which column of a table is what; what is not said is found out."""

    target: str = option("", "columns to forecast, separated by commas (nothing: every number that has no other role)")
    id: str = option("", "column that names the series of a long table (nothing: unique_id, if there is one)")
    time: str = option("", "column of the time stamps (nothing: the first that reads as dates)")
    past: str = option("", "covariate columns that are known up to now, separated by commas")
    future: str = option("", "covariate columns that are known ahead, separated by commas")
    static: str = option("", "columns that never change within a series, separated by commas")
    frequency: str = option("", "step between rows, like 30min, h, D, W, MS (nothing: recognised)")
    timezone: str = option("", "time zone of stamps that name none, like Europe/Berlin")


@dataclass(frozen=True, kw_only=True)
class RunOptions(TableOptions, CoreRunOptions):
    """Options of `tsuite run timeseries.patchtst` and of a loaded model's call."""

    batch: int = option(256, "windows in one forward pass")
    horizon: int = option(0, "steps to forecast (0: what the checkpoint was trained for; more roll on)")
    non_negative: bool = option(False, "cut forecasts off at zero")
    calibrated: bool = option(True, "widen or narrow the bands by what the validation part taught")
    picture: bool = option(True, "save a picture of history, forecast and bands (at most six series)")
    table: str = option("csv", "kind of the table of forecasts", choices=("csv", "parquet"))
    task: str = option("forecast", "dispatch: what a battery makes of the forecast", choices=("forecast", "dispatch"))
    of: str = option("", "what the series is to a battery (nothing: by its unit)", choices=("", "price", "demand"))
    capacity: float = option(4.0, "of the battery, MWh")
    power: float = option(1.0, "of the battery, MW")
    efficiency: float = option(0.9, "part of the energy put in that comes back")
    price: float = option(0.0, "of energy where demand is forecast, per MWh")
    peak_charge: float = option(0.0, "for each MW of the highest demand, where demand is forecast")
    risk: float = option(0.0, "how far to plan by the cautious sides of the bands, 0 to 1")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(0 <= self.risk <= 1, f"--risk lies from 0 to 1, not at {self.risk}.")
        self.require_not_negative("horizon")


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(RunOptions):
    """Options of `tsuite evaluate timeseries.patchtst`."""

    backtest: bool = option(False, "say how good each step of the horizon is, in a table, and allow refits")
    stride: int = option(1, "steps between the origins of forecasts")
    refit: int = option(
        0, "with --backtest: steps after which the network learns on from all that came before (0: never)"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.stride >= 1, f"--stride must be at least 1, not {self.stride}.")
        self.require_not_negative("refit")
        self.require(self.backtest or not self.refit, "--refit is part of --backtest.")


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions(TableOptions, TrainOptions):
    """Options of `tsuite finetune timeseries.patchtst`."""

    horizon: int = option(0, "steps to forecast (0: two days of a clock's data, else a season)")
    lookback: int = option(0, "steps looked back on (0: what suits the horizon and the season)")
    season: int = option(0, "steps of the season that seasonal naive repeats (0: by the frequency)")
    network: str = option("patchtst", "what forecasts", choices=("patchtst", "itransformer", "decoder"))
    head: str = option("quantiles", "what is said about each step", choices=("quantiles", "point", "studentt"))
    protocol: str = option("", "ltsf: split, scaling and scores as in the literature's tables", choices=("", "ltsf"))
    finance: str = option("", "of a table of prices, what is forecast", choices=("", "price", "return", "volatility"))
    days: int = option(5, "returns that volatility is taken over")
    calendar: bool = option(True, "tell the network hour, weekday and season of the year")
    hide: float = option(0.2, "share of the training windows in which covariates are hidden, so that it can do without")
    validation: float = option(0.1, "share of each series, before the test part, to choose by")
    test: float = option(0.2, "share of each series, at its end, to score at last")
    batch_size: int = option(64, "windows in one optimiser step, over all processes and accumulated parts")
    weight_decay: float = option(0.01, "AdamW's decay of matrices")
    patience: int = option(3, "validations without a better score before stopping early (0: never)")
    half: bool = option(False, "keep the weights in half precision: half the size, but rounded to three digits")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.days >= 1, f"--days must be at least 1, not {self.days}.")
        self.require(
            not (self.protocol and self.finance), "--protocol ltsf scores series as they are, without --finance."
        )
        self.require_not_negative("horizon", "lookback", "season")
        for name in ("hide", "validation", "test"):
            self.require(0 <= getattr(self, name) < 1, f"--{name} is a share, not {getattr(self, name)}.")
