"""A camera, a stream or a film watched by the model, with a view of what it sees that stays where it is.

The loop is one frame long and keeps nothing: times and labels go into counts of fixed size, since a camera may be
watched for weeks.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

from rich.console import Console, Group
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ....core.errors import UserError
from ....core.jetson.watch import Watch
from ....core.runtime import give_back
from ....core.train.signals import Interruption
from ..novelty import LIMIT
from ..video import FrameExample, FramePrediction, Frames
from .options import RunOptions

WINDOW = 256
"""Answers over which speed and latency are told."""
RECENT = 5.0
"""Seconds that the frames per second are counted over."""
LINE_EVERY = 10.0
"""Seconds between two lines where there is no terminal to draw on."""
TIDY = 60.0
"""Seconds after which freed memory is handed back: two threads that allocate leave holes, and these add up in weeks."""
NOTES = 3
"""Lines of what happened that stay under the picture."""


def opened(task: Any, options: RunOptions) -> Frames:
    """The frames of `options.source`. UserError where it cannot be opened."""
    return Frames(
        options.source,
        fit=task.preprocessing.fit,
        fps=options.fps,
        most=options.frames,
        reconnect=options.reconnect,
    )


def with_an_end(task: Any, options: RunOptions) -> Frames:
    """As `opened`, where results are given at the end: UserError for a source that has none."""
    frames = opened(task, options)
    if frames.live and not options.frames:
        frames.close()
        raise UserError(f"{frames.place.name} has no end, and results are given at the end.", "Give --frames too.")
    return frames


def until_stopped(frames: Frames) -> Iterator[FrameExample]:
    """The frames until there are no more, or Ctrl-C or SIGTERM ends them: what was seen till then counts."""
    with Interruption(lambda text: None) as interruption:
        for number, frame in enumerate(frames, start=1):
            yield frame
            if interruption.asked:
                frames.notices.append(f"stopped by a signal after {number:,} frames")
                return


def watch(task: Any, options: RunOptions, console: Console | None) -> None:
    """Look at `options.source` until it ends, `options.frames` are done, Ctrl-C or SIGTERM; then sum up on `console`.

    Raises UserError for a source that cannot be opened, or stays away for `options.reconnect` seconds.
    """
    if not task.labels:
        raise UserError(
            "This checkpoint is a backbone without classes: there is nothing to see.",
            "Give it some with tsuite finetune vision.vit, or take its features: --json --frames 100",
        )
    frames = opened(task, options)
    view = View(frames, options, console)
    frames.feed.tell = view.note
    board, tidied = Watch(view.note), time.monotonic()
    with view, Interruption(lambda text: None) as interruption, frames.feed as feed:
        while not (interruption.asked or feed.over):
            shot = feed.take()
            board.look()
            if time.monotonic() - tidied > TIDY:
                give_back()
                tidied = time.monotonic()
            if shot is None:
                continue
            example = frames.example(shot)
            for result in task.infer([example], options):
                view.answer(result, time.monotonic() - example.taken)
            if view.answered == options.frames:
                break


class View:
    """What is seen now, how fast, and what happened lately: drawn in place on a terminal, else a line now and then."""

    def __init__(self, frames: Frames, options: RunOptions, console: Console | None) -> None:
        self.frames, self.options, self.console = frames, options, console
        self.answered = self.unfamiliar = 0
        self.result: FramePrediction | None = None
        self.labels: Counter[str] = Counter()
        self.latencies: deque[float] = deque(maxlen=WINDOW)
        self.moments: deque[float] = deque(maxlen=WINDOW)
        self.notes: deque[str] = deque(maxlen=NOTES)
        self.start = self._line = time.monotonic()
        self._live: Any = nullcontext()
        if console is not None and console.is_terminal:
            from rich.live import Live

            self._live = Live(get_renderable=self.draw, console=console, refresh_per_second=8)

    def __enter__(self) -> View:
        self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._live.__exit__(*error)
        for notice in self.frames.notices:
            self._say(notice)
        self._say(self.summary())

    def answer(self, result: FramePrediction, latency: float) -> None:
        """Take in one answer, `latency` seconds after its frame came in."""
        now = time.monotonic()
        self.result = result
        self.answered += 1
        self.unfamiliar += result.unlikeness is not None and result.unlikeness > LIMIT
        self.labels.update(label.name for label in result.labels[:1])
        self.latencies.append(latency)
        self.moments.append(now)
        if isinstance(self._live, nullcontext) and now - self._line >= LINE_EVERY:
            self._line = now
            best = "  ".join(f"{label.name} {label.probability:.0%}" for label in result.labels[:1])
            self._say(f"{best}  {self.status()}")

    def note(self, text: str) -> None:
        """Something happened (to the source, to the board): it stays in view for a while."""
        self.notes.append(f"{time.strftime('%H:%M:%S')}  {text}")
        if isinstance(self._live, nullcontext):
            self._say(self.notes[-1])

    # -- what is shown --------------------------------------------------------------------------------------------

    def draw(self) -> Group:
        """The whole view, always as high."""
        result = self.result
        rows = Table.grid(padding=(0, 2))
        rows.add_column(width=24, no_wrap=True, overflow="ellipsis")
        rows.add_column(width=30)
        rows.add_column(width=6, justify="right")
        labels = result.labels if result is not None else ()
        for place in range(self.options.top):
            if place < len(labels):
                share = labels[place].probability
                rows.add_row(
                    escape(labels[place].name), ProgressBar(total=1, completed=share, width=30), f"{share:.1%}"
                )
            else:
                rows.add_row("", "", "")
        return Group(self._head(), rows, *self._foot())

    def _head(self) -> Text:
        if self.result is None:
            return Text(f"{self.frames.place.name}  waiting for the first frame", style="bold", no_wrap=True)
        at = f"{int(self.result.time) // 3600}:{int(self.result.time) // 60 % 60:02}:{self.result.time % 60:04.1f}"
        strange = self.result.unlikeness is not None and self.result.unlikeness > LIMIT
        text = Text(f"{at}  {self.frames.place.name}", style="bold", no_wrap=True, overflow="ellipsis")
        return text.append("  unlike the training data", style="yellow") if strange else text

    def _foot(self) -> list[Text]:
        told = [Text(note, style="yellow", no_wrap=True, overflow="ellipsis") for note in tuple(self.notes)]
        return [Text(self.status(), style="dim", no_wrap=True, overflow="ellipsis"), *told]

    def status(self) -> str:
        """Speed and what was lost, in one line of steady width."""
        moments, now = tuple(self.moments), time.monotonic()
        recent = [moment for moment in moments if now - moment < RECENT]
        span = min(RECENT, now - self.start) if len(recent) < WINDOW else now - recent[0]
        latency = 1e3 * statistics.median(tuple(self.latencies) or (0.0,))
        return (
            f"{len(recent) / max(span, 1e-3):5.1f} frames/s  {latency:6.1f} ms from frame to answer  "
            f"{self.frames.feed.dropped:,} dropped"
        )

    def summary(self) -> str:
        """All of it in a few words."""
        counts, took = self.frames.counts(), time.monotonic() - self.start
        rate = self.answered / max(took, 1e-3)
        told = [f"{self.answered:,} frames answered in {took:.1f} s ({rate:.1f} a second)"]
        told += [f"{name}: {counts[name]:,}" for name in ("dropped", "damaged", "reconnects") if counts[name]]
        if self.latencies:
            ordered = sorted(self.latencies)
            told.append(
                f"{1e3 * statistics.median(ordered):.0f} ms from frame to answer "
                f"(slowest of the last {len(ordered)}: {1e3 * ordered[-1]:.0f})"
            )
        if self.unfamiliar:
            told.append(f"{self.unfamiliar:,} unlike the training data")
        if self.labels:
            best = ", ".join(f"{name} {count / self.answered:.0%}" for name, count in self.labels.most_common(5))
            told.append(f"seen: {best}")
        return "; ".join(told)

    def _say(self, text: str) -> None:
        if self.console is not None:
            self.console.print(text, highlight=False, markup=False)
