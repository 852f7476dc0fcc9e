"""A predictor on disk: its weights, and what it takes to use them on another machine.

config.json        shapes of network and head, tokens, targets with their units and spread, what it learnt from
model.safetensors  the weights, and fingerprints of the molecules it learnt from
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .....core import pretrained
from .....core.errors import UserError
from .....core.pretrained import Located
from .....core.registry import Card
from .....core.weights import load_into, without_weights
from ...tokenizer import SmilesTokenizer
from ..config import SmilesGPTConfig
from ..model import SmilesGPT
from .model import Predictor, PredictorConfig

KEY, SEEN = "predicts", "fingerprints"
"""What tells a predictor from a language model in config.json, and the name of the fingerprints among the weights."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is predicted: its name and unit, mean and deviation of the training molecules and their range; `widen`: how
    many times wider than the network believed the errors of the validation molecules are."""

    name: str
    unit: str = ""
    mean: float = 0.0
    deviation: float = 1.0
    low: float = 0.0
    high: float = 0.0
    widen: float = 1.0

    @property
    def label(self) -> str:
        """Its name with its unit, for tables and axes."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """What it learnt from: a data set's name and hash, how it was read and split, how many molecules. `near`: all but
    one in twenty of them are at least so similar to another one."""

    name: str
    sha256: str = ""
    column: str = ""
    split: str = "scaffold"
    molecules: int = 0
    near: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Described:
    """Computed properties that the head reads: their names, and mean and deviation of the training molecules."""

    names: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """[N, D] in deviations; what cannot be computed is the mean, what is far out is brought nearer."""
        found = (values - np.asarray(self.mean)) / np.asarray(self.deviation)
        return np.nan_to_num(found).clip(-5, 5).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What the network needs beside its weights. seen: packed fingerprints [M, 256] of molecules it learnt from."""

    tokenizer: SmilesTokenizer
    targets: tuple[Target, ...]
    described: Described
    learnt: Learnt
    seen: np.ndarray


def is_predictor(located: Located) -> bool:
    """Whether a checkpoint is one of these."""
    return located.is_ours and KEY in pretrained.read_config(located.path)


def save(folder: Path, card: Card, network: Predictor, around: Surroundings) -> None:
    """Write both into the empty `folder`."""
    weights = dict(network.state_dict()) | {SEEN: torch.from_numpy(np.ascontiguousarray(around.seen))}
    config = {
        "config": network.trunk.config.to_json(),
        "tokenizer": around.tokenizer.to_dict(),
        KEY: {
            "head": network.config.to_json(),
            "targets": [dataclasses.asdict(one) for one in around.targets],
            "described": dataclasses.asdict(around.described),
            "learnt": dataclasses.asdict(around.learnt),
        },
    }
    pretrained.save_ours(folder, card, weights, json.loads(json.dumps(config)))


def load(located: Located, card: Card) -> tuple[Predictor, Surroundings]:
    """The network and what is around it. Raises UserError for what is incomplete or changed."""
    saved, tensors = pretrained.read_ours(located, card)
    try:
        told = saved[KEY]
        config, head = SmilesGPTConfig.from_json(saved["config"]), PredictorConfig.from_json(told["head"])
        around = Surroundings(
            tokenizer=SmilesTokenizer.from_dict(saved["tokenizer"]),
            targets=tuple(Target(**one) for one in told["targets"]),
            described=_described(told["described"]),
            learnt=Learnt(**told["learnt"]),
            seen=tensors.pop(SEEN).numpy(),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"The config of {located.source} is incomplete: {error}.") from None
    if config.vocabulary != len(around.tokenizer) or head.targets != len(around.targets):
        raise UserError(f"The parts of {located.source} do not belong together: tokens, targets and network differ.")
    with without_weights():
        network = Predictor(SmilesGPT(config), head)
    load_into(network, tensors, source=located.source)
    return network.eval(), around


def _described(plain: Mapping[str, Any]) -> Described:
    return Described(names=tuple(plain["names"]), mean=tuple(plain["mean"]), deviation=tuple(plain["deviation"]))
