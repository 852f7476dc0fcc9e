"""The typer application, put together from the verbs' files and the models' cards.

Verbs over models (`run`, `finetune` …) get one subcommand for each model; only the one that was asked for is built in
full, from the model's option dataclass, so that help is quick and adding a model changes nothing here. A card may add
commands of its own (`"data record" = "record:main"`).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import typer

from ..core import registry
from ..core.errors import UserError
from .guard import guarded, is_debug, report_error

MODEL_VERBS = {
    "run": "Predict: on inputs, or on the model's held-out sample.",
    "finetune": "Train, from scratch or from a checkpoint; continue with --resume.",
    "evaluate": "Score a checkpoint on held-out data.",
    "export": "Write a model in a format that other programs read.",
    "plan": "How much memory it takes, and whether it fits a board.",
    "bench": "Measure latency, throughput and memory.",
    "info": "What a model is: sizes, checkpoints, data, options.",
}
PLAIN_VERBS = {
    "list": "The models there are.",
    "doctor": "What runs on this machine: versions, memory, real kernels.",
}
NEGATIVE = re.compile(r"-(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
GROUPS = {"data": "Data sets: list, fetch, info, record."}


def start(arguments: list[str] | None = None) -> None:
    """Run the command line on `arguments` (default: those of the process). Ends the process by SystemExit."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        app = build(arguments)
    except Exception as error:
        report_error(error, as_json="--json" in arguments, debug=is_debug(arguments))
        raise SystemExit(2) from None
    told = [_number(item) for item in arguments if item != "--debug"]
    if "--json" not in arguments:
        app(args=told, prog_name="tsuite")
    try:  # typer would tell a wrong flag to people alone
        code = app(args=told, prog_name="tsuite", standalone_mode=False)
    except Exception as error:
        if is_debug(arguments) or not hasattr(error, "format_message"):
            raise
        wrong = UserError(error.format_message().rstrip(".") + ".", "See --help.")  # type: ignore[attr-defined]
        code = report_error(wrong, as_json=True, debug=False)
    raise SystemExit(code or 0)


def _number(word: str) -> str:
    """A negative number with a space before it, which does not change it: so that it is not taken for an option."""
    return f" {word}" if NEGATIVE.fullmatch(word) else word


def build(arguments: list[str]) -> typer.Typer:
    """The application, with in full what `arguments` ask for. UserError for a model that does not exist."""
    words = [item for item in arguments if not item.startswith("-")]
    verb, name = (*words, "", "")[:2]
    app = typer.Typer(
        help=_HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich"
    )
    app.callback(invoke_without_command=True)(_root)
    for known, help in MODEL_VERBS.items():
        app.add_typer(_over_models(known, help, name if known == verb else ""), name=known)
    for known, help in PLAIN_VERBS.items():
        app.command(known, help=None if known == verb else help)(_command(known, "main", known == verb))
    groups = {known: typer.Typer(help=help, no_args_is_help=True) for known, help in GROUPS.items()}
    for action in ("list", "fetch", "info"):
        groups["data"].command(action)(_command("data", action, verb == "data"))
    for card in registry.cards().values():
        for phrase, place in card.commands.items():
            group, _, action = phrase.partition(" ")
            actions = ", ".join(known.partition(" ")[2] for known in card.commands if known.startswith(f"{group} "))
            groups.setdefault(group, typer.Typer(help=f"Of {card.name}: {actions}.", no_args_is_help=True))
            asked = verb == group and name in ("", action)
            groups[group].command(action)(guarded(card.attribute(place)) if asked else _stub)
    for known, group in groups.items():
        app.add_typer(group, name=known)
    return app


def _over_models(verb: str, help: str, name: str) -> typer.Typer:
    """The subcommands of one verb: full for the model `name`, a name and a summary for the others."""
    group = typer.Typer(help=f"{help}\n\nFor a model's own options: tsuite {verb} NAME --help", no_args_is_help=True)
    if name:
        registry.card(name)  # an unknown name is answered with the near ones, before typer sees it
    for card in registry.cards().values():
        function = import_module(f".{verb}", __package__).command(card) if card.name == name else _stub
        group.command(card.name, help=None if card.name == name else card.summary)(function)
    return group


def _command(module: str, function: str, asked: bool) -> Callable[..., Any]:
    return guarded(getattr(import_module(f".{module}", __package__), function)) if asked else _stub


def _stub() -> None:
    """Stands for a command that was not asked for."""


def _root(version: bool = typer.Option(False, "--version", help="Show the version.")) -> None:
    if version:
        from importlib.metadata import version as version_of

        typer.echo(f"tsuite {version_of('tsuite')}")


_HELP = """One Transformer core, many domains: run, fine-tune, evaluate and measure them all the same way.

Examples:

  tsuite list

  tsuite run vision.vit

  tsuite run vision.vit photo.jpg folder/ --json

  tsuite finetune vision.vit --data my_pictures/

Exit codes: 0 done, 2 something you can mend (one sentence says what), 3 a plan that does not fit, 1 a fault of
ours."""
