"""Ctrl-C and SIGTERM during training: the running step ends and the state is saved before the program does."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

ECHO = 1.0
"""Seconds in which a second signal counts as the first: torchrun passes on a Ctrl-C that the terminal has already
sent."""


class Interruption:
    """Inside the `with` block the first signal only sets `asked`; the next one does what it always does: it ends at
    once."""

    def __init__(self, notice: Callable[[str], None]) -> None:
        self.asked = False
        self._notice = notice
        self._since = 0.0
        self._former: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._former[number] = signal.signal(number, self._heard)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _heard(self, number: int, _: FrameType | None) -> None:
        if not self.asked:
            self.asked, self._since = True, time.monotonic()
            self._notice("stopping after this step and saving; once more stops at once")
        elif time.monotonic() - self._since > ECHO:
            self.__exit__()
            signal.raise_signal(number)
