"""A data set of a model hub with sound in it, tried against one on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tsuite.domains.audio.data import collect

from ...core.server import Server, digest, server  # noqa: F401 (fixture)
from .sounds import save, tone

COMMIT = "c" * 40


def publish(hub: Server, files: dict[str, bytes]) -> None:
    """Publish org/name as a data set with these files."""
    siblings = []
    for name, content in files.items():
        lfs = {"sha256": digest(content), "size": len(content), "pointerSize": 120}
        siblings.append({"rfilename": name, "size": len(content), "blobId": "b" * 40, "lfs": lfs})
        path = f"/datasets/org/name/resolve/{COMMIT}/{name}"
        hub.pages[path] = content
        hub.headers[path] = {"X-Repo-Commit": COMMIT, "ETag": f'"{digest(content)}"'}
    info = {"_id": "1", "id": "org/name", "sha": COMMIT, "siblings": siblings}
    for revision in ("main", COMMIT):
        path = f"/api/datasets/org/name/revision/{revision}"
        hub.pages[path] = json.dumps(info).encode()
        hub.headers[path] = {"Content-Type": "application/json"}


def test_sound_of_the_hub(
    server: Server,  # noqa: F811 (the fixture)
    tmp_path: Path,
    tmp_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    files = {}
    for part in ("train", "test"):
        names = [f"{number}.flac" for number in range(3)]
        files |= {f"{part}/{name}": save(tmp_path / part / name, tone(0.1)).read_bytes() for name in names}
        rows = [json.dumps({"file_name": name, "transcription": f"{part} {name}"}) for name in names]
        files[f"{part}/metadata.jsonl"] = "\n".join(rows).encode()
    publish(server, {**files, "README.md": b"About.", "model.bin": b"x"})
    found = collect("hf://org/name")
    assert [len(part) for part in (found.train, found.validation, found.test)] == [2, 1, 3]
    assert not any("README" in path or "model.bin" in path for _, path, _ in server.seen)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert collect("hf://org/name").sha256 == found.sha256
