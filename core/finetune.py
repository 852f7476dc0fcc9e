"""`finetune`, composed: data -> task -> training -> best weights -> one look at the held-out part -> report."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import checkpoint, engines, registry, runtime
from .errors import UserError
from .files import made
from .flow import Request, say
from .options import build, flag
from .progress import bar, fetching
from .report import Report, describe, report
from .sources import cache_folder
from .task import Split, Summary, Task
from .train import fit
from .train import folder as run_folder
from .weights import count_parameters

SCORES = ("metrics", "baselines", "details", "before", "compared")
"""Of what a run's card says of the held-out part: the scores; the rest describes the data."""
ELSEWHERE = "Give --run elsewhere."


def finetune(request: Request, options: Any, folder: Path | None, *, resume: bool = False) -> Report | None:
    """Train, keep the best weights, score them once on the held-out part of the data where it has one.

    folder: of the run; None takes a new one below `runs/`, or with `resume` the newest unfinished run there. A run that
    is continued is told what it was told at first. None where several processes train and this is not the first.
    """
    card = registry.card(request.name)
    folder = folder or (_unfinished(request.name) if resume else _new_folder(request.name))
    if resume:
        request, options = _as_before(request, options, folder)
    engines.need_weights(request.checkpoint)
    runtime.set_threads(request.threads, cache_folder())
    if request.device == "cpu":
        os.environ["ACCELERATE_USE_CPU"] = "true"  # accelerate would otherwise take a GPU where there is one
    with fetching(request.console):
        prepared = card.load_task().for_training(
            options, data=request.data, checkpoint=request.checkpoint, settings=request.settings
        )
    task, splits = prepared.task, prepared.splits
    task.network.to(runtime.pick_device(request.device))
    for line in (*task.origin.notices, *prepared.chosen):
        say(request.console, line)
    first = os.environ.get("RANK", "0") == "0" and not (folder / run_folder.CONFIG).is_file()
    if prepared.files is not None and first:
        for path in prepared.files(made(folder, ELSEWHERE)):
            say(request.console, f"Written: {path}")
    config = {
        "name": request.name,
        "data": request.data or card.data,
        "checkpoint": request.checkpoint,
        "settings": dict(request.settings),
        "device": request.device,
        "asked": dataclasses.asdict(options),
    }
    facts = {
        "command": _command(request, options),
        "parameters": count_parameters(task.network),
        "licence": card.licence,
        "chosen": list(prepared.chosen),
        "config": config,
    }
    trained = fit(
        task, splits, prepared.options, folder, resume=resume, card=facts, config=config, console=request.console
    )
    return _after(request, task, prepared.options, splits.test, trained) if os.environ.get("RANK", "0") == "0" else None


def _command(request: Request, options: Any) -> str:
    """What to type to train the same again."""
    words = ["tsuite", "finetune", request.name]
    words += [_typed(name, value) for name in ("data", "checkpoint") if (value := getattr(request, name))]
    words += [
        _typed(item.name, value)
        for item in dataclasses.fields(options)
        if (value := getattr(options, item.name)) != item.default
    ]
    return " ".join([*words, *(_typed("set", f"{key}={value}") for key, value in request.settings.items())])


def _typed(name: str, value: Any) -> str:
    """An option as it is typed."""
    if isinstance(value, bool):
        return flag(name) if value else flag(f"no_{name}")
    return f"{flag(name)} {shlex.quote(str(value))}"


def _new_folder(name: str) -> Path:
    """The first of runs/NAME-1, -2 … that does not exist. Other processes of one launch share the name of the first."""
    shared = os.environ.get("TORCHELASTIC_RUN_ID")
    number = 1
    while (folder := Path("runs") / f"{name}-{number}").exists() and not (shared and _claimed_now(folder)):
        number += 1
    return folder


def _claimed_now(folder: Path) -> bool:
    """Whether a run was begun but nothing was saved yet: by another process of this launch."""
    return not (folder / "checkpoints").exists() and not (folder / run_folder.CARD).exists()


def _unfinished(name: str) -> Path:
    """The newest run of the model below `runs/` that has no card yet."""
    found = [path for path in Path("runs").glob(f"{name}-*") if (path / run_folder.CONFIG).is_file()]
    open_runs = [path for path in found if not (path / run_folder.CARD).is_file()]
    if not open_runs:
        raise UserError(f"There is no unfinished run of {name} in {Path('runs').resolve()}.", "Name one with --run.")
    return max(open_runs, key=lambda path: (path / run_folder.CONFIG).stat().st_mtime)


def _as_before(request: Request, options: Any, folder: Path) -> tuple[Request, Any]:
    """What a continued run was told when it began; UserError for anything that is now asked otherwise."""
    told = run_folder.read_config(folder)
    if told is None:
        raise UserError(f"{folder} holds no run to continue.", "Leave --resume out to begin one.")
    if told.get("name") != request.name:
        raise UserError(f"{folder} is a run of {told.get('name')}, not of {request.name}.")
    for name, now in (("data", request.data), ("checkpoint", request.checkpoint), ("settings", dict(request.settings))):
        if now and now != told[name]:
            word = "--set" if name == "settings" else flag(name)
            raise UserError(f"The run in {folder} began with {word} {told[name]}, not {now}.", "Leave it as it was.")
    asked = told["asked"]
    for item in dataclasses.fields(options):
        now = getattr(options, item.name)
        if now not in (item.default, asked[item.name]) and item.name not in run_folder.HARMLESS:
            raise UserError(
                f"The run in {folder} began with {flag(item.name)} {asked[item.name]}, not {now}.",
                "Leave it as it was, or start a new run with another --run.",
            )
    restored = {"data": told["data"], "checkpoint": told["checkpoint"], "settings": told["settings"]}
    return dataclasses.replace(request, **restored), build(type(options), asked)


def _after(request: Request, task: Task, options: Any, test: Split | None, trained: Any) -> Report:
    """The report on a finished run; the held-out score goes into the run's card, and is computed only once."""
    scored: dict[str, Any] = trained.card.get("test") or {}
    beside: Any = None
    if test is not None and not scored:
        best = type(task).load(str(trained.best))
        best.network.to(runtime.pick_device(request.device)).eval()
        after = _assess(request, best, test, "the result")
        scored = {**describe(test), "metrics": after[1].metrics}
        best.picture_test(after[0], made(trained.folder / "plots", ELSEWHERE))
        if after[1].baselines:
            scored |= {"baselines": after[1].baselines, "details": after[1].details}
            beside = best.table(*after)
        if (before := task.before(options)) is not None:
            before.network.to(runtime.pick_device(request.device)).eval()
            base = _assess(request, before, test, "what it started from")
            scored["before"] = base[1].metrics
            checkpoint.write(
                trained.folder / "report", lambda place: scored.update(compared=best.compare(base, after, place))
            )
        run_folder.write_card(trained.folder, {**trained.card, "test": scored})
    files = [path for name in ("plots", "report") for path in sorted((trained.folder / name).glob("*"))]
    return report(
        "finetune",
        task,
        next(task.network.parameters()).device,
        data={key: value for key, value in scored.items() if key not in SCORES} or None,
        metrics=scored.get("metrics") or trained.metrics,
        artifacts=[trained.best, *files],
        extra={
            "run": str(trained.folder),
            "validation": {"loss": trained.loss, **trained.metrics},
            "epochs": trained.epoch,
            "steps": trained.step,
            "training_seconds": trained.seconds,
            "stopped_early": trained.stopped_early,
            **({"baselines": scored["baselines"]} if "baselines" in scored else {}),
            **scored.get("details", {}),
        },
        shown=_training_table(trained, scored, beside),
    )


def _assess(request: Request, task: Task, test: Split, what: str) -> tuple[list[Any], Summary]:
    """The task's results and scores on the held-out examples."""
    count = len(test.examples)
    with bar(request.console, f"scoring {what} on {count:,} held-out examples", count) as tick:
        return task.assess(test, (task.evaluate_options or task.run_options)(), tick=tick)


def _training_table(trained: Any, scored: Mapping[str, Any], beside: Any) -> Any:
    """Scores of the best weights; `beside` them a table of what they have to beat."""
    from rich.console import Group
    from rich.table import Table

    shown = Table(
        title=f"{trained.folder}: best after epoch {trained.epoch}", title_justify="left", header_style="bold"
    )
    shown.add_column("")
    shown.add_column("validation", justify="right")
    columns: list[Mapping[str, Any]] = [{"loss": trained.loss, **trained.metrics}]
    if scored:
        shown.add_column(f"held-out ({scored['n']:,})", justify="right")
        columns.append(scored["metrics"])
    if "before" in scored:
        shown.add_column("held-out, before", justify="right")
        columns.append(scored["before"])
    for name in dict.fromkeys(name for column in columns for name in column):
        values = [column.get(name) for column in columns]
        shown.add_row(name.replace("_", " "), *("" if value is None else f"{value:.4f}" for value in values))
    return shown if beside is None else Group(shown, beside)
