"""tsuite run NAME [INPUTS]: predict."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import typer

from ..core.registry import Card
from . import options as cli

INPUTS = inspect.Parameter(
    "inputs",
    inspect.Parameter.KEYWORD_ONLY,
    default=typer.Argument(None, help="what to predict on; nothing: the held-out sample, scored", show_default=False),
    annotation=list[str] | None,
)


def command(card: Card) -> Callable[..., Any]:
    """The command for one model, with the model's own options."""

    def run(*, inputs: list[str] | None, as_json: bool, options: Any, **given: Any) -> None:
        from ..core import flow

        meant = [item.strip() if item.startswith(" -") else item for item in inputs or []]  # see app._number
        report = flow.run(cli.request(card, **given), meant, options, interactive=not as_json)
        cli.show(report, as_json=as_json)
        if report.failures:
            raise SystemExit(2)

    usual = ["", "--json", "--checkpoint embedded --threads 1 --output out/"]
    help = f"{card.summary}\n\n{cli.examples(card, 'run', usual)}"
    return cli.make(
        run, [INPUTS, *cli.PREDICTING], help=help, options=card.attribute(card.run_options), panel=card.name
    )
