"""`run --optimise`: from options to an optimisation, and from what it found to results, numbers and files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .....core import checkpoint
from .....core.errors import UserError
from .....core.task import Example, Result, Summary, Tick
from ...draw import grid
from ...files import write_csv, write_sdf
from ...molecule import Molecule
from ...properties import CAVEAT, PROPERTIES, properties
from ..show import MOST_IN_GRID
from .counted import Judged, progress_of, top
from .oracles import Composite, parse_goals
from .picture import draw_progress
from .reinforce import AgentSettings, Optimised, optimise

if TYPE_CHECKING:
    from ..options import RunOptions
    from ..task import SmilesTask

POINTS = 100
"""Of the curve over oracle calls in JSON."""
IN_SDF = 1000
"""Molecules in the structure file, the best."""
NAMED = 5
"""Failures that are told one by one."""


@dataclass(frozen=True, kw_only=True)
class Pursuit(Example):
    """One oracle call that may be made; a run has as many of them as its budget."""


@dataclass(frozen=True, kw_only=True)
class Optimal(Result):
    """A molecule that was scored, as oracle call number `call`: its score, that of each part by its column, and its
    computed properties; `novel`: not learnt from (None: not known); `failed`: why it has no score."""

    smiles: str
    call: int
    score: float
    parts: Mapping[str, float] = field(default_factory=dict)
    properties: Mapping[str, float] = field(default_factory=dict)
    novel: bool | None = None
    failed: str = ""

    @property
    def told(self) -> dict[str, float]:
        """Score, its parts where there are several, and properties: the columns of a file."""
        parts = dict(self.parts) if len(self.parts) > 1 else {}
        return {"score": self.score, **parts, **self.properties}


@dataclass(frozen=True, kw_only=True)
class Pursued:
    """An optimisation with what it was asked for."""

    found: Optimised
    oracle: Composite
    options: RunOptions
    notices: tuple[str, ...] = ()

    @property
    def notes(self) -> list[str]:
        """What to be aware of, in sentences."""
        failures = self.found.failures
        told = [f"No score for {one.smiles}: {one.failed}; it counts 0." for one in failures[:NAMED]]
        if len(failures) > NAMED:
            told.append(f"… and for {len(failures) - NAMED:,} more molecules.")
        return [*self.notices, *([self.found.stopped] if self.found.stopped else []), *told]


def begin(options: RunOptions, given: Sequence[Any]) -> list[Pursuit]:
    """The examples of a run that optimises. UserError for what does not go together, before anything is drawn."""
    if given:
        raise UserError(f"--optimise draws molecules of its own: {given[0]} cannot be given beside it.",
                        "To stay near a molecule: --optimise qed,similar:SMILES")  # fmt: skip
    parse_goals(options.optimise)
    if options.save_agent and Path(options.save_agent).exists():
        folder = Path(options.save_agent)
        if folder.is_file() or (any(folder.iterdir()) and not (folder / checkpoint.MANIFEST).is_file()):
            raise UserError(f"{folder} holds something else already.", "Give --save-agent a new folder.")
    return [Pursuit(id=f"{number + 1}") for number in range(options.oracle_calls)]


def pursue(task: SmilesTask, options: RunOptions, *, tick: Tick) -> Pursued:
    """Optimise as the options say, screen beside it, and keep the agent where that is asked for."""
    oracle = parse_goals(options.optimise)
    molecules, notices = training_molecules(task, options.oracle_calls) if options.screening else ([], [])
    found = optimise(
        task, oracle, oracle_calls=options.oracle_calls, settings=settings_of(options), screen=molecules, tick=tick
    )
    if options.save_agent:
        checkpoint.write(Path(options.save_agent), found.agent.save)
        notices.append(f"The agent is in {options.save_agent}: run --checkpoint {options.save_agent} draws with it.")
    return Pursued(found=found, oracle=oracle, options=options, notices=tuple(notices))


def settings_of(options: RunOptions) -> AgentSettings:
    """How the agent learns, by the options of a command."""
    return AgentSettings(
        batch=options.agent_batch, sigma=options.sigma, lr=options.agent_lr, bucket=options.per_scaffold,
        seed=options.seed,
    )  # fmt: skip


def training_molecules(task: SmilesTask, count: int) -> tuple[list[str], list[str]]:
    """So many random molecules of those that the model learnt from; none, and a sentence that says why, where they
    cannot be had here."""
    if task.around.data is None:
        return [], ["It is not known what the model learnt from, so no training molecules stand beside."]
    try:
        examples = task.training.examples
    except UserError as error:
        return [], [f"No training molecules stand beside: {error}"]
    return [one.smiles for one in examples[:count]], []  # they are shuffled


def results(pursued: Pursued, task: SmilesTask) -> list[Optimal]:
    """Every molecule that was scored, best first."""
    best, seen = pursued.found.best, task.known()
    values = properties([one.smiles for one in best], workers=pursued.options.workers)
    return [_optimal(one, row, seen) for one, row in zip(best, values.tolist(), strict=True)]


def _optimal(one: Judged, row: Sequence[float], seen: Any) -> Optimal:
    return Optimal(
        id=f"call {one.call}", smiles=one.smiles, call=one.call, score=one.score, parts=one.parts, failed=one.failed,
        properties=dict(zip(PROPERTIES, row, strict=True)), novel=None if seen is None else one.smiles not in seen,
    )  # fmt: skip


def summary(pursued: Pursued, found: Sequence[Optimal]) -> Summary:
    """The headline numbers, those of screening beside them, and all there is to tell under `optimisation`."""
    optimised, threshold = pursued.found, pursued.options.above
    metrics = {
        "auc_top10": optimised.auc,
        "top10": top(optimised.scores),
        "top1": top(optimised.scores, 1),
        "mean_score_before": optimised.before,
        "mean_score_after": optimised.after,
        "scaffolds": float(optimised.scaffolds),
        "above": float(sum(score >= threshold for score in optimised.scores)),
        "oracle_calls": float(len(optimised.judged)),
    }
    known = [one.novel for one in found[:POINTS] if one.novel is not None]
    if known:
        metrics["novelty_top100"] = sum(known) / len(known)
    baselines = {}
    if beside := optimised.screening:
        baselines["screening"] = {
            "auc_top10": beside.auc, "top10": top(beside.scores), "top1": top(beside.scores, 1),
            "mean_score": float(np.mean(beside.scores)), "above": float(sum(s >= threshold for s in beside.scores)),
            "oracle_calls": float(len(beside.scores)),
        }  # fmt: skip
    return Summary(metrics=metrics, baselines=baselines, conduct={"optimisation": facts(pursued)})


def facts(pursued: Pursued) -> dict[str, Any]:
    """Plain data: what was asked, how it went, and the curves over oracle calls."""
    found, options = pursued.found, pursued.options
    beside = found.screening
    every = sorted({*np.linspace(1, found.calls, POINTS).round().astype(int).tolist()})
    ours = progress_of(found.scores)
    theirs = progress_of(beside.scores) if beside else []
    return {
        "optimise": pursued.oracle.words,
        "parts": {part.column: {"part": part.text, "weight": part.weight} for part in pursued.oracle.parts},
        "budget": found.calls,
        "oracle_calls": len(found.judged),
        "threshold": options.above,
        "steps": found.steps,
        "drawn": dict(found.drawn),
        "full_scaffolds": found.full,
        "failed": len(found.failures),
        "failures": [{"smiles": one.smiles, "error": one.failed} for one in found.failures[:POINTS]],
        "stopped": found.stopped,
        "notices": pursued.notes,
        "seconds": {name: round(value, 2) for name, value in found.seconds.items()},
        "curve": [
            {"calls": n, "top10": _at(ours, n), **({"screening": _at(theirs, n)} if theirs else {})} for n in every
        ],
        "screened_best": [{"smiles": one.smiles, "score": one.score} for one in beside.best[:10]] if beside else [],
        "caveat": CAVEAT,
    }


def _at(curve: Sequence[float], calls: int) -> float:
    """The curve after so many calls, its last value where it ended before."""
    return curve[min(calls, len(curve)) - 1] if curve else 0.0


def render(pursued: Pursued, found: Sequence[Optimal], folder: Path) -> list[Path]:
    """All molecules with their scores as CSV, the best as SDF and drawn; the progress over oracle calls."""
    if not found:
        return []
    rows = [Molecule(id=one.id, smiles=one.smiles, properties=one.told) for one in found]
    files = [write_csv(folder / "molecules.csv", rows), write_sdf(folder / "molecules.sdf", rows[:IN_SDF])]
    picture, show = pursued.options.picture, min(pursued.options.show, MOST_IN_GRID)
    if picture == "none":
        return files
    title = f"optimised for {pursued.oracle.words}"
    if show:
        files.append(grid(rows[:show], folder / f"molecules.{picture}", title=title,
                          names=["score", *PROPERTIES]))  # fmt: skip
    files.append(draw_progress(folder / f"progress.{picture}", pursued.found, title=title))
    return files
