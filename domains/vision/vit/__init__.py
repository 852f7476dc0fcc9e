"""vision.vit: a vision Transformer that classifies pictures.

from tsuite.domains.vision.vit import ViT, ViTConfig
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....core.lazy import lazy_names

if TYPE_CHECKING:
    from .config import ViTConfig
    from .model import ViT
    from .task import ViTTask

_HOME = {"ViT": "model", "ViTConfig": "config", "ViTTask": "task"}

__getattr__ = lazy_names(__name__, _HOME)
