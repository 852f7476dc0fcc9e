"""tsuite finetune NAME: train, keep the best, continue after an interruption."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..core.registry import Card
from . import options as cli

# The longer spelling is for torchrun, which takes --run for a short form of an option of its own.
RUN = cli.parameter(
    "run", Path | None, None, "folder of this run (default: a new one, runs/NAME-1, -2 …)", "--run", "--run-folder"
)
RESUME = cli.parameter("resume", bool, False, "continue the run in --run, else the newest unfinished one", "--resume")


def command(card: Card) -> Callable[..., Any]:
    """The command for one model, with the model's own options."""

    def finetune(*, run: Path | None, resume: bool, as_json: bool, options: Any, **given: Any) -> None:
        from ..core import finetune as training

        report = training.finetune(cli.request(card, **given), options, run, resume=resume)
        if report is not None:
            cli.show(report, as_json=as_json)

    common = [cli.DATA, cli.CHECKPOINT, RUN, RESUME, cli.DEVICE, cli.THREADS, cli.SETTINGS, cli.JSON]
    about = f"Train {card.name}: from scratch, or from --checkpoint. The best weights are kept in RUN/best."
    usual = ["--epochs 2", "--checkpoint embedded --epochs 1 --lr 0.0001", "--resume"]
    help = f"{about}\n\n{cli.examples(card, 'finetune', usual)}"
    return cli.make(finetune, common, help=help, options=card.attribute(card.train_options), panel=card.name)
