"""The series that options and a name mean, and where train, validation and test end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import ltsf
from ..data import SHARES, Border, Borders, collect
from ..finance import as_target
from ..panel import Panel
from ..tables import Columns
from .options import TableOptions


def columns_of(options: TableOptions) -> Columns:
    """What the options say of a table's columns."""

    def names(text: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())

    return Columns(
        id=options.id, time=options.time, targets=names(options.target), past=names(options.past),
        future=names(options.future), static=names(options.static),
    )  # fmt: skip


def parts_of(
    data: Any,
    options: TableOptions,
    *,
    shares: tuple[float, float, float] = SHARES,
    standard: bool = False,
    finance: str = "",
    days: int = 1,
) -> tuple[Panel, Borders, str]:
    """The series, their borders, and the data set of the literature that they are ("": none).

    standard: borders are those of the literature's protocol.
    """
    parts = collect(
        data, columns_of(options), frequency=options.frequency, timezone=options.timezone, shares=shares
    )  # fmt: skip
    if finance:
        return as_target(parts.panel, finance, days=days), parts.borders, ""
    if not standard:
        return parts.panel, parts.borders, ""
    panel, seconds = parts.panel, parts.panel.frequency.seconds
    agreed = ltsf.protocol(Path(str(data)).name, panel.longest, len(panel), seconds=seconds)
    border = Border(train=agreed.train, validation=agreed.validation, test=agreed.test)
    return panel, Borders(groups=(border,) * len(panel.groups), words=agreed.said, fixed=True), agreed.data
