"""Progress bars on stderr for whatever takes long: inputs done, bytes fetched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def bar(console: Any, label: str, total: int) -> Iterator[Callable[[int, int], None]]:
    """A bar of `total` inputs; the function it gives takes (done, total). Without a console it draws nothing."""
    if console is None or not console.is_terminal:
        yield lambda done, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(label, total=total)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def fetching(console: Any) -> Iterator[Callable[[int, int | None, str], None]]:
    """A bar that appears with the first byte fetched; the function it gives takes (bytes done, bytes in all, label)."""
    if console is None:
        yield lambda done, total, label, /: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    tasks: dict[str, Any] = {}
    told: set[str] = set()

    def tick(done: int, total: int | None, label: str, /) -> None:
        if not console.is_terminal:
            if label not in told:
                told.add(label)
                console.print(f"fetching {label}", highlight=False, markup=False)
            return
        if label not in tasks:
            progress.start()
            tasks[label] = progress.add_task(label, total=total)
        progress.update(tasks[label], completed=done, total=total)

    try:
        yield tick
    finally:
        progress.stop()
