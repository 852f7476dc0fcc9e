"""Commands of this model's own."""

from __future__ import annotations

import typer
from tsuite.core.errors import UserError


def spell(
    word: str = typer.Argument(help="what to spell"), slowly: bool = typer.Option(False, help="with dots")
) -> None:
    """Spell a word."""
    if not word.isalpha():
        raise UserError(f"{word!r} is no word.", "Give letters.")
    typer.echo(("..." if slowly else " ").join(word))


def letters() -> None:
    """The letters there are."""
    typer.echo("a to z")
