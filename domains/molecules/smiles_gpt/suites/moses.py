"""A benchmark's metrics of what was drawn: as JSON, as a table beside the published ones, as a picture."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from .....core.task import Summary, Tick
from ...metrics.published import rows
from ...metrics.suite import moses

BESIDE = ("CharRNN", "VAE", "JTN-VAE", "MolGPT (re-run)")
"""Published columns that a terminal shows; JSON has them all."""


def with_moses(
    summary: Summary, texts: Sequence[str], *, train: Container[str] | None, workers: int, tick: Tick
) -> Summary:
    """A summary with the MOSES suite on these strings (invalid ones too) under `details`, its values among the metrics
    by the benchmark's names."""
    found = moses(texts, train=train, workers=workers, tick=lambda what, done, total: tick(done, total))
    told = {"n": found["n"], "valid": found["valid"], "rows": rows(found), "notes": list(found["notes"])}
    values = {name: float(value) for name, value in found["values"].items() if value is not None}
    metrics = {**summary.metrics, **values}
    return Summary(metrics=metrics, baselines=summary.baselines, details={**summary.details, "moses": told})


def moses_table(told: Mapping[str, Any]) -> Any:
    """The values beside what real molecules reach at the same n, and beside some of the published ones."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=f"MOSES, n = {told['n']:,}", title_justify="left", header_style="bold")
    names = list(told["rows"][0])
    kept = [*names[:3], *(name for name in BESIDE if name in names)]
    for number, name in enumerate(kept):
        shown.add_column(
            name if number != 2 else "real molecules", justify="right" if number else "left",
            style="bold" if number == 1 else "", no_wrap=not number,
        )  # fmt: skip
    for row in told["rows"]:
        cells = [row[name] for name in kept]
        shown.add_row(*("" if cell is None else cell if isinstance(cell, str) else f"{cell:.3g}" for cell in cells))
    return Group(shown, *(Text(note, style="dim") for note in told["notes"]))
