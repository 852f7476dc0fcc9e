"""Pictures: words never on each other, wrong ones marked, files that are what they should be."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tsuite.domains.audio.metrics import Errors, Pair, Utterance, score
from tsuite.domains.audio.picture import Recorded, _inches, draw_recordings, log_mel, place_words, wrong
from tsuite.domains.audio.score_picture import draw_scores, groups, percent
from tsuite.domains.audio.subtitles import Word


def word(text: str, start: float, end: float) -> Word:
    return Word(text=text, start=start, end=end, confidence=0.9)


def test_texts_are_kept_apart_and_inside() -> None:
    words = [(word("internationalisation", 0.1 * place, 0.1 * place + 0.1), False) for place in range(6)]
    lanes = place_words(words, 0.0, 8.0, inch=0.8)
    assert len(lanes) > 1
    assert sum(map(len, lanes)) == 6
    for lane in lanes:
        for left, right in pairwise(lane):
            assert right.centre - left.centre > _inches("internationalisation") * 0.8
        assert all(placed.centre >= _inches(placed.word.text) * 0.4 for placed in lane)


def test_wrong_words() -> None:
    heard = [word(text, 0, 1) for text in ("Please", "full-featured", "extinction", "again", "…")]
    assert wrong(heard, "please, full featured extension. again") == [False, False, True, False, False]
    assert wrong(heard, None) == [False] * 5
    assert wrong(heard[:1], "") == [True]


def test_a_tone_lies_at_its_height() -> None:
    time = np.arange(16_000) / 16_000
    image = log_mel(np.sin(2 * np.pi * 1000 * time).astype(np.float32))
    assert image.shape == (100, 80)
    assert image.max() == pytest.approx(0, abs=1e-5)
    assert abs(int(image[50].argmax()) - 28) <= 1  # 1000 mel of 2840, of 80 bands
    assert log_mel(np.zeros(0, np.float32)).max() < -65  # silence is white


def test_recordings(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).standard_normal(40_000).astype(np.float32) * 0.1
    recordings = [
        Recorded(id="long.wav", samples=noise, words=[word("hello", 0.1, 0.5), word("there", 1.4, 1.9)], truth="hello"),
        Recorded(id="empty.wav", samples=np.zeros(0, np.float32), words=()),
    ]
    path = draw_recordings(recordings, tmp_path / "a.png", title="Two", line=1.0, lines=3)
    with Image.open(path) as picture:
        size, colours = picture.size, np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert size[0] == 11 * 140
    assert np.median(colours, axis=0).tolist() == [255, 255, 255]
    red = (colours[:, 0] > 150) & (colours[:, 1] < 90)
    assert red.sum() > 50  # "there", which was not said
    one = draw_recordings(recordings[1:], tmp_path / "b.png")
    with Image.open(one) as picture:
        assert picture.size[1] < size[1]


def test_scores(tmp_path: Path) -> None:
    pytest.importorskip("jiwer")
    pairs = [Pair(id=f"{n}", truth="one two three " * n, heard="one too three " * n + "uh") for n in range(5)]
    for name, some in (("many", pairs), ("one", pairs[1:2]), ("none", [])):
        with Image.open(draw_scores(score(some), tmp_path / f"{name}.png")) as picture:
            assert picture.size[0] == 11 * 140


def test_groups_of_lengths() -> None:
    def utterance(length: int) -> Utterance:
        return Utterance(id="", truth="", heard="", words=Errors(deletions=1, length=length), characters=Errors())

    found = groups([utterance(length) for length in (0, 1, 2, 6, 100)])
    assert [(name, errors.total, count) for name, errors, count in found] == [
        ("1–2", 2, 2),
        ("6–10", 1, 1),
        ("41+", 1, 1),
    ]
    assert percent(0.0432) == "4.3 %"
    assert percent(float("nan")) == "–"
