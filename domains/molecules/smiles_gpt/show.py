"""What people see of drawn molecules: a table, a sheet, a structure file, a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ....core.task import Result, Summary
from ..draw import grid
from ..files import write_csv, write_sdf
from ..molecule import Molecule
from ..properties import CAVEAT, PROPERTIES
from .asked.tables import tables

MOST_IN_GRID = 60


@dataclass(frozen=True, kw_only=True)
class Written(Result):
    """A string that was drawn. `smiles` is canonical, "" where it is no molecule (`reason` says why); `novel`: it was
    not learnt from (None: not known); `nats`: minus its log-probability; `told`: the conditions it was asked for;
    `away`: how far it is from what was asked, in deviations of the training molecules (None: nothing was)."""

    text: str
    smiles: str = ""
    reason: str = ""
    nats: float = 0.0
    novel: bool | None = None
    properties: Mapping[str, float] = field(default_factory=dict)
    told: Mapping[str, float] = field(default_factory=dict)
    away: float | None = None


@dataclass(frozen=True, kw_only=True)
class Scored(Result):
    """A molecule that is there already: how likely the model finds it, in nats over its tokens (end included)."""

    smiles: str
    nats: float
    tokens: int
    properties: Mapping[str, float] = field(default_factory=dict)


def summarise(results: Sequence[Any]) -> Summary:
    """Validity, uniqueness and novelty of what was drawn; the mean likelihood of what was there."""
    drawn = [one for one in results if isinstance(one, Written)]
    scored = [one for one in results if isinstance(one, Scored)]
    metrics: dict[str, float] = {}
    if drawn:
        valid = [one for one in drawn if one.smiles]
        distinct = {one.smiles: one for one in valid}
        metrics["validity"] = len(valid) / len(drawn)
        metrics["uniqueness"] = len(distinct) / len(valid) if valid else 0.0
        told = [one.novel for one in distinct.values() if one.novel is not None]
        if told:
            metrics["novelty"] = sum(told) / len(told)
        qed = [one.properties["qed"] for one in valid if "qed" in one.properties]
        if qed:
            metrics["qed"] = sum(qed) / len(qed)
    if scored:
        metrics["nats_per_token"] = sum(one.nats for one in scored) / sum(one.tokens for one in scored)
        metrics["nats"] = sum(one.nats for one in scored) / len(scored)
    return Summary(metrics=metrics, conduct={"caveat": CAVEAT})


def best(results: Sequence[Any], count: int) -> list[Written]:
    """The distinct valid ones: nearest to what was asked, highest QED; what is ranked by similarity, as it is."""
    distinct = {one.smiles: one for one in reversed(results) if isinstance(one, Written) and one.smiles}
    if any("similarity" in one.properties for one in distinct.values()):
        return [one for one in results if one.smiles][:count]
    return sorted(distinct.values(), key=_rank)[:count]


def _rank(one: Written) -> tuple[float, float, str]:
    return round(one.away or 0.0, 1), -one.properties.get("qed", 0.0), one.smiles


def _best_by(rows: Sequence[Any]) -> str:
    """What `best` went by, in words."""
    if any("similarity" in one.properties for one in rows):
        return f"the {len(rows)} most similar"
    asked = any(one.away is not None for one in rows)
    return f"the {len(rows)} nearest to what was asked" if asked else f"the best {len(rows)} by QED"


def table(results: Sequence[Any], summary: Summary, *, show: int, learnt: Sequence[str] = ()) -> Any:
    """The scores in a line, the best, and how it went with what was asked for."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    shown = Table(header_style="bold", title_justify="left")
    scored = [one for one in results if isinstance(one, Scored)]
    rows: Sequence[Any] = scored[:show] if scored else best(results, show)
    if not scored:
        shown.title = _best_by(rows)
    drawn = [one for one in results if isinstance(one, Written)]
    shown.add_column("id" if drawn else "")
    shown.add_column("SMILES", overflow="fold")
    names = [name for name in PROPERTIES if any(name in row.properties for row in rows)]
    for name in names:
        item = PROPERTIES[name]
        shown.add_column(f"{item.label} {item.unit}".strip(), justify="right")
    if scored:
        shown.add_column("nats a token", justify="right")
    similar = any("similarity" in row.properties for row in rows)
    if similar:
        shown.add_column("similarity", justify="right")
    for row in rows:
        cells = [_rounded(row.properties[name], PROPERTIES[name].digits) if name in row.properties else ""
                 for name in names]  # fmt: skip
        more = [f"{row.nats / row.tokens:.3f}"] if isinstance(row, Scored) else []
        more += [f"{row.properties['similarity']:.2f}"] if similar else []
        named = row.id if drawn else ""
        shown.add_row(Text(named), Text(row.smiles), *cells, *more)  # else [nH] would be taken for markup
    said = "  ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in summary.metrics.items())
    kept = any(name in summary.conduct for name in ("scaffold", "similar_to"))
    head = f"{len(drawn):,} {'kept' if kept else 'drawn'}: {said}" if drawn else said
    asked = tables(summary.conduct)
    if "novelty" in summary.metrics and learnt:
        words = f"Novelty: the share that is not among what it learnt from ({', '.join(learnt)})."
        asked.append(Text(words, style="dim"))
    return Group(*([shown] if rows else []), Text(head, style="bold"), *asked, Text(CAVEAT, style="dim"))


def _rounded(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:.{digits}f}"  # + 0.0: no -0.00


def molecules(results: Sequence[Any]) -> list[Molecule]:
    """The valid ones as molecules, in the order they were drawn."""
    return [
        Molecule(id=one.id, smiles=one.smiles, properties=one.properties)
        for one in results if isinstance(one, Written | Scored) and one.smiles
    ]  # fmt: skip


def render(
    results: Sequence[Any], folder: Path, *, show: int, picture: str, highlight: str = ""
) -> list[Path]:  # fmt: skip
    """All valid molecules as CSV and SDF, and the best drawn in a grid, with what is to be marked in each."""
    found = molecules(results)
    if not found:
        for name in ("molecules.csv", "molecules.sdf", "molecules.png", "molecules.svg"):
            (folder / name).unlink(missing_ok=True)  # those of another run would be taken for this one's
        return []
    files = [write_csv(folder / "molecules.csv", found), write_sdf(folder / "molecules.sdf", found)]
    chosen = best(results, min(show, MOST_IN_GRID)) or found[: min(show, MOST_IN_GRID)]
    if picture != "none" and chosen:
        files.append(grid(chosen, folder / f"molecules.{picture}", highlight=highlight))
    return files
