"""Molecules as a person asks for them: with properties, around a scaffold, like another molecule; and a report of it.

What happened goes under `conditions`, `scaffold` and `similar_to` into the JSON of a run, and to the terminal.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .....core.errors import UserError
from .....core.options import flag
from .....core.task import Summary, Tick
from ...properties import measured
from ..sampling import Draw, Drawn, go_on
from ..show import Written
from . import achieved
from .conditions import Learnt, Wanted, wanted
from .tables import listed

if TYPE_CHECKING:
    from ..options import RunOptions
    from ..task import SmilesTask

Plain = Callable[..., Iterator[Written]]
"""`infer` of a task, without what is asked for here."""

FREE = 500
"""Molecules that are drawn without conditions to compare with, at most."""
FREE_FROM = 500_000
"""The number of the first of them: their seeds are their own."""
AROUND = 10_000
"""Training molecules that are compared with the one of --similar-to, at most."""
TRIES, HOPELESS = 20, 1_000
"""Drawings around a scaffold for each molecule that is found, at most, before giving up; and so many besides."""
FEWEST, PIECES = 64, 512
"""Molecules drawn together, however few are missing; and pieces (one for each point), at most."""


def asks(options: RunOptions) -> bool:
    """Whether molecules should be like anything."""
    return bool(wanted(options) or options.scaffold or options.similar_to)


def requests(task: SmilesTask, options: RunOptions) -> list[Draw]:
    """As many drawings as the options ask for, each told its targets. UserError for what cannot be asked of this
    model."""
    asked = wanted(options)
    learnt = Learnt.of(task.network, task.around)
    learnt.check(asked)
    tokenizer, length = task.around.tokenizer, task.network.config.length
    if options.scaffold:
        from .scaffold import Scaffold

        Scaffold.read(options.scaffold, tokenizer).fits(tokenizer, length)
    if options.similar_to:
        from .similar import read

        read(options.similar_to, tokenizer, length)
    targets = learnt.targets(asked, options.n, options.seed)
    return [Draw(id=f"{n + 1}", number=n, conditions=tuple(row)) for n, row in enumerate(targets.tolist())]


def refuse(options: RunOptions) -> None:
    """UserError where molecules are given and options for drawing too."""
    named = [*wanted(options), *(name for name in ("scaffold", "similar_to") if getattr(options, name))]
    if named:
        raise UserError(
            f"{flag(named[0])} is for drawing molecules; of those that are given it is said how likely they are.",
            f"Leave out the molecules, or {flag(named[0])}.",
        )


def draw(task: SmilesTask, examples: Sequence[Draw], options: RunOptions, *, plain: Plain, tick: Tick) -> list[Written]:
    """The molecules, in order; `task.conduct` tells how it went, beside what was not asked for anything."""
    asked, like = wanted(options), options.similar_to
    count, compared = len(examples), min(len(examples), FREE)
    free = [Draw(id=f"free {n + 1}", number=FREE_FROM + n, conditions=(float("nan"),) * len(examples[0].conditions))
            for n in range(compared)]  # fmt: skip
    total = count + compared * (bool(asked) + bool(like))
    conduct: dict[str, Any] = {}

    def drawn(rows: Sequence[Draw], before: int, *, asis: bool = False) -> tuple[list[Written], dict[str, Any]]:
        def hear(done: int, of: int) -> None:
            tick(min(before + done, total), total)

        if options.scaffold and not asis:
            return around(task, rows, options, tick=hear)
        if like and not asis:
            return alike(task, rows, options, tick=hear)
        return list(plain(rows, options, tick=hear)), {}

    results, told = drawn(examples, 0)
    if options.scaffold:
        conduct["scaffold"] = told
    elif like:
        beside = drawn(free, count + compared * bool(asked), asis=True)[0]
        conduct["similar_to"] = {**told, **_likeness(task, options, told["smiles"], beside, len(results))}
    if asked:
        learnt = Learnt.of(task.network, task.around)
        results = _measured(results, asked, learnt)
        beside = drawn(free, count)[0]
        counted = not (options.scaffold or like)  # of those only what is valid is there
        conduct["conditions"] = {
            "guidance": options.guidance,
            "validity": _validity(results) if counted else None,
            "unconditional": {"drawn": len(beside), "validity": _validity(beside) if counted else None},
            **achieved.compare(
                asked, learnt, targets=_targets(results, asked), values=_values(results, asked),
                free=_values(beside, asked), known=_looked_up(task, asked, options),
            ),
        }  # fmt: skip
    task.conduct = conduct
    return results


def judged(summary: Summary, conduct: Mapping[str, Any]) -> Summary:
    """A summary of what `draw` gave: where only what fits was kept, there is no validity to speak of."""
    metrics = dict(summary.metrics)
    if "scaffold" in conduct or "similar_to" in conduct:
        metrics.pop("validity", None)
    if "scaffold" in conduct:
        metrics["accepted"] = conduct["scaffold"]["accepted"] / conduct["scaffold"]["drawn"]
    if "similar_to" in conduct:
        metrics["similarity"] = conduct["similar_to"]["similarity"]["mean_of_kept"]
    return replace(summary, metrics=metrics, conduct={**summary.conduct, **conduct})


def highlight(options: RunOptions) -> str:
    """What pictures mark, as SMARTS; nothing where there is no scaffold."""
    if not options.scaffold:
        return ""
    from .scaffold import Scaffold

    return Scaffold.read(options.scaffold).smarts


def told(examples: Sequence[Draw]) -> Tensor:
    """Conditions [B, P]."""
    return torch.tensor([one.conditions for one in examples], dtype=torch.float32).reshape(len(examples), -1)


# -- around a scaffold ------------------------------------------------------------------------------------------------


def around(
    task: SmilesTask, examples: Sequence[Draw], options: RunOptions, *, tick: Tick
) -> tuple[list[Written], dict[str, Any]]:
    """Molecules around the scaffold, drawn until there is one for each example, and how many were rejected why.

    Fewer where too little of what is drawn can be taken; UserError where nothing can."""
    from .scaffold import Scaffold, grow

    tokenizer = task.around.tokenizer
    scaffold = Scaffold.read(options.scaffold, tokenizer)
    device = task.network.tokens.weight.device
    waiting, found, rejected, drawn, redrawn = list(examples), {}, Counter[str](), 0, 0
    together = min(options.batch, max(PIECES // len(scaffold.points), FEWEST))
    tick(0, len(examples))
    while waiting and drawn < TRIES * len(found) + HOPELESS:
        rows = [*itertools.islice(itertools.cycle(waiting), min(together, max(2 * len(waiting), FEWEST)))]
        sampling = task.sampling(options, examples[0].number + drawn)
        grown = grow(task.network, tokenizer, scaffold, told(rows).to(device), sampling, guidance=options.guidance)
        drawn += len(rows)
        redrawn += sum(one.redrawn for one in grown)
        rejected.update(one.reason for one in grown if one.reason)
        kept: dict[str, tuple[Draw, Drawn]] = {}
        for example, one in zip(rows, grown, strict=True):
            if not one.reason and one.drawn is not None:
                kept.setdefault(example.id, (example, replace(one.drawn, nats=one.nats)))
        for one in task.written([pair[1] for pair in kept.values()], [pair[0] for pair in kept.values()]):
            found[one.id] = one
        waiting = [example for example in waiting if example.id not in kept]
        tick(len(found), len(examples))
    reasons = dict(rejected.most_common())
    if not found:
        raise UserError(
            f"Not one of {drawn:,} molecules was {options.scaffold} with something at each point: {listed(reasons)}.",
            "Try a smaller scaffold, fewer points or no conditions.",
        )
    facts = {
        "smiles": options.scaffold, "points": len(scaffold.points), "asked": len(examples), "returned": len(found),
        "drawn": drawn, "accepted": drawn - rejected.total(), "rejected": reasons,
        "redrawn": redrawn, "notices": list(scaffold.notices),
    }  # fmt: skip
    return [found[example.id] for example in examples if example.id in found], facts


# -- like another molecule --------------------------------------------------------------------------------------------


def alike(
    task: SmilesTask, examples: Sequence[Draw], options: RunOptions, *, tick: Tick
) -> tuple[list[Written], dict[str, Any]]:
    """Different molecules like the given one, the most similar first (of those that have the properties that are asked
    for, then of the others), their similarity among their properties."""
    from .scaffold import UNREADABLE
    from .similar import FACTOR, Likeness, beginnings, read, spellings

    network, tokenizer = task.network, task.around.tokenizer
    smiles, notices = read(options.similar_to, tokenizer, network.config.length)
    ways, random = spellings(network, tokenizer, smiles, seed=options.seed), np.random.default_rng(options.seed)
    device, wanted_, drawn = network.tokens.weight.device, len(examples), 0
    found: dict[str, Written] = {}
    rejected: Counter[str] = Counter()
    while drawn < FACTOR * wanted_ or (len(found) < wanted_ and drawn < 5 * FACTOR * wanted_):
        rows = [examples[(drawn + n) % wanted_] for n in range(min(options.batch, FACTOR * wanted_))]
        sampling = task.sampling(options, examples[0].number + drawn)
        prompts = beginnings(ways, len(rows), random)
        written = go_on(network, told(rows).to(device), prompts, sampling, guidance=options.guidance)
        drawn += len(rows)
        for one in task.written(written, rows):
            fault = "" if one.smiles else UNREADABLE
            fault = fault or ("the given molecule itself" if one.smiles == smiles else "")
            fault = fault or ("found already" if one.smiles in found else "")
            rejected[fault] += 1
            if not fault:
                found[one.smiles] = one
        tick(min(drawn * wanted_ // (FACTOR * wanted_), wanted_), wanted_)
    del rejected[""]
    if not found:
        raise UserError(f"Not one of {drawn:,} drawings is a molecule other than {smiles}.", "Try another seed.")
    values = Likeness(smiles).of(list(found))
    ranked = _ranked(list(found.values()), values, task, options)[:wanted_]
    kept = [replace(one, id=f"{n}", properties={**one.properties, "similarity": round(value, 3)})
            for n, (value, one) in enumerate(ranked, start=1)]  # fmt: skip
    shares = {**_shares(values, len(kept), drawn), "mean_of_kept": float(np.mean([value for value, _ in ranked]))}
    facts = {
        "smiles": smiles, "drawn": drawn, "different": len(found), "asked": wanted_, "returned": len(kept),
        "rejected": dict(rejected.most_common()), "similarity": shares,
        "notices": notices,
    }  # fmt: skip
    return kept, facts


def _ranked(
    found: Sequence[Written], similarities: np.ndarray, task: SmilesTask, options: RunOptions
) -> list[tuple[float, Written]]:
    """The most similar first; where properties are asked for too, first of all those that have them."""
    asked = wanted(options)
    gaps = np.zeros(len(found))
    if asked:
        gaps = achieved.away(asked, _values(found, asked), Learnt.of(task.network, task.around))
    order = np.lexsort((-similarities, gaps > achieved.CLOSE))
    return [(float(similarities[place]), found[place]) for place in order]


def _likeness(task: SmilesTask, options: RunOptions, smiles: str, free: Sequence[Written], kept: int) -> dict[str, Any]:
    """How similar molecules drawn freely and training molecules are, the best of as many as were kept."""
    from .similar import FACTOR, Likeness

    likeness = Likeness(smiles)
    values = likeness.of(sorted({one.smiles for one in free if one.smiles}))
    facts: dict[str, Any] = {"unconditional": _shares(values, max(1, len(free) // FACTOR), len(free))}
    part = _training(task)
    looked = min(options.compared, AROUND)
    if part is not None and looked:
        rows = [one.smiles for one in part.examples[:looked]]
        facts["training"] = _shares(likeness.of(rows), kept, len(rows))
    return facts


def _shares(values: np.ndarray, kept: int, looked: int) -> dict[str, Any]:
    """Of similarities: of all, of the best `kept`, and the best."""
    best = np.sort(values)[::-1][:kept]
    mean = float(values.mean()) if len(values) else None
    top = float(best.mean()) if len(best) else None
    return {"looked_at": looked, "mean": mean, "kept": len(best), "mean_of_kept": top,
            "best": float(best[0]) if len(best) else None}  # fmt: skip


# -- asked against achieved -------------------------------------------------------------------------------------------


def _values(results: Sequence[Written], asked: Mapping[str, Wanted]) -> np.ndarray:
    """The properties [N, K] that were asked for, of the valid ones."""
    rows = [[one.properties[name] for name in asked] for one in results if one.smiles]
    return np.asarray(rows, dtype=np.float64).reshape(len(rows), len(asked))


def _targets(results: Sequence[Written], asked: Mapping[str, Wanted]) -> np.ndarray:
    """What the valid ones were told, [N, K]."""
    rows = [[one.told[name] for name in asked] for one in results if one.smiles]
    return np.asarray(rows, dtype=np.float64).reshape(len(rows), len(asked))


def _measured(results: Sequence[Written], asked: Mapping[str, Wanted], learnt: Learnt) -> list[Written]:
    """With how far each valid one is from what was asked."""
    gaps = iter(achieved.away(asked, _values(results, asked), learnt).tolist())
    return [replace(one, away=next(gaps)) if one.smiles else one for one in results]


def _looked_up(task: SmilesTask, asked: Mapping[str, Wanted], options: RunOptions) -> np.ndarray | None:
    """The properties [M, K] of training molecules, each column kept for the next time; None where there are none."""
    part = _training(task)
    if part is None or not options.compared:
        return None
    columns = [measured(part, (name,), most=options.compared, workers=options.workers) for name in asked]
    return np.concatenate(columns, axis=1)


def _training(task: SmilesTask) -> Any:
    """The molecules it learnt from, None where they cannot be had."""
    with suppress(UserError):
        return task.training
    return None


def _validity(results: Sequence[Written]) -> float:
    return sum(bool(one.smiles) for one in results) / len(results) if results else 0.0
