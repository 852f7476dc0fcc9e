"""Whisper: an encoder that hears 30 seconds of sound, and a decoder that writes down what was said.

from tsuite.domains.audio.whisper import WhisperOptions, load
from tsuite.domains.audio.whisper.transcribe import transcribe
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....core.lazy import lazy_names

if TYPE_CHECKING:
    from .config import WhisperConfig
    from .model import Whisper
    from .options import WhisperOptions
    from .pretrained import load
    from .tokenizer import WhisperTokenizer

_HOME = {
    "Whisper": "model",
    "WhisperConfig": "config",
    "WhisperOptions": "options",
    "WhisperTokenizer": "tokenizer",
    "load": "pretrained",
}

__getattr__ = lazy_names(__name__, _HOME)
