"""LeRobot's data sets, format v3.0, states and actions only; no package of theirs is needed.

    meta/info.json                                what the columns are, frames a second
    meta/stats.json                               mean, deviation, quantiles of each column
    meta/tasks.parquet                            what was to be done, in words
    meta/episodes/chunk-000/file-000.parquet      where each episode lies, and its own statistics
    data/chunk-000/file-000.parquet               the steps ("frames")
    meta/tsuite.parquet                           ours: the last observations, seeds, policies, spaces

LeRobot keeps no observation after the last action, so it lies beside. Axes: T steps of one episode, R rows.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import UserError
from .columns import Roles
from .episodes import Episode, Episodes, Setting
from .table_files import arrow
from .tables import KEY, from_arrow
from .words import counted, reason

OWN = "meta/tsuite.parquet"
SKIPPED = ("image", "video", "string", "language")
"""Kinds of columns that are no states or actions."""


def read_lerobot(folder: Path) -> Episodes:
    """The episodes of a data set's folder, its pictures left out.

    A set without rewards (most are demonstrations) gets 0 for each step, which a notice says: it is for cloning. Raises
    UserError for what cannot be read, and for a set without states or actions.
    """
    info = _info(folder)
    features: dict[str, Any] = info["features"]
    numbers = [name for name, item in features.items() if item.get("dtype") not in SKIPPED]
    seen = tuple(name for name in numbers if name.startswith("observation"))
    acted = tuple(name for name in numbers if name == "action" or name.startswith("action."))
    if not (seen and acted):
        raise UserError(
            f"{folder} has no {'actions' if seen else 'states'}; its columns are {', '.join(features)}.",
            "Pictures alone are not read.",
        )
    roles = Roles(
        episode="episode_index",
        step="frame_index",
        observation=seen,
        action=acted,
        reward=_first(numbers, "next.reward", "reward") or "next.reward",
        terminated=_first(numbers, "next.terminated"),
        truncated=_first(numbers, "next.truncated"),
        done=_first(numbers, "next.done"),
    )
    table, notices = _frames(folder, roles)
    left = [name for name, item in features.items() if item.get("dtype") in SKIPPED]
    if left:
        notices.append(f"Not read: {', '.join(left)}.")
    found = from_arrow(table, folder.name, roles)
    notices += [*_whole(found, info), *found.notices]
    return _with_own(folder, found, notices)


def _info(folder: Path) -> dict[str, Any]:
    path = folder / "meta" / "info.json"
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
        version = str(info["codebase_version"])
        dict(info["features"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read: {reason(error)}.", "Is it a LeRobot data set?") from error
    if not version.startswith(("v2", "v3")):
        raise UserError(f"{folder} is of LeRobot's format {version}; v3.0 is read.", "LeRobot has converters.")
    return info


def _first(names: list[str], *wanted: str) -> str:
    return next((name for name in wanted if name in names), "")


def _frames(folder: Path, roles: Roles) -> tuple[Any, list[str]]:
    """The rows of all files, and what is to be said of them."""
    pa = arrow()
    wanted = [roles.episode, roles.step, *roles.observation, *roles.action, roles.reward, *roles.ends]
    parts = []
    for path in sorted((folder / "data").glob("*/*.parquet")):
        try:
            there = set(pa.parquet.read_schema(path).names)
            parts.append(pa.parquet.read_table(path, columns=[name for name in wanted if name in there]))
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{path} cannot be read: {reason(error)}.", "Is it whole?") from error
    if not parts:
        raise UserError(f"{folder} has no frames: no parquet file in {folder / 'data'}.")
    table = pa.concat_tables(parts, promote_options="default").replace_schema_metadata(None)
    missing = [name for name in wanted if name not in table.column_names and name != roles.reward]
    if missing:
        raise UserError(f"{folder}: its files lack the columns {', '.join(missing)}, which meta/info.json names.")
    if roles.reward in table.column_names:
        return table, []
    zeros = pa.array(np.zeros(table.num_rows, np.float32))
    return table.append_column(roles.reward, zeros), ["There are no rewards: 0 is taken, good for cloning only."]


def _whole(found: Episodes, info: dict[str, Any]) -> list[str]:
    """A sentence where there is less than the data set says of itself."""
    told = info.get("total_episodes"), info.get("total_frames")
    there = len(found), found.steps
    if not all(isinstance(number, int) for number in told) or there == told:
        return []
    said, held = (f"{counted(episodes, 'episode')} of {counted(steps, 'step')}" for episodes, steps in [told, there])
    return [f"It is said to hold {said} in all, and holds {held}."]


def _with_own(folder: Path, found: Episodes, notices: list[str]) -> Episodes:
    """What we keep beside put back in; nothing where the episodes have been changed since."""
    pa, path = arrow(), folder / OWN
    if not path.is_file():
        return Episodes(list(found), found.setting, name=folder.name, notices=notices)
    try:
        table = pa.parquet.read_table(path)
        setting = Setting.from_json(json.loads(table.schema.metadata[KEY]))
        rows = table.to_pylist()
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read: {reason(error)}.", "Delete it to read the set without.") from error
    if [row["length"] for row in rows] != found.lengths.tolist():
        notices.append(f"The episodes are not those that {OWN} was written for: it is left aside.")
        return Episodes(list(found), found.setting, name=folder.name, notices=notices)
    notices = [text for text in notices if not text.startswith("Decided by")]
    own = [_mended(item, row, setting) for item, row in zip(found, rows, strict=True)]
    return Episodes(own, setting, name=folder.name, notices=notices)


def _mended(episode: Episode, row: dict[str, Any], setting: Setting) -> Episode:
    """One episode in its own spaces, with its last observation."""
    seen = episode.observations.astype(setting.observation.dtype).reshape(-1, *setting.observation.shape)
    seen[-1] = np.asarray(row["last"], setting.observation.dtype).reshape(setting.observation.shape)
    return Episode(
        id=row["id"],
        observations=seen,
        actions=episode.actions.astype(setting.action.dtype).reshape(-1, *setting.action.shape),
        rewards=episode.rewards,
        terminations=episode.terminations,
        truncations=episode.truncations,
        seed=row["seed"],
        policy=row["policy"],
        has_last=row["has_last"],
    )
