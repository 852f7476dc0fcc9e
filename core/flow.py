"""Source -> Example -> Batch -> Output -> Result -> Artifact, composed: what each command does with any task."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from . import checkpoint, engines, registry, runtime
from .errors import UserError
from .export import folder as graphs
from .files import made
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
    exported = engines.check(request.engine, request.checkpoint)
    with fetching(request.console):
        kind = registry.card(request.name).load_task()
        task = kind.load(request.checkpoint or choose(kind), settings=request.settings)
    told: Sequence[str] = ()
    if exported is None:
        task.network.to(device)
    else:
        told = engines.use(task, str(request.checkpoint), exported, request.engine, device=str(device), threads=threads)
    task.network.eval()
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
    with bar(request.console, "predicting", len(examples)) as tick:
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


def bench(request: Request, *, batch_sizes: Sequence[int], seconds: float) -> Report:
    """Latency and throughput of the forward pass for each batch size, `seconds` of measuring each."""
    task, device = prepare(request)
    rows = []
    for size in batch_sizes:
        batch = task.example_batch(size).to(device)
        times = _times(lambda batch=batch: task.predict(batch, task.run_options()), device, seconds)
        rows.append(
            {
                "batch": size,
                "latency_ms": {name: round(1e3 * _quantile(times, share), 3) for name, share in _QUANTILES.items()},
                "throughput_per_second": round(size / statistics.median(times), 2),
                "runs": len(times),
            }
        )
    return report("bench", task, device, extra={"bench": rows}, shown=_bench_table(request.name, rows))


_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@torch.inference_mode()
def _times(work: Callable[[], Any], device: torch.device, seconds: float) -> list[float]:
    """Seconds of each call of `work`, after warming up, until `seconds` have passed and at least five calls."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    for _ in range(2):
        work()
    wait()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        wait()
        times.append(time.perf_counter() - start)
    return times


def _quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def _bench_table(name: str, rows: Sequence[Mapping[str, Any]]) -> Any:
    from rich.table import Table

    shown = Table(title=f"{name}, forward pass", title_justify="left", header_style="bold")
    for column in ("batch", "p50 ms", "p95 ms", "p99 ms", "per second"):
        shown.add_column(column, justify="right")
    for row in rows:
        latency = [f"{value:.2f}" for value in row["latency_ms"].values()]
        shown.add_row(str(row["batch"]), *latency, f"{row['throughput_per_second']:.1f}")
    return shown


# -- what people see while waiting ------------------------------------------------------------------------------------


def say(console: Any, text: str) -> None:
    if console is not None:
        console.print(text, highlight=False, markup=False)
