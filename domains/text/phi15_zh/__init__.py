"""text.phi15_zh: an English language model that learns to chat in Chinese.

from tsuite.domains.text.phi15_zh import ChatTask
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....core.lazy import lazy_names

if TYPE_CHECKING:
    from .task import ChatTask

_HOME = {"ChatTask": "task"}

__getattr__ = lazy_names(__name__, _HOME)
