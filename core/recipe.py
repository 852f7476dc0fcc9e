"""Data sets that are made rather than fetched: a manifest's `[recipe]` says what a domain has to be asked for."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .parts import check
from .registry import HOME, PACKAGE
from .sources import Progress
from .sources.cache import cache_folder
from .sources.derived import derived

KIND = "recordings"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a data set is made of: `produce(settings, folder, progress)` in `domains/<domain>/data.py` writes it.

    `version` is raised when the same settings come to mean something else. `sha256`, where given, is that of the data
    as they were first made; whether another machine makes the same is for the domain to say.
    """

    domain: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1
    sha256: str = ""

    def __post_init__(self) -> None:
        known = sorted(path.parent.name for path in (HOME / "domains").glob("*/data.py"))
        check(self.domain in known, f"there is no domain {self.domain!r} that makes data; known are {', '.join(known)}")

    @property
    def key(self) -> str:
        """A hash of all that the content depends on; where `sha256` is not said, it stands for it."""
        facts = [self.domain, self.version, self.settings]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def make(self, progress: Progress | None = None) -> Path:
        """The folder in the cache, made where it is not there. Raises what the domain raises."""
        module = importlib.import_module(f"{PACKAGE}.domains.{self.domain}.data")
        check(hasattr(module, "produce"), f"the domain {self.domain} makes no data")
        return derived(KIND, self.key, lambda folder: module.produce(self.settings, folder, progress), progress)

    def cached(self) -> Path | None:
        """The folder if it was made on this machine."""
        place = cache_folder() / KIND / self.key
        return place if place.is_dir() else None
