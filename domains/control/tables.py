"""Episodes as a plain table, without any environment: csv and parquet, one row for each step.

    episode  step  observation_0  observation_1  action  reward  terminated  truncated
    0        0     0.1            -0.3           1       1.0     false       false
    0        1     0.2            -0.1           0       1.0     true        false
    0        2     0.3            0.0

A last row with neither action nor reward holds what the last action led to; it may be left out. Columns go by many
names (see `columns`); in parquet an observation may be one column of lists. Axes: R rows, T steps of one episode.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import UserError
from .columns import Roles, recognise
from .episodes import Episode, Episodes, Setting
from .spaces import Space
from .table_files import arrow, load_table
from .words import counted

KEY = b"tsuite.setting"
"""Where a parquet file of ours keeps the setting."""
EMPTY = {"", "none", "nan", "na", "n/a", "null", "#n/a"}
"""What stands for a missing cell in a column that pyarrow has not recognised as numbers."""
FLAGS = {"true": 1.0, "false": 0.0}
CHOICES = 256
"""Whole numbers of no more values than this are choices; more are numbers."""


# -- reading ----------------------------------------------------------------------------------------------------------


def read_table(path: Path) -> Episodes:
    """The episodes of a .csv, .csv.gz, .tsv or .parquet file; `notices` say what was decided.

    Raises UserError for a table without observations, actions or rewards, cells that are no numbers, lists of different
    lengths, the same step twice, and what goes on after its end.
    """
    table, notices = load_table(path)
    return from_arrow(table, path.name, exact=path.suffix.lower() == ".parquet", notices=notices)


def from_arrow(
    table: Any, where: str, roles: Roles | None = None, *, exact: bool = True, notices: Sequence[str] = ()
) -> Episodes:
    """The same of a pyarrow table; `where` names it in messages, `notices` go before the others."""
    chosen = roles or recognise(table.column_names, where)
    if not table.num_rows:
        raise UserError(f"{where} has no rows.")
    reader = _Reader(table, chosen, where, exact)
    setting = _stored_setting(table) or reader.setting()
    return Episodes(list(reader.episodes(setting)), setting, name=where, notices=[*notices, *reader.notices])


def _stored_setting(table: Any) -> Setting | None:
    text = (table.schema.metadata or {}).get(KEY)
    try:
        return Setting.from_json(json.loads(text)) if text else None
    except ValueError:
        return None


@dataclass
class _Reader:
    """One table on its way to episodes."""

    table: Any
    roles: Roles
    where: str
    exact: bool
    """Whether the table's types are meant (parquet), not guessed from text (csv)."""

    def __post_init__(self) -> None:
        self.notices: list[str] = []
        if self.roles.ignored:
            self.notices.append(f"Columns that are not used: {', '.join(self.roles.ignored)}.")
        self.names, self.episode = self._episode()
        self.step = self._numbers(self.roles.step) if self.roles.step else self._counted()
        self._no_gaps(self.step, self.roles.step, "step")
        self.observation = self._matrix(self.roles.observation)
        self.action = self._matrix(self.roles.action)
        self.following = self._matrix(self.roles.following) if self.roles.following else None
        self.reward = self._numbers(self.roles.reward)
        self.ends = {name: self._flags(name) for name in self.roles.ends}
        self.order = self._sorted()

    # -- columns --------------------------------------------------------------------------------------------------

    def _episode(self) -> tuple[list[str], np.ndarray]:
        """The episodes' names in the order they come, and [R] which of them each row belongs to."""
        if self.roles.episode:
            names, first, row = np.unique(
                np.array([str(value) for value in self.table[self.roles.episode].to_pylist()]),
                return_index=True,
                return_inverse=True,
            )
            rank = np.argsort(np.argsort(first))
            return [str(names[place]) for place in np.argsort(first)], rank[row.reshape(-1)]
        if not self.roles.ends:
            self.notices.append("There is no column for the episode: all rows are taken as one.")
            return ["0"], np.zeros(self.table.num_rows, np.int64)
        ends = np.any([self._flags(name) for name in self.roles.ends], axis=0)
        row = np.concatenate([[0], np.cumsum(ends)[:-1]]).astype(np.int64)
        self.notices.append(f"There is no column for the episode: one ends where {' or '.join(self.roles.ends)} is.")
        return [str(number) for number in range(row[-1] + 1)], row

    def _counted(self) -> np.ndarray:
        """[R] the number of each row within its episode."""
        self.notices.append("There is no column for the step: rows are taken in their order.")
        seen: Counter[int] = Counter()
        steps = np.zeros(len(self.episode), np.float64)
        for row, episode in enumerate(self.episode.tolist()):
            steps[row] = seen[episode]
            seen[episode] += 1
        return steps

    def _numbers(self, name: str) -> np.ndarray:
        """[R] of a column, missing cells as NaN; whole numbers stay whole where none is missing."""
        pa = arrow()
        column = self.table[name].combine_chunks()
        kind = column.type
        if not _countable(kind):
            if pa.types.is_null(kind):
                return np.full(len(column), np.nan)
            return self._read(column.to_pylist(), name)
        if column.null_count or pa.types.is_floating(kind):
            return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
        return np.asarray(column.to_numpy(zero_copy_only=False)).astype(np.int64)

    def _read(self, cells: list[Any], name: str) -> np.ndarray:
        """[R] of cells that are no numbers to pyarrow: one of them is not, or they are written in some other way."""
        found = np.full(len(cells), np.nan)
        for row, cell in enumerate(cells):
            word = str(cell).strip().lower()
            if word not in EMPTY:
                try:
                    found[row] = FLAGS[word] if word in FLAGS else float(word)
                except ValueError:
                    raise UserError(
                        f"{self.where}, row {row + 1}: the column {name} holds {str(cell)!r}, which is no number."
                    ) from None
        return found

    def _flags(self, name: str) -> np.ndarray:
        values = self._numbers(name)
        return np.nan_to_num(values.astype(np.float64)) != 0

    def _matrix(self, names: tuple[str, ...]) -> np.ndarray:
        """[R, numbers] of columns of numbers, or of one with lists."""
        pa = arrow()
        parts = []
        for name in names:
            kind = getattr(self.table[name].type, "storage_type", self.table[name].type)
            lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or _fixed(kind)
            parts.append(self._lists(name) if lists else self._numbers(name)[:, None])
        return np.concatenate(parts, axis=1)

    def _lists(self, name: str) -> np.ndarray:
        """[R, numbers] of a column of lists (of lists), which all have to be as long; missing ones are NaN."""
        pa = arrow()
        column = self.table[name].combine_chunks()
        column = getattr(column, "storage", column)  # of an extension type
        there = np.asarray(column.is_valid())
        width, values = 1, column
        while pa.types.is_list(values.type) or pa.types.is_large_list(values.type) or _fixed(values.type):
            lengths = pa.compute.list_value_length(values.drop_null()).to_numpy(zero_copy_only=False)
            first = int(lengths[0]) if len(lengths) else 0
            wrong = np.flatnonzero(lengths != first)
            if wrong.size:
                row = int(np.flatnonzero(there)[wrong[0] // max(width, 1)])
                raise UserError(
                    f"{self.where}, {self._place(row)}: {name} has {lengths[wrong[0]]} numbers, where {first} come "
                    "before.",
                    "Every step needs the same shape.",
                )
            width, values = width * first, values.drop_null().flatten()
        if not _countable(values.type):
            cell = next((value for value in values.to_pylist() if value is not None), None)
            raise UserError(f"{self.where}: the lists of the column {name} hold {cell!r}, which is no number.")
        flat = np.asarray(values.to_numpy(zero_copy_only=False)).reshape(int(there.sum()), width)
        if there.all():
            return flat
        gaps = np.full((len(there), width), np.nan)
        gaps[there] = flat
        return gaps

    def _no_gaps(self, values: np.ndarray, name: str, what: str) -> None:
        wrong = np.flatnonzero(np.isnan(values.astype(np.float64)))
        if wrong.size:
            raise UserError(f"{self.where}, row {wrong[0] + 1}: the {what} ({name}) is missing.")

    def _place(self, row: int) -> str:
        step = f"{self.step[row]:g}" if hasattr(self, "step") else str(row)
        return f"episode {self.names[self.episode[row]]}, step {step}"

    # -- rows -----------------------------------------------------------------------------------------------------

    def _sorted(self) -> np.ndarray:
        """The rows by episode and step. Equal rows are taken once; UserError for two different ones of one step."""
        order = np.lexsort((self.step, self.episode))
        as_they_come = np.argsort(self.episode, kind="stable")
        if not np.array_equal(order, as_they_come):
            first = int(as_they_come[np.flatnonzero(order != as_they_come)[0]])
            self.notices.append(f"Rows were out of order and are sorted, the first at {self._place(first)}.")
        one, other = order[:-1], order[1:]
        same = (self.episode[one] == self.episode[other]) & (self.step[one] == self.step[other])
        if not same.any():
            return order
        for before, after in zip(one[same].tolist(), other[same].tolist(), strict=True):
            if not self._equal(before, after) and not self.roles.episode:
                raise UserError(
                    f"{self.where} has no column with the episode, and step {self.step[after]:g} comes more than once.",
                    "Call it episode, or give a column terminated or truncated.",
                )
            if not self._equal(before, after):
                raise UserError(f"{self.where}: {self._place(after)} is there twice, with different values.")
        count, first = int(same.sum()), self._place(int(other[same][0]))
        verb = "was there twice" if count == 1 else "were there twice, the first"
        self.notices.append(f"{counted(count, 'row')} {verb}: {first}.")
        return order[np.concatenate([[True], ~same])]

    def _equal(self, one: int, other: int) -> bool:
        columns = (self.observation, self.action, self.reward)
        return all(np.array_equal(values[one], values[other], equal_nan=True) for values in columns)

    # -- what they are --------------------------------------------------------------------------------------------

    def setting(self) -> Setting:
        """The spaces that the columns speak of."""
        paid = ~np.isnan(self.reward.astype(np.float64))
        observation, action = self._space(self.observation, "observations"), self._space(self.action[paid], "actions")
        words = f"observations are {observation.words()}, actions {action.words()}"
        self.notices.append(f"Decided by the columns: {words}.")
        return Setting(observation=observation, action=action)

    def _space(self, values: np.ndarray, what: str) -> Space:
        """Choices for whole numbers of few values, else numbers; cells that are missing say nothing."""
        values = values[np.isfinite(values.astype(np.float64)).all(axis=1)]
        width = values.shape[1]
        whole = values.dtype.kind in "biu" or (
            what == "actions" and bool(np.all(values == np.floor(values))) and self._were_whole(self.roles.action)
        )
        few = whole and values.size and np.ptp(values) < CHOICES and (what == "actions" or width == 1)
        if not few:
            return Space(kind="box", shape=(width,), dtype="float64" if self._double(what) else "float32")
        low = values.min(axis=0).astype(np.int64)
        sizes = values.max(axis=0).astype(np.int64) + 1
        if width == 1:
            start = min(0, int(low[0]))
            return Space(kind="discrete", sizes=(int(sizes[0]) - start,), start=start, dtype="int64")
        if low.min() < 0:
            return Space(kind="box", shape=(width,))
        return Space(kind="multi-discrete", shape=(width,), sizes=tuple(int(size) for size in sizes), dtype="int64")

    def _were_whole(self, names: tuple[str, ...]) -> bool:
        """Whether the cells are of a whole type, or became fractions only for the missing ones among them."""
        pa = arrow()
        kinds = [self.table[name].type for name in names]
        gaps = any(self.table[name].null_count for name in names)
        return all(pa.types.is_integer(kind) or pa.types.is_boolean(kind) for kind in kinds) or gaps

    def _double(self, what: str) -> bool:
        """Parquet says which precision it means; csv does not, and gets the usual one."""
        names = self.roles.observation if what == "observations" else self.roles.action
        kind = self.table[names[0]].type
        while hasattr(kind, "value_type"):
            kind = kind.value_type
        return self.exact and kind == arrow().float64()

    # -- episodes -------------------------------------------------------------------------------------------------

    def episodes(self, setting: Setting) -> Iterator[Episode]:
        """Each of them; those whose steps leave gaps are left out, and said."""
        rows = np.split(self.order, np.flatnonzero(np.diff(self.episode[self.order])) + 1)
        stride = self._stride()
        if not self.roles.ends:
            self.notices.append("Nothing says where episodes end: the last step of each is taken as truncated.")
        elif not (self.roles.terminated or self.roles.truncated):
            self.notices.append(f"{self.roles.done} is taken as the environment's own end, not as a time limit.")
        for own in rows:
            gaps = np.flatnonzero(~np.isclose(np.diff(self.step[own]), stride, rtol=1e-3)) if stride else []
            if len(gaps):
                before, after = self.step[own][gaps[0]], self.step[own][gaps[0] + 1]
                name = self.names[self.episode[own[0]]]
                self.notices.append(f"Left out: episode {name}, which jumps from step {before:g} to {after:g}.")
                continue
            yield self._one(own, setting)

    def _stride(self) -> float:
        """What steps usually differ by; 0 where they are clock times that never keep to one."""
        inside = np.diff(self.episode[self.order]) == 0
        steps = np.round(np.diff(self.step[self.order])[inside].astype(np.float64), 6)
        if not steps.size:
            return 0.0
        (usual, count), *_ = Counter(steps.tolist()).most_common(1)
        return usual if count >= 0.9 * steps.size or self.step.dtype.kind == "i" else 0.0

    def _one(self, rows: np.ndarray, setting: Setting) -> Episode:
        unpaid = np.isnan(self.reward[rows[-1:]].astype(np.float64)).all()
        has_last = bool(len(rows) and unpaid and np.isnan(self.action[rows[-1:]].astype(np.float64)).all())
        steps = rows[:-1] if has_last else rows
        seen = _shaped(self.observation[rows], setting.observation)
        if not has_last:
            last = self.following[rows[-1:]] if self.following is not None else self.observation[rows[-1:]]
            seen = np.concatenate([seen, _shaped(last, setting.observation)])
        terminations, truncations = self._ends(steps)
        with np.errstate(over="ignore"):  # what is too large for a float32 is told of as infinite
            rewards = self.reward[steps].astype(np.float32)
        return Episode(
            id=self.names[self.episode[rows[0]]],
            observations=seen,
            actions=_shaped(self.action[steps], setting.action),
            rewards=rewards,
            terminations=terminations,
            truncations=truncations,
            has_last=has_last or self.following is not None,
            **self._told(int(rows[0])),
        )

    def _ends(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[T] terminations and truncations; what is only "done" is a termination unless it is a truncation."""
        none = np.zeros(len(rows), bool)
        given = {name: values[rows] for name, values in self.ends.items()}
        truncations = given.get(self.roles.truncated, none)
        if self.roles.terminated:
            terminations = given[self.roles.terminated]
        else:
            terminations = given.get(self.roles.done, none) & ~truncations
        if not self.roles.ends and len(rows):
            truncations = np.arange(len(rows)) == len(rows) - 1
        return terminations, truncations

    def _told(self, row: int) -> dict[str, Any]:
        """Seed and policy, where there are columns of them."""
        seed = self.table[self.roles.seed][row].as_py() if self.roles.seed else None
        policy = self.table[self.roles.policy][row].as_py() if self.roles.policy else None
        return {"seed": None if seed is None else int(seed), "policy": "" if policy is None else str(policy)}


def _countable(kind: Any) -> bool:
    types = arrow().types
    return types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)


def _fixed(kind: Any) -> bool:
    return arrow().types.is_fixed_size_list(kind)


def _shaped(values: np.ndarray, space: Space) -> np.ndarray:
    """[T, *shape] as the space stores it. Values that it cannot hold (NaN as a choice) stay, to be named later."""
    shaped = values.reshape(len(values), *space.shape)
    if np.dtype(space.dtype).kind != "f" and not np.isfinite(shaped.astype(np.float64)).all():
        return shaped
    return shaped.astype(space.dtype)
