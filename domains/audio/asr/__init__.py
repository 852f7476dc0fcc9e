"""audio.asr: speech recognition, offline on a small board.

from tsuite.domains.audio.asr import ConformerCTC, ConformerConfig
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....core.lazy import lazy_names

if TYPE_CHECKING:
    from .config import ConformerConfig
    from .model import ConformerCTC
    from .task import ASRTask

_HOME = {"ASRTask": "task", "ConformerConfig": "config", "ConformerCTC": "model"}

__getattr__ = lazy_names(__name__, _HOME)
