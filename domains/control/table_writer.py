"""Episodes written as a csv or parquet table, as `tables` reads them; axes: R rows, T steps of one episode."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import UserError
from .episodes import Episode, Episodes, Setting
from .spaces import Space
from .table_files import arrow
from .tables import KEY
from .words import reason


def write_table(episodes: Episodes, path: Path, *, csv: bool) -> Path:
    """One row for each step, and one for what the last action led to, where it is known.

    parquet keeps every bit and the setting; observations and actions of more than one number are lists in it, and
    columns of their own in csv. Raises UserError where the file cannot be written.
    """
    pa = arrow()
    fresh = path.with_name(f".{path.name}.new")
    schema = None
    try:
        with fresh.open("wb") as file:
            writer: Any = None
            for batch in _batches(episodes, csv=csv):
                if writer is None:
                    schema = batch.schema.with_metadata({KEY: json.dumps(episodes.setting.to_json()).encode()})
                    writer = pa.csv.CSVWriter(file, schema) if csv else pa.parquet.ParquetWriter(file, schema)
                writer.write(batch.cast(schema))
            if writer is not None:
                writer.close()
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise UserError(
            f"{path} could not be written: {reason(error)}.", "Is the disk full or the folder read-only?"
        ) from error
    return path


def _batches(episodes: Episodes, *, csv: bool) -> Iterator[Any]:
    """A pyarrow table for each episode."""
    pa = arrow()
    for episode in episodes:
        columns = _columns(episode, episodes.setting, csv=csv)
        yield pa.table(columns)


def _columns(episode: Episode, setting: Setting, *, csv: bool) -> dict[str, Any]:
    pa = arrow()
    steps = len(episode)
    rows = steps + episode.has_last
    columns: dict[str, Any] = {"episode": pa.array([episode.id] * rows), "step": pa.array(np.arange(rows))}
    columns |= _spread("observation", episode.observations[:rows], setting.observation, rows, csv=csv)
    columns |= _spread("action", episode.actions, setting.action, rows, csv=csv)
    missing = np.arange(rows) >= steps
    for name, values in (
        ("reward", episode.rewards),
        ("terminated", episode.terminations),
        ("truncated", episode.truncations),
    ):
        columns[name] = pa.array(_padded(values, rows), mask=missing)
    columns["seed"] = pa.array([episode.seed] * rows, pa.int64())
    columns["policy"] = pa.array([episode.policy] * rows, pa.string())
    return columns


def _spread(name: str, values: np.ndarray, space: Space, rows: int, *, csv: bool) -> dict[str, Any]:
    """Columns of one value a step: one, one for each number, or one of lists; cells past the last step are missing."""
    pa = arrow()
    flat = values.reshape(len(values), -1)
    missing = np.arange(rows) >= len(values)
    if space.kind == "discrete":
        return {name: pa.array(_padded(flat[:, 0], rows), mask=missing)}
    if csv:
        return {
            f"{name}_{number}": pa.array(_padded(flat[:, number], rows), mask=missing)
            for number in range(flat.shape[1])
        }
    numbers = pa.array(_padded(flat, rows).reshape(-1))
    # Not lists of a fixed size: before pyarrow 26 those that are missing cannot be read back.
    ends = pa.array(np.arange(0, rows * flat.shape[1] + 1, flat.shape[1], dtype=np.int32))
    return {name: _masked(pa.ListArray.from_arrays(ends, numbers), missing)}


def _padded(values: np.ndarray, rows: int) -> np.ndarray:
    short = rows - len(values)
    return np.concatenate([values, np.zeros((short, *values.shape[1:]), values.dtype)]) if short else values


def _masked(lists: Any, missing: np.ndarray) -> Any:
    """The lists, those where `missing` gone."""
    pa = arrow()
    return pa.compute.if_else(pa.array(~missing), lists, pa.scalar(None, lists.type)) if missing.any() else lists
