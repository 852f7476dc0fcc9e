"""The series that options and a name mean, and where train, validation and test end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from .. import ltsf
from ..data import SHARES, Border, Borders, collect, manifest_of
from ..finance import as_target
from ..panel import Panel
from ..tables import Columns, read_panel
from .checkpoints import Surroundings
from .options import TableOptions


def columns_of(options: TableOptions) -> Columns:
    """What the options say of a table's columns."""

    def names(text: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())

    return Columns(
        id=options.id, time=options.time, targets=names(options.target), past=names(options.past),
        future=names(options.future), static=names(options.static),
    )  # fmt: skip


def said_of(options: TableOptions) -> dict[str, str]:
    """What is worth remembering of the options: those that were said."""
    return {item.name: said for item in fields(TableOptions) if (said := getattr(options, item.name))}


def hints_of(around: Surroundings) -> Columns:
    """The columns that a trained forecaster knows, for tables that have them."""
    told, said = around.told, columns_of(TableOptions(**around.table))
    return replace(said, past=told.past, future=told.future, static=told.static)


def panel_of(data: Any, options: TableOptions, around: Surroundings) -> Panel:
    """The series that a trained forecaster shall go on with: a file, a frame, or a named data set to its end."""
    columns, frequency = columns_of(options), options.frequency
    if manifest_of(data) is not None:
        panel = collect(data, columns, frequency=frequency, timezone=options.timezone).panel
    else:
        zone = options.timezone or around.table.get("timezone", "")
        panel = read_panel(data, columns, hints=hints_of(around), frequency=frequency, timezone=zone)
    return as_target(panel, around.finance, days=around.days) if around.finance else panel


def told_apart(panels: Sequence[Panel]) -> tuple[list[dict[str, str]], tuple[str, ...]]:
    """What series of several tables are called that share a name (`a: load`, `b: load` of a.csv and b.csv), a mapping
    for each table, and a sentence that says so."""
    counts = Counter(name for panel in panels for name in panel.ids)
    labels = [panel.name.removeprefix("the ").split(".")[0] for panel in panels]
    if len(set(labels)) < len(labels):
        labels = [f"{label} {number}" for number, label in enumerate(labels, 1)]
    called = [
        {name: f"{label}: {name}" for name in panel.ids if counts[name] > 1}
        for panel, label in zip(panels, labels, strict=True)
    ]
    first = next((name for name, count in counts.items() if count > 1), None)
    if first is None:
        return called, ()
    names = [found[first] for found in called if first in found]
    more = ", and so on" * (sum(count > 1 for count in counts.values()) > 1)
    return called, (f"{len(names)} tables have a series {first}: these are called {', '.join(names)}{more}.",)


def parts_of(
    data: Any,
    options: TableOptions,
    around: Surroundings | None = None,
    *,
    shares: tuple[float, float, float] = SHARES,
    standard: bool = False,
    finance: str = "",
    days: int = 1,
) -> tuple[Panel, Borders, str]:
    """The series, their borders, and the data set of the literature that they are ("": none).

    around: of a trained forecaster, which knows what it forecasts and of which columns. standard: borders are those of
    the literature's protocol.
    """
    hints, timezone = Columns(), options.timezone
    if around is not None:
        hints, timezone = hints_of(around), timezone or around.table.get("timezone", "")
        standard, finance, days = around.benchmark is not None, around.finance, around.days
    parts = collect(
        data, columns_of(options), hints=hints, frequency=options.frequency, timezone=timezone, shares=shares
    )  # fmt: skip
    if finance:
        return as_target(parts.panel, finance, days=days), parts.borders, ""
    if not standard:
        return parts.panel, parts.borders, ""
    panel, seconds = parts.panel, parts.panel.frequency.seconds
    agreed = ltsf.protocol(Path(str(data)).name, panel.longest, len(panel), seconds=seconds)
    border = Border(train=agreed.train, validation=agreed.validation, test=agreed.test)
    return panel, Borders(groups=(border,) * len(panel.groups), words=agreed.said, fixed=True), agreed.data
