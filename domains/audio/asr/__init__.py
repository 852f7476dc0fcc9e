"""audio.asr: speech recognition, offline on a small board.

from tsuite.domains.audio.asr import ConformerCTC, ConformerConfig
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import ConformerConfig
    from .model import ConformerCTC
    from .task import ASRTask

_HOME = {"ASRTask": "task", "ConformerConfig": "config", "ConformerCTC": "model"}


def __getattr__(name: str) -> Any:
    # Imported when first used: reading this model's options must not cost an import of torch.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
