"""How well what was drawn is like what was asked for, beside drawing freely and beside looking it up.

N molecules, M training molecules that are looked at, K properties that are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...properties import PROPERTIES
from .conditions import Learnt, Wanted
from .words import counted

CLOSE = 0.25
"""A number is met by what is no further away than so many deviations of the training molecules."""
MISSED = 1.0
"""A mean error of so many deviations is called a miss."""
FEW = 0.1
"""A share inside of a range that is called a miss."""


def away(asked: Mapping[str, Wanted], values: np.ndarray, learnt: Learnt) -> np.ndarray:
    """How far properties [N, K] (columns as `asked`) lie from what was asked: [N], the mean over the K, each in
    deviations of the training molecules; 0 inside of every range."""
    gaps = [one.away(values[:, place]) / learnt.deviations[name] for place, (name, one) in enumerate(asked.items())]
    return np.mean(gaps, axis=0)


def nearest(targets: np.ndarray, known: np.ndarray, deviations: np.ndarray) -> np.ndarray:
    """For each target [N, K] the number of the training molecule [M, K] nearest to it, in deviations [K]. A target that
    is asked for again takes the next nearest: N of the same target are N different molecules, while there are any."""
    scaled = np.where(np.isnan(known), np.inf, known / deviations)
    chosen = np.empty(len(targets), dtype=np.int64)
    distinct, which = np.unique(targets, axis=0, return_inverse=True)
    for number, target in enumerate(distinct):
        places = np.flatnonzero(which.reshape(-1) == number)
        distance = ((scaled - target / deviations) ** 2).sum(axis=1)
        count = min(len(places), len(known))
        first = np.argpartition(distance, count - 1)[:count]
        chosen[places] = np.resize(first[np.argsort(distance[first], kind="stable")], len(places))
    return chosen


def compare(
    asked: Mapping[str, Wanted], learnt: Learnt, *, targets: np.ndarray, values: np.ndarray, free: np.ndarray,
    known: np.ndarray | None,
) -> dict[str, Any]:  # fmt: skip
    """Errors of each property as JSON. values [N, K] of the valid molecules that were drawn, free [·, K] of those drawn
    without conditions, known [M, K] of training molecules (None: they are not here), targets [N, K] what each molecule
    was told."""
    scale = np.asarray([learnt.deviations[name] for name in asked])
    found = None if known is None or not len(known) else nearest(targets, known, scale)
    told: dict[str, Any] = {"properties": {}, "notices": learnt.check(asked)}
    for place, (name, one) in enumerate(asked.items()):
        row = {"asked": one.text, **_errors(one, values[:, place]), "unconditional": _errors(one, free[:, place])}
        if found is not None and known is not None:
            row["retrieval"] = _errors(one, known[found, place])
        told["properties"][name] = row
        if _missed(one, row, learnt.deviations[name]):
            told["notices"].append(f"{PROPERTIES[name].label} {one.text} was not met.")
    if found is not None and known is not None:
        near = [
            one.away(known[:, place]) <= CLOSE * scale[place] * one.exact for place, one in enumerate(asked.values())
        ]
        told["retrieval"] = {
            "looked_at": len(known),
            "different": len(set(found.tolist())),
            "meet_all": int(np.all(near, axis=0).sum()),
        }
        if not told["retrieval"]["meet_all"]:
            told["notices"].append(
                f"None of {len(known):,} training molecules meets all that is asked at once: perhaps none can."
            )
    return told


def _errors(one: Wanted, values: np.ndarray) -> dict[str, float | None]:
    """The mean absolute error, and of a range the share inside; None where there is no molecule."""
    values = values[~np.isnan(values)]
    error = float(one.away(values).mean()) if len(values) else None
    if one.exact:
        return {"error": error}
    return {"error": error, "inside": float((one.away(values) == 0).mean()) if len(values) else None}


def _missed(one: Wanted, row: Mapping[str, Any], deviation: float) -> bool:
    if row["error"] is None:
        return True
    return row["error"] > MISSED * deviation or (not one.exact and row["inside"] < FEW)


# -- for people -------------------------------------------------------------------------------------------------------


def tables(told: Mapping[str, Any]) -> list[Any]:
    """What `compare` gave (with what `asking` adds to it), as renderables for the terminal."""
    from rich.table import Table
    from rich.text import Text

    shown = Table(title="asked against achieved: mean error (share inside of a range)", title_justify="left",
                  header_style="bold")  # fmt: skip
    for column in ("", "asked", "drawn", "without conditions", "nearest training molecules"):
        shown.add_column(column, justify="right" if column else "left", style="bold" if column == "drawn" else "")
    for name, row in told["properties"].items():
        cells = [_cell(name, row), _cell(name, row["unconditional"]), _cell(name, row.get("retrieval"))]
        shown.add_row(f"{PROPERTIES[name].label} {PROPERTIES[name].unit}".strip(), row["asked"], *cells)
    lines = [Text(line, style="yellow") for line in told["notices"]]
    return [shown, *lines, *(Text(line, style="dim") for line in _words(told))]


def _cell(name: str, row: Mapping[str, Any] | None) -> str:
    if row is None or row["error"] is None:
        return "-"
    inside = f" ({row['inside']:.0%})" if "inside" in row else ""
    return f"{row['error']:.{PROPERTIES[name].digits}f}{inside}"


def _words(told: Mapping[str, Any]) -> Sequence[str]:
    """What the numbers are of."""
    free, found = told["unconditional"], told.get("retrieval")
    valid = "" if told["validity"] is None else f", validity {told['validity']:.2f} of drawn"
    without = "" if free["validity"] is None else f", validity {free['validity']:.2f}"
    words = [
        f"Guidance {told['guidance']:g}{valid}; {free['drawn']:,} drawn without conditions{without}. Errors are those "
        "of the valid molecules."
    ]
    if found is None:
        return [*words, "The training molecules are not here or not wanted (--compared 0): nothing was looked up."]
    alike = f"{found['meet_all']:,} of them meet all that is asked"
    return [
        *words,
        f"Looked up among {counted(found['looked_at'], 'training molecule', 'training molecules')}, "
        f"{counted(found['different'], 'different one', 'different ones')}; {alike} "
        f"(numbers within {CLOSE} standard deviations).",
    ]
