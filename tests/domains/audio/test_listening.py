"""Text that arrives in parts: what is final never changes, and utterances end in silence."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from tsuite.domains.audio.ctc import greedy
from tsuite.domains.audio.fusion import Fusion
from tsuite.domains.audio.listening import Heard, Listening
from tsuite.domains.audio.ngram import NGram
from tsuite.domains.audio.tokenizer import Labels

from .paths import random_rows

pytest.importorskip("torchaudio")
LABELS = Labels.characters(["abcdefghijklmnopqrstuvwxyz"])
FRAME = 0.04


def spoken(text: str, *, gap: int = 1) -> Tensor:
    """Frames in which each label is followed by `gap` blanks; "_" is 0.2 s of silence."""
    path: list[int] = []
    for letter in text:
        path += [0] * 5 if letter == "_" else [1 if letter == " " else LABELS.encode(letter)[0], *[0] * gap]
    rows = torch.full((len(path), len(LABELS)), -8.0)
    rows[torch.arange(len(path)), torch.tensor(path, dtype=torch.long)] = 0.0
    return rows.log_softmax(-1)


def listen(listening: Listening, rows: Tensor, sizes: list[int]) -> list[Heard]:
    """All answers to `rows` in parts of `sizes` (again and again), and the last one."""
    found, start, number = [], 0, 0
    while start < len(rows):
        size = sizes[number % len(sizes)]
        found.append(listening.push(rows[start : start + size]))
        start, number = start + size, number + 1
    return [*found, listening.finish()]


def test_final_and_partial() -> None:
    listening = Listening(labels=LABELS, seconds_per_frame=FRAME)
    heard = listening.push(spoken("please ho"))
    assert (heard.final, heard.partial, heard.time, heard.ended) == ("please ", "ho", 18 * FRAME, ())
    heard = listening.push(spoken("ld "))
    assert (heard.final, heard.partial, heard.text) == ("please hold ", "", "please hold")
    assert listening.push(spoken("")).final == "please hold "


def test_an_utterance_ends_after_silence_with_its_times() -> None:
    listening = Listening(labels=LABELS, seconds_per_frame=FRAME, silence=0.6)
    heard = listen(listening, spoken("_____hi you____bye"), [7])
    segments = [segment for one in heard for segment in one.ended]
    assert [segment.text for segment in segments] == ["hi you", "bye"]
    first = segments[0]
    assert [(word.text, round(word.start / FRAME), round(word.end / FRAME)) for word in first.words] == [
        ("hi", 25, 28), ("you", 31, 36),
    ]  # fmt: skip
    assert (first.start, first.end) == (first.words[0].start, first.words[-1].end)
    assert first.confidence > 0.9
    told = next(one for one in heard if one.ended)
    assert told.time - first.end <= 0.6 + 7 * FRAME
    assert heard[-1].ended == (segments[1],)  # the end of the stream ends an utterance in the middle of a word


def test_silence_alone_says_nothing_and_keeps_nothing() -> None:
    listening = Listening(labels=LABELS, seconds_per_frame=FRAME)
    heard = listen(listening, spoken("_" * 100), [13])
    assert not any(one.ended or one.text for one in heard)
    assert sum(map(len, listening._frames)) < 0.5 / FRAME + 1


def test_who_never_pauses_is_cut() -> None:
    listening = Listening(labels=LABELS, seconds_per_frame=FRAME, longest=2.0)
    heard = listen(listening, spoken("abcdefgh " * 12, gap=2), [10])
    segments = [segment for one in heard for segment in one.ended]
    assert len(segments) > 2
    assert "".join(segment.text.replace(" ", "") for segment in segments) == "abcdefgh" * 12
    unbroken = spoken("ab" * 200, gap=0)
    assert len([s for one in listen(Listening(labels=LABELS, seconds_per_frame=FRAME, longest=2.0), unbroken, [9])
                for s in one.ended]) == 4  # fmt: skip


@pytest.mark.parametrize("width", [1, 4])
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 50), st.lists(st.integers(1, 30), min_size=1, max_size=5))
def test_final_text_only_grows_whatever_the_parts(width: int, seed: int, sizes: list[int]) -> None:
    labels = Labels(texts=["", " ", "a", "b"])
    rows = torch.from_numpy(random_rows(80, 4, seed, sharp=3.0)).float()
    fusion = Fusion(labels, lm=NGram.build(["a b", "ab a"], order=2)) if width > 1 else None
    listening = Listening(labels=labels, seconds_per_frame=FRAME, silence=0.12, width=width, fusion=fusion)
    final, segments = "", []
    for one in listen(listening, rows, sizes):
        if one.ended:
            assert one.ended[0].text.startswith(final.rstrip())
            segments += one.ended
            final = ""
        assert one.final.startswith(final)
        final = one.final
    assert final == ""
    whole = [s for one in listen(Listening(labels=labels, seconds_per_frame=FRAME, silence=0.12, width=width,
                                           fusion=fusion), rows, [80]) for s in one.ended]  # fmt: skip
    assert segments == whole  # however the stream was cut into parts
    if width == 1:
        assert "".join(s.text for s in segments).replace(" ", "") == labels.decode(greedy(rows)).replace(" ", "")


def test_without_spaces_all_is_final() -> None:
    labels = Labels(texts=["", "你", "好"])
    rows = torch.eye(3)[[1, 0, 2, 0]].mul(20).log_softmax(-1)
    heard = Listening(labels=labels, seconds_per_frame=FRAME).push(rows)
    assert (heard.final, heard.partial) == ("你好", "")
