"""Sentences said by espeak-ng, where it is installed."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from tsuite.core.errors import UserError
from tsuite.domains.audio.files import read_bytes
from tsuite.domains.audio.synthesis import spoken, synthesise, voices

installed = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")


@installed
def test_sentences_are_said_in_order_and_repeatably() -> None:
    sentences = ["press one", "press two for more options", "goodbye"]
    first = spoken(sentences, ["en-us+f3", "en-gb"], seed=3)
    assert first.transcripts == [item.transcript for item in first] == sentences
    assert all(np.abs(item.samples).max() > 0.05 for item in first)
    assert first[1].seconds > first[0].seconds
    again = list(synthesise(sentences, ["en-us+f3", "en-gb"], seed=3))
    for one, row in zip(first, again, strict=True):
        assert one.id == row.id
        assert isinstance(row.sound, bytes)
        np.testing.assert_allclose(one.samples, read_bytes(row.sound, id=row.id).samples, atol=1 / 32768)


@installed
def test_what_was_said_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second training does not wait for the robots; other sentences are said anew."""
    first = spoken(["one", "two"], voices("en"), seed=1)
    monkeypatch.setattr("tsuite.domains.audio.synthesis.synthesise", lambda *_, **__: pytest.fail("said again"))
    assert spoken(["one", "two"], voices("en"), seed=1).folder == first.folder
    with pytest.raises(pytest.fail.Exception, match="said again"):
        spoken(["one", "three"], voices("en"), seed=1)


@installed
@pytest.mark.parametrize("language", ["en", "fr", "it", "es", "ru"])
def test_languages_have_voices(language: str) -> None:
    (recording,) = spoken(["papa"], voices(language)[:1])
    assert recording.seconds > 0.2


@installed
@pytest.mark.parametrize(
    ("voices", "speeds", "pitches", "words"),
    [
        (["en-uk"], [150], [50], "Did you mean"),
        (["en-us+f33"], [150], [50], "no speaker 'f33'"),
        (["en-us"], [20], [50], "A speed of 20"),
        (["en-us"], [150], [120], "A pitch of 120"),
        ([], [150], [50], "At least one voice"),
    ],
)
def test_mistakes(voices: list[str], speeds: list[int], pitches: list[int], words: str) -> None:
    with pytest.raises(UserError, match=words):
        next(synthesise(["a"], voices, speeds, pitches))


def test_without_espeak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="apt install espeak-ng"):
        next(synthesise(["a"], ["en-us"]))
