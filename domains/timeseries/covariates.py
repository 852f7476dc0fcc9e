"""The covariates that a checkpoint knows, in its order, out of whatever a table brings."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from ...core.errors import UserError, near
from .panel import Group, Panel, require_future


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a checkpoint is told beside the series, by name; static levels are the words that codes stand for.

    optional: it learnt to do without them.
    """

    past: tuple[str, ...] = ()
    future: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    static_levels: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    optional: bool = False

    @classmethod
    def of(cls, panel: Panel, *, optional: bool) -> Told:
        levels = {name: tuple(words) for name, words in panel.static_levels.items()}
        return cls(past=panel.past, future=panel.future, static=panel.static, static_levels=levels, optional=optional)


def matched(panel: Panel, told: Told, horizon: int) -> tuple[Panel, tuple[str, ...]]:
    """The panel with the covariates that are told, in that order, and sentences on those that it lacks.

    Raises UserError for one that is lacking and needed, or known ahead for fewer than `horizon` steps.
    """
    lacking = [name for name in told.past if name not in panel.past]
    lacking += [name for name in told.future if name not in panel.future]
    lacking += [name for name in told.static if name not in panel.static]
    if lacking and not told.optional:
        known = (*panel.past, *panel.future, *panel.static, *panel.targets)
        raise UserError(
            f"{panel.name} lacks {lacking[0]}, which this checkpoint was trained with.", near(lacking[0], known)
        )
    notices = (f"{panel.name} lacks {', '.join(lacking)}: forecast without it.",) if lacking else ()
    groups = tuple(_matched(group, panel, told) for group in panel.groups)
    chosen = dataclasses.replace(
        panel, groups=groups, past=told.past, future=told.future, static=told.static,
        static_levels=told.static_levels,
    )  # fmt: skip
    present = tuple(name for name in told.future if name in panel.future)
    if present and any(group.ahead or not told.optional for group in panel.groups):
        places = [told.future.index(name) for name in present]
        only = dataclasses.replace(
            chosen,
            future=present,
            groups=tuple(dataclasses.replace(group, future=group.future[places]) for group in groups),
        )
        require_future(only, horizon)
    elif present:
        notices += (f"{', '.join(present)} is not known after the end of {panel.name}: forecast without it.",)
    return chosen, notices


def _matched(group: Group, panel: Panel, told: Told) -> Group:
    return dataclasses.replace(
        group,
        past=_rows(group.past, panel.past, told.past),
        future=_rows(group.future, panel.future, told.future),
        static=_codes(group, panel, told),
    )


def _rows(array: np.ndarray, have: tuple[str, ...], wanted: tuple[str, ...]) -> np.ndarray:
    """Rows of array [X, N] by name, NaN for those it lacks."""
    found = np.full((len(wanted), array.shape[1]), np.nan, dtype=np.float32)
    for place, name in enumerate(wanted):
        if name in have:
            found[place] = array[have.index(name)]
    return found


def _codes(group: Group, panel: Panel, told: Told) -> np.ndarray:
    """static [C, S] with the codes of the checkpoint; a word that it never met is 0 like what is not known."""
    found = np.zeros((len(group.ids), len(told.static)), dtype=np.float32)
    for place, name in enumerate(told.static):
        if name not in panel.static:
            continue
        column = group.static[:, panel.static.index(name)]
        if name in told.static_levels:
            words = panel.static_levels.get(name, ())
            known = told.static_levels[name]
            named = [words[int(code)] if np.isfinite(code) and int(code) < len(words) else "" for code in column]
            column = np.asarray([known.index(word) if word in known else 0 for word in named], dtype=np.float32)
        found[:, place] = np.nan_to_num(column)
    return found
