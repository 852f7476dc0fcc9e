"""A policy on disk: weights, and what it takes to act with them on another machine.

config.json        shape of the network, the environment, the return to ask for, what the data were like, scores of
                   what was trained beside it
model.safetensors  the weights in half precision, means and deviations of states and actions in single
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ....core import checkpoint, pretrained
from ....core.errors import UserError
from ....core.pretrained import Located
from ....core.registry import Card
from ....core.weights import load_into
from ..episodes import Episodes, Setting
from ..safety import Statistics
from .config import DecisionTransformerConfig
from .model import DecisionTransformer


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """What the training data were like: returns of its episodes [quantiles 0, 0.05, … 1], their mean and deviation,
    the least and most return to go of any step, who acted."""

    name: str
    sha256: str
    episodes: int
    steps: int
    mean: float
    std: float
    quantiles: tuple[float, ...]
    to_go: tuple[float, float]
    policies: tuple[str, ...] = ()

    @classmethod
    def of(cls, episodes: Episodes, name: str, sha256: str) -> DataFacts:
        """Those of the training part."""
        returns = episodes.returns
        ends = [(float(part.min()), float(part.max())) for part in (item.returns_to_go() for item in episodes)]
        who = sorted({item.policy.partition(":")[0] for item in episodes if item.policy})
        return cls(
            name=name,
            sha256=sha256,
            episodes=len(episodes),
            steps=episodes.steps,
            mean=float(returns.mean()),
            std=float(returns.std(ddof=1)) if len(returns) > 1 else 0.0,
            quantiles=tuple(float(value) for value in np.quantile(returns, np.linspace(0, 1, 21))),
            to_go=(min(low for low, _ in ends), max(high for _, high in ends)),
            policies=tuple(who),
        )

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> DataFacts:
        """What `dataclasses.asdict` gave, through JSON."""
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()
        }
        return cls(**fields)

    @property
    def low(self) -> float:
        """The lowest return of an episode."""
        return self.quantiles[0]

    @property
    def high(self) -> float:
        """The highest return of an episode."""
        return self.quantiles[-1]

    def far(self, target: float) -> bool:
        """Whether a return lies outside the data by more than a tenth of their range."""
        room = 0.1 * (self.high - self.low) + 1e-6 * abs(self.high)
        return not self.low - room <= target <= self.high + room


@dataclass(frozen=True, kw_only=True)
class Around:
    """What a policy needs beside its weights.

    setting: its environment. target: the return that it is asked for where nobody says. data: what it learnt from (None
    for weights of others). statistics: of the observations, None for pictures and choices. tried: the returns among
    which the target was chosen and what they achieved on validation seeds. baselines: scores, by name, of what was
    trained on the same data. top: the share of the data that it learnt from.
    """

    setting: Setting
    target: float = 0.0
    data: DataFacts | None = None
    statistics: Statistics | None = None
    tried: tuple[dict[str, Any], ...] = ()
    baselines: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    top: float = 0.0

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the most that is asked for at any step."""
        return (-np.inf, np.inf) if self.data is None else self.data.to_go


def save(folder: Path, card: Card, network: DecisionTransformer, around: Around) -> None:
    """Write both into the empty `folder`."""
    tensors, buffers = network.state_dict(), dict(network.named_buffers())
    stored = checkpoint.halved({name: value for name, value in tensors.items() if name not in buffers})
    config = {
        "config": network.config.to_json(),
        "setting": around.setting.to_json(),
        "target": around.target,
        "data": None if around.data is None else dataclasses.asdict(around.data),
        "statistics": None if around.statistics is None else around.statistics.to_json(),
        "tried": list(around.tried),
        "baselines": dict(around.baselines),
        "top": around.top,
    }
    pretrained.save_ours(folder, card, {**stored, **buffers}, json.loads(json.dumps(config)))


def load(located: Located, card: Card) -> tuple[DecisionTransformer, Around]:
    """The network and what is around it. Raises UserError for what is incomplete or changed."""
    saved, tensors = pretrained.read_ours(located, card)
    try:
        network = DecisionTransformer(DecisionTransformerConfig.from_json(saved["config"]))
        around = Around(
            setting=Setting.from_json(saved["setting"]),
            target=float(saved["target"]),
            data=None if saved["data"] is None else DataFacts.from_json(saved["data"]),
            statistics=None if saved["statistics"] is None else Statistics.from_json(saved["statistics"]),
            tried=tuple(saved["tried"]),
            baselines=saved["baselines"],
            top=float(saved["top"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"The config of {located.source} is incomplete: {error}.") from None
    load_into(network, {name: value.float() for name, value in tensors.items()}, source=located.source)
    return network.eval(), around
