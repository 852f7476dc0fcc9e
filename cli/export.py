"""tsuite export NAME: the model in a format that other programs read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.options import ExportOptions
from ..core.registry import Card
from . import options as cli


def command(card: Card) -> Callable[..., Any]:
    """The command for one model, with the formats that the model has."""
    kind = card.attribute(card.export_options) if card.export_options else ExportOptions

    def export(*, as_json: bool, options: Any, **given: Any) -> None:
        from ..core import flow

        cli.show(flow.export(cli.request(card, **given), options), as_json=as_json)

    common = [cli.CHECKPOINT, cli.DEVICE, cli.THREADS, cli.OUTPUT, cli.JSON]
    help = f"""Write {card.name} in a format that other programs read, into --output (default: exported/NAME-FORMAT).

    Examples:

      tsuite export {card.name}

      tsuite export {card.name} --format onnx --output exported/

      tsuite run {card.name} --checkpoint exported/"""
    return cli.make(export, common, help=help, options=kind, panel=card.name)
