"""What a source's name means, and what is said of one that cannot be opened."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from tsuite.core.errors import UserError
from tsuite.core.media import opened, place


def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a:b.mp4").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    film = place("a:b.mp4")
    assert (film.url, film.name, film.live) == (str(tmp_path / "a:b.mp4"), "a:b.mp4", False)
    assert place(f"file://{tmp_path}/a:b.mp4").url == film.url
    assert place("rtsp://door/1").live is True
    assert place("http://door/1").live is None
    (tmp_path / "7").write_bytes(b"x")
    assert place("7").live is False  # a file of that name comes before a camera


def test_a_device_is_a_camera() -> None:
    camera = place(os.ttyname(0)) if sys.stdin.isatty() else place("/dev/null")
    assert (camera.format, camera.live) == ("v4l2", True)
    with pytest.raises(UserError, match=r"The camera /dev/\S+ cannot be read.*group video"), opened(camera, "vision"):
        pass


def test_a_password_is_never_shown() -> None:
    where = place("http://user:secret@127.0.0.1:9/x")
    assert "secret" in where.url
    assert "secret" not in repr(where)
    with pytest.raises(UserError) as caught, opened(where, "vision"):
        pass
    assert "http://127.0.0.1:9/x cannot be read: Connection refused" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("0", "There is no camera /dev/video0.*group video"),
        ("/dev/video77", "There is no camera /dev/video77"),
        ("missing.mp4", "There is no file missing.mp4"),
        ("gopher://x", "Nothing is known of gopher://.*rtsp"),
        ("folder", "is a folder"),
        ("empty.mp4", "is empty"),
    ],
)
def test_what_is_not_there(source: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.mp4").touch()
    if source == "0" and Path("/dev/video0").exists():
        pytest.skip("this machine has a camera")
    with pytest.raises(UserError, match=told):
        place(source)


def test_what_is_no_film(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no film", encoding="utf-8")
    with pytest.raises(UserError, match="cannot be read: Invalid data"), opened(place(str(tmp_path / "text.mp4")), "x"):
        pass


def test_a_playlist_reaches_no_further_than_itself(tmp_path: Path) -> None:
    (tmp_path / "list.m3u8").write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/secret.ts\n#EXT-X-ENDLIST\n", encoding="utf-8"
    )
    with pytest.raises(UserError), opened(place(str(tmp_path / "list.m3u8")), "vision"):
        pass


def test_without_pyav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "film.mp4").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "av.error", None)
    where, told = place(str(tmp_path / "film.mp4")), r"needs the package av.*tsuite\[vision\]"
    with pytest.raises(UserError, match=told), opened(where, "vision"):
        pass
