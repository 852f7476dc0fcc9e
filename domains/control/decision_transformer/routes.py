"""Maps as examples of the task: a person's own, held-out ones of the environment, and what is told of their plans."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....core.task import Batch, Example, Summary
from ..episodes import Setting
from ..grid import ENV, GridMap, make_map, read_map
from ..plan_picture import LEGEND, draw_plans, words
from ..plans import Plan, score
from ..words import counted

ENDING = ".txt"
"""Of a file that holds a map."""
FEW = 5
"""Plans that are drawn in the terminal; of more, the scores are shown."""
SEARCHES = {"weighted": "weighted A*", "plain": "A*"}
"""What any heuristic has to beat: the same searches by the octile distance."""
COLUMNS = {
    "solved": "solved", "expanded, of A*'s": "expansions", "mean of maps": "expansions_each", "longer": "gap",
    "at most": "gap_most", "shortest": "optimal",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Route(Example):
    """A map on which a path is asked for."""

    map: GridMap


@dataclass(frozen=True, kw_only=True)
class RouteBatch(Batch):
    """Maps that the network reads together."""

    routes: tuple[Route, ...]


def on_maps(setting: Setting) -> bool:
    """Whether a policy of this environment plans."""
    return setting.env == ENV


def is_map(given: Any) -> bool:
    """Whether a person gave a map, or a file of one."""
    return isinstance(given, GridMap) or (isinstance(given, str | Path) and str(given).lower().endswith(ENDING))


def route_of(given: Any) -> Route:
    """The map of a file or itself. Raises UserError as `read_map` does."""
    if isinstance(given, GridMap):
        return Route(id="map", map=given)
    return Route(id=str(given), map=read_map(given))


def routes(setting: Setting, *, count: int, seed: int) -> list[Route]:
    """Maps of the environment from that seed on."""
    options: Mapping[str, Any] = setting.env_options
    return [Route(id=f"seed {one}", map=make_map(one, **options)) for one in range(seed, seed + count)]


# -- what is told -----------------------------------------------------------------------------------------------------


def summarise(plans: Sequence[Plan]) -> Summary:
    """Scores of the plans, and of the searches that any heuristic has to beat: A* and weighted A* at the same weight,
    with the octile distance."""
    metrics = score(plans)
    if not metrics:
        return Summary(details={"without a path": len(plans)})
    metrics["no_path"] = float(sum(not plan.plain.found for plan in plans))
    others = {name: score(plans, which) for which, name in SEARCHES.items()}
    return Summary(metrics=metrics, baselines=others, details={"weight": plans[0].weight})


def table(plans: Sequence[Plan], summary: Summary) -> Any:
    """A few plans drawn as text; of many, the scores beside those of the other searches."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    if len(plans) <= FEW or not summary.metrics:
        return Group(*(Text(f"{plan.id}\n{words(plan)}\n") for plan in plans[:FEW]), Text(LEGEND))
    title = f"{counted(int(summary.metrics['n']), 'map')} with a path, weight {plans[0].weight:g}"
    shown = Table(title=title, title_justify="left", header_style="bold")
    shown.add_column("search")
    for column in COLUMNS:
        shown.add_column(column, justify="right")
    for name, scores in ({"the network": summary.metrics} | summary.baselines).items():
        shown.add_row(name, *(f"{scores[key]:.1%}" for key in COLUMNS.values()))
    none = summary.metrics["no_path"]
    verb = "has" if none == 1 else "have"
    return Group(
        shown, *[f"{counted(int(none), 'map')} {verb} no path: all that can be reached was looked at."] * bool(none)
    )


def render(plans: Sequence[Plan], folder: Path) -> list[Path]:
    """A picture of the first plans and a row for each."""
    path = folder / "plans.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "found", "cost", "expansions", "share of A*", "gap", "A*", "weighted A*", "its cost"])
        for plan in plans:
            writer.writerow([
                plan.id, plan.found, f"{plan.cost:.6g}", plan.expansions, f"{plan.share:.4f}", f"{plan.gap:.4f}",
                plan.plain.expansions, plan.weighted.expansions, f"{plan.weighted.cost:.6g}",
            ])  # fmt: skip
    return [draw_plans(folder / "plans.png", plans), path]
