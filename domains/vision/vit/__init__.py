"""vision.vit: a vision Transformer that classifies pictures.

from tsuite.domains.vision.vit import ViT, ViTConfig
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import ViTConfig
    from .model import ViT
    from .task import ViTTask

_HOME = {"ViT": "model", "ViTConfig": "config", "ViTTask": "task"}


def __getattr__(name: str) -> Any:
    # Imported when first used: reading this model's options must not cost an import of torch.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
