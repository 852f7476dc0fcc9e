"""The store: what is written comes back, lazily; a kill loses nothing that was flushed; another recording is told."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
from tsuite.core.errors import UserError
from tsuite.domains.control.episodes import Episodes
from tsuite.domains.control.store import Writer, is_store, read_meta, read_store, write_store

from .tiny_episodes import SPACES, changed, make, same


@pytest.mark.parametrize("kind", SPACES)
def test_there_and_back(kind: str, tmp_path: Path) -> None:
    episodes = make(kind, env="X-v0")
    found = read_store(write_store(episodes, tmp_path / "new"))
    assert same(found, episodes)
    assert found.lengths.tolist() == episodes.lengths.tolist()
    assert found.returns.tolist() == episodes.returns.tolist()
    assert found.ids == [item.id for item in episodes]
    assert found[1:3].sha256 == episodes[1:3].sha256
    with pytest.raises(UserError, match="holds a recording already"):
        write_store(episodes, tmp_path / "new")


def test_parts_and_the_order_of_seeds(tmp_path: Path) -> None:
    episodes = make(lengths=(3, 4, 5, 6, 7))
    with Writer(tmp_path, episodes.setting, part_bytes=1) as writer:  # every episode a part of its own
        for row in (3, 1, 4, 0, 2):
            writer.append(episodes[row])
    assert len(list(tmp_path.glob("*.safetensors"))) == 5
    assert same(read_store(tmp_path), episodes)


def test_going_on(tmp_path: Path) -> None:
    episodes, told = make(), {"policy": "random", "seed": 100}
    with Writer(tmp_path, episodes.setting, told=told) as writer:
        writer.append(episodes[0])
        writer.append(episodes[1])
    half = tmp_path / ".episodes-00001.safetensors.new"
    half.write_bytes(b"half")
    with Writer(tmp_path, episodes.setting, told=told) as writer:
        assert (writer.count, writer.seeds_done) == (2, {100, 101})
        assert not half.exists()
        writer.append(episodes[2])
        writer.append(episodes[3])
    assert same(read_store(tmp_path), episodes)
    assert read_meta(tmp_path) == (episodes.setting, told)
    for other, words in (({"policy": "scripted", "seed": 100}, "policy 'random', not 'scripted'"), ({}, "policy")):
        with pytest.raises(UserError, match=words):
            Writer(tmp_path, episodes.setting, told=other)
    with pytest.raises(UserError, match="3 numbers seen"):
        Writer(tmp_path, make("arm").setting, told=told)


KILLED = """
import os, sys
sys.path.insert(0, {folder!r})
from pathlib import Path
from tsuite.domains.control.store import Writer
from tiny_episodes import make
episodes = make()
writer = Writer(Path(sys.argv[1]), episodes.setting)
writer.append(episodes[0])
writer.append(episodes[1])
writer.flush()
writer.append(episodes[2])
os._exit(9)
"""


@pytest.mark.slow
def test_a_kill_keeps_what_was_flushed(tmp_path: Path) -> None:
    script = KILLED.format(folder=str(Path(__file__).parent))
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path / "new")], check=False).returncode == 9
    assert same(read_store(tmp_path / "new"), make()[:2])


def test_an_error_on_the_way_keeps_what_there_was(tmp_path: Path) -> None:
    episodes = make()
    with contextlib.suppress(KeyboardInterrupt), Writer(tmp_path, episodes.setting) as writer:
        writer.append(episodes[0])
        raise KeyboardInterrupt
    assert same(read_store(tmp_path), episodes[:1])


def test_what_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(UserError, match="holds other things"):
        Writer(tmp_path, make().setting)
    writer = Writer(tmp_path / "new", make().setting)
    with pytest.raises(UserError, match="Episode 0 has no step"):
        writer.append(make(lengths=(0,))[0])
    with pytest.raises(UserError, match="where 4 numbers are expected"):
        writer.append(make("arm")[0])


def test_what_cannot_be_read(tmp_path: Path) -> None:
    assert not is_store(tmp_path)
    with pytest.raises(UserError, match="no recording of ours"):
        read_store(tmp_path)
    Writer(tmp_path / "new", make().setting)
    with pytest.raises(UserError, match="holds no episode yet"):
        read_store(tmp_path / "new")
    write_store(make(), tmp_path / "whole")
    (part,) = (tmp_path / "whole").glob("*.safetensors")
    part.write_bytes(part.read_bytes()[:-10])
    with pytest.raises(UserError, match="cut short or damaged"):
        read_store(tmp_path / "whole")
    meta = tmp_path / "whole" / "meta.json"
    meta.write_text(meta.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(UserError, match="Update tsuite"):
        read_store(tmp_path / "whole")


def test_episodes_without_a_seed_keep_their_order(tmp_path: Path) -> None:
    episodes = make()
    for row in range(len(episodes)):
        episodes = changed(episodes, row, seed=None, has_last=False)
    mixed = Episodes([episodes[row] for row in (2, 0, 3, 1)], episodes.setting)
    assert same(read_store(write_store(mixed, tmp_path / "new")), mixed)
