"""A data set of a model hub, tried against one on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tsuite.core.errors import UserError
from tsuite.core.sources import HubUnreachable
from tsuite.domains.text.data import collect

from ...core.server import Server, digest, server  # noqa: F401 (fixture)
from .tinychat import alpaca

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


def test_a_data_set_of_the_hub(
    server: Server,  # noqa: F811 (the fixture)
    tmp_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    rows = "".join(json.dumps(row) + "\n" for row in alpaca(20)).encode()
    publish(
        server, {"README.md": b"About.", "data/train.jsonl": rows, "data/test.jsonl": rows[: rows.index(b"\n") + 1]}
    )
    found = collect("hf://org/name")
    assert [len(part) for part in (found.train, found.validation, found.test)] == [19, 1, 1]
    assert not any("README" in path for _, path, _ in server.seen)
    assert collect("hf://datasets/org/name").train[:] == found.train[:]
    one = collect("hf://datasets/org/name/data/train.jsonl")
    assert [len(part) for part in (one.train, one.validation, one.test)] == [19, 1, 0]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert collect("hf://org/name").sha256 == found.sha256
    with pytest.raises(HubUnreachable):
        collect("hf://org/other")
    with pytest.raises(UserError, match="malformed"):
        collect("hf://org")
