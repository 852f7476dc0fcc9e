"""Scores and tables of episodes played, and of actions against those of recorded episodes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....core.task import Result, Summary
from ..episodes import Setting
from ..scores import normalised, spearman, summary_of
from .checkpoints import Around
from .plays import Played


@dataclass(frozen=True, kw_only=True)
class Told(Result):
    """What the policy says in a window of a recorded episode. actions: at its last step, as told and as taken. counted:
    steps of it that are scored; right: of choices, how many are the one taken; error: of numbers, the mean square of
    the difference, summed over steps."""

    action: list[float]
    taken: list[float]
    counted: int
    right: float
    error: float

    def to_json(self) -> dict[str, Any]:
        return {"id": self.id, "action": self.action, "taken": self.taken, "notices": list(self.notices)}


# -- scores -----------------------------------------------------------------------------------------------------------


def summarise(results: Sequence[Any], around: Around) -> Summary:
    """Of episodes played, or of actions told."""
    if not results:
        return Summary()
    if isinstance(results[0], Told):
        steps = max(1, sum(item.counted for item in results))
        if around.setting.action.kind == "box":
            return Summary(metrics={"action_mse": sum(item.error for item in results) / steps})
        return Summary(metrics={"accuracy": sum(item.right for item in results) / steps})
    groups = by_target(results)
    lines = [{"asked": asked, **summary_of([item.achieved for item in part])} for asked, part in groups.items()]
    best = max(lines, key=lambda line: line["mean"])["asked"]
    chosen = around.target if around.target in groups else best
    head = groups[chosen]
    returns = [item.achieved for item in head]
    metrics = {
        "return_mean": float(np.mean(returns)),
        "return_std": summary_of(returns)["std"],
        "return_min": float(np.min(returns)),
    }
    if chosen is not None:
        metrics["target_return"] = chosen
    if len(groups) > 1:
        metrics["spearman"] = spearman([item.asked for item in results], [item.achieved for item in results])
    metrics |= latency(results)
    beside = max(item.beside for item in results)
    score = normalised(returns, around.setting)
    if score is not None:
        metrics["d4rl_normalised"] = score
    return Summary(metrics=metrics, details={"targets": lines, "side_by_side": beside})


def by_target(results: Sequence[Played]) -> dict[Any, list[Played]]:
    """Results by the return that was asked, in order."""
    groups: dict[Any, list[Played]] = {}
    for item in sorted(results, key=lambda item: -math.inf if item.asked is None else item.asked):
        groups.setdefault(item.asked, []).append(item)
    return groups


def latency(results: Sequence[Played]) -> dict[str, float]:
    """Milliseconds of a call of the policy."""
    times = np.concatenate([item.act_ms for item in results])
    if not times.size:
        return {}
    return {"act_ms_p50": float(np.quantile(times, 0.5)), "act_ms_p99": float(np.quantile(times, 0.99))}


# -- tables -----------------------------------------------------------------------------------------------------------


def table(results: Sequence[Any], summary: Summary, around: Around, said: Sequence[str] = ()) -> Any:
    """What the terminal shows."""
    from rich.console import Group

    if results and isinstance(results[0], Told):
        return _told_table(results, summary)
    few = len(results) <= 10
    parts = [_episodes_table(results)] if few else []
    if not few or len(by_target(results)) > 1 or summary.baselines:
        parts.append(_targets_table(summary, around))
    return Group(*parts, *_sentences(summary, around), *said)


def _told_table(results: Sequence[Told], summary: Summary) -> Any:
    from rich.table import Table

    name, value = next(iter(summary.metrics.items()))
    shown = Table(title=f"{name.replace('_', ' ')} {value:.4g}", title_justify="left", header_style="bold")
    for column in ("step", "the policy's action", "the one taken"):
        shown.add_column(column, justify="left" if column == "step" else "right")
    for item in results[:20]:
        shown.add_row(item.id, *(", ".join(f"{number:.4g}" for number in row) for row in (item.action, item.taken)))
    if len(results) > 20:
        shown.add_row("…", "", "")
    return shown


def _episodes_table(results: Sequence[Played]) -> Any:
    from rich.table import Table

    shown = Table(title="episodes", title_justify="left", header_style="bold")
    for column in ("seed", "asked", "return", "steps", "ended", "act ms"):
        shown.add_column(column, justify="left" if column == "ended" else "right")
    for item in results:
        shown.add_row(
            str(item.seed), "" if item.asked is None else f"{item.asked:g}", f"{item.achieved:g}", f"{item.steps:,}",
            item.ended, f"{np.median(item.act_ms):.2f}" if item.act_ms.size else "",
        )  # fmt: skip
    return shown


def _targets_table(summary: Summary, around: Around) -> Any:
    from rich.table import Table

    shown = Table(title="achieved against asked", title_justify="left", header_style="bold")
    with_score = around.setting.reference is not None
    for column in ("asked", "mean", "± deviation", "median", "min", "max", "episodes", *["D4RL"] * with_score):
        shown.add_column(column, justify="left" if column == "asked" else "right")
    for line in summary.details.get("targets", ()):
        asked = line["asked"]
        name = "told no return" if asked is None else f"{asked:g}{_standing(asked, around)}"
        shown.add_row(name, *_cells(line, around.setting))
    if summary.baselines:
        shown.add_section()
    for name, line in summary.baselines.items():
        shown.add_row(name, *_cells(line, around.setting))
    return shown


def _standing(asked: float, around: Around) -> str:
    """What this return is to the policy, where it is the one asked for unless somebody says another."""
    if asked != around.target:
        return ""
    if around.tried:
        return " (chosen)"
    return " (the data's highest)" if around.data is not None and asked == around.data.high else " (where none is said)"


def _cells(line: Any, setting: Setting) -> list[str]:
    values = [line.get(name) for name in ("mean", "std", "median", "min", "max")]
    shown = ["" if value is None or math.isnan(value) else f"{value:.4g}" for value in values]
    cells = [*shown, f"{int(line['n']):,}" if line.get("n") else ""]
    score = normalised(line.get("mean", ()), setting)
    return cells if score is None else [*cells, f"{score:.1f}"]


def _sentences(summary: Summary, around: Around) -> list[str]:
    found, metrics = [], summary.metrics
    if around.setting.threshold is not None and "return_mean" in metrics:
        word = "reaches" if metrics["return_mean"] >= around.setting.threshold else "stays below"
        asked = f" (asked {metrics['target_return']:g})" if "target_return" in metrics else ""
        limit = f"the threshold of {around.setting.env}, {around.setting.threshold:g}"
        found.append(f"{metrics['return_mean']:.4g}{asked} {word} {limit}.")
    if not math.isnan(metrics.get("spearman", math.nan)):
        found.append(f"Spearman's rho of asked and achieved, over all episodes: {metrics['spearman']:.3f}.")
    if "act_ms_p50" in metrics:
        beside = summary.details.get("side_by_side", 1)
        rows = f" for {beside} episodes side by side" if beside > 1 else ""
        found.append(f"act(){rows}: p50 {metrics['act_ms_p50']:.2f} ms, p99 {metrics['act_ms_p99']:.2f} ms.")
    return found
