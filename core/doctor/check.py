"""One thing that was tried or looked at, and how a person reads it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["needed", "optional", "advice"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was tried. ok None: not needed here, for the reason in `detail`.

    level: what it means if it is not ok: the models need it, some can do without it, or nothing fails and something
    would be better otherwise. hint: what to do about it. group: the heading it stands under, "" for none.
    """

    name: str
    ok: bool | None
    detail: str
    milliseconds: float | None = None
    level: Level = "needed"
    hint: str = ""
    group: str = ""

    @property
    def failed(self) -> bool:
        """Whether the models need it and do not have it."""
        return self.ok is False and self.level == "needed"

    @property
    def mark(self) -> str:
        """The sign before its line, with rich's colours."""
        if self.ok is None:
            return "[dim]--[/]"
        if self.ok:
            return "[green]ok[/]"
        return "[yellow]![/]" if self.level == "advice" else "[red]no[/]"

    def to_json(self) -> dict[str, Any]:
        told = {"name": self.name, "ok": self.ok, "detail": self.detail, "milliseconds": self.milliseconds}
        if self.group:
            return told | {"level": self.level, "hint": self.hint, "group": self.group}
        return told | ({"hint": self.hint} if self.hint else {})


def attempt(name: str, work: Callable[[], str], *, level: Level = "needed", hint: str = "") -> Check:
    """Run `work`, which tells what it found; whatever it raises becomes a failed check, with `hint` to mend it."""
    start = time.perf_counter()
    try:
        detail, ok = work(), True
    except Exception as error:  # a missing kernel shows itself in many ways
        detail, ok = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}", False
    took = round(1e3 * (time.perf_counter() - start), 2)
    return Check(name=name, ok=ok, detail=detail, milliseconds=took, level=level, hint="" if ok else hint)


def notice(name: str, detail: str, *, ok: bool | None = True, hint: str = "") -> Check:
    """Something that was looked at and that nothing fails by."""
    return Check(name=name, ok=ok, detail=detail, level="advice", hint=hint)
