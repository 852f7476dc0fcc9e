"""Folders in the cache that hold what was made out of other things, and can be made again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from .cache import cache_folder, locked, workspace, writing
from .digest import Progress, listener


def derived(kind: str, key: str, produce: Callable[[Path], None], progress: Progress | None = None) -> Path:
    """The folder `<cache>/<kind>/<key>`: the one that is there, else what `produce(folder)` writes into a new one.

    It appears by one rename, so that whoever is killed leaves nothing half-done; two processes do the work once.
    `key` says all that the content depends on, as a hash. Raises `UserError` if the cache cannot be written.
    """
    place = cache_folder() / kind / key
    if place.is_dir():
        return place
    with locked(f"{kind}-{key}", listener(progress), kind):
        if place.is_dir():
            return place
        with workspace(f"{kind}-{key}") as work, writing():
            fresh = work / "fresh"
            fresh.mkdir()
            produce(fresh)
            _to_disk(fresh)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(place, ignore_errors=True)
            os.replace(fresh, place)
    return place


def _to_disk(folder: Path) -> None:
    """Flush every file, so that a power cut after the rename leaves no folder with holes."""
    for path in [*folder.iterdir(), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
