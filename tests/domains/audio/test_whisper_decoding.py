"""Whisper's answers: those of transformers, the same in any company, tried again where they go in circles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tsuite.core.errors import UserError
from tsuite.domains.audio.speech import Span
from tsuite.domains.audio.whisper.decoding import decode, window_seconds
from tsuite.domains.audio.whisper.listening import Listener
from tsuite.domains.audio.whisper.model import Whisper
from tsuite.domains.audio.whisper.options import WhisperOptions
from tsuite.domains.audio.whisper.pretrained import load
from tsuite.domains.audio.whisper.rules import loop_at_end
from tsuite.domains.audio.whisper.tokenizer import WhisperTokenizer
from tsuite.domains.audio.whisper.transcribe import transcribe, transcribe_pieces

from .whispers import hf_folder, reference

pytest.importorskip("torchaudio")
Loaded = tuple[Whisper, WhisperTokenizer]
EVERYTHING = WhisperOptions(language="en", log_probability=-99.0, compression=99.0)
"""Any answer will do but a loop: a random model is never sure of itself."""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return load(hf_folder(tmp_path_factory.mktemp("hf"), reference()), source="tiny")


def mel(count: int) -> torch.Tensor:
    return torch.randn(count, 200, 16, generator=torch.Generator().manual_seed(3))


def sounds(*seconds: float) -> list[np.ndarray]:
    draw = np.random.default_rng(5)
    return [draw.normal(0, 0.1, round(length * 16000)).astype(np.float32) for length in seconds]


@torch.inference_mode()
def test_greedy_answers_are_those_of_transformers(loaded: Loaded) -> None:
    model, tokenizer = loaded
    listener = Listener(model, tokenizer, WhisperOptions(language="de"))
    said = listener.answer(model.hear(mel(3)), ["de"] * 3, most=20, guard=False)
    theirs: Any = reference()
    theirs.generation_config.max_length = 64
    options = {"language": "de", "task": "transcribe", "return_timestamps": False, "max_new_tokens": 20}
    for row in range(3):  # one by one: transformers fills up batches, and cuts what is filled up off again
        expected = theirs.generate(mel(3)[row : row + 1].transpose(1, 2), **options)[0].tolist()
        begin = tokenizer.request("de", "transcribe", timestamps=False)
        plain = [token for token in expected if token not in (tokenizer.start, *begin, tokenizer.end)]
        assert len(plain) > 3
        assert list(said[row].ids) == plain


@torch.inference_mode()
def test_languages_are_those_of_transformers(loaded: Loaded) -> None:
    model, tokenizer = loaded
    found = Listener(model, tokenizer, WhisperOptions()).detect(model.hear(mel(6)))
    theirs: Any = reference().detect_language(mel(6).transpose(1, 2))
    assert [tokenizer.languages[code] for code, _ in found] == theirs.tolist()
    assert all(1 / 3 <= sure <= 1 for _, sure in found)


@torch.inference_mode()
def test_no_speech_is_what_follows_the_start(loaded: Loaded) -> None:
    model, tokenizer = loaded
    silent = Listener(model, tokenizer, WhisperOptions()).no_speech(model.hear(mel(2)))
    logits = model(mel(2), torch.full((2, 1), tokenizer.start))[:, 0]
    assert silent == pytest.approx(logits.softmax(dim=-1)[:, tokenizer.no_speech].tolist(), rel=1e-4)


@pytest.mark.parametrize("asked", [{}, {"beams": 3}, {"temperatures": (1.0,)}])
def test_an_answer_is_the_same_in_any_company(loaded: Loaded, asked: dict[str, Any]) -> None:
    pieces = sounds(1.0, 0.3, 2.0, 1.5)
    options = replace(EVERYTHING, **{"temperatures": (0.0,), **asked})
    together = decode(*loaded, pieces, options)
    for said, piece in zip(together, pieces, strict=True):
        alone = decode(*loaded, [piece], options)[0]
        assert said.ids == alone.ids
        assert said.probabilities == pytest.approx(alone.probabilities, rel=1e-3)
    assert len({said.ids for said in together}) > 1, "else this shows nothing"


@torch.inference_mode()
def test_more_beams_find_nothing_less_probable(loaded: Loaded) -> None:
    model, tokenizer = loaded
    heard = model.hear(mel(1))
    answers = [
        Listener(model, tokenizer, replace(EVERYTHING, beams=beams)).answer(heard, ["en"], most=6, guard=False)[0]
        for beams in (1, 4)
    ]
    assert answers[1].log_probability >= answers[0].log_probability - 1e-4


def test_loops_are_broken_off_and_cut(loaded: Loaded) -> None:
    pieces = sounds(*[2.0] * 6)
    model, tokenizer = loaded
    greedy = replace(EVERYTHING, temperatures=(0.0,))
    with torch.inference_mode():
        heard = model.hear(torch.cat([model.features(torch.from_numpy(piece)[None]) for piece in pieces]))
        free = Listener(model, tokenizer, greedy).answer(heard, ["en"] * 6, most=30, guard=False)
    looping = [row for row, said in enumerate(free) if loop_at_end(said.ids)]
    assert looping, "a random model goes in circles somewhere"
    for said in decode(*loaded, [pieces[row] for row in looping], greedy):
        assert said.looped
        assert loop_at_end(said.ids) is None
        assert said.text == tokenizer.decode(said.ids)


def test_doubted_answers_are_tried_at_higher_temperatures(loaded: Loaded) -> None:
    pieces = sounds(1.0, 2.0)
    doubting = replace(EVERYTHING, log_probability=-0.01, temperatures=(0.0, 0.5, 1.0), no_speech=1.0)
    said = decode(*loaded, pieces, doubting)
    assert {one.no_speech > 0 for one in said} == {True}, "the probability of silence is asked for when in doubt"
    assert [one.ids for one in decode(*loaded, pieces, doubting)] == [one.ids for one in said], "seeded"
    greedy = decode(*loaded, pieces, replace(doubting, temperatures=(0.0,)))
    assert [one.ids for one in said] == [one.ids for one in greedy], "none of them was better"
    trusting = decode(*loaded, pieces, replace(doubting, log_probability=-99.0, temperatures=(0.0, 1.0)))
    assert {one.temperature for one in trusting} == {1.0}, "the first went in circles, the second did not"


def test_silence_gives_no_text(loaded: Loaded) -> None:
    said = decode(*loaded, sounds(1.0), replace(EVERYTHING, log_probability=-0.01, no_speech=0.0, words=True))[0]
    assert (said.text, said.ids, said.words) == ("", (), ())
    assert decode(*loaded, [np.zeros(9000, np.float32)], EVERYTHING)[0].text == "", "nobody has to listen for that"


def test_a_shorter_window_is_the_beginning_of_the_full_one() -> None:
    auto, full = WhisperOptions(), WhisperOptions(window="full")
    assert [window_seconds(s, auto, 30.0) for s in (0.1, 11, 11.1, 16.1, 20, 25.9, 30)] == [15, 15, 20, 25, 25, 30, 30]
    assert window_seconds(1, full, 30.0) == 30
    assert window_seconds(1, auto, 2.0) == 2.0


@torch.inference_mode()
def test_the_encoder_takes_windows_of_any_length(loaded: Loaded) -> None:
    model, _ = loaded
    sound = torch.from_numpy(sounds(0.5)[0])[None]
    assert model.encode(model.features(sound, 16000)).shape == (1, 50, 32)
    with pytest.raises(ValueError, match="do not fit"):
        model.features(sound, 6400)
    with pytest.raises(ValueError, match="do not fit"):
        model.features(torch.zeros(1, 40000))


def test_recordings_of_any_length(loaded: Loaded) -> None:
    sound = np.concatenate(sounds(1.5, 1.5, 1.5))
    spans = [Span(0.2, 1.4), Span(1.6, 3.0), Span(3.1, 4.5)]
    options = replace(EVERYTHING, temperatures=(1.0,))
    segments = transcribe(*loaded, sound, options, spans)
    assert [(s.start, s.end) for s in segments] == [(s.start, pytest.approx(s.end)) for s in spans]
    alone = transcribe(*loaded, sound[round(1.6 * 16000) : 3 * 16000], options)
    assert segments[1].text == alone[0].text == alone[0].text.strip() != ""
    in_windows = transcribe(*loaded, sound, options)
    assert [s.start for s in in_windows] == [0.0, 2.0, 4.0]
    assert transcribe(*loaded, sound, options, []) == transcribe(*loaded, sound[:0], options) == []


def test_pieces_are_taken_as_they_come(loaded: Loaded) -> None:
    taken = []

    def pieces():
        for number, sound in enumerate(sounds(1, 1, 1, 1, 1)):
            taken.append(number)
            yield float(number), sound

    segments = transcribe_pieces(*loaded, pieces(), replace(EVERYTHING, batch=2, temperatures=(1.0,)))
    next(segments)
    assert taken == [0, 1], "no more than a batch is held"


def test_overlapping_pieces_have_their_words_once(loaded: Loaded) -> None:
    sound = sounds(3.0)[0]
    spans = [Span(0.0, 2.0), Span(1.0, 3.0)]
    options = replace(EVERYTHING, temperatures=(1.0,), words=True)
    segments = transcribe(*loaded, sound, options, spans)
    words = [word for segment in segments for word in segment.words]
    apart = [transcribe(*loaded, sound, options, [span]) for span in spans]
    assert 0 < len(words) <= sum(len(segment.words) for one in apart for segment in one)
    assert [word.start for word in words] == sorted(word.start for word in words)
    plain = transcribe(*loaded, sound, replace(options, words=False), spans)
    assert [s.text for s in plain] == [s.text for s in segments]
    assert not any(segment.words for segment in plain)


def test_wrong_wishes_are_told(loaded: Loaded) -> None:
    with pytest.raises(UserError, match="knows no language 'xx'"):
        decode(*loaded, sounds(1.0), WhisperOptions(language="xx"))
    for field, value in {"beams": 0, "batch": 0, "no_speech": 2.0, "temperatures": (), "task": "sing"}.items():
        with pytest.raises(UserError, match=field):
            WhisperOptions(**{field: value})


def test_a_prompt_stands_before(loaded: Loaded, tmp_path: Path) -> None:
    prompted = [decode(*loaded, sounds(1.0), replace(EVERYTHING, prompt=text))[0].ids for text in ("", "déjà vu " * 60)]
    assert prompted[0] != prompted[1]
