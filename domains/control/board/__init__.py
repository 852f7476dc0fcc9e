"""control.board: tic-tac-toe and Connect Four, played as sequences of moves.

from tsuite.domains.control.board import BoardConfig, MoveModel
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....core.lazy import lazy_names

if TYPE_CHECKING:
    from .config import BoardConfig
    from .games import Game
    from .model import MoveModel
    from .task import BoardTask

_HOME = {"BoardConfig": "config", "BoardTask": "task", "Game": "games", "MoveModel": "model"}

__getattr__ = lazy_names(__name__, _HOME)
