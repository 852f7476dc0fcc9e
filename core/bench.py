"""How fast a model is on this machine: latency, throughput, memory and energy; engines and precisions side by side.

Several ways to run a model are measured one after the other, each in a process of its own, so that none has the memory
or the threads of another. For an engine that runs graphs the model is exported first, into a folder that is deleted.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from . import engines, runtime
from .errors import UserError
from .export.folder import exported
from .flow import Request, prepare
from .jetson.sensors import Sensors
from .progress import bar
from .quantize import NONE
from .report import Report, report
from .task import Origin, Task

QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to run a model."""

    engine: str
    quantize: str


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """What is measured: inputs in one forward pass, each size in turn, for so many seconds."""

    batches: Sequence[int] = (1, 16)
    seconds: float = 3.0


def bench(request: Request, ways: Sequence[Way], how: Measuring) -> Report:
    """A row for each way, piece of work and batch size."""
    usual = "torch" if exported(request.checkpoint) is None else "onnxruntime"
    ways = [replace(way, engine=usual) if way.engine == "auto" else way for way in ways]
    if len(ways) > 1 or (ways[0].engine in engines.GRAPHS and exported(request.checkpoint) is None):
        return _compare(request, ways, how)
    (way,) = ways
    task, device = prepare(replace(request, engine=way.engine, quantize=way.quantize))
    rows = [{**asdict(way), **row} for size in how.batches for row in measure(task, size, device, how.seconds)]
    return report("bench", task, device, extra={"bench": rows}, shown=_tables(request.name, rows))


def measure(task: Task, size: int, device: torch.device, seconds: float) -> Iterator[dict[str, Any]]:
    """What each piece of the task's work takes, `size` inputs at a time: latencies of one call in ms, peak memory in MB
    (10^6 bytes) since the measuring began, joules for an item where the board has sensors."""
    for work in task.workloads(size):
        runtime.forget_peak(device)
        sensors = Sensors.here()
        with sensors.meter() as meter:
            times = _times(work.run, device, seconds)
        row: dict[str, Any] = {
            "work": work.name, "unit": work.unit, "batch": size, "runs": len(times),
            "latency_ms": {name: round(1e3 * _quantile(times, share), 3) for name, share in QUANTILES.items()},
            "throughput_per_second": round(work.items / statistics.median(times), 2),
            "peak_memory_mb": round(runtime.peak_memory_mb(), 1),
            "gpu_memory_mb": runtime.peak_gpu_memory_mb(device),
            "energy_j_per_item": None, "watts": meter.watts,
            "hottest_celsius": meter.hottest, "throttled": sorted(meter.throttled),
        }  # fmt: skip
        if meter.watts is not None:
            row["energy_j_per_item"] = meter.watts * statistics.fmean(times) / work.items
        yield row


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


# -- several ways -----------------------------------------------------------------------------------------------------


def _compare(request: Request, ways: Sequence[Way], how: Measuring) -> Report:
    """The ways in turn; one that cannot be run here is told with the reason."""
    rows: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    head: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="tsuite-bench-") as place, bar(request.console, "ways", len(ways)) as tick:
        for number, way in enumerate(ways):
            found = _apart(request, way, how, Path(place))
            rows += [{**row, **asdict(way)} for row in found.get("bench", [])]
            if "error" in found:
                failed.append({**asdict(way), "error": found["error"]})
            head = head or (found if "error" not in found else {})
            tick(number + 1, len(ways))
    if not head:
        raise UserError(failed[0]["error"], "None of the ways to run it can be measured here.")
    origin = {key: value for key, value in head["checkpoint"].items() if key != "parameters"}
    return Report(
        command="bench", name=request.name, device=head["device"], threads=head["threads"],
        checkpoint=Origin(**origin, parameters=head["checkpoint"]["parameters"]),
        notices=[f"{one['engine']} {_weights(one)}: {one['error']}" for one in failed],
        extra={"bench": rows, "failed": failed}, shown=_tables(request.name, rows),
    )  # fmt: skip


def _apart(request: Request, way: Way, how: Measuring, place: Path) -> dict[str, Any]:
    """What `tsuite bench` says of one way, from a process of its own; `{"error": …}` where it refuses."""
    given = _words(request)
    quantize = way.quantize
    try:
        engines.need(way.engine)
    except UserError as error:
        return {"error": str(error)}
    if way.engine in engines.GRAPHS and exported(request.checkpoint) is None:
        folder = place / quantize
        if not folder.exists():
            made = _tsuite("export", request.name, *given, "--quantize", quantize, "--output", str(folder))
            if "error" in made:
                return made
        given = _words(replace(request, checkpoint=str(folder), settings={}))
        quantize = NONE  # the graphs are narrow already
    batches = [word for size in how.batches for word in ("--batch", str(size))]
    engine = ("--engine", way.engine, "--quantize", quantize)
    return _tsuite("bench", request.name, *given, *engine, *batches, "--seconds", str(how.seconds))


def _words(request: Request) -> list[str]:
    """The request as it is typed."""
    found = ["--device", request.device]
    found += ["--checkpoint", request.checkpoint] if request.checkpoint else []
    found += ["--threads", str(request.threads)] if request.threads else []
    return found + [word for key, value in request.settings.items() for word in ("--set", f"{key}={value}")]


def _tsuite(*words: str) -> dict[str, Any]:
    """The JSON of a command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", __name__.partition(".")[0], *words, "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    try:
        return json.loads(done.stdout)
    except json.JSONDecodeError:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return {"error": f"it ended with exit code {done.returncode}: {last}"}


# -- for people -------------------------------------------------------------------------------------------------------


def _tables(name: str, rows: Sequence[Mapping[str, Any]]) -> Any:
    """A table for each piece of work; beside several ways, how many times the throughput of the first each has."""
    from rich.console import Group

    works = {row["work"]: row["unit"] for row in rows}
    return Group(
        *(_table(f"{name}, {work}", unit, [r for r in rows if r["work"] == work]) for work, unit in works.items())
    )


def _table(title: str, unit: str, rows: Sequence[Mapping[str, Any]]) -> Any:
    from rich.table import Table

    powered = any(row["energy_j_per_item"] is not None for row in rows)
    several = len({(row["engine"], row["quantize"]) for row in rows}) > 1
    shown = Table(title=f"{title}: ms, {unit} a second", title_justify="left", header_style="bold")
    for column in ["way"] * several:
        shown.add_column(column)
    for column in ["batch", *QUANTILES, "a second", "MB"] + ["J each"] * powered + ["times"] * several:
        shown.add_column(column, justify="right")
    first: dict[int, float] = {}
    for row in rows:
        speed = row["throughput_per_second"]
        base = first.setdefault(row["batch"], speed)
        cells = [f"{row['engine']} {_weights(row)}"] if several else []
        cells += [str(row["batch"]), *(f"{value:.2f}" for value in row["latency_ms"].values()), f"{speed:,.1f}"]
        cells.append(f"{row['peak_memory_mb']:,.0f}")
        cells += [f"{row['energy_j_per_item']:.3g}"] if powered else []
        shown.add_row(*cells, *([f"{speed / base:.2f}"] if several else []))
    return shown


def _weights(row: Mapping[str, Any]) -> str:
    return "float32" if row["quantize"] == NONE else row["quantize"]
