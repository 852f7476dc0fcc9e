"""The covariates that a checkpoint knows, in its order, out of whatever a table brings."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from ...core.errors import UserError, near
from .frequency import Frequency
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
    """The panel with the covariates that are told, in that order, its timelines reaching `horizon` steps beyond the
    series (the calendar is known there, whatever else is), and sentences on the covariates that it lacks.

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
    without = f"forecast without {'them' if len(lacking) > 1 else 'it'}"
    notices = (f"{panel.name} lacks {', '.join(lacking)}: {without}.",) if lacking else ()
    groups = tuple(_matched(group, panel, told) for group in panel.groups)
    chosen = dataclasses.replace(
        panel, groups=groups, past=told.past, future=told.future, static=told.static,
        static_levels=told.static_levels,
    )  # fmt: skip
    empty = {
        name for place, name in enumerate(panel.future)
        if told.optional and not any(np.isfinite(group.future[place]).any() for group in panel.groups)
    }  # fmt: skip
    present = tuple(name for name in told.future if name in panel.future and name not in empty)
    if present and horizon and any(group.ahead or not told.optional for group in panel.groups):
        places = [told.future.index(name) for name in present]
        only = dataclasses.replace(
            chosen,
            future=present,
            groups=tuple(dataclasses.replace(group, future=group.future[places]) for group in groups),
        )
        require_future(only, horizon)
    elif present and horizon:
        verb, it = ("are", "them") if len(present) > 1 else ("is", "it")
        notices += (f"{', '.join(present)} {verb} not known after the end of {panel.name}: forecast without {it}.",)
    far = tuple(reaching(group, panel.frequency, horizon) for group in groups)
    return dataclasses.replace(chosen, groups=far), notices


def reaching(group: Group, frequency: Frequency, horizon: int) -> Group:
    """The group with stamps for at least `horizon` steps after its targets' end; what is not known there is NaN."""
    more = horizon - group.ahead
    if more <= 0:
        return group
    index = group.index.append(frequency.after(group.index[-1], more))
    return dataclasses.replace(
        group, index=index, future=np.pad(group.future, ((0, 0), (0, more)), constant_values=np.nan)
    )


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
    """static [C, S] with the codes of the checkpoint; NaN for what is not known, like a word that it never met."""
    found = np.full((len(group.ids), len(told.static)), np.nan, dtype=np.float32)
    for place, name in enumerate(told.static):
        if name not in panel.static:
            continue
        column = group.static[:, panel.static.index(name)]
        if name in told.static_levels:
            words = panel.static_levels.get(name, ())
            known = told.static_levels[name]
            named = [words[int(code)] if np.isfinite(code) and int(code) < len(words) else "" for code in column]
            column = np.asarray([known.index(word) if word in known else np.nan for word in named], dtype=np.float32)
        found[:, place] = column
    return found
