"""Sentences said by espeak-ng, where it is installed."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from tsuite.core.errors import UserError
from tsuite.domains.audio.synthesis import synthesise

installed = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")


@installed
def test_sentences_are_said_in_order_and_repeatably() -> None:
    sentences = ["press one", "press two for more options", "goodbye"]
    first = list(synthesise(sentences, ["en-us+f3", "en-gb"], seed=3))
    assert [item.transcript for item in first] == sentences
    assert all(np.abs(item.samples).max() > 0.05 for item in first)
    assert first[1].seconds > first[0].seconds
    again = list(synthesise(sentences, ["en-us+f3", "en-gb"], seed=3))
    for one, two in zip(first, again, strict=True):
        assert one.id == two.id
        np.testing.assert_array_equal(one.samples, two.samples)


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
