"""Greedy decoding and forced alignment against all paths; words with their times."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from tsuite.core.errors import UserError
from tsuite.domains.audio.ctc import align, greedy, least_frames, words
from tsuite.domains.audio.tokenizer import Labels

from .paths import best_path, collapse, random_rows


@pytest.mark.parametrize("seed", range(4))
def test_greedy_collapses_the_likeliest_path(seed: int) -> None:
    rows = torch.from_numpy(random_rows(30, 4, seed))
    assert greedy(rows) == list(collapse(tuple(rows.argmax(dim=1).tolist())))


def test_greedy_with_another_blank_and_without_frames() -> None:
    rows = torch.eye(3)[[2, 0, 0, 2, 0, 1]]
    assert greedy(rows, blank=2) == [0, 0, 1]
    assert greedy(torch.zeros(0, 3)) == []


@pytest.mark.parametrize("ids", [[1], [1, 1], [2, 1, 2], [3, 3, 1], [1, 2, 3, 1]])
@pytest.mark.parametrize("seed", range(3))
def test_alignment_is_the_best_path(ids: list[int], seed: int) -> None:
    rows = random_rows(6, 4, seed)
    spans = align(torch.from_numpy(rows), ids)
    path = best_path(rows, ids)
    expected, frame = [], 0
    for label, run in itertools.groupby(path):
        length = len(list(run))
        if label:
            probability = float(np.exp(rows[frame : frame + length, label]).mean())
            expected.append((frame, frame + length, pytest.approx(probability, rel=1e-5)))
        frame += length
    assert spans == expected


def test_alignment_under_inference_mode_and_with_another_blank() -> None:
    with torch.inference_mode():
        rows = torch.eye(3)[[2, 0, 2, 1]].log_softmax(-1)
        assert [span[:2] for span in align(rows, [0, 1], blank=2)] == [(1, 2), (3, 4)]


def test_too_few_frames_and_nothing_to_align() -> None:
    assert least_frames([1, 1, 2]) == 4
    rows = torch.from_numpy(random_rows(3, 4, 0))
    with pytest.raises(UserError, match="3 labels cannot be aligned to 3 frames: they take at least 4"):
        align(rows, [1, 1, 2])
    assert align(rows, []) == []


def test_words_of_characters() -> None:
    labels = Labels.characters(["hi you"])
    ids = labels.encode("hi you")
    spans = [(place * 2, place * 2 + 1, 0.5 if place else 0.125) for place in range(6)]
    found = words(labels, ids, spans, 0.04, offset=10.0)
    assert [word.text for word in found] == ["hi", "you"]
    assert [(word.start, word.end) for word in found] == [
        (10.0, pytest.approx(10.12)), (pytest.approx(10.24), pytest.approx(10.44)),
    ]  # fmt: skip
    assert found[0].confidence == pytest.approx(math.sqrt(0.125 * 0.5))
    assert found[1].confidence == pytest.approx(0.5)


def test_words_of_pieces_and_of_nothing() -> None:
    labels = Labels(texts=["", " he", "llo", " you", " "], kind="bpe")
    spans = [(0, 1, 1.0), (3, 5, 1.0), (5, 6, 1.0), (6, 7, 1.0)]
    found = words(labels, [1, 2, 4, 3], spans, 1.0)
    assert [(word.text, word.start, word.end) for word in found] == [("hello", 0.0, 5.0), ("you", 6.0, 7.0)]
    assert words(labels, [], [], 1.0) == words(labels, [4], [(0, 1, 1.0)], 1.0) == ()
