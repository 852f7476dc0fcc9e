"""Fetching from a model hub, tried against one on this machine."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tsuite.core.errors import UserError
from tsuite.core.sources import HubUnreachable, NoSuchMember, Source, Unreachable, WrongHash, first_available
from tsuite.core.sources import hub as hub_module

from .server import Server, cache, digest, kept, server  # noqa: F401 (fixtures)

COMMIT = "c" * 40


# -- the hub ---------------------------------------------------------------------------------------------------------

Publish = Callable[..., None]


@pytest.fixture
def hub(server: Server, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """A hub on this machine; calling it publishes org/name with the files given."""
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")

    def publish(files: dict[str, bytes], listed: dict[str, str] | None = None) -> None:
        siblings = []
        for name, content in files.items():
            sha256 = (listed or {}).get(name, digest(content))
            sibling = {"rfilename": name, "size": len(content), "blobId": "b" * 40}
            sibling["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 120}
            siblings.append(sibling)
            path = f"/org/name/resolve/{COMMIT}/{name}"
            server.pages[path] = content
            server.headers[path] = {"X-Repo-Commit": COMMIT, "ETag": f'"{sha256}"'}
        info = {"_id": "1", "id": "org/name", "sha": COMMIT, "siblings": siblings}
        for revision in ("main", COMMIT):
            path = f"/api/models/org/name/revision/{revision}"
            server.pages[path] = json.dumps(info).encode()
            server.headers[path] = {"Content-Type": "application/json"}

    return publish


def test_a_repository(hub: Publish, server: Server, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    hub({"config.json": b"{}", "model.safetensors": b"weights", "pytorch_model.bin": b"pickle", "onnx/model.txt": b"1"})
    folder = Source.parse("hf://org/name").fetch()
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert cache in folder.parents
    assert Source.parse("hf://org/name/onnx/model.txt").fetch().read_bytes() == b"1"
    # Damaged on the disk: fetched again
    (folder / "model.safetensors").resolve().write_bytes(b"damaged")
    assert (Source.parse("hf://org/name").fetch() / "model.safetensors").read_bytes() == b"weights"
    assert Source.parse(f"hf://org/name@{COMMIT}").cached() == folder
    with pytest.raises(UserError, match="execute code"):
        Source.parse("hf://org/name/pytorch_model.bin").fetch()
    with pytest.raises(UserError, match="execute code"):
        Source.parse("hf://org/name").fetch(files=["*.bin"])
    with pytest.raises(NoSuchMember, match=r"Did you mean config\.json"):
        Source.parse("hf://org/name/confg.json").fetch()
    # Without the hub the copy is used, and said to be
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found, _, notices = first_available(["hf://org/name"])
    assert found == folder
    assert "fetched earlier" in notices[0]
    with pytest.raises(HubUnreachable):
        Source.parse("hf://org/other").fetch()


def test_only_pickles(hub: Publish) -> None:
    hub({"config.json": b"{}", "pytorch_model.bin": b"pickle"})
    with pytest.raises(UserError, match="only as pickles"):
        Source.parse("hf://org/name").fetch()
    assert Source.parse("hf://org/name").fetch(files=["*.json"]).is_dir()


def test_the_hub_sends_something_else(hub: Publish) -> None:
    hub({"model.safetensors": b"weights"}, listed={"model.safetensors": digest(b"others")})
    with pytest.raises(WrongHash):
        Source.parse("hf://org/name/model.safetensors").fetch()


def test_the_ordinary_cache_is_used(hub: Publish, server: Server, tmp_path: Path) -> None:
    files = {"config.json": b"{}", "model.safetensors": b"weights"}
    hub(files)
    repo = tmp_path / "home" / "hub" / "models--org--name"
    for folder in ("blobs", f"snapshots/{COMMIT}"):
        (repo / folder).mkdir(parents=True)
    blob = repo / "blobs" / digest(b"weights")
    blob.write_bytes(b"weights")
    (repo / "snapshots" / COMMIT / "model.safetensors").symlink_to(blob)
    assert Source.parse("hf://org/name/model.safetensors").fetch().resolve() == blob
    found = Source.parse("hf://org/name").fetch()
    assert {name: (found / name).read_bytes() for name in files} == files
    assert not any("safetensors" in path for _, path, _ in server.seen)


def test_no_such_repository(hub: Publish, monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    with pytest.raises(UserError, match="org/none") as caught:
        Source.parse("hf://org/none").fetch()
    assert not isinstance(caught.value, Unreachable)


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setattr(hub_module, "PATIENCE", 0.3)
    monkeypatch.setattr(server, "answer", lambda request: time.sleep(1))
    began = time.monotonic()
    with pytest.raises(HubUnreachable, match="HF_ENDPOINT"):
        Source.parse("hf://org/name").fetch()
    assert time.monotonic() - began < 5
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(HubUnreachable):
        Source.parse("hf://org/name").fetch()
