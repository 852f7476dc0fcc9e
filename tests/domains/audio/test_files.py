"""Every kind of sound file, whole and broken: mono 16 kHz float32, or one sentence that says what is wrong."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tsuite.core.errors import UserError
from tsuite.domains.audio import files
from tsuite.domains.audio.files import Recording, blocks, duration, read_bytes, read_file, read_samples, sound_files
from tsuite.domains.audio.waves import resample

from .sounds import encode, noise, save, tone


def level(samples: np.ndarray, hertz: float) -> float:
    """The amplitude of one frequency in the middle second of a recording."""
    middle = samples[len(samples) // 2 - 8000 : len(samples) // 2 + 8000]
    return float(
        2 * np.abs(np.fft.rfft(middle * np.hanning(len(middle))))[round(hertz)] / np.hanning(len(middle)).sum()
    )


@pytest.mark.parametrize(
    ("name", "subtype", "rate"),
    [
        ("a.wav", "PCM_16", 16_000),
        ("a.wav", "PCM_U8", 8000),
        ("a.wav", "PCM_24", 96_000),
        ("a.wav", "FLOAT", 11_025),
        ("a.wav", "PCM_16", 44_099),
        ("a.flac", "PCM_16", 44_100),
        ("a.mp3", None, 44_100),
        ("a.ogg", "VORBIS", 22_050),
        ("a.opus", "OPUS", 48_000),
    ],
)
def test_formats_and_rates(tmp_path: Path, name: str, subtype: str | None, rate: int) -> None:
    kind = "OGG" if name.endswith("opus") else None
    found = read_file(save(tmp_path / name, tone(3.0, rate=rate), rate, subtype, kind))
    assert found.samples.dtype == np.float32
    assert found.samples.ndim == 1
    assert found.seconds == pytest.approx(3.0, abs=0.06)
    assert level(found.samples, 440) == pytest.approx(0.5, abs=0.02)
    assert found.notices == ()
    assert duration(tmp_path / name) == pytest.approx(3.0, abs=0.06)


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [("a.m4a", "aac", 48_000), ("a.webm", "libopus", 48_000), ("a.mp4", "aac", 48_000), ("a.g722", "g722", 16_000)],
)
def test_formats_of_ffmpeg(tmp_path: Path, name: str, codec: str, rate: int) -> None:
    found = read_file(encode(tmp_path / name, tone(3.0, rate=rate), codec, rate))
    assert found.seconds == pytest.approx(3.0, abs=0.06)
    assert level(found.samples, 440) == pytest.approx(0.5, abs=0.02)
    assert found.notices == ()
    assert duration(tmp_path / name) == pytest.approx(3.0, abs=0.06)


def test_what_a_video_and_a_picture_hold(tmp_path: Path) -> None:
    import av

    with av.open(str(tmp_path / "silent.mp4"), "w") as output:
        stream = output.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    with pytest.raises(UserError, match=r"no sound in .*silent\.mp4"):
        read_file(tmp_path / "silent.mp4")


def test_nothing_above_the_new_band_is_left() -> None:
    found = read_samples(tone(2.0, rate=44_100, hertz=10_000) + tone(2.0, rate=44_100, hertz=1000), 44_100)
    assert level(found.samples, 1000) == pytest.approx(0.5, abs=0.01)
    assert np.abs(found.samples - tone(2.0, hertz=1000))[400:-400].max() < 0.005  # 10 kHz would alias to 6 kHz


@pytest.mark.parametrize("rate", [8000, 11_025, 44_100, 44_099, 96_000])
def test_blocks_have_no_seams(rate: int) -> None:
    given = noise(2.0, rate=rate)
    old, new = files._ratio(rate)
    whole = resample(torch.from_numpy(given), old, new, zeros=16).numpy()
    parts = np.concatenate(list(files.resampled(iter(np.array_split(given, 7)), rate)))
    assert np.abs(parts - whole).max() < 1e-5


def test_blocks_are_the_file(tmp_path: Path) -> None:
    path = save(tmp_path / "a.wav", np.stack([tone(3.0, rate=44_100), noise(3.0, rate=44_100)], axis=1), 44_100)
    parts = list(blocks(path, 0.7))
    assert {len(part) for part in parts[:-1]} == {11_200}
    np.testing.assert_allclose(np.concatenate(parts), read_file(path).samples, atol=1e-6)


def test_five_hours(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    with soundfile.SoundFile(path, "w", 8000, 1, subtype="PCM_U8") as file:
        file.write(np.zeros(8))
    header = bytearray(path.read_bytes()[:44])
    count = 5 * 3600 * 8000
    header[4:8], header[40:44] = (count + 36).to_bytes(4, "little"), count.to_bytes(4, "little")
    with open(path, "wb") as file:
        file.write(header)
        file.truncate(44 + count)  # a file with a hole: it takes no room
    assert duration(path) == 5 * 3600
    tracemalloc.start()
    parts = blocks(path, 30.0)
    for _ in range(10):
        assert len(next(parts)) == 480_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6


def test_channels(tmp_path: Path) -> None:
    twelve = np.tile(tone(0.5, rate=8000)[:, None], (1, 12))
    found = read_file(save(tmp_path / "twelve.wav", twelve, 8000))
    assert found.notices == ("its channels 1 to 12 were mixed into one",)
    assert np.abs(found.samples).max() == pytest.approx(0.5, abs=0.05)
    upside_down = np.stack([tone(0.5), -tone(0.5)], axis=1)
    found = read_file(save(tmp_path / "opposed.wav", upside_down))
    assert found.notices == ("its channels cancel each other, so channel 1 was taken alone",)
    np.testing.assert_allclose(found.samples, tone(0.5), atol=1e-4)
    stereo = np.stack([tone(0.5), np.zeros(8000, np.float32)], axis=1)
    assert read_file(save(tmp_path / "stereo.wav", stereo)).notices == ()


def test_oddities_are_noticed(tmp_path: Path) -> None:
    silent = read_file(save(tmp_path / "silent.wav", np.zeros(8000)))
    assert silent.notices == ("it is silent",)
    (clipped,) = read_file(save(tmp_path / "clipped.wav", np.clip(tone(1.0, level=3.0), -1, 1))).notices
    assert clipped.startswith("it is clipped: ")
    assert read_file(save(tmp_path / "loud.wav", tone(1.0, level=0.9999))).notices == ()


@pytest.mark.parametrize(("name", "kind"), [("a.flac", None), ("a.wav", None), ("a.ogg", None), ("a.opus", "OGG")])
def test_cut_short(tmp_path: Path, name: str, kind: str | None) -> None:
    path = save(tmp_path / name, noise(4.0), 16_000, "OPUS" if kind else None, kind)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    found = read_file(path)
    assert 1.0 < found.seconds < 3.5
    assert len(found.notices) == 1
    assert "the file is" in found.notices[0]


@pytest.mark.parametrize(("name", "codec"), [("a.webm", "libopus"), ("a.mp3", "mp3")])
def test_cut_short_in_ffmpeg(tmp_path: Path, name: str, codec: str) -> None:
    path = encode(tmp_path / name, noise(4.0, rate=48_000), codec)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = read_file(path)
    assert 0.5 < found.seconds < 3.5
    assert "the file is cut short" in found.notices[0]


def test_an_m4a_without_its_end(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.m4a", noise(4.0, rate=48_000), "aac")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match="is cut short"):
        read_file(path)


@pytest.mark.parametrize(("name", "kind"), [("a.wav", "FLAC"), ("a.mp3", "WAV"), ("a.flac", "MP3"), ("a.g722", "WAV")])
def test_another_ending_than_content(tmp_path: Path, name: str, kind: str) -> None:
    found = read_file(save(tmp_path / name, tone(1.0), kind=kind))
    assert found.seconds == pytest.approx(1.0, abs=0.06)
    ending = name[1:]
    assert found.notices == (f"its content is {kind.lower()}, although its name ends in {ending}",)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.wav", b"", "is empty"),
        ("text.wav", b"hello world " * 500, "is no sound file"),
        ("text.mp3", b"hello world " * 500, "is no sound file"),
        ("text.g722", b"hello world " * 500, "is no sound file"),
        ("zeros.flac", bytes(5000), "is no sound file"),
        ("noise.wav", noise(0.1).tobytes(), "is no sound file"),
    ],
)
def test_no_sound(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=words) as caught:
        read_file(tmp_path / name)
    assert name in str(caught.value)
    with pytest.raises(UserError, match=words):
        read_bytes(content, id=name)
    with pytest.raises(UserError, match=words):
        list(blocks(tmp_path / name))


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no file nowhere\.wav"):
        read_file("nowhere.wav")
    with pytest.raises(UserError, match="is a folder"):
        read_file(tmp_path)
    with pytest.raises(UserError, match="it has 0 samples"):
        read_file(save(tmp_path / "none.wav", np.zeros(0)))
    broken = tone(1.0)
    broken[123] = np.nan
    with pytest.raises(UserError, match="no numbers: the first is nan, sample 123"):
        read_file(save(tmp_path / "nan.wav", broken, subtype="FLOAT"))
    with pytest.raises(UserError, match="no numbers"):
        read_samples(broken, 16_000)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no sound files"):
        sound_files(tmp_path / "empty")


def test_samples() -> None:
    same = [
        tone(1.0),
        torch.from_numpy(tone(1.0)),
        np.stack([tone(1.0)] * 2),
        np.stack([tone(1.0)] * 2, axis=1),
        np.rint(tone(1.0) * 32768).astype(np.int16),
        np.rint(tone(1.0) * 2**31).astype(np.int64).astype(np.int32),
    ]
    for given in same:
        np.testing.assert_allclose(read_samples(given, 16_000).samples, tone(1.0), atol=1e-4)
    assert read_samples(tone(1.0, rate=8000), 8000).seconds == 1.0
    for given, rate, words in (
        (np.zeros((2, 2, 2)), 16_000, "no sound"),
        (np.zeros(0), 16_000, "0 samples"),
        (tone(0.1), 0, "a rate of 0 Hz"),
        (tone(0.1, level=32768.0), 16_000, "values up to 32768"),
        (np.array(["a"]), 16_000, "no sound"),
    ):
        with pytest.raises(UserError, match=words):
            read_samples(given, rate)


def test_folders_are_searched_in_order(tmp_path: Path) -> None:
    for name in ("b.wav", "sub/a.flac", "a.WAV", "sub/notes.txt", ".hidden/c.wav"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert [str(path.relative_to(tmp_path)) for path in sound_files(tmp_path)] == ["a.WAV", "b.wav", "sub/a.flac"]
    with pytest.raises(UserError, match="no folder"):
        sound_files(tmp_path / "nowhere")


def test_a_recording_knows_its_length() -> None:
    assert Recording(id="a", samples=np.zeros(8000, np.float32)).seconds == 0.5
