"""wav2vec 2.0: a recogniser that reads the waveform itself, with a CTC head.

from tsuite.domains.audio.wav2vec2 import Wav2Vec2CTC, Wav2Vec2Config, load
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....core.lazy import lazy_names

if TYPE_CHECKING:
    from .config import Wav2Vec2Config
    from .model import Wav2Vec2CTC
    from .pretrained import load

_HOME = {"Wav2Vec2CTC": "model", "Wav2Vec2Config": "config", "load": "pretrained"}

__getattr__ = lazy_names(__name__, _HOME)
