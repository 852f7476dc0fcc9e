"""What a source is, how it is spelled, and the cache that keeps what was fetched."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from tsuite.core.errors import UserError
from tsuite.core.sources import (
    HubUnreachable,
    Source,
    Unreachable,
    WrongHash,
    cache_folder,
    first_available,
    keep,
    pin,
    sha256_file,
    tree_sha256,
)
from tsuite.core.sources import cache as cache_module
from tsuite.core.sources.archive import extract, open_archive
from tsuite.core.sources.digest import git_blob_file, silent

A = "a" * 64


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TSUITE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("text", "kind", "name", "version", "member"),
    [
        ("some/file.csv", "path", "some/file.csv", "", ""),
        ("odd#name@1.csv", "path", "odd#name@1.csv", "", ""),
        ("hf://google/vit-base", "hf", "google/vit-base", "main", ""),
        ("hf://google/vit-base@v1.0", "hf", "google/vit-base", "v1.0", ""),
        ("hf://google/vit-base@refs/pr/3", "hf", "google/vit-base", "refs/pr/3", ""),
        ("hf://google/vit-base@refs/pr/3/a/b.json", "hf", "google/vit-base", "refs/pr/3", "a/b.json"),
        ("hf://google/vit-base/onnx/config.json", "hf", "google/vit-base", "main", "onnx/config.json"),
        ("hf://datasets/org/name@dev/x.csv", "hf", "org/name", "dev", "x.csv"),
        (f"pypi://a-b.c==1.0.post1/d/e.csv#{A}", "pypi", "a-b.c", "1.0.post1", "d/e.csv"),
        (f"pypi://a==1/folder/#{A}", "pypi", "a", "1", "folder/"),
        (f"deb://libc-bin/usr/share/doc/x#{A}", "deb", "libc-bin", "", "usr/share/doc/x"),
        (f"deb://g++=4:12.2-1/usr/x#{A}", "deb", "g++", "4:12.2-1", "usr/x"),
        (f"https://host.example/a%20b.csv?x=1#{A}", "https", "https://host.example/a%20b.csv?x=1", "", ""),
    ],
)
def test_parse_and_back(text: str, kind: str, name: str, version: str, member: str) -> None:
    source = Source.parse(text)
    assert (source.kind, source.name, source.version, source.member) == (kind, name, version, member)
    assert str(source) == text
    assert Source.parse(str(source)) == source


@pytest.mark.parametrize("spelling", [A.upper(), f"sha256={A}", f"sha256:{A}"])
def test_spellings_of_a_hash(spelling: str) -> None:
    assert Source.parse(f"https://host.example/x#{spelling}").sha256 == A


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("hf://vit", "hf://org/name"),
        ("hf://a/b/../c.json", "outside"),
        ("hf:///b", "hf://org/name"),
        (f"pypi://dist/x.csv#{A}", "exact version"),
        (f"pypi://dist==1.*/x.csv#{A}", "pypi://distribution==version"),
        (f"pypi://dist>=1/x.csv#{A}", "exact version"),
        (f"pypi://--index==1/x.csv#{A}", "pypi://distribution==version"),
        (f"pypi://dist==1#{A}", "path inside is missing"),
        (f"pypi://dist==1/../../etc/passwd#{A}", "outside"),
        ("pypi://dist==1/x.csv", "pin("),
        ("deb://package/x", "pin("),
        (f"deb://-o=evil/x#{A}", "deb://package"),
        ("https://host.example/x", "sha256 is missing"),
        ("https://host.example/x#abc", "64 hexadecimal"),
        (f"https://#{A}", "https://host/path"),
        (f"http://host.example/x#{A}", "plain http is refused"),
        ("s3://bucket/x", "not known"),
        ("htps://host.example/x", "Did you mean https"),
    ],
)
def test_malformed(text: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        Source.parse(text)
    assert words in str(caught.value)


def test_local_paths(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("1")
    assert Source.parse(str(path)).fetch() == path
    assert Source.parse(path.as_uri()).fetch() == path
    assert Source.parse(str(tmp_path)).fetch() == tmp_path
    with pytest.raises(UserError, match=r"Did you mean table\.csv"):
        Source.parse(str(tmp_path / "tabel.csv")).fetch()
    with pytest.raises(UserError, match="hf://google/vit-base"):
        Source.parse("google/vit-base").fetch()


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("TSUITE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_folder() == Path("/x/tsuite")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/h")
    assert cache_folder() == Path("/h/.cache/tsuite")


def test_hashes(tmp_path: Path) -> None:
    (tmp_path / "b" / "empty").mkdir(parents=True)
    (tmp_path / "a.txt").write_bytes(b"1")
    (tmp_path / "b" / "c").write_bytes(b"2")
    lines = sorted([f"{digest(b'1')}  a.txt\n", f"{digest(b'2')}  b/c\n"])
    assert tree_sha256(tmp_path) == digest("".join(lines).encode())
    assert sha256_file(tmp_path / "a.txt") == digest(b"1")
    (tmp_path / "hello").write_bytes(b"hello\n")
    assert git_blob_file(tmp_path / "hello") == "ce013625030ba8dba906f756967f9e9ca394464a"  # what git itself says


# -- keeping ----------------------------------------------------------------------------------------------------------


def test_an_entry_is_made_once_and_again_when_damaged() -> None:
    made = []

    def produce(path: Path) -> None:
        made.append(path)
        path.write_bytes(b"content")

    def kept() -> Path:
        return keep(digest(b"content"), "x.csv", "x", produce, silent)

    path = kept()
    assert (path.name, path.read_bytes(), kept(), len(made)) == ("x.csv", b"content", path, 1)
    os.utime(path, ns=(1, 1))  # another time, the same bytes: hashed again and found whole
    kept()
    assert len(made) == 1
    path.write_bytes(b"damaged")
    assert kept().read_bytes() == b"content"
    assert len(made) == 2


def test_a_damaged_folder_is_made_again(tmp_path: Path) -> None:
    def produce(path: Path) -> None:
        path.mkdir()
        (path / "a").write_text("1")
        (path / "b").write_text("2")

    produce(tmp_path / "model")
    whole = tree_sha256(tmp_path / "model")
    path = keep(whole, "tree", "tree", produce, silent)
    (path / "b").unlink()
    assert tree_sha256(keep(whole, "tree", "tree", produce, silent)) == whole


def test_wrong_content_is_not_kept(cache: Path) -> None:
    def produce(path: Path) -> None:
        path.write_bytes(b"content")

    with pytest.raises(WrongHash) as caught:
        keep(A, "x", "the label", produce, silent)
    assert A in str(caught.value)
    assert digest(b"content") in str(caught.value)
    assert files_in(cache) == []


def test_a_full_disk(cache: Path) -> None:
    def produce(path: Path) -> None:
        path.write_bytes(b"half")
        with cache_module.writing():
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UserError, match="is full"):
        keep(A, "x", "x", produce, silent)
    assert files_in(cache) == []
    with pytest.raises(UserError, match="MB free"):
        cache_module.require_space(1 << 60)


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TSUITE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match="TSUITE_CACHE") as caught:
        keep(A, "x", "x", lambda path: None, silent)
    assert str(tmp_path / "file" / "cache") in str(caught.value)


def files_in(folder: Path) -> list[Path]:
    """Files left, apart from locks."""
    return [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_two_processes_fetch_once(tmp_path: Path, cache: Path) -> None:
    script = f"""
import time
from pathlib import Path
from tsuite.core.sources import keep
def produce(path):
    with open({str(tmp_path / "log")!r}, "a") as log:
        log.write("made\\n")
    time.sleep(0.5)
    path.write_bytes(b"content")
print(keep({digest(b"content")!r}, "x", "x", produce, lambda done, total, label: None))
"""
    both = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert answers[0] == answers[1] != ""
    assert (tmp_path / "log").read_text() == "made\n"


# -- the first that can be reached -----------------------------------------------------------------------------------


def test_first_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model"
    path.mkdir()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found, source, notices = first_available(["hf://org/name", str(path)])
    assert (found, source.kind) == (path, "path")
    assert len(notices) == 1
    assert "HF_HUB_OFFLINE" in notices[0]
    assert str(path) in notices[0]
    assert first_available([str(path)])[2] == ()
    with pytest.raises(HubUnreachable):
        first_available(["hf://org/name", "hf://org/other"])
    with pytest.raises(UserError) as caught:  # a mistake is no reason to take something else
        first_available([str(tmp_path / "missing"), str(path)])
    assert not isinstance(caught.value, Unreachable)


def test_importing_is_cheap() -> None:
    heavy = "{'torch', 'huggingface_hub', 'unearth', 'httpx', 'httpx2', 'requests', 'numpy'}"
    script = f"import sys, tsuite.core.sources, tsuite.core.manifest; sys.exit(str({heavy} & set(sys.modules) or ''))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr.strip() in ("", "set()")


# -- Debian packages -------------------------------------------------------------------------------------------------


def test_without_apt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="needs apt-get"):
        Source.parse(f"deb://hello/usr/bin/hello#{A}").fetch()


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for apt-get and dpkg-deb, whose 'package' is a plain tar file."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (tmp_path / "content").write_bytes(b"payload")
    with tarfile.open(tmp_path / "data.tar", "w") as archive:
        archive.add(tmp_path / "content", "./usr/share/pkg/data.csv")
        link = tarfile.TarInfo("./usr/share/pkg/link.csv")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    scripts = {
        "apt-get": f'for last; do :; done\ncase "$last" in pkg) cp "{tmp_path}/data.tar" pkg_1_all.deb;;\n'
        'far) echo "E: Failed to fetch http://x  Could not resolve x" >&2; exit 100;;\n'
        '*) echo "E: Unable to locate package $last" >&2; exit 100;; esac\n',
        "dpkg-deb": 'cat "$2"\n',
    }
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


@pytest.mark.usefixtures("apt")
def test_debian_packages() -> None:
    text = pin("deb://pkg/usr/share/pkg/data.csv")
    assert text.endswith(f"#{digest(b'payload')}")
    path = Source.parse(text).fetch()
    assert (path.name, path.read_bytes()) == ("data.csv", b"payload")
    for source, words in [
        (f"deb://pkg/usr/share/pkg/link.csv#{A}", "a link to /etc/passwd"),
        (f"deb://pkg/usr/share/pkg/#{A}", "a link to /etc/passwd"),
        (f"deb://pkg/usr/share/pkg/dat.csv#{A}", "Did you mean usr/share/pkg/data.csv"),
        (f"deb://pkg/usr/share/pkg#{A}", "write usr/share/pkg/ to take all"),
        (f"deb://none/usr/x#{A}", "apt-get update"),
    ]:
        with pytest.raises(UserError) as caught:
            Source.parse(source).fetch()
        assert words in str(caught.value)
    with pytest.raises(Unreachable):
        Source.parse(f"deb://far/usr/x#{A}").fetch()


# -- hostile archives ------------------------------------------------------------------------------------------------


def test_hostile_members(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("pkg/link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("up/../../../evil", "x")
        archive.writestr("up/fine", "x")
        archive.writestr("big/zeros", bytes(1 << 20))
        archive.writestr("twice/x", "1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("twice/x", "2")

    def take(member: str, most_bytes: int | None = None) -> None:
        with open_archive(tmp_path / "a.whl") as entries:
            target = tmp_path / f"out{len(list(tmp_path.iterdir()))}" / "x"
            extract(entries, member, target, label=member, progress=silent, most_bytes=most_bytes)

    for member, words in [
        ("pkg/link", "symbolic link"),
        ("pkg/", "symbolic link"),
        ("up/", "outside"),
        ("up/../x", "outside"),
        ("twice/", "twice"),
        ("none", "no none"),
    ]:
        with pytest.raises(UserError, match=words):
            take(member)
    for member in ("big/zeros", "big/"):
        with pytest.raises(UserError, match="declared"):
            take(member, most_bytes=1 << 19)
    assert not (tmp_path / "evil").exists()
    take("big/zeros", most_bytes=1 << 20)
    (tmp_path / "a.whl").write_bytes(b"PK not a zip")
    with pytest.raises(UserError, match="cannot be read"):
        take("x")


def test_hostile_folders_never_leave_their_place(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("/etc/x", "absolute")
        archive.writestr("a\\..\\x", "backslashes")
    for member in ("etc/", "a\\..\\x", "/etc/x"):
        with pytest.raises(UserError), open_archive(tmp_path / "a.zip") as entries:
            extract(entries, member, tmp_path / "out", label=member, progress=silent)
    assert not (tmp_path / "out").exists()
