"""tsuite plan NAME: how much memory, and whether it fits."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable
from typing import Any

import typer

from ..core.options import flag
from ..core.registry import Card
from . import options as cli

COVERED = {"batch", "batch_size", "accumulate", "precision", "weights", "length", "method"}
"""Options of models that have a flag of the plan's own."""

DEVICE = cli.parameter("device", str, "here", "a board (orin-nano-8gb, orin-nx-16gb, agx-orin-64gb, thor …), or here")
COMMAND = cli.parameter(
    "command", str, "finetune", "what is planned: finetune, which takes more memory, or run (finetune|run)"
)
METHOD = cli.parameter("method", str, "", "how it learns: full, lora, qlora … (nothing: as finetune does)")
BATCH = cli.parameter("batch", int, 0, "examples in one step or forward pass (0: as usual)")
ACCUMULATE = cli.parameter("accumulate", int, 1, "parts in which a batch is learnt from")
LENGTH = cli.parameter("length", int, 0, "of one example: tokens, steps, seconds (0: as usual)")
PRECISION = cli.parameter("precision", str, "", "of the arithmetic, as the model's own option says it")


def command(card: Card) -> Callable[..., Any]:
    """The command for one model."""
    own = _own(card)
    names = [item.name for item in own]

    def plan(*, device: str, command: str, as_json: bool, settings: list[str], **given: Any) -> None:
        from ..core.errors import UserError, near
        from ..core.plan.plan import Setting
        from ..core.plan.report import UNFIT, make_plan

        if command not in ("finetune", "run"):
            raise UserError(f"--command cannot be {command!r}.", near(command, ["finetune", "run"]))
        options = {name: value for name in names if (value := given.pop(name)) is not None}
        setting = Setting(command=command, options=options, settings=cli.parse_settings(settings), **given)
        report, fits = make_plan(card, setting, device)
        cli.show(report, as_json=as_json)
        if not fits:
            raise SystemExit(UNFIT)

    work = [DEVICE, COMMAND, METHOD, BATCH, ACCUMULATE, LENGTH, PRECISION, cli.QUANTIZE]
    common = [*work, cli.CHECKPOINT, cli.SETTINGS, cli.JSON]
    help = f"""How much memory {card.name} takes, by kind, and whether it fits a board; the nearest setting that does.

    Rehearses a step of the real work without memory: no data are read, and of a hub only config.json.
    Exit code 3: it does not fit.

    Examples:

      tsuite plan {card.name} --device orin-nano-8gb

      tsuite plan {card.name} --device orin-nx-16gb --method lora --batch 2 --length 1024

      tsuite plan {card.name} --command run --device here --json"""
    return cli.make(plan, [*common, *own], help=help)


def _own(card: Card) -> list[inspect.Parameter]:
    """A flag for each further option of the model's finetune and run, without a default of its own."""
    found: dict[str, inspect.Parameter] = {}
    for verb, place in (("finetune", card.train_options), ("run", card.run_options)):
        cls = card.attribute(place)
        hints = typing.get_type_hints(cls)
        for item in dataclasses.fields(cls):
            if item.name in COVERED or item.name in found or item.name in ("command", "device", "checkpoint"):
                continue
            words = () if hints[item.name] is bool else (flag(item.name),)
            help = f"{item.metadata.get('help', '')} (as usual: {item.default!r})"
            option = typer.Option(None, *words, help=help, rich_help_panel=f"{card.name}, {verb}", show_default=False)
            hint = hints[item.name] if hints[item.name] in (bool, int, float) else str
            found[item.name] = inspect.Parameter(
                item.name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=hint | None
            )
    return list(found.values())
