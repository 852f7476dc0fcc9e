"""control.decision_transformer: policies that are asked for a return, learnt from recorded episodes.

from tsuite.domains.control.decision_transformer import DecisionTransformer, DecisionTransformerConfig, Player
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....core.lazy import lazy_names

if TYPE_CHECKING:
    from .acting import Player
    from .config import DecisionTransformerConfig
    from .model import DecisionTransformer
    from .task import ControlTask

_HOME = {
    "ControlTask": "task",
    "DecisionTransformer": "model",
    "DecisionTransformerConfig": "config",
    "Player": "acting",
}

__getattr__ = lazy_names(__name__, _HOME)
