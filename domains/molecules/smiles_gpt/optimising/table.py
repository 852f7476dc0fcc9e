"""What a terminal shows of an optimisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .....core.task import Summary
from ...properties import CAVEAT, PROPERTIES
from .pursuit import Optimal, Pursued

NUMBERS = (
    ("auc_top10", "AUC of the best 10 over oracle calls", ".3f"),
    ("top10", "mean of the best 10", ".3f"),
    ("top1", "best", ".3f"),
    ("above", "molecules that score at least {threshold:g}", ",.0f"),
    ("oracle_calls", "oracle calls", ",.0f"),
)


def optimised_table(pursued: Pursued, results: Sequence[Optimal], summary: Summary) -> Any:
    """The best molecules with score, its parts and their properties; the numbers beside those of screening."""
    from rich.console import Group
    from rich.text import Text

    shown = results[: pursued.options.show]
    notes = [Text(note, style="yellow") for note in pursued.notes]
    return Group(*([_molecules(pursued, shown)] if shown else []), _numbers(pursued, summary),
                 Text(_conduct(pursued, summary)), *notes, Text(CAVEAT, style="dim"))  # fmt: skip


def _molecules(pursued: Pursued, shown: Sequence[Optimal]) -> Any:
    from rich.table import Table

    table = Table(header_style="bold", title_justify="left", title=f"the best {len(shown)} for {pursued.oracle.words}")
    table.add_column("")
    table.add_column("SMILES", overflow="fold")
    table.add_column("score", justify="right", style="bold")
    table.add_column("call", justify="right")
    parts = [part for part in pursued.oracle.parts if len(pursued.oracle.parts) > 1]
    wanted = pursued.oracle.properties
    names = [name for name in PROPERTIES if name in wanted] or ["qed", "sa"]
    others = [part for part in parts if part.text.partition(":")[0] not in PROPERTIES]
    for part in others:
        table.add_column(part.column.removeprefix("score_").replace("_", " "), justify="right")
    for name in names:
        table.add_column(f"{PROPERTIES[name].label} {PROPERTIES[name].unit}".strip(), justify="right")
    for number, one in enumerate(shown, start=1):
        table.add_row(
            str(number), one.smiles, f"{one.score:.3f}", f"{one.call:,}",
            *(f"{one.parts[part.column]:.3f}" if part.column in one.parts else "" for part in others),
            *(f"{one.properties[name]:.{PROPERTIES[name].digits}f}" for name in names),
        )  # fmt: skip
    return table


def _numbers(pursued: Pursued, summary: Summary) -> Any:
    from rich.table import Table

    table = Table(header_style="bold")
    beside = summary.baselines.get("screening")
    table.add_column("")
    table.add_column("optimised", justify="right", style="bold")
    if beside:
        table.add_column("screening training molecules", justify="right")
    for name, words, form in NUMBERS:
        told = words.format(threshold=pursued.options.above)
        cells = [f"{numbers[name]:{form}}" for numbers in (summary.metrics, beside) if numbers is not None]
        table.add_row(told, *cells)
    return table


def _conduct(pursued: Pursued, summary: Summary) -> str:
    """How it went, in two sentences."""
    found, drawn = pursued.found, pursued.found.drawn
    seconds = sum(value for name, value in found.seconds.items() if name != "screening")
    novelty = summary.metrics.get("novelty_top100")
    words = [
        f"{sum(drawn.values()):,} drawn in {found.steps:,} steps and {seconds:.0f} s: {drawn['new']:,} new, "
        f"{drawn['repeats']:,} repeated, {drawn['invalid']:,} no molecules.",
        f"What it draws scores {found.before:.3f} on average in the first step, {found.after:.3f} in the last ones "
        "(no molecule: 0).",
        f"{found.scaffolds:,} scaffolds"
        + (f", {found.full:,} of which had their {pursued.options.per_scaffold} molecules." if found.full else "."),
    ]
    if novelty is not None:
        words.append(f"Of the best 100, {novelty:.0%} were not learnt from.")
    return " ".join(words)
