"""tsuite list: the models there are."""

from __future__ import annotations

import typer

from ..core import registry
from . import options as cli


def main(as_json: bool = typer.Option(False, "--json", help="print exactly one JSON object")) -> None:
    """The models there are.

    Examples:

      tsuite list

      tsuite list --json
    """
    cards = list(registry.cards().values())
    if as_json:
        fields = ("name", "summary", "task", "licence", "extra", "sizes", "checkpoint", "data")
        cli.print_json({"models": [{name: getattr(card, name) for name in fields} for card in cards]})
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(header_style="bold")
    for column in ("name", "task", "what it does", "licence"):
        table.add_column(column)
    for card in cards:
        table.add_row(card.name, card.task, card.summary, card.licence)
    Console().print(table)
