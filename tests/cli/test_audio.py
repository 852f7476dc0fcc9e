"""The commands over audio.asr, start to end, on a small model whose letters are tones."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from tsuite.core.sources import Unreachable

from ..commands import tsuite
from ..domains.audio import tinyasr
from ..domains.audio.sounds import noise, save, tone

PLAIN = ["--speech", "off", "--threads", 1]


@pytest.fixture(autouse=True)
def _apart(here: Path, tmp_cache: Path) -> None:
    """In an empty folder with an empty cache."""


def run(*words: object, code: int = 0):
    return tsuite("run", tinyasr.NAME, *words, "--checkpoint", tinyasr.trained(), *PLAIN, code=code)


def test_a_file_becomes_text_with_times_and_a_picture(here: Path) -> None:
    save(here / "talk.wav", tinyasr.say("do re"))
    said = run("talk.wav", "--words", "--json").json
    (result,) = said["results"]
    assert result["text"] == "do re"
    assert [word["text"] for word in result["segments"][0]["words"]] == ["do", "re"]
    assert (said["command"], said["name"]) == ("run", tinyasr.NAME)
    assert Path(said["artifacts"][0]).stat().st_size > 10_000
    assert "do re" in run("talk.wav", "--no-picture").out


def test_subtitles_of_a_folder(here: Path) -> None:
    for name, text in (("a/one.flac", "do"), ("b/one.ogg", "re ore")):
        save(here / "talks" / name, tinyasr.say(text), rate=16_000)
    said = run("talks", "--srt", "--vtt", "--output", "out", "--no-picture", "--json").json
    names = sorted(Path(path).name for path in said["artifacts"])
    assert names == ["one-2.srt", "one-2.vtt", "one.srt", "one.vtt"]
    assert (here / "out" / "one.vtt").read_text(encoding="utf-8").startswith("WEBVTT")
    assert "re ore" in (here / "out" / "one-2.srt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["text.txt", "text.srt", "text.vtt", "text.json"])
def test_one_file_of_all_text(here: Path, name: str) -> None:
    save(here / "talk.wav", tinyasr.say("rod"), rate=16_000)
    run("talk.wav", "--output", name, "--no-picture")
    assert "rod" in (here / name).read_text(encoding="utf-8")


def test_what_is_no_speech_gives_no_text(here: Path) -> None:
    sounds = {"tone": tone(2.0), "noise": noise(2.0), "silence": np.zeros(32_000, np.float32)}
    for name, samples in sounds.items():
        save(here / f"{name}.wav", samples)
    words = ["run", tinyasr.NAME, *(f"{name}.wav" for name in sounds), "--checkpoint", tinyasr.trained(), "--json"]
    results = tsuite(*words, "--threads", 1).json["results"]
    assert [result["text"] for result in results] == ["", "", ""]


def test_what_is_no_sound_is_named(here: Path) -> None:
    (here / "letter.txt").write_text("dear", encoding="utf-8")
    (here / "empty.wav").write_bytes(b"")
    for name in ("letter.txt", "empty.wav", "missing.wav"):
        assert name in run(name, code=2).err


def test_evaluate_scores_and_lists_the_worst(here: Path) -> None:
    manifest = tinyasr.data() / "manifest.csv"
    said = tsuite(
        "evaluate", tinyasr.NAME, "--data", manifest, "--checkpoint", tinyasr.trained(), *PLAIN, "--json"
    ).json
    assert said["metrics"]["cer"] < 0.1
    assert said["normalisation"] == "basic"
    assert isinstance(said["confusions"], list)
    assert any(path.endswith("errors.png") for path in said["artifacts"])


def test_finetune_with_a_broken_manifest(here: Path) -> None:
    save(here / "one.wav", tinyasr.say("do"))
    rows = ["path,transcript", "one.wav,do", "missing.wav,re", "one.wav,"]
    (here / "manifest.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    err = tsuite("finetune", tinyasr.NAME, "--data", "manifest.csv", code=2).err
    assert "line 3" in err
    assert "line 4" in err


def test_a_stream_from_a_file(here: Path) -> None:
    save(here / "talk.wav", tinyasr.say("ore"))
    assert run("talk.wav", "--stream").out.split()[1:] == ["ore"]


def test_a_source_is_the_same(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(here / "talk.wav", tinyasr.say("ore"))
    assert run("--source", "talk.wav").out.split()[1:] == ["ore"]
    assert run("--source", "talk.wav", "--json").json["results"][0]["text"] == "ore"
    raw = (tinyasr.say("doe") * 32767).astype("<i2").tobytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
    assert run("--source", "-").out.split()[1:] == ["doe"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--source", "mic", "--json"], "has no file to be read as a whole"),
        (["--source", "http://127.0.0.1:9/radio"], "cannot be read: Connection refused"),
        (["--source", "mic", "talk.wav"], "--source names what to hear"),
        (["--source", "none.wav"], "none.wav"),
        (["--source", "mic", "--reconnect", "-1"], "--reconnect cannot be negative"),
    ],
)
def test_sources_that_cannot_be_heard(words: list[str], told: str) -> None:
    assert told in run(*words, code=2).err


def test_a_stream_from_stdin_that_closes_in_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = (tinyasr.say("doe") * 32767).astype("<i2").tobytes() + b"\x01"
    stdin = io.TextIOWrapper(io.BytesIO(raw))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert run("-", "--stream").out.split()[1:] == ["doe"]


def test_a_stream_without_a_microphone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert "microphone needs the package sounddevice" in run("--stream", code=2).err
    assert "microphone needs the package sounddevice" in run("--source", "mic", code=2).err


def test_json_of_a_stream_is_the_whole_text(here: Path) -> None:
    save(here / "talk.wav", tinyasr.say("ore"))
    assert json.loads(run("talk.wav", "--stream", "--json").out)["results"][0]["text"] == "ore"


def test_nothing_given_shows_the_sample_where_nothing_can_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_: object, **__: object):
        raise Unreachable("Debian's packages cannot be had.")

    monkeypatch.setattr("tsuite.domains.audio.asr.task.collect", nowhere)
    said = tsuite("run", tinyasr.NAME, "--checkpoint", tinyasr.trained(), "--threads", 1, "--json").json
    assert len(said["results"]) == 3
    assert all(result["truth"] for result in said["results"])
    assert "sample that lies here" in " ".join(said["notices"])
