"""Episodes written as a LeRobot data set, format v3.0, as its version 0.6 reads it (see `lerobot` for the files).

Axes: T steps of one episode, N numbers of one column.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import UserError
from .environments import frame_rate
from .episodes import Episode, Episodes
from .lerobot import OWN
from .spaces import Space
from .table_files import arrow
from .tables import KEY
from .words import reason

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
FPS = 30
"""Frames a second where nobody says how many there are."""
FILES = 1000
"""Files in one folder at most."""
MEGABYTES = 100
"""A data file is no larger, before compression."""


def write_lerobot(episodes: Episodes, folder: Path, *, fps: int | None = None) -> Path:
    """The data set in `folder`, fps frames a second (None: what the environment says, else 30). Observations of more
    axes are written flat.

    `next.done` is the end of either kind; `next.terminated` and `next.truncated` say which. Raises UserError where the
    folder cannot be written.
    """
    try:
        _write(episodes, folder, fps or frame_rate(episodes.setting.env) or FPS)
    except OSError as error:
        hint = "Is the disk full, the folder read-only?"
        raise UserError(f"{folder} could not be written: {reason(error)}.", hint) from error
    return folder


def _write(episodes: Episodes, folder: Path, fps: int) -> None:
    pa = arrow()
    features = _features(episodes)
    for path in (folder / EPISODES, folder / OWN):
        path.parent.mkdir(parents=True, exist_ok=True)
    rows, own, whole = [], [], _Totals()
    frames = _Frames(folder, features)
    for number, episode in enumerate(episodes):
        columns = _columns(episode, number, frames.written, fps)
        stats = {name: statistics(values) for name, values in columns.items()}
        row = {"episode_index": number, "tasks": [_task(episodes)], "length": len(episode)}
        rows.append(row | frames.write(columns) | _flat(stats))
        own.append(_own(episode))
        whole.add(columns)
    frames.close()
    pa.parquet.write_table(pa.Table.from_pylist(rows), folder / EPISODES)
    mine = pa.Table.from_pylist(own)
    setting = json.dumps(episodes.setting.to_json()).encode()
    pa.parquet.write_table(mine.replace_schema_metadata({KEY: setting}), folder / OWN)
    pa.parquet.write_table(_tasks(_task(episodes)), folder / "meta" / "tasks.parquet")
    _json(folder / "meta" / "stats.json", whole.statistics())
    _json(folder / "meta" / "info.json", _info(episodes, features, fps))


def _task(episodes: Episodes) -> str:
    return episodes.setting.env or episodes.name or "act"


def _json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")


# -- columns ----------------------------------------------------------------------------------------------------------


def _features(episodes: Episodes) -> dict[str, dict[str, Any]]:
    """What each column is, in their order."""
    setting = episodes.setting
    plain = {
        "observation.state": _feature(setting.observation),
        "action": _feature(setting.action),
        "next.reward": {"dtype": "float32", "shape": [1], "names": None},
    }
    for name in ("next.done", "next.terminated", "next.truncated"):
        plain[name] = {"dtype": "bool", "shape": [1], "names": None}
    plain["timestamp"] = {"dtype": "float32", "shape": [1], "names": None}
    for name in ("frame_index", "episode_index", "index", "task_index"):
        plain[name] = {"dtype": "int64", "shape": [1], "names": None}
    return plain


def _feature(space: Space) -> dict[str, Any]:
    return {"dtype": space.dtype, "shape": [space.numbers], "names": None}


def _columns(episode: Episode, number: int, before: int, fps: int) -> dict[str, np.ndarray]:
    """The columns of one episode, [T] or [T, N]; `before` rows were written before it."""
    steps = len(episode)
    frame = np.arange(steps, dtype=np.int64)
    columns = {
        "observation.state": episode.observations[:-1].reshape(steps, -1),
        "action": episode.actions.reshape(steps, -1),
        "next.reward": episode.rewards,
        "next.done": episode.terminations | episode.truncations,
        "next.terminated": episode.terminations,
        "next.truncated": episode.truncations,
        "timestamp": (frame / fps).astype(np.float32),
        "frame_index": frame,
        "episode_index": np.full(steps, number, np.int64),
        "index": frame + before,
        "task_index": np.zeros(steps, np.int64),
    }
    return {name: values[:, 0] if values.shape[1:] == (1,) else values for name, values in columns.items()}


class _Frames:
    """The data files, one row group for each episode, a new file when one is full."""

    def __init__(self, folder: Path, features: dict[str, dict[str, Any]]) -> None:
        pa = arrow()
        self.folder, self.place, self.bytes, self.written, self.writer = folder, [0, 0], 0, 0, None
        fields = []
        for name, item in features.items():
            kind, (width,) = pa.from_numpy_dtype(np.dtype(item["dtype"])), item["shape"]
            fields.append((name, kind if width == 1 else pa.list_(kind, width)))
        self.schema = pa.schema(fields)

    def write(self, columns: dict[str, np.ndarray]) -> dict[str, int]:
        """Append one episode; says where it lies."""
        pa = arrow()
        size = sum(values.nbytes for values in columns.values())
        if self.writer is None or self.bytes + size > MEGABYTES << 20:
            self._next()
        writer: Any = self.writer
        arrays = [_array(columns[field.name], field.type) for field in self.schema]
        writer.write_table(pa.Table.from_arrays(arrays, schema=self.schema))
        start, self.bytes, self.written = self.written, self.bytes + size, self.written + len(columns["index"])
        return {
            "data/chunk_index": self.place[0],
            "data/file_index": self.place[1],
            "dataset_from_index": start,
            "dataset_to_index": self.written,
            "meta/episodes/chunk_index": 0,
            "meta/episodes/file_index": 0,
        }

    def _next(self) -> None:
        if self.writer is not None:
            self.close()
            chunk, file = self.place
            self.place = [chunk + 1, 0] if file == FILES - 1 else [chunk, file + 1]
        path = self.folder / DATA.format(chunk_index=self.place[0], file_index=self.place[1])
        path.parent.mkdir(parents=True, exist_ok=True)
        self.writer, self.bytes = arrow().parquet.ParquetWriter(path, self.schema), 0

    def close(self) -> None:
        """Finish the file that is open."""
        if self.writer is not None:
            self.writer.close()


def _array(values: np.ndarray, kind: Any) -> Any:
    pa = arrow()
    if values.ndim == 1:
        return pa.array(values, kind)
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).reshape(-1)), type=kind)


# -- beside the data --------------------------------------------------------------------------------------------------


def statistics(values: np.ndarray) -> dict[str, list[float]]:
    """min, max, mean, std, count and quantiles of [T] or [T, N], each [N] (count: [1])."""
    columns = values.reshape(len(values), -1).astype(np.float64)
    found = {"min": columns.min(axis=0), "max": columns.max(axis=0), "mean": columns.mean(axis=0)}
    found |= {"std": columns.std(axis=0)}
    found |= dict(zip(QUANTILES, np.quantile(columns, list(QUANTILES.values()), axis=0), strict=True))
    plain: dict[str, list[float]] = {name: value.tolist() for name, value in found.items()}
    return {**plain, "count": [len(values)]}


class _Totals:
    """The columns of all episodes, for their statistics."""

    def __init__(self) -> None:
        self.kept: dict[str, list[np.ndarray]] = {}

    def add(self, columns: dict[str, np.ndarray]) -> None:
        for name, values in columns.items():
            self.kept.setdefault(name, []).append(values)

    def statistics(self) -> dict[str, dict[str, list[float]]]:
        return {name: statistics(np.concatenate(parts)) for name, parts in self.kept.items()}


def _flat(stats: dict[str, dict[str, list[float]]]) -> dict[str, list[float]]:
    return {f"stats/{name}/{what}": value for name, item in stats.items() for what, value in item.items()}


def _own(episode: Episode) -> dict[str, Any]:
    return {
        "length": len(episode),
        "id": episode.id,
        "seed": episode.seed,
        "policy": episode.policy,
        "has_last": episode.has_last,
        "last": episode.observations[-1].reshape(-1).tolist(),
    }


def _tasks(task: str) -> Any:
    """The table of tasks, whose index in pandas is the words themselves."""
    pa = arrow()
    column = {"field_name": "task_index", "metadata": None, "name": "task_index"}
    index = {"field_name": "task", "metadata": None, "name": "task"}
    told = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [
            {**column, "numpy_type": "int64", "pandas_type": "int64"},
            {**index, "numpy_type": "object", "pandas_type": "unicode"},
        ],
        "pandas_version": "2.2.0",
    }
    table = pa.table({"task_index": pa.array([0], pa.int64()), "task": pa.array([task])})
    return table.replace_schema_metadata({b"pandas": json.dumps(told).encode()})


def _info(episodes: Episodes, features: dict[str, Any], fps: int) -> dict[str, Any]:
    return {
        "codebase_version": "v3.0",
        "fps": fps,
        "features": features,
        "total_episodes": len(episodes),
        "total_frames": episodes.steps,
        "total_tasks": 1,
        "chunks_size": FILES,
        "data_files_size_in_mb": MEGABYTES,
        "video_files_size_in_mb": 200,
        "data_path": DATA,
        "video_path": None,
        "robot_type": episodes.setting.env or None,
        "splits": {"train": f"0:{len(episodes)}"},
    }
