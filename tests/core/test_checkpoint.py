"""Checkpoints: whole or not there, checked on reading, and tensors of every layout."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tsuite.core import checkpoint
from tsuite.core.errors import UserError


def fill_with(text: str):
    def fill(folder: Path) -> None:
        (folder / "config.json").write_text(text, encoding="utf-8")
        (folder / "more").mkdir()
        (folder / "more" / "words.txt").write_text(text * 3, encoding="utf-8")

    return fill


@pytest.fixture
def best(tmp_path):
    folder = tmp_path / "run" / "best"
    checkpoint.write(folder, fill_with("old"))
    return folder


def text_of(folder: Path) -> str:
    place = checkpoint.resolve(folder)
    checkpoint.verify(place)
    return (place / "config.json").read_text()


def test_write_and_replace(best):
    assert text_of(best) == "old"
    manifest = json.loads((best / "manifest.json").read_text())
    assert set(manifest["files"]) == {"config.json", "more/words.txt"}
    assert manifest["files"]["config.json"]["bytes"] == 3
    checkpoint.write(best, fill_with("new"))
    assert text_of(best) == "new"
    assert [path.name for path in best.parent.iterdir()] == ["best"]


@pytest.mark.parametrize("at", range(40))
def test_killed_at_any_call(best, at):
    """The process dies (no clean-up at all) before the at-th call that touches the disk; `resolve` finds old or new."""
    program = f"""
import os, pathlib, shutil
from tsuite.core import checkpoint
count = -1
def counted(function):
    def call(*arguments, **named):
        global count
        count += 1
        if count == {at}:
            os._exit(9)
        return function(*arguments, **named)
    return call
for name in ("mkdir", "rename", "write_text", "open", "unlink"):
    setattr(pathlib.Path, name, counted(getattr(pathlib.Path, name)))
shutil.rmtree = counted(shutil.rmtree)
os.fsync = counted(os.fsync)
def fill(folder):
    (folder / "config.json").write_text("new")
checkpoint.write(pathlib.Path({str(best)!r}), fill)
os._exit(0)
"""
    pid = os.fork()
    if pid == 0:
        try:
            exec(program, {})
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, 9)
    assert text_of(best.parent) == text_of(best) == ("new" if code == 0 else text_of(best))
    assert text_of(best) in ("old", "new")
    checkpoint.write(best, fill_with("newest"))
    assert text_of(best) == "newest"
    assert [path.name for path in best.parent.iterdir()] == ["best"]


@pytest.mark.parametrize("place", ["fill", "flush", "rename"])
def test_disk_that_refuses(best, monkeypatch, place):
    full = OSError(errno.ENOSPC, "No space left on device")

    def refuse(*_):
        raise full

    fill = refuse if place == "fill" else fill_with("new")
    if place == "flush":
        monkeypatch.setattr(checkpoint, "flush", refuse)
    if place == "rename":
        former = Path.rename
        monkeypatch.setattr(Path, "rename", lambda self, to: refuse() if "new" in self.name else former(self, to))
    with pytest.raises(UserError, match=r"could not be written: .*No space left.*untouched\. Free some space"):
        checkpoint.write(best, fill)
    monkeypatch.undo()
    assert text_of(best) == "old"
    assert [path.name for path in best.parent.iterdir()] == ["best"]


def test_mistake_while_filling_passes_through(best):
    def fill(folder):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        checkpoint.write(best, fill)
    assert text_of(best) == "old"


def test_disk_that_is_really_full(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting is not permitted here")
    try:
        small, large = {"x": torch.zeros(50_000)}, {"x": torch.zeros(400_000)}
        checkpoint.write(disk / "best", lambda folder: checkpoint.save_tensors(folder / "a.safetensors", small))
        with pytest.raises(UserError, match="untouched"):
            checkpoint.write(disk / "best", lambda folder: checkpoint.save_tensors(folder / "a.safetensors", large))
        checkpoint.verify(disk / "best")
        assert [path.name for path in disk.iterdir()] == ["best"]
    finally:
        subprocess.run(["umount", disk], check=True)


def test_verify_names_the_damaged_file(best):
    words = best / "more" / "words.txt"
    words.write_text("oldoldolD")
    with pytest.raises(UserError, match=r"words\.txt does not have the sha256"):
        checkpoint.verify(best)
    words.write_text("oldold")
    with pytest.raises(UserError, match=r"words\.txt has 6 bytes where 9 are expected"):
        checkpoint.verify(best)
    words.unlink()
    with pytest.raises(UserError, match=r"words\.txt is missing"):
        checkpoint.verify(best)
    (best / "manifest.json").write_text("{")
    with pytest.raises(UserError, match=r"manifest\.json cannot be read"):
        checkpoint.verify(best)
    (best / "manifest.json").unlink()
    with pytest.raises(UserError, match=r"has no manifest\.json"):
        checkpoint.verify(best)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd"])
def test_manifest_stays_inside(best, name):
    (best / "manifest.json").write_text(json.dumps({"files": {name: {"sha256": "", "bytes": 0}}}))
    with pytest.raises(UserError, match="outside the checkpoint"):
        checkpoint.verify(best)


def test_resolve(best, tmp_path):
    assert checkpoint.resolve(best) == checkpoint.resolve(str(best.parent)) == best
    with pytest.raises(UserError, match="no such folder"):
        checkpoint.resolve(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"Expected a run folder with best/ in it, or a checkpoint folder"):
        checkpoint.resolve(tmp_path)


def test_text_is_replaced_whole(tmp_path, monkeypatch):
    path = tmp_path / "card.json"
    checkpoint.write_text(path, "old")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.raises(UserError, match="could not be written"):
        checkpoint.write_text(path, "new")
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["card.json"]


# -- tensors --------------------------------------------------------------------------------------------------------


def test_tensors_of_every_layout(tmp_path):
    base = torch.arange(24.0).reshape(4, 6)
    tensors = {
        "whole": base,
        "tied": base,
        "transposed": base.T,
        "row": base[1],
        "flat": base.view(-1),
        "scalar": torch.tensor(3.0),
        "empty": torch.empty(0, 3),
        "nothing": torch.empty(0),
        "half": torch.ones(2, dtype=torch.bfloat16),
        "long": torch.arange(3),
        "bool": torch.tensor([True, False]),
        "parameter": torch.nn.Parameter(torch.ones(2, 2)),
    }
    path = tmp_path / "x.safetensors"
    checkpoint.save_tensors(path, tensors, {"kind": "test", "unicode": "中文"})
    loaded = checkpoint.load_tensors(path, "cpu")
    assert set(loaded) == set(tensors)
    for name, value in tensors.items():
        assert loaded[name].dtype == value.dtype
        assert torch.equal(loaded[name], value.detach()), name
    assert loaded["tied"] is loaded["whole"]
    assert checkpoint.read_metadata(path) == {"kind": "test", "unicode": "中文"}


def test_same_tensors_same_bytes(tmp_path):
    metadata = {str(number): "x" * number for number in range(9)}
    files = []
    for order in (1, -1):
        path = tmp_path / f"{order}.safetensors"
        tensors = {"b": torch.ones(3), "a": torch.zeros(2)}
        checkpoint.save_tensors(path, tensors, dict(list(metadata.items())[::order]))
        files.append(path.read_bytes())
    assert files[0] == files[1]


def test_files_that_are_no_tensors(tmp_path):
    path = tmp_path / "x.safetensors"
    with pytest.raises(UserError, match="There is no file"):
        checkpoint.load_tensors(path)
    checkpoint.save_tensors(path, {"x": torch.ones(100)})
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:20], b"", b"\x80\x04pickle"):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"cannot be read as safetensors"):
            checkpoint.load_tensors(path)


def test_importing_it_is_light():
    program = "import sys, tsuite.core.checkpoint; print([m for m in ('accelerate', 'peft') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_tensors_made_one_at_a_time(tmp_path: Path) -> None:
    """Each is written and gone before the next is made; the file is what any reader of the format takes."""
    values = {
        "first.weight": torch.randn(300, 7), "half": torch.randn(3, 2).half(), "brain": torch.randn(5).bfloat16(),
        "none": torch.empty(0, 4), "one": torch.tensor(3), "truth": torch.tensor([True, False]),
        "über": torch.randn(4, 6).t(), "head.weight": torch.empty(0),
    }  # fmt: skip
    made: list[weakref.ref[torch.Tensor]] = []
    calls: list[str] = []

    def maker(name: str):
        def make() -> torch.Tensor:
            assert all(one() is None for one in made)
            calls.append(name)
            tensor = values[name].clone()
            made.append(weakref.ref(tensor))
            return tensor

        return make

    makers = {name: maker(name) for name in values if name != "head.weight"}
    makers["head.weight"] = makers["first.weight"]
    path = tmp_path / "model.safetensors"
    checkpoint.write_tensors(path, makers)
    assert calls == [name for name in values if name != "head.weight"]
    values["head.weight"] = values["first.weight"]
    found = checkpoint.load_tensors(path)
    assert found.keys() == values.keys()
    for name, value in values.items():
        assert torch.equal(found[name], value), name
        assert found[name].dtype == value.dtype
    assert found["head.weight"] is found["first.weight"]
    theirs = load_file(path)
    assert all(torch.equal(theirs[name], values[name]) for name in theirs)
    assert set(values) - set(theirs) == {"head.weight"}
