"""wav2vec 2.0: a recogniser that reads the waveform itself, with a CTC head.

from tsuite.domains.audio.wav2vec2 import Wav2Vec2CTC, Wav2Vec2Config, load
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import Wav2Vec2Config
    from .model import Wav2Vec2CTC
    from .pretrained import load

_HOME = {"Wav2Vec2CTC": "model", "Wav2Vec2Config": "config", "load": "pretrained"}


def __getattr__(name: str) -> Any:
    # Imported when first used: naming the package must not cost an import of torch.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
