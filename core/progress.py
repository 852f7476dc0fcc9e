"""Progress bars on stderr for whatever takes long: inputs done, bytes fetched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .sources.digest import reporting_to


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
def fetching(console: Any) -> Iterator[None]:
    """Whatever is fetched inside shows a bar from its first byte to its last (a line each, where no terminal is)."""
    if console is None:
        yield
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    tasks: dict[str, Any] = {}

    def tick(done: int, total: int | None, label: str, /) -> None:
        if label not in tasks:
            tasks[label] = progress.add_task(label, total=total)
            if not console.is_terminal:
                console.print(f"fetching {label}", highlight=False, markup=False)
        progress.start()
        progress.update(tasks[label], completed=done, total=total)
        if progress.finished:
            progress.stop()  # what comes next may draw a bar of its own

    try:
        with reporting_to(tick):
            yield
    finally:
        progress.stop()
