"""Whisper: an encoder that hears 30 seconds of sound, and a decoder that writes down what was said.

from tsuite.domains.audio.whisper import WhisperOptions, load
from tsuite.domains.audio.whisper.transcribe import transcribe
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    # Imported when first used: naming an option must not cost an import of torch.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
