"""A forecaster on disk: weights, and everything that turns a table into a forecast on another machine.

config.json        the network's kind and shape, scaling, covariates, calendar, frequency, season, bands' calibration
model.safetensors  the weights, and the closed-form map it is compared with: exactly, or with --half (as the embedded
                   checkpoint was made) in half precision
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....core import checkpoint, pretrained
from ....core.errors import UserError
from ....core.options import build
from ....core.pretrained import Located
from ....core.registry import Card
from ....core.weights import load_into, without_weights
from ..conformal import Conformal
from ..covariates import Told
from ..data import SHARES
from ..finance import purge_gap
from ..frequency import Frequency
from ..windows import Scaling
from .config import DecoderConfig, ForecasterConfig, ITransformerConfig, PatchTSTConfig
from .decoder import DecoderForecaster
from .forecaster import Forecaster
from .model import PatchTST
from .variates import ITransformer

KINDS: Mapping[str, tuple[type[ForecasterConfig], type[Forecaster]]] = {
    "patchtst": (PatchTSTConfig, PatchTST),
    "itransformer": (ITransformerConfig, ITransformer),
    "decoder": (DecoderConfig, DecoderForecaster),
}
RIDGE = "ridge.weight"


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a forecaster needs beside its weights.

    scaling: see `Scaling`; told: its covariates; calendar: whether it is told the time; frequency, season (steps);
    unit: of the series; ridge [H, L]: the closed-form map it is compared with (see `RidgeNLinear.folded`), if any;
    conformal: how its bands are corrected, in deviations of a series; errors: for each series the error that MASE
    counts in; benchmark: made by the literature's protocol for the data set of that name ("": for one of no name),
    which leaves forecasts in deviations; None: for use. finance: what of prices is forecast ("": the series as they
    are), volatility over so many days. table, shares: what was said of the table it learnt from (see `TableOptions`),
    and how that was split, so that nothing it learnt from is ever held out.
    """

    scaling: Scaling
    told: Told
    frequency: Frequency
    season: int
    calendar: bool = True
    unit: str = ""
    ridge: np.ndarray | None = None
    conformal: Conformal | None = None
    errors: dict[str, float] = dataclasses.field(default_factory=dict)
    benchmark: str | None = None
    finance: str = ""
    days: int = 5
    table: dict[str, str] = dataclasses.field(default_factory=dict)
    shares: tuple[float, float, float] = SHARES

    @property
    def reach(self) -> int:
        """How many returns a target looks back over."""
        return self.days if self.finance == "volatility" else 1

    @property
    def gap(self) -> int:
        """Steps to purge between what is learnt from and what is scored."""
        return purge_gap(self.reach)


def build_network(kind: str, shape: Mapping[str, Any]) -> Forecaster:
    """A network of that kind, its weights random. Raises UserError for a kind or shape that is none."""
    if kind not in KINDS:
        raise UserError(f"There is no network {kind!r}.", f"There are: {', '.join(KINDS)}.")
    config, network = KINDS[kind]
    return network(build(config, dict(shape)))


def load(located: Located, card: Card) -> tuple[Forecaster, Surroundings]:
    """The network and its surroundings. Raises UserError for what is incomplete or changed."""
    saved, tensors = pretrained.read_ours(located, card)
    try:
        with without_weights():
            network = build_network(saved["kind"], saved["config"])
        ridge = tensors.pop(RIDGE, None)
        surroundings = Surroundings(
            scaling=_scaling(saved["scaling"]),
            told=_told(saved["told"]),
            frequency=Frequency(alias=saved["frequency"]),
            season=int(saved["season"]),
            calendar=bool(saved["calendar"]),
            unit=str(saved["unit"]),
            ridge=None if ridge is None else ridge.float().numpy(),
            conformal=None if saved["conformal"] is None else Conformal.from_dict(saved["conformal"]),
            errors={str(name): float(error) for name, error in saved["errors"].items()},
            benchmark=saved["benchmark"],
            finance=str(saved["finance"]),
            days=int(saved["days"]),
            table={str(name): str(said) for name, said in saved.get("table", {}).items()},
            shares=tuple(map(float, saved.get("shares", SHARES))),  # pyright: ignore[reportArgumentType]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"The config of {located.source} is incomplete: {error}.") from None
    load_into(network, {name: value.float() for name, value in tensors.items()}, source=located.source)
    return network.eval(), surroundings


def save(folder: Path, card: Card, network: Forecaster, around: Surroundings, *, half: bool = False) -> None:
    """Write both into the empty `folder`. half: in half precision, which is half the size and rounds weights to three
    digits; else what is loaded forecasts exactly the same."""
    kind = next(name for name, (_, cls) in KINDS.items() if isinstance(network, cls))
    tensors: dict[str, Tensor] = dict(network.state_dict())
    if around.ridge is not None:
        tensors[RIDGE] = torch.from_numpy(around.ridge)
    tensors = checkpoint.halved(tensors) if half else tensors
    config = {
        "kind": kind,
        "config": dataclasses.asdict(network.config),
        "scaling": dataclasses.asdict(around.scaling),
        "told": dataclasses.asdict(around.told),
        "frequency": around.frequency.alias,
        "season": around.season,
        "calendar": around.calendar,
        "unit": around.unit,
        "conformal": None if around.conformal is None else around.conformal.to_dict(),
        "errors": around.errors,
        "benchmark": around.benchmark,
        "finance": around.finance,
        "days": around.days,
        "table": around.table,
        "shares": list(around.shares),
    }
    pretrained.save_ours(folder, card, tensors, config)


def _scaling(plain: Mapping[str, Any]) -> Scaling:
    def pairs(name: str) -> tuple[tuple[float, float], ...]:
        return tuple((float(mean), float(deviation)) for mean, deviation in plain[name])

    series = {str(name): (float(mean), float(deviation)) for name, (mean, deviation) in plain["series"].items()}
    return Scaling(series=series, past=pairs("past"), ahead=pairs("ahead"), static=pairs("static"))


def _told(plain: Mapping[str, Any]) -> Told:
    names = {name: tuple(plain[name]) for name in ("past", "future", "static")}
    levels = {str(name): tuple(words) for name, words in plain["static_levels"].items()}
    return Told(**names, static_levels=levels, optional=bool(plain["optional"]))
