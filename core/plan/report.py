"""A plan for people and for machines."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from ..registry import Card
from ..report import Report
from ..task import Origin
from .machine import Machine, machine_called
from .plan import Plan, Setting, nearest, plan

UNFIT = 3
"""The exit code of a plan that does not fit."""
TRAINING = (f"{__name__.rpartition('.plan.')[0]}.finetune", "matplotlib.pyplot", "tensorboardX", "torch._dynamo")
"""What a training imports sooner or later, directly or by others."""
MEANING = {
    "runtime": "Python, torch and what they load",
    "weights": "parameters and buffers",
    "gradients": "those that are there at the peak",
    "optimiser": "AdamW's two moments of each parameter that learns",
    "activations": "what is kept for the backward pass, and what is at work",
    "logits": "scores over the vocabulary or the classes",
    "cache": "keys and values of the text so far",
    "batch": "the examples",
    "loading": "a checkpoint that is read and cast",
    "heap": "freed blocks that glibc cannot use again",
    "headroom": "kept free",
}


def make_plan(card: Card, setting: Setting, device: str) -> tuple[Report, bool]:
    """The report on a setting for the machine called `device`, and whether it fits.

    Raises UserError for an unknown device (all are listed) and for what the model cannot do.
    """
    machine_called(device)  # an unknown name is told before anything is loaded
    prepare(card, setting)
    machine = machine_called(device)  # its runtime is as large as this process is now
    first = plan(card, setting, machine)
    better = None if first.fits else nearest(first, lambda other: plan(card, other, machine))
    notices = [*first.blueprint.notices, *machine.assumed]
    extra = {
        "machine": machine.to_json(),
        **first.to_json(),
        "nearest": better.to_json() if better else None,
        "try": words(card, better, machine) if better else "",
    }
    report = Report(
        command="plan", name=card.name, device=machine.name, threads=1,
        checkpoint=Origin(source=setting.checkpoint or "", parameters=first.parameters),
        notices=notices, extra=extra, shown=_shown(card, first, better),
    )  # fmt: skip
    return report, first.fits


def prepare(card: Card, setting: Setting) -> None:
    """Import what the command would import, so that this process is as large as that one before its work."""
    card.load_task()
    card.attribute(card.run_options if setting.command == "run" else card.train_options)
    if setting.command == "run":
        return
    for name in TRAINING:
        with contextlib.suppress(ImportError):
            import_module(name)
    from accelerate import Accelerator

    Accelerator(cpu=True)  # what it imports itself comes with the first


def words(card: Card, found: Plan, machine: Machine) -> str:
    """What to type to plan the setting that fits."""
    chosen = found.chosen
    typed = [f"tsuite plan {card.name} --device {machine.name} --command {chosen.pop('command')}"]
    if found.setting.checkpoint:
        typed.append(f"--checkpoint {found.setting.checkpoint}")
    typed += [f"--set {name}={value}" for name, value in found.setting.settings.items()]
    for name, value in chosen.items():
        flag = f"--{name.replace('_', '-')}"
        typed.append(flag if value is True else f"--no-{flag[2:]}" if value is False else f"{flag} {value}")
    return " ".join(typed)


def _shown(card: Card, first: Plan, better: Plan | None) -> Any:
    from rich.console import Group

    lines: list[Any] = [_table(card, first), _verdict(first)]
    if better is not None:
        lines += ["The nearest setting that does:", _table(card, better), words(card, better, first.machine)]
    elif first.loading > first.machine.room:
        lines.append(f"Reading the weights alone takes {first.loading / 1e6:,.0f} MB: try a smaller model.")
    elif not first.fits:
        lines.append("No batch, precision, length or method of this model does.")
    return Group(*lines)


def _table(card: Card, found: Plan) -> Any:
    from rich.table import Table

    title = f"{card.name}, {_in_words(found.chosen)}; {found.learning:,} of {found.parameters:,} parameters learn"
    if found.setting.command == "run":
        title = f"{card.name}, {_in_words(found.chosen)}; {found.parameters:,} parameters"
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("memory")
    table.add_column("MB", justify="right")
    table.add_column("for")
    rows = {"runtime": found.machine.runtime, **found.memory}
    for kind, size in rows.items():
        table.add_row(kind, f"{size / 1e6:,.0f}", MEANING[kind])
    table.add_section()
    table.add_row("in all", f"{found.needed / 1e6:,.0f}", "at the peak")
    table.add_row("headroom", f"{found.machine.headroom / 1e6:,.0f}", MEANING["headroom"])
    table.add_row("usable", f"{found.machine.usable / 1e6:,.0f}", found.machine.label)
    return table


def _in_words(chosen: Mapping[str, Any]) -> str:
    return ", ".join(str(value) if name == "command" else f"{name} {value}" for name, value in chosen.items())


def _verdict(found: Plan) -> str:
    left = found.machine.room - found.work
    if found.fits:
        return f"[green]It fits[/] {found.machine.label}, with {left / 1e6:,.0f} MB to spare beside the headroom."
    return f"[red]It does not fit[/] {found.machine.label}: {-left / 1e6:,.0f} MB too much."
