"""Minari's data sets: ours read by the library, the library's read by us, in both storages."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tsuite.core.errors import UserError
from tsuite.domains.control.data import load_episodes, write_episodes

from .tiny_episodes import SPACES, make, same

minari = pytest.importorskip("minari")
gymnasium = pytest.importorskip("gymnasium")
pytest.importorskip("h5py")
pytest.importorskip("pyarrow")


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Minari keeps its data sets."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "root"))
    return tmp_path / "root"


@pytest.mark.parametrize("kind", SPACES)
@pytest.mark.parametrize("storage", ["minari", "minari-arrow"])
def test_there_and_back(kind: str, storage: str, tmp_path: Path) -> None:
    episodes = make(kind)
    path = write_episodes(episodes, tmp_path / "tiny-v0", storage)
    assert same(load_episodes(path), episodes)
    assert same(load_episodes(path / "data"), episodes)


def test_large_pictures_are_kept_as_they_are(tmp_path: Path) -> None:
    """Minari would make JPEGs of them."""
    episodes = make("cart", lengths=(2,))
    seen = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3)).astype(np.uint8)
    from .tiny_episodes import Episodes, Setting, box, replace

    space = box(40, 40, 3, dtype="uint8", low=(0.0,), high=(255.0,))
    episodes = Episodes(
        [replace(episodes[0], observations=seen)], Setting(observation=space, action=episodes.setting.action)
    )
    storage = pytest.importorskip("minari.dataset.minari_storage").MinariStorage
    if "jpeg_encoding" not in inspect.signature(storage.new).parameters:  # before Minari 0.5.4
        with pytest.raises(UserError, match="would keep these pictures as JPEG"):
            write_episodes(episodes, tmp_path / "large-v0", "minari")
        return
    assert same(load_episodes(write_episodes(episodes, tmp_path / "large-v0", "minari")), episodes)


def test_the_library_reads_ours(root: Path) -> None:
    episodes = make(env="CartPole-v1")
    write_episodes(episodes, root / "own" / "tiny-v3", "minari")
    found = minari.load_dataset("own/tiny-v3")
    assert (found.total_episodes, found.total_steps, found.env_spec.id) == (4, 17, "CartPole-v1")
    for one, other in zip(found.iterate_episodes(), episodes, strict=True):
        assert np.array_equal(one.observations, other.observations)
        assert np.array_equal(one.truncations, other.truncations)
    assert same(load_episodes("minari:own/tiny-v3"), episodes)
    with pytest.raises(UserError, match="Did you mean own/tiny-v3"):
        load_episodes("minari:own/tini-v3")


def made_by_the_library(name: str, observation: Any, seen: Any, **more: Any) -> None:
    """A data set of one episode of two steps, which ends without an end."""
    from minari.data_collector.episode_buffer import EpisodeBuffer
    from minari.dataset.minari_storage import MinariStorage
    from minari.storage.datasets_root_dir import get_dataset_path

    folder = get_dataset_path(name) / "data"
    folder.mkdir(parents=True)
    spec = gymnasium.spec("CartPole-v1")
    storage = MinariStorage.new(folder, observation, gymnasium.spaces.Discrete(2), spec, "hdf5")
    storage.update_metadata({"dataset_id": name, "minari_version": minari.__version__, **more})
    buffer: dict[str, Any] = {"actions": [1, 0], "rewards": [1.0, 2.0]}
    buffer |= {"terminations": [False, False], "truncations": [False, False], "observations": seen}
    storage.update_episodes([EpisodeBuffer(seed=7, **buffer)])


def test_the_librarys_own() -> None:
    space = gymnasium.spaces.Box(-1, 1, (2,))
    made_by_the_library("a/b-v0", space, np.zeros((3, 2), np.float32), ref_min_score=1.0, ref_max_score=9.0)
    found = load_episodes("minari:a/b-v0")
    setting = found.setting
    assert (setting.env, setting.max_steps, setting.threshold, setting.reference) == ("CartPole-v1", 500, 475.0, (1, 9))
    assert setting.observation.high == (1.0, 1.0)
    assert (found[0].seed, found[0].rewards.dtype, found[0].returns) == (7, np.float32, 3.0)
    assert found[0].truncations.tolist() == [False, True]
    assert found.notices == ("Cut short: episode 0 stopped without an end, which is taken as truncated.",)


def test_observations_of_several_parts() -> None:
    spaces = gymnasium.spaces
    space = spaces.Dict(goal=spaces.Box(-1, 1, (2,)), arm=spaces.Box(-1, 1, (1, 2)))
    seen = {"goal": np.ones((3, 2), np.float32), "arm": np.full((3, 1, 2), 0.5, np.float32)}
    made_by_the_library("a/parts-v0", space, seen)
    found = load_episodes("minari:a/parts-v0")
    assert found[0].observations.tolist() == [[0.5, 0.5, 1.0, 1.0]] * 3
    assert "Observations of several parts are 4 numbers one after another." in found.notices


def test_nothing_is_run(tmp_path: Path) -> None:
    """Metadata without spaces would have Minari make whatever environment they name."""
    path = write_episodes(make(), tmp_path / "tiny-v0", "minari") / "data" / "metadata.json"
    metadata = json.loads(path.read_text())
    del metadata["observation_space"]
    path.write_text(json.dumps(metadata | {"env_spec": '{"id": "x-v0", "entry_point": "os:abort"}'}))
    with pytest.raises(UserError, match="does not say what the data set's spaces are"):
        load_episodes(tmp_path / "tiny-v0")


def test_a_damaged_one(tmp_path: Path) -> None:
    path = write_episodes(make(), tmp_path / "tiny-v0", "minari") / "data" / "main_data.hdf5"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UserError, match=r"The Minari data set .* cannot be read"):
        load_episodes(tmp_path / "tiny-v0")
