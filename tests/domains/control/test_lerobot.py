"""LeRobot's format v3.0: there and back, the files that its reader needs, and data sets of other makers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tsuite.core.errors import UserError
from tsuite.domains.control.data import load_episodes, write_episodes
from tsuite.domains.control.lerobot import OWN

from .tiny_episodes import SPACES, make, same

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.mark.parametrize("kind", SPACES)
def test_there_and_back(kind: str, tmp_path: Path) -> None:
    episodes = make(kind, env="X-v0")
    found = load_episodes(write_episodes(episodes, tmp_path / "new", "lerobot"))
    assert same(found, episodes)
    assert found.notices == ()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_episodes(make(env="X-v0"), tmp_path / "new", "lerobot")


def test_the_files(folder: Path) -> None:
    info = json.loads((folder / "meta/info.json").read_text())
    assert (info["codebase_version"], info["total_episodes"], info["total_frames"]) == ("v3.0", 4, 17)
    assert info["features"]["observation.state"] == {"dtype": "float32", "shape": [4], "names": None}
    assert info["features"]["action"] == {"dtype": "int64", "shape": [1], "names": None}
    first = info["data_path"].format(chunk_index=0, file_index=0)
    table = parquet.read_table(folder / first)
    assert table.column_names == list(info["features"])
    assert table["index"].to_pylist() == list(range(17))
    assert table["frame_index"].to_pylist()[:7] == [0, 1, 2, 3, 4, 0, 0]
    assert np.allclose(table["timestamp"].to_pylist()[:3], [0, 1 / 30, 2 / 30])
    assert parquet.ParquetFile(folder / first).num_row_groups == 4  # one for each episode
    ends = np.array(table["next.done"].to_pylist())
    both = np.array(table["next.terminated"].to_pylist()) | np.array(table["next.truncated"].to_pylist())
    assert np.array_equal(ends, both)
    assert ends.sum() == 4


def test_what_lies_beside(folder: Path) -> None:
    episodes = parquet.read_table(folder / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [(row["dataset_from_index"], row["dataset_to_index"]) for row in episodes] == [
        (0, 5),
        (5, 6),
        (6, 14),
        (14, 17),
    ]
    assert {row["data/chunk_index"] for row in episodes} == {row["meta/episodes/file_index"] for row in episodes} == {0}
    stats = json.loads((folder / "meta/stats.json").read_text())
    seen = np.concatenate([item.observations[:-1] for item in make()])
    assert np.allclose(stats["observation.state"]["mean"], seen.mean(axis=0), atol=1e-6)
    assert np.allclose(stats["observation.state"]["q99"], np.quantile(seen, 0.99, axis=0), atol=1e-6)
    assert stats["next.reward"]["count"] == [17]
    first = make()[0]
    assert np.allclose(episodes[0]["stats/observation.state/max"], first.observations[:-1].max(axis=0))
    assert np.allclose(episodes[0]["stats/action/std"], first.actions.std())


def test_pandas_finds_the_tasks_words(folder: Path) -> None:
    pandas = pytest.importorskip("pandas")
    tasks = pandas.read_parquet(folder / "meta/tasks.parquet")
    assert (list(tasks.index), list(tasks.columns), tasks["task_index"].tolist()) == (["X-v0"], ["task_index"], [0])


def test_the_reader_of_their_library_takes_the_types(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LeRobot reads through `datasets`, with these features."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(folder / "cache"))
    pytest.importorskip("datasets.features")  # a folder called datasets is found too, from the top of a checkout
    import datasets

    info = json.loads((folder / "meta/info.json").read_text())
    features = {}
    for name, item in info["features"].items():
        (width,), value = item["shape"], datasets.Value(item["dtype"])
        features[name] = value if width == 1 else datasets.Sequence(value, length=width)
    path = str(folder / "data/chunk-000/file-000.parquet")
    found = datasets.Dataset.from_parquet(
        path, features=datasets.Features(features), cache_dir=str(folder / "cache"), keep_in_memory=True
    )
    assert len(found) == 17
    assert np.array_equal(found[5]["observation.state"], make()[1].observations[0])


# -- of other makers --------------------------------------------------------------------------------------------------


def made(folder: Path, columns: dict[str, Any], features: dict[str, Any], **info: Any) -> Path:
    """A data set as a robot's recorder leaves it."""
    (folder / "meta").mkdir(parents=True)
    (folder / "data/chunk-000").mkdir(parents=True)
    plain = {"codebase_version": "v3.0", "fps": 10, "features": features, **info}
    (folder / "meta/info.json").write_text(json.dumps(plain))
    parquet.write_table(pa.table(columns), folder / "data/chunk-000/file-000.parquet")
    return folder


COLUMNS = {
    "observation.state": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
    "observation.environment_state": [[7.0], [8.0], [9.0]],
    "action": [[0.5], [0.25], [1.0]],
    "episode_index": [0, 0, 1],
    "frame_index": [0, 1, 0],
}
FEATURES = {
    "observation.state": {"dtype": "float32", "shape": [2]},
    "observation.environment_state": {"dtype": "float32", "shape": [1]},
    "observation.images.top": {"dtype": "video", "shape": [3, 8, 8]},
    "action": {"dtype": "float32", "shape": [1]},
    "episode_index": {"dtype": "int64", "shape": [1]},
    "frame_index": {"dtype": "int64", "shape": [1]},
}


def test_demonstrations(tmp_path: Path) -> None:
    found = load_episodes(made(tmp_path / "new", COLUMNS, FEATURES, total_episodes=3, total_frames=9))
    assert found[0].observations.tolist() == [[1, 2, 7], [3, 4, 8], [3, 4, 8]]
    assert found[0].rewards.tolist() == [0, 0]
    assert "There are no rewards: 0 is taken, good for cloning only." in found.notices
    assert "Not read: observation.images.top." in found.notices
    assert "It is said to hold 3 episodes of 9 steps in all, and holds 2 episodes of 3 steps." in found.notices
    assert "Nothing says where episodes end: the last step of each is taken as truncated." in found.notices


def test_rewards_and_ends(tmp_path: Path) -> None:
    more = {name: {"dtype": "bool", "shape": [1]} for name in ("next.done", "next.truncated")}
    features = FEATURES | more | {"next.reward": {"dtype": "float32", "shape": [1]}}
    columns = COLUMNS | {"next.reward": [1.0, 2.0, 4.0], "next.done": [False, True, True]}
    columns |= {"next.truncated": [False, False, True]}
    found = load_episodes(made(tmp_path / "new", columns, features))
    assert found.returns.tolist() == [3, 4]
    assert [item.terminations[-1] for item in found] == [True, False]
    assert [item.truncations[-1] for item in found] == [False, True]


def test_a_set_that_was_cut_since(folder: Path) -> None:
    path = folder / "data/chunk-000/file-000.parquet"
    parquet.write_table(parquet.read_table(path).slice(0, 15), path)
    found = load_episodes(folder)
    assert found.lengths.tolist() == [5, 1, 8, 1]
    assert found[3].truncations.tolist() == [True]
    assert any("stopped without an end" in text for text in found.notices)
    assert any(OWN in text for text in found.notices)
    assert "It is said to hold 4 episodes of 17 steps in all, and holds 4 episodes of 15 steps." in found.notices


def test_what_cannot_be_read(tmp_path: Path, folder: Path) -> None:
    pictures = {name: item for name, item in FEATURES.items() if "state" not in name}
    with pytest.raises(UserError, match=r"has no states; its columns are observation.images.top, action"):
        load_episodes(made(tmp_path / "pictures", COLUMNS, pictures))
    with pytest.raises(UserError, match=r"format v1.6; v3.0 is read"):
        load_episodes(made(tmp_path / "old", COLUMNS, FEATURES, codebase_version="v1.6"))
    path = folder / "data/chunk-000/file-000.parquet"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=r"file-000.parquet cannot be read"):
        load_episodes(folder)
    path.unlink()
    with pytest.raises(UserError, match="has no frames"):
        load_episodes(folder)
    (folder / "meta/info.json").write_text("{}")
    with pytest.raises(UserError, match=r"info.json cannot be read"):
        load_episodes(folder)
