"""Minari's data sets in and out, through the minari library; axes: T steps of one episode.

Nothing of a data set is run: one that says what its spaces are only through an environment to be made is refused.
"""

from __future__ import annotations

import inspect
import json
import os
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import UserError, missing_extra, near
from .episodes import FIELDS, Episode, Episodes, Setting
from .spaces import Space
from .words import counted, reason

NAME = "tsuite"
"""Key of what we add to a data set's metadata: the setting, and what we call an episode."""


def minari() -> Any:
    """The package. Raises UserError where it is not installed."""
    try:
        import minari as package
    except ModuleNotFoundError as error:
        raise missing_extra("minari", "control") from error
    return package


def find_minari(name: str) -> Path:
    """The folder of the data set `namespace/name-v0` among those that Minari keeps; UserError for an unknown one."""
    root = _root()
    if (root / name / "data" / "metadata.json").is_file():
        return root / name / "data"
    known = [path.parent.parent.relative_to(root).as_posix() for path in root.rglob("data/metadata.json")]
    raise UserError(
        f"There is no Minari data set {name!r} in {root}.", f"{near(name, known)} Or: minari download {name}"
    )


def _root() -> Path:
    return Path(os.environ.get("MINARI_DATASETS_PATH") or "~/.minari/datasets").expanduser()


# -- reading ----------------------------------------------------------------------------------------------------------


def read_minari(folder: Path) -> Episodes:
    """The episodes in a data set's folder `data`, of HDF5 or Arrow. Raises UserError where it cannot be read."""
    metadata = _metadata(folder)
    package = minari()
    try:
        found = package.MinariDataset(folder.absolute())
        setting, notices = _setting(found, metadata)
        episodes = [_episode(item, facts, metadata, setting) for item, facts in _stored(found.storage)]
    except (ImportError, ModuleNotFoundError) as error:
        raise missing_extra("pyarrow" if metadata.get("data_format") != "hdf5" else "h5py", "control") from error
    except (OSError, ValueError, KeyError, AssertionError) as error:
        raise UserError(
            f"The Minari data set {folder} cannot be read: {reason(error)}.", "Is it whole, and is minari up to date?"
        ) from error
    return Episodes(episodes, setting, name=str(metadata.get("dataset_id", folder.name)), notices=notices)


def _metadata(folder: Path) -> dict[str, Any]:
    try:
        metadata = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
        if {"observation_space", "action_space", "data_format"} <= set(metadata):
            return metadata
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{folder / 'metadata.json'} cannot be read: {reason(error)}.") from error
    raise UserError(
        f"{folder / 'metadata.json'} does not say what the data set's spaces are.",
        "An environment would have to be made to find out, which is not done for data from elsewhere.",
    )


def _setting(found: Any, metadata: dict[str, Any]) -> tuple[Setting, list[str]]:
    """What it was recorded in. Observations of several parts become one vector of them all."""
    if NAME in metadata:
        return Setting.from_json(json.loads(metadata[NAME])), []
    notices = []
    observation = found.observation_space
    if type(observation).__name__ in ("Dict", "Tuple"):
        numbers = int(np.concatenate(list(_parts(observation, None))).size)
        space = Space(kind="box", shape=(numbers,), dtype="float32")
        notices.append(f"Observations of several parts are {counted(numbers, 'number')} one after another.")
    else:
        space = Space.from_gymnasium(observation)
    spec = found.env_spec
    bounds = metadata.get("ref_min_score"), metadata.get("ref_max_score")
    setting = Setting(
        observation=space,
        action=Space.from_gymnasium(found.action_space),
        env=spec.id if spec else "",
        env_options=json.loads(json.dumps(dict(spec.kwargs), default=str)) if spec else {},
        max_steps=spec.max_episode_steps if spec else None,
        threshold=spec.reward_threshold if spec else None,
        reference=None if None in bounds else (float(bounds[0] or 0), float(bounds[1] or 0)),
    )
    return setting, notices


def _stored(storage: Any) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each episode's arrays and facts, one at a time."""
    for number in range(storage.total_episodes):
        yield next(iter(storage.get_episodes([number]))), next(iter(storage.get_episode_metadata([number])))


def _episode(item: dict[str, Any], facts: dict[str, Any], metadata: dict[str, Any], setting: Setting) -> Episode:
    rewards = np.asarray(item["rewards"], np.float32).reshape(-1)
    seen = item["observations"]
    if isinstance(seen, (dict, tuple)):
        seen = _together(seen)
    seen = np.asarray(seen).astype(setting.observation.dtype)
    there = len(seen) > len(rewards)
    own = json.loads(facts.get(NAME, "{}"))
    return Episode(
        id=str(own.get("id", facts.get("id", item["id"]))),
        observations=seen if there else np.concatenate([seen, seen[-1:]]),
        actions=np.asarray(item["actions"]).astype(setting.action.dtype).reshape(-1, *setting.action.shape),
        rewards=rewards,
        terminations=np.asarray(item["terminations"], bool).reshape(-1),
        truncations=np.asarray(item["truncations"], bool).reshape(-1),
        seed=None if facts.get("seed") is None else int(facts["seed"]),
        policy=str(own.get("policy", metadata.get("algorithm_name", ""))),
        has_last=bool(own.get("has_last", there)),
    )


def _parts(space: Any, values: Any) -> Iterator[np.ndarray]:
    """One flat array for each part of a space, in the order of their names."""
    inner = sorted(space.spaces.items()) if hasattr(space.spaces, "items") else enumerate(space.spaces)
    for _, part in inner:
        if hasattr(part, "spaces"):
            yield from _parts(part, values)
        elif type(part).__name__ == "Box":
            yield np.zeros(part.shape, np.float32).reshape(-1)
        else:
            raise UserError(f"A part of the observations is no box of numbers: {part}.")


def _together(values: Any) -> np.ndarray:
    """[T, numbers] of parts in the order of their names."""
    inner = [value for _, value in sorted(values.items())] if isinstance(values, dict) else list(values)
    flat = [_together(part) if isinstance(part, (dict, tuple)) else np.asarray(part, np.float32) for part in inner]
    return np.concatenate([part.reshape(len(part), -1) for part in flat], axis=1)


# -- writing ----------------------------------------------------------------------------------------------------------


def write_minari(episodes: Episodes, path: Path, *, storage: str = "hdf5") -> Path:
    """A data set in the folder `path`, whose name is its id; storage: "hdf5" or "arrow". Pictures are kept as they are.

    Raises UserError where minari, h5py or pyarrow are missing, or the folder cannot be written.
    """
    minari()
    from minari.dataset import minari_storage
    from minari.dataset.minari_storage import MinariStorage

    setting, path = episodes.setting, path.absolute()  # the library mistakes a relative one
    options: dict[str, Any] = {"data_format": storage}
    if "jpeg_encoding" in inspect.signature(MinariStorage.new).parameters:
        options["jpeg_encoding"] = False  # JPEG would change what was seen
    elif minari_storage.is_image_space(setting.observation.to_gymnasium()):
        raise UserError(
            f"Minari {version('minari')} would keep these pictures as JPEG, which changes them.",
            "Try minari 0.5.4 or newer, or another --format.",
        )
    try:
        (path / "data").mkdir(parents=True)
        new = MinariStorage.new(
            path / "data",
            observation_space=setting.observation.to_gymnasium(),
            action_space=setting.action.to_gymnasium(),
            env_spec=_spec(setting),
            **options,
        )
        policies = sorted({item.policy for item in episodes} - {""})
        new.update_metadata(
            {
                "dataset_id": _id(path),
                "minari_version": version("minari"),
                "algorithm_name": ", ".join(policies) or "unknown",
                NAME: json.dumps(setting.to_json()),
            }
        )
        vars(new)["get_size"] = lambda: 0.0  # else it counts all files after every episode
        new.update_episodes(_buffers(episodes))
        del vars(new)["get_size"]
        new.update_episode_metadata([{NAME: _told(item)} for item in episodes])
    except ImportError as error:
        raise missing_extra("h5py" if storage == "hdf5" else "pyarrow", "control") from error
    except OSError as error:
        raise UserError(
            f"{path} could not be written: {reason(error)}.", "Is the disk full, the folder read-only?"
        ) from error
    return path


def _buffers(episodes: Episodes) -> Iterator[Any]:
    from minari.data_collector.episode_buffer import EpisodeBuffer

    for item in episodes:
        arrays: dict[str, Any] = {name: getattr(item, name) for name in FIELDS}
        yield EpisodeBuffer(seed=item.seed, **arrays)


def _told(episode: Episode) -> str:
    return json.dumps({"id": episode.id, "policy": episode.policy, "has_last": episode.has_last})


def _id(path: Path) -> str:
    """The data set's id: where Minari keeps its own, with the namespace, else the folder's name, which has to end in a
    version."""
    root = _root()
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
    plain = re.sub(r"[^-_/\w]+", "_", name)
    return plain if re.search(r"-v\d+$", plain) else f"{plain}-v0"


def _spec(setting: Setting) -> Any:
    """gymnasium's description of the environment, where it knows the id."""
    import copy

    from gymnasium.envs.registration import registry

    spec = copy.deepcopy(registry.get(setting.env))
    if spec is not None:
        spec.kwargs |= dict(setting.env_options)
        if setting.max_steps:
            spec.max_episode_steps = setting.max_steps
    return spec
