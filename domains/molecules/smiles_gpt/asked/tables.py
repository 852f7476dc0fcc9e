"""How drawing went that was asked for something, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from . import achieved
from .words import counted


def tables(conduct: Mapping[str, Any]) -> list[Any]:
    """What `asking.draw` told, as renderables for the terminal."""
    shown: list[Any] = []
    if "scaffold" in conduct:
        facts = conduct["scaffold"]
        points = "point" if facts["points"] == 1 else f"{facts['points']} points"
        words = (
            f"{facts['returned']:,} around {facts['smiles']}, each with something at its {points} and nowhere else: "
            f"{facts['accepted']:,} of {facts['drawn']:,} drawn could be taken."
        )
        shown.append(Text(words, style="bold"))
        shown += [Text(line, style="yellow") for line in facts["notices"]]
        if facts["redrawn"]:
            again = counted(facts["redrawn"], "piece was", "pieces were")
            shown.append(Text(f"{again} drawn again at a point that nothing came of.", style="dim"))
        if facts["rejected"]:
            shown.append(Text(f"Rejected: {listed(facts['rejected'])}.", style="dim"))
        if facts["returned"] < facts["asked"]:
            words = (
                f"{facts['asked']:,} were asked for: drawing was given up, as too little could be taken. "
                "A smaller scaffold, fewer points or no conditions give more."
            )
            shown.append(Text(words, style="yellow"))
    if "similar_to" in conduct:
        shown += _similar_tables(conduct["similar_to"])
    if "conditions" in conduct:
        shown += achieved.tables(conduct["conditions"])
    return shown


def _similar_tables(facts: Mapping[str, Any]) -> list[Any]:
    shown = Table(title=f"how similar to {facts['smiles']} (Tanimoto, Morgan radius 2)", title_justify="left",
                  header_style="bold")  # fmt: skip
    for column in ("", "looked at", "mean", "kept", "mean of kept", "best"):
        shown.add_column(column, justify="right" if column else "left")
    rows = {
        "drawn from its beginnings": "similarity",
        "drawn freely": "unconditional",
        "training molecules": "training",
    }
    for label, name in rows.items():
        if name in facts:
            row = facts[name]
            cells = ["-" if row[key] is None else f"{row[key]:.2f}" for key in ("mean", "mean_of_kept", "best")]
            shown.add_row(label, f"{row['looked_at']:,}", cells[0], f"{row['kept']:,}", cells[1], cells[2])
    words = (
        f"{facts['returned']:,} kept of {counted(facts['different'], 'different one', 'different ones')}; left out: "
        f"{listed(facts['rejected'])}."
    )
    lines = [*(Text(line, style="yellow") for line in facts["notices"]), Text(words, style="dim")]
    if facts["returned"] < facts["asked"]:
        lines.append(Text(f"{facts['asked']:,} were asked for: there were no more different ones.", style="yellow"))
    return [shown, *lines]


def listed(reasons: Mapping[str, int]) -> str:
    """Reasons with how many there are of each, in words."""
    return ", ".join(f"{count:,} {reason}" for reason, count in reasons.items()) or "none"
