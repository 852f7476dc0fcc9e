"""What a source gives, read by a thread of its own, for a taker who may be slower.

    source --reader thread--> buffer --> taker

Two kinds of source ask for two kinds of buffer. What is stored (a film) can wait: the reader pauses while the buffer is
full, and nothing is lost. What is live cannot: it goes on whether it is read or not, and whoever lets it queue falls
behind further with every item, for ever. There the oldest items are dropped, so that what is taken is always new; how
many were dropped is counted. A live source that vanishes is tried again with growing waits.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any, Generic, TypeVar

from .errors import UserError

T = TypeVar("T")

FIRST_WAIT, LONGEST_WAIT = 0.5, 10.0
"""Seconds before a vanished source is tried again; they double each time."""
TURN = 0.2
"""Seconds after which a waiting taker looks up: a signal must not have to wait for an item."""
GRACE = 2.0
"""Seconds that closing waits for the reader. One that hangs in a read ends at that read's own time limit."""


class Feed(Generic[T]):
    """Items of `read()`, a function that opens the source and gives a generator of what comes; closing it closes the
    source. Use as a context; iterate, or `take` one at a time.

    name: what a person calls the source. live: drop the oldest `spill` items where `room` are waiting; else wait.
    reconnect: seconds to go on trying a live source that has ended or raised UserError after it gave something.
    tell: gets a sentence when a source is gone and when it is back; called from the reader's thread.

    seen, dropped, reconnects: counts so far. Errors of the source are raised to the taker: UserError for one that gives
    nothing at the start, or has been gone for `reconnect` seconds.
    """

    def __init__(
        self,
        read: Callable[[], Generator[T, None, None]],
        *,
        name: str,
        live: bool,
        room: int = 1,
        spill: int = 1,
        reconnect: float = 60.0,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.read, self.name, self.live, self.tell = read, name, live, tell
        self.room, self.spill, self.reconnect = room, spill, reconnect
        self.seen = self.dropped = self.reconnects = 0
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._error: BaseException | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._work, name=f"reader of {name}", daemon=True)

    def __enter__(self) -> Feed[T]:
        self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._closing.set()
        with self._changed:
            self._items.clear()
            self._changed.notify_all()
        self._thread.join(GRACE)

    def __iter__(self) -> Iterator[T]:
        while not self.over:
            item = self.take()
            if item is not None:
                yield item

    @property
    def over(self) -> bool:
        """Whether all has been taken, and nothing more will come."""
        with self._changed:
            return self._ended and not self._items and self._error is None

    def take(self, timeout: float = TURN) -> T | None:
        """The next item; None where none comes within `timeout` seconds, or none will any more (`over`)."""
        with self._changed:
            if not self._items and not self._ended:
                self._changed.wait(timeout)
            if self._items:
                item = self._items.popleft()
                self._changed.notify_all()
                return item
            if self._error is not None:
                raise self._error
            return None

    # -- in the reader's thread ---------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            with closing(self._everything()) as items:
                for item in items:
                    if not self._put(item):
                        break
        except BaseException as error:  # the taker's to raise
            self._error = error
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _put(self, item: T) -> bool:
        """Add to the buffer; False where nobody takes any more."""
        with self._changed:
            self.seen += 1
            if self.live:
                for _ in range(min(self.spill, len(self._items)) if len(self._items) >= self.room else 0):
                    self._items.popleft()
                    self.dropped += 1
            while len(self._items) >= self.room and not self._closing.is_set():
                self._changed.wait()
            self._items.append(item)
            self._changed.notify_all()
            return not self._closing.is_set()

    def _everything(self) -> Generator[T, None, None]:
        """What the source gives until it ends, a live one over all its absences."""
        gone: float | None = None
        wait = FIRST_WAIT
        while not self._closing.is_set():
            why = "it ended"
            try:
                with closing(self.read()) as items:
                    for item in items:
                        if gone is not None:
                            self.reconnects += 1
                            self.tell(f"{self.name} is back after {time.monotonic() - gone:.0f} s")
                            gone, wait = None, FIRST_WAIT
                        yield item
            except UserError as error:
                if not self.live or not self.seen:
                    raise
                why = error.what.removeprefix(self.name).strip()
            if not self.live or not self.seen:
                return
            if gone is None:
                gone = time.monotonic()
                self.tell(f"{self.name} is gone ({why.rstrip('.')}); it is tried again for {self.reconnect:g} s")
            left = gone + self.reconnect - time.monotonic()
            if left <= 0:
                raise UserError(
                    f"{self.name} has been gone for {self.reconnect:g} s ({why.rstrip('.')}).",
                    "Look at its cable and its network; --reconnect says how long to try.",
                )
            if self._closing.wait(min(wait, left)):
                return
            wait = min(2 * wait, LONGEST_WAIT)
