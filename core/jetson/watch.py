"""Told while something runs: that the board holds itself back, because of heat or of its supply, and that it has ended.

    watch = Watch(print)
    while working:
        step()
        watch.look()      # reads a few small files every few seconds; nothing at all where there are none

Work goes on: a board that throttles is slow, not broken. No thread: whoever works also looks.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from .sensors import Sensors

EVERY = 3.0
"""Seconds between two looks."""
QUIET = 30.0
"""Seconds without throttling after which it has ended: a hot board goes to and fro, and each turn is no news."""
SUPPLY = "supply"
"""What an overcurrent is called among the parts that are held back."""


class Watch:
    """Gives `tell` one sentence when throttling starts and one when it has ended.

    sensors: those of this machine where None. throttled: what is held back now ("gpu", "cpu", "supply" …).
    """

    def __init__(self, tell: Callable[[str], None], *, sensors: Sensors | None = None, every: float = EVERY) -> None:
        found = sensors or Sensors.here()
        self.sensors = found if found.alerts or found.counters else None
        self.tell, self.every = tell, every
        self.throttled: tuple[str, ...] = ()
        self._next, self._since, self._last = 0.0, 0.0, 0.0
        self._cuts = self.sensors.overcurrents() if self.sensors else None

    def look(self) -> bool:
        """Look if it is time to; gives whether throttling has started or ended just now."""
        now = time.monotonic()
        if self.sensors is None or now < self._next:
            return False
        self._next = now + self.every
        return self._compare(now, self._held_back(self.sensors))

    def _held_back(self, sensors: Sensors) -> tuple[str, ...]:
        before, self._cuts = self._cuts, sensors.overcurrents()
        cut = before is not None and self._cuts is not None and self._cuts > before
        return (*sensors.throttled(), *((SUPPLY,) if cut else ()))

    def _compare(self, now: float, found: tuple[str, ...]) -> bool:
        if found:
            self._last = now
            new = [name for name in found if name not in self.throttled]
            if not self.throttled:
                self._since = now
            self.throttled += tuple(new)
            if new:
                self.tell(self._sentence(new))
            return bool(new)
        if self.throttled and now - self._last >= QUIET:
            self.tell(
                f"the board has not been held back for {QUIET:.0f} s; it was for {self._last - self._since:.0f} s"
            )
            self.throttled = ()
            return True
        return False

    def _sentence(self, new: list[str]) -> str:
        assert self.sensors is not None
        hot = [name for name in new if name != SUPPLY]
        hottest = max(self.sensors.temperatures().items(), key=lambda item: item[1], default=None)
        degrees = f" at {hottest[1]:.0f} °C ({hottest[0]})" if hottest else ""
        told = [f"{', '.join(hot)} held back by heat{degrees}"] if hot else []
        told += ["clocks cut because the supply or a rail is overdrawn"] if SUPPLY in new else []
        return f"the board is throttled: {'; '.join(told)}. The work goes on, more slowly"
