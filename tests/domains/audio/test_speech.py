"""Speech is found, what is none is rejected, and recordings are cut alike in one go or in parts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from tsuite.core.errors import UserError
from tsuite.core.sources import Source, Unreachable
from tsuite.domains.audio import voice
from tsuite.domains.audio.files import SAMPLE_RATE
from tsuite.domains.audio.speech import STEP, Span, cut, find_speech, pieces
from tsuite.domains.audio.voice import WINDOW, Detector, Loudness, Silero

from .sounds import noise, tone


def vowels(seconds: float, *, seed: int = 0) -> np.ndarray:
    """Something like speech for the rule: a buzz whose pitch and formants move, in syllables."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    random = np.random.default_rng(seed)
    pitch = 120 + 20 * np.sin(2 * np.pi * 1.3 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    formant = np.repeat(random.uniform(300, 2500, int(seconds * 10) + 1), SAMPLE_RATE // 10)[: len(time)]
    sound = sum(np.exp(-(((number * pitch - formant) / 300) ** 2)) * np.sin(number * phase) for number in range(1, 25))
    return (0.2 * np.asarray(sound)).astype(np.float32)


class Marked:
    """A detector that hears speech where samples are positive; so tests say exactly where it is."""

    notices: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.held = np.empty(0, np.float32)

    def feed(self, samples: np.ndarray, *, last: bool = False) -> np.ndarray:
        held = np.concatenate([self.held, samples])
        count = len(held) // WINDOW
        self.held = held[count * WINDOW :]
        return held[: count * WINDOW].reshape(count, WINDOW).mean(axis=1).clip(0, 1)


def marked(*lengths: float) -> np.ndarray:
    """Silence and speech by turns, of so many seconds each."""
    return np.concatenate(
        [np.full(round(length / STEP) * WINDOW, number % 2, np.float32) for number, length in enumerate(lengths)]
    )


@pytest.fixture(scope="module")
def silero() -> Callable[[], Detector]:
    """Makes a fresh Silero detector."""
    try:
        Source.parse(voice.SILERO).fetch()
    except Unreachable as problem:
        pytest.skip(str(problem))
    return voice.detector


OTHER = {
    "silence": np.zeros(3 * SAMPLE_RATE, np.float32),
    "noise": noise(3.0),
    "soft noise": noise(3.0, level=0.001),
    "tone": tone(3.0),
    "beeps": tone(3.0) * (np.arange(3 * SAMPLE_RATE) % SAMPLE_RATE < 0.3 * SAMPLE_RATE),
}


@pytest.mark.parametrize("name", OTHER)
@pytest.mark.parametrize("detect", [Loudness, None], ids=["rule", "silero"])
def test_what_is_no_speech(name: str, detect: type[Loudness] | None, request: pytest.FixtureRequest) -> None:
    make = detect or request.getfixturevalue("silero")
    assert find_speech(OTHER[name], detect=make()) == []
    assert cut(OTHER[name], detect=make()) == []


def test_the_rule_hears_syllables() -> None:
    samples = np.concatenate([noise(1.5, level=0.001), vowels(2.0), noise(1.5, level=0.001)])
    (span,) = find_speech(samples, detect=Loudness())
    assert span.start == pytest.approx(1.3, abs=0.2)
    assert span.end == pytest.approx(3.7, abs=0.2)


def test_silero_in_parts_is_silero_in_one(silero: Callable[[], Detector]) -> None:
    samples = np.concatenate([noise(0.3), vowels(1.0), tone(0.41)])
    whole = silero().feed(samples, last=True)
    assert len(whole) == -(-len(samples) // WINDOW)
    detect = silero()
    parts = [detect.feed(part) for part in np.array_split(samples, 9)] + [detect.feed(samples[:0], last=True)]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)


def test_silero_is_that_of_faster_whisper(silero: Callable[[], Detector]) -> None:
    theirs_vad = pytest.importorskip("faster_whisper.vad")
    samples = np.concatenate([vowels(1.0), noise(0.5), vowels(1.0, seed=1)])[: 70 * WINDOW]
    theirs = np.ravel(theirs_vad.get_vad_model()(samples.copy()))
    ours = silero().feed(samples)
    np.testing.assert_allclose(ours[:-1], theirs[:-1], atol=1e-5)  # it zeroes the end of the last window


def test_without_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ModuleNotFoundError("onnxruntime")

    monkeypatch.setattr(voice, "_session", missing)
    detect = voice.detector()
    assert isinstance(detect, Loudness)
    assert "onnxruntime is not installed" in detect.notices[0]


def test_without_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable() -> None:
        raise Unreachable("The index cannot be reached.")

    monkeypatch.setattr(voice, "_session", unreachable)
    assert "The index cannot be reached." in voice.detector().notices[0]


def test_spans() -> None:
    found = find_speech(marked(1.0, 0.5, 1.0, 2.0, 0.3, 1.0, 0.096, 0.5, 1.0, 0.064, 1.0), detect=Marked())
    starts = [0.0, *np.cumsum([round(s / STEP) for s in (1.0, 0.5, 1.0, 2.0, 0.3, 1.0, 0.096, 0.5)]) * STEP]
    # 0.3 s of silence end a span, 0.1 s do not; 0.06 s of sound are none
    assert len(found) == 3
    assert found[0].start == pytest.approx(starts[1] - 0.3)
    assert found[0].end == pytest.approx(starts[2] + 0.3)
    assert found[1].end == found[2].start  # 0.3 s between two are shared fairly
    assert found[2].end == pytest.approx(starts[8] + 0.3)


@pytest.mark.parametrize("longest", [4.0, 10.0, 28.0])
@pytest.mark.parametrize("block", [0.1, 1.7, 30.0])
def test_pieces_of_a_stream_are_those_of_the_whole(longest: float, block: float) -> None:
    random = np.random.default_rng(3)
    lengths = [float(value) for value in random.gamma(1.2, 1.0, 60)]
    lengths[20], lengths[31] = 8.0, 40.0  # a long silence, and speech without a pause
    samples = marked(*lengths)
    whole = cut(samples, longest=longest, detect=Marked())
    size = round(block * SAMPLE_RATE)
    parts = list(
        pieces((samples[at : at + size] for at in range(0, len(samples), size)), longest=longest, detect=Marked())
    )
    assert [span for span, _ in parts] == whole
    for span, part in parts:
        assert span.seconds <= longest + 1e-9
        np.testing.assert_array_equal(part, samples[round(span.start * SAMPLE_RATE) : round(span.end * SAMPLE_RATE)])
    for span in find_speech(samples, pad=0.0, detect=Marked()):
        for moment in np.arange(span.start + 0.01, span.end - 0.01, 0.1):
            assert any(piece.start <= moment <= piece.end for piece in whole)


def test_pieces_overlap_only_without_a_pause() -> None:
    calm = cut(marked(*[1.0, 3.0] * 20), longest=10.0, detect=Marked())
    assert all(before.end <= after.start for before, after in itertools.pairwise(calm))
    hurried = cut(marked(0.5, 25.0, 0.5), longest=10.0, detect=Marked())
    shared = [before.end - after.start for before, after in itertools.pairwise(hurried)]
    assert shared == [pytest.approx(1.0)] * 2


def test_long_silences_are_left_out() -> None:
    found = cut(marked(1.0, 2.0, 3.5, 2.0, 1.0, 2.0, 20.0), detect=Marked())
    assert len(found) == 2
    assert sum(span.seconds for span in found) < 8.5


def test_little_memory_is_held() -> None:
    held = []

    def blocks() -> Iterator[np.ndarray]:
        for _ in range(40):
            yield marked(1.0, 4.0)

    for _, part in pieces(blocks(), longest=10.0, detect=Marked()):
        base = part.base if part.base is not None else part
        held.append(base.size / SAMPLE_RATE)
    assert held
    assert max(held) < 25


def test_too_short_pieces() -> None:
    with pytest.raises(UserError, match="at most 1 seconds"):
        cut(marked(1.0, 1.0), longest=1.0)
    assert Span(1.0, 3.5).seconds == 2.5


def test_silero_keeps_its_class(silero: Callable[[], Detector]) -> None:
    assert isinstance(silero(), Silero)
    assert silero().notices == ()
