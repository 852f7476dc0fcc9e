"""GuacaMol's 20 goals in one table: what drawn molecules reach, what as many training molecules reach, what optimising
reaches, and what was published (Brown et al. 2019, doi 10.1021/acs.jcim.8b00839).

N molecules, G goals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .....core.task import Summary, Tick
from ...guacamol import METHODS, PUBLISHED, goals
from ...parallel import spread
from ...properties import CAVEAT
from ...smiles import canonical
from ..optimising.pursuit import settings_of, training_molecules
from ..optimising.reinforce import AgentSettings, optimise

if TYPE_CHECKING:
    from ..options import EvaluateOptions
    from ..task import SmilesTask

NOTE = (
    "A result is the benchmark's: the mean of the best 1, 10 and 100 (of some goals the best alone). The published "
    "methods optimised each goal, from molecules of ChEMBL; what is drawn, and training molecules, is not optimised."
)
CHUNK = 200


def _silent(done: int, total: int) -> None:
    """Nobody listens."""


def scores_of(smiles: Sequence[str], *, workers: int = 1, tick: Tick = _silent) -> dict[str, np.ndarray]:
    """Each goal's scores [N] of the distinct molecules among `smiles` (what is no molecule is left out); `tick` hears
    how many of them are done. workers: processes, 0: one for each core."""
    distinct = list(dict.fromkeys(made for one in smiles if (made := canonical(one))))
    names = tuple(goals())
    parts = [np.empty((0, len(names)))]
    done = 0
    for part in spread(partial(_scored, names=names), distinct, workers=workers, chunk=CHUNK):
        parts.append(part)
        done += len(part)
        tick(done, len(distinct))
    found = np.concatenate(parts)
    return {name: found[:, column] for column, name in enumerate(names)}


def _scored(smiles: Sequence[str], *, names: Sequence[str]) -> np.ndarray:
    """Scores [N, G] of a chunk; runs in a worker."""
    return np.asarray([[goals()[name].score(one) for name in names] for one in smiles])


def results_of(scores: Mapping[str, Sequence[float] | np.ndarray]) -> dict[str, float]:
    """What each goal's scores amount to."""
    return {name: goals()[name].result(list(map(float, values))) for name, values in scores.items()}


def guacamol(
    task: SmilesTask,
    drawn: Sequence[str],
    *,
    oracle_calls: int = 0,
    settings: AgentSettings | None = None,
    workers: int = 0,
    tick: Tick = _silent,
) -> dict[str, Any]:
    """Rows of all goals as plain data: `drawn` molecules as they are, as many random training molecules (None where
    they cannot be had), each goal optimised with `oracle_calls` calls (0: not at all), and the published methods."""
    training, notes = training_molecules(task, len(drawn))
    stages = [len(drawn), len(training), oracle_calls * len(goals())]
    total = sum(stages)
    columns = {"drawn": results_of(scores_of(drawn, workers=workers, tick=lambda done, _: tick(done, total)))}
    if training:
        found = scores_of(training, workers=workers, tick=lambda done, _: tick(stages[0] + done, total))
        columns["training"] = results_of(found)
    if oracle_calls:
        columns["optimised"] = {}
        before = stages[0] + stages[1]
        for number, (name, goal) in enumerate(goals().items()):
            offset = before + number * oracle_calls
            made = optimise(
                task, goal.score, oracle_calls=oracle_calls, settings=settings,
                tick=lambda done, _, offset=offset: tick(offset + done, total),
            )  # fmt: skip
            columns["optimised"][name] = goal.result(made.scores)
            notes += [f"{name}: {made.stopped}"] if made.stopped else []
    return {
        "n": len(drawn), "oracle_calls": oracle_calls, "rows": _rows(columns), "notes": [NOTE, *notes, CAVEAT],
    }  # fmt: skip


def _rows(columns: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """A row for each goal and one for their sum."""
    rows: list[dict[str, Any]] = []
    for name in goals():
        own = {column: values[name] for column, values in columns.items()}
        rows.append({"goal": name, **own, **dict(zip(METHODS, PUBLISHED[name], strict=True))})
    names = [name for name in rows[0] if name != "goal"]
    return [*rows, {"goal": "total", **{name: sum(row[name] for row in rows) for name in names}}]


def with_guacamol(
    summary: Summary, task: SmilesTask, drawn: Sequence[str], options: EvaluateOptions, *, tick: Tick
) -> Summary:
    """A summary with the goals under `details` and their sums among the metrics; `drawn`: what is no molecule, too."""
    told = guacamol(
        task, drawn, oracle_calls=options.oracle_calls, settings=settings_of(options), workers=options.workers,
        tick=tick,
    )  # fmt: skip
    total = told["rows"][-1]
    metrics = {f"guacamol_{name}": float(total[name]) for name in ("drawn", "optimised") if name in total}
    baselines = {**summary.baselines}
    if "training" in total:
        baselines["training molecules"] = {"guacamol_drawn": float(total["training"])}
    return replace(
        summary, metrics={**summary.metrics, **metrics}, baselines=baselines,
        details={**summary.details, "guacamol": told},
    )  # fmt: skip


def guacamol_table(told: Mapping[str, Any]) -> Any:
    """The rows for a terminal."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=f"GuacaMol's goals, n = {told['n']:,}", title_justify="left", header_style="bold")
    names = list(told["rows"][0])
    heads = {"drawn": f"{told['n']:,} drawn", "training": f"{told['n']:,} training molecules",
             "optimised": f"optimised, {told['oracle_calls']:,} calls each"}  # fmt: skip
    for name in names:
        shown.add_column(
            str(heads.get(name, name)), justify="left" if name == "goal" else "right",
            style="bold" if name in ("drawn", "optimised") else "", no_wrap=name == "goal",
        )  # fmt: skip
    for row in told["rows"]:
        if row["goal"] == "total":
            shown.add_section()
        shown.add_row(*(row[name] if name == "goal" else f"{row[name]:.3f}" for name in names))
    return Group(shown, *(Text(note, style="dim") for note in told["notes"]))
