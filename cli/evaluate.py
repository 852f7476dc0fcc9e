"""tsuite evaluate NAME: score a checkpoint on held-out data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.registry import Card
from . import options as cli


def command(card: Card) -> Callable[..., Any]:
    """The command for one model, with the model's own options."""

    def evaluate(*, as_json: bool, options: Any, **given: Any) -> None:
        from ..core import flow

        report = flow.evaluate(cli.request(card, **given), options)
        cli.show(report, as_json=as_json)
        if report.failures:
            raise SystemExit(2)

    about = f"Score a checkpoint of {card.name} on the held-out part of its data (or of --data)."
    help = f"{about}\n\n{cli.examples(card, 'evaluate', ['', f'--data {card.data} --json'])}"
    options = card.attribute(card.evaluate_options or card.run_options)
    return cli.make(evaluate, cli.PREDICTING, help=help, options=options, panel=card.name)
