"""tsuite bench NAME: how fast it is here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.registry import Card
from . import options as cli

BATCHES = cli.parameter("batch", list[int], [1, 16], "inputs in one forward pass; give it several times")
SECONDS = cli.parameter("seconds", float, 3.0, "seconds of measuring for each batch size")
EVERY = "all"
ENGINE = cli.parameter(
    "engine", list[str], ["auto"], "what runs it: torch, onnxruntime, tensorrt; give it several times, or all"
)
QUANTIZE = cli.parameter("quantize", list[str], ["none"], "weights: none, int8, int4; give it several times, or all")


def command(card: Card) -> Callable[..., Any]:
    """The command for one model."""

    def bench(
        *, engine: list[str], quantize: list[str], batch: list[int], seconds: float, as_json: bool, **given: Any
    ) -> None:
        from ..core.bench import Measuring, Way
        from ..core.bench import bench as measured
        from ..core.engines import ENGINES
        from ..core.errors import UserError, near
        from ..core.quantize import KINDS, NONE

        if any(size < 1 for size in batch) or seconds <= 0:
            raise UserError("--batch and --seconds must be above zero.")
        chosen = []
        for flag, words, known in (("--engine", engine, ENGINES), ("--quantize", quantize, (NONE, *KINDS))):
            for word in words:
                if word not in (*known, EVERY):
                    raise UserError(f"{flag} cannot be {word!r}.", near(word, (*known, EVERY)))
            chosen.append([one for one in known if one != "auto"] if EVERY in words else list(dict.fromkeys(words)))
        ways = [Way(engine=one, quantize=kind) for one in chosen[0] for kind in chosen[1]]
        report = measured(cli.request(card, **given), ways, Measuring(batches=batch, seconds=seconds))
        cli.show(report, as_json=as_json)

    common = [cli.CHECKPOINT, ENGINE, QUANTIZE, BATCHES, SECONDS, cli.DEVICE, cli.THREADS, cli.SETTINGS, cli.JSON]
    help = f"""Latency, throughput, memory and, where the board has sensors, energy of {card.name} on this machine.

    Engines and weights are compared in one run, each in a process of its own; what an engine needs is exported first.

    Examples:

      tsuite bench {card.name}

      tsuite bench {card.name} --batch 1 --batch 64 --threads 1 --json

      tsuite bench {card.name} --engine torch --engine onnxruntime --quantize all --batch 1"""
    return cli.make(bench, common, help=help)
