"""tsuite bench NAME: how fast the forward pass is here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.registry import Card
from . import options as cli

BATCHES = cli.parameter("batch", list[int], [1, 16], "inputs in one forward pass; give it several times")
SECONDS = cli.parameter("seconds", float, 3.0, "seconds of measuring for each batch size")


def command(card: Card) -> Callable[..., Any]:
    """The command for one model."""

    def bench(*, batch: list[int], seconds: float, as_json: bool, **given: Any) -> None:
        from ..core import flow
        from ..core.errors import UserError

        if any(size < 1 for size in batch) or seconds <= 0:
            raise UserError("--batch and --seconds must be above zero.")
        cli.show(flow.bench(cli.request(card, **given), batch_sizes=batch, seconds=seconds), as_json=as_json)

    common = [cli.CHECKPOINT, cli.ENGINE, BATCHES, SECONDS, cli.DEVICE, cli.THREADS, cli.SETTINGS, cli.JSON]
    help = f"""Latency, throughput and memory of {card.name} on this machine.

    Examples:

      tsuite bench {card.name}

      tsuite bench {card.name} --batch 1 --batch 64 --threads 1 --json"""
    return cli.make(bench, common, help=help)
