"""Source -> Example -> Batch -> Output -> Result -> Artifact, composed: what each command does with any task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import length_hint
from pathlib import Path
from typing import Any

import torch

from . import checkpoint, engines, registry, runtime
from .errors import UserError
from .export import folder as graphs
from .files import made
from .options import NONE
from .progress import bar, fetching
from .report import Report, describe, report
from .sources import cache_folder
from .task import Failure, Split, Task

ELSEWHERE = "Give --output elsewhere."


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a command was asked for, whatever the model. `output` is where files for people go."""

    name: str
    checkpoint: str | None = None
    data: str | None = None
    engine: str = "auto"
    quantize: str = NONE
    device: str = "auto"
    threads: int | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    output: Path | None = None
    console: Any = None
    """A rich console for progress and notices; None is quiet."""

    @property
    def folder(self) -> Path:
        """The folder for artifacts, made when asked for. UserError where it cannot be written."""
        folder = self.output or Path("outputs") / self.name
        return made(folder, ELSEWHERE)

    def target(self, task: Task) -> Path:
        """Where `task` renders to: the folder, or the one file that --output names."""
        if self.output is not None and self.output.suffix in task.output_suffixes:
            made(self.output.parent, ELSEWHERE)
            return self.output
        return self.folder


# -- the middle of every command ------------------------------------------------------------------------------------


def prepare(
    request: Request, choose: Callable[[type[Task]], str | None] = lambda task: None
) -> tuple[Task, torch.device]:
    """The task with its weights, on its device, threads set, ready to predict; `choose` names the checkpoint where the
    request does not."""
    threads = runtime.set_threads(request.threads, cache_folder())
    device = runtime.pick_device(request.device)
    with fetching(request.console):
        kind = registry.card(request.name).load_task()
        task, told = engines.load(
            kind, request.checkpoint or choose(kind), settings=request.settings, engine=request.engine,
            quantize=request.quantize, device=device, threads=threads,
        )  # fmt: skip
    for notice in (*task.origin.notices, *told):
        say(request.console, notice)
    return task, device


# -- commands -------------------------------------------------------------------------------------------------------


def run(request: Request, inputs: Sequence[Any], options: Any, *, interactive: bool = True) -> Report:
    """Predict for `inputs`; without any, for the model's held-out sample, and score it.

    interactive: a model that can talk with a person (a chat) may do so instead.
    """
    task, device = prepare(request, lambda kind: kind.default_checkpoint(inputs, options))
    inputs = task.inputs(inputs, options)
    written = bool(inputs) and request.output is not None  # what goes into files is not talked about
    live = task.live(inputs, options) if interactive and not written else None
    if live is not None:
        live(request.console)
        return report("run", task, device)
    if inputs:
        return _predict("run", request, task, device, examples=task.read(inputs, options), options=options)
    with fetching(request.console):
        split = task.sample(request.data)
    return _predict("run", request, task, device, examples=split.examples, options=options, split=split)


def evaluate(request: Request, options: Any) -> Report:
    """Score the held-out part of the data."""
    task, device = prepare(request)
    with fetching(request.console):
        split = task.to_score(request.data, options)
    return _predict("evaluate", request, task, device, examples=split.examples, options=options, split=split)


def export(request: Request, options: Any) -> Report:
    """Write the model in a format that other programs read, into a folder that appears whole or not at all."""
    engines.need_weights(request.checkpoint)
    task, device = prepare(request)
    folder = request.output or Path("exported") / f"{request.name}-{options.format}"
    if folder.exists() and not (folder / checkpoint.MANIFEST).is_file() and (folder.is_file() or any(folder.iterdir())):
        raise UserError(f"{folder} holds something else already.", "Give --output a new folder.")
    notices: list[str] = []
    make = task.export if options.format not in graphs.FORMATS else partial(graphs.write, task)
    checkpoint.write(folder, lambda fresh: notices.extend(make(fresh, options)))
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    shown = f"{request.name} as {options.format}: {folder}"
    return report("export", task, device, artifacts=files, notices=notices, shown=shown)


def _predict(
    command: str,
    request: Request,
    task: Task,
    device: torch.device,
    *,
    examples: Sequence[Any],
    options: Any,
    split: Split | None = None,
) -> Report:
    failures: list[Failure] = []
    with bar(request.console, "predicting", length_hint(examples)) as tick:
        if command == "evaluate" and split is not None:
            results, summary = task.assess(split, options, failures=failures, tick=tick)
        else:
            results = list(task.infer(examples, options, failures=failures, tick=tick))
            summary = task.summarise(results)
    if not results and failures:
        raise UserError(
            failures[0].error, f"None of {len(failures)} inputs could be used." if len(failures) > 1 else ""
        )
    artifacts = task.render(results, request.target(task), options) + (
        task.picture_training(results, request.folder) if command == "evaluate" else []
    )
    notices = [f"{failure.error}" for failure in failures]
    extra: dict[str, Any] = {"baselines": summary.baselines} if summary.baselines else {}
    if split is None:
        notices += [f"{result.id}: {notice}" for result in results for notice in result.notices]
    return report(
        command,
        task,
        device,
        data=describe(split) if split else None,
        metrics=summary.metrics,
        results=results if command == "run" else (),
        failures=failures,
        artifacts=artifacts,
        notices=notices,
        extra={**extra, **(summary.details if command == "evaluate" else {}), **summary.conduct},
        shown=task.table(results, summary),
    )


# -- what people see while waiting ------------------------------------------------------------------------------------


def say(console: Any, text: str) -> None:
    if console is not None:
        console.print(text, highlight=False, markup=False)
