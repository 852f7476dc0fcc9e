"""text.phi15_zh: an English language model that learns to chat in Chinese.

from tsuite.domains.text.phi15_zh import ChatTask
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .task import ChatTask

_HOME = {"ChatTask": "task"}


def __getattr__(name: str) -> Any:
    # Imported when first used: reading this model's options must not cost an import of torch.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
