"""Recordings with transcripts from tables, folders, parquet and the shipped sets, with splits that share nothing."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tsuite.core.errors import UserError
from tsuite.domains.audio import data, kept
from tsuite.domains.audio.data import Collection, collect, prompts, sample
from tsuite.domains.audio.files import SAMPLE_RATE

from .sounds import save, tone

pytestmark = pytest.mark.usefixtures("tmp_cache")

WORDS = ("one", "Two.", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def sounds(folder: Path, count: int = 10) -> list[str]:
    """Names of `count` short sounds, each a little longer than the one before."""
    for number in range(count):
        save(folder / f"{number}.wav", tone(0.1 + 0.01 * number))
    return [f"{number}.wav" for number in range(count)]


def table(path: Path, rows: list[dict[str, object]]) -> str:
    """Rows as .csv, .tsv, .jsonl or .json."""
    if path.suffix in (".jsonl", ".json"):
        text = "\n".join(map(json.dumps, rows)) if path.suffix == ".jsonl" else json.dumps(rows)
    else:
        mark = "\t" if path.suffix == ".tsv" else ","
        text = "\n".join(mark.join(map(str, row)) for row in [list(rows[0]), *(row.values() for row in rows)])
    path.write_text(text + "\n", encoding="utf-8")
    return str(path)


def everything(found: Collection) -> dict[str, str | None]:
    """Transcript by id of all parts."""
    return {item.id: item.transcript for part in (found.train, found.validation, found.test) for item in part}


@pytest.mark.parametrize(
    ("name", "path", "text"),
    [
        ("a.csv", "path", "transcript"),
        ("a.csv", "audio_filepath", "text"),
        ("a.tsv", "path", "sentence"),
        ("a.jsonl", "audio_filepath", "text"),
        ("a.json", "file_name", "transcription"),
    ],
)
def test_tables(tmp_path: Path, name: str, path: str, text: str) -> None:
    rows: list[dict[str, object]] = [
        {path: file, text: word, "duration": 0.2} for file, word in zip(sounds(tmp_path), WORDS, strict=True)
    ]
    found = collect(table(tmp_path / name, rows))
    assert (len(found.train), len(found.validation), len(found.test)) == (9, 1, 0)
    assert everything(found)["1.wav"] == "two"
    assert everything(collect(table(tmp_path / name, rows), as_written=True))["1.wav"] == "Two."
    assert found.splits().test is None
    (item,) = found.validation
    np.testing.assert_allclose(item.samples, tone(item.seconds), atol=1 / 32768)


def test_bad_rows_are_all_named(tmp_path: Path) -> None:
    sounds(tmp_path, 4)
    rows: list[dict[str, object]] = [
        {"path": "0.wav", "transcript": "fine", "duration": 1},
        {"path": "nowhere.wav", "transcript": "lost", "duration": 1},
        {"path": "1.wav", "transcript": " ", "duration": 1},
        {"path": "2.wav", "transcript": "none", "duration": 0},
        {"path": "", "transcript": "no path", "duration": 1},
        {"path": "3.wav", "transcript": "odd", "duration": "long"},
    ]
    with pytest.raises(UserError) as caught:
        collect(table(tmp_path / "a.csv", rows))
    for words in (
        "5 rows",
        "a.csv, line 3: there is no file",
        "line 4: the transcript of 1.wav is empty",
        "line 5: the duration of 2.wav is 0 s",
        "line 6: the path is empty",
        "line 7: the duration of 3.wav is 'long', and no number",
    ):
        assert words in str(caught.value)
    assert "line 2" not in str(caught.value)


def test_bad_sounds_and_texts_are_named(tmp_path: Path) -> None:
    sounds(tmp_path, 2)
    (tmp_path / "1.wav").write_bytes(b"")
    save(tmp_path / "2.wav", np.zeros(0))
    rows: list[dict[str, object]] = [{"path": f"{n}.wav", "transcript": word} for n, word in enumerate(WORDS[:3])]
    with pytest.raises(UserError, match=r"(?s)2 rows.*line 3: .*1\.wav is empty.*line 4: .*2\.wav holds no sound"):
        collect(table(tmp_path / "a.csv", rows))
    with pytest.raises(UserError, match=r"line 2: the transcript '\?\?' holds no word"):
        collect(table(tmp_path / "a.csv", [{"path": "0.wav", "transcript": "??"}]))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"path": "0.wav", "label": "x"}], "no column for the transcript; it has: path, label"),
        ([{"sounds": "0.wav", "text": "x"}], "no column for the path"),
        ([{"path": "0.wav", "text": "x", "split": "tset"}], "Did you mean test"),
    ],
)
def test_mistaken_columns(tmp_path: Path, rows: list[dict[str, object]], words: str) -> None:
    sounds(tmp_path, 1)
    with pytest.raises(UserError, match=words):
        collect(table(tmp_path / "a.csv", rows))


def test_named_parts_stay(tmp_path: Path) -> None:
    parts = ["train", "train", "dev", "test", "train"]
    rows: list[dict[str, object]] = [
        {"path": file, "text": word, "split": part}
        for file, word, part in zip(sounds(tmp_path, 5), WORDS, parts, strict=False)
    ]
    found = collect(table(tmp_path / "a.csv", rows))
    assert [item.id for item in found.validation] == ["2.wav"]
    assert [item.id for item in found.test] == ["3.wav"]
    assert found.splits().test is not None


def test_equal_transcripts_stay_together(tmp_path: Path) -> None:
    texts = [f"{word}!" if number % 2 else word for number, word in enumerate(WORDS[:5] * 2)]
    rows: list[dict[str, object]] = [
        {"path": file, "text": text} for file, text in zip(sounds(tmp_path), texts, strict=True)
    ]
    found = collect(table(tmp_path / "a.csv", rows), validation=0.4)
    assert len(found.validation) == 4
    assert not set(found.train.transcripts) & set(found.validation.transcripts)
    one = collect(table(tmp_path / "b.csv", rows[:1]))
    with pytest.raises(UserError, match="nothing for validation"):
        one.splits()


def librispeech(folder: Path) -> None:
    for part in ("train-clean-5", "dev-clean"):
        place = folder / part / "84" / "121"
        for number in range(3):
            save(place / f"84-121-{number}.flac", tone(0.1))
        (place / "84-121.trans.txt").write_text("".join(f"84-121-{n} {part[:3]} {WORDS[n]}\n" for n in range(3)))


def pairs(folder: Path) -> None:
    for part in ("train", "dev"):
        for name in sounds(folder / part, 3):
            (folder / part / name).with_suffix(".txt").write_text(f"{part[:3]} {WORDS[int(name[0])]}\n")


def ljspeech(folder: Path) -> None:
    for number in range(6):
        save(folder / "wavs" / f"LJ-{number}.wav", tone(0.1))
    (folder / "metadata.csv").write_text("".join(f'LJ-{n}|"{n}|{WORDS[n]}\n' for n in range(6)))


def audiofolder(folder: Path) -> None:
    for part in ("train", "validation"):
        rows: list[dict[str, object]] = [
            {"file_name": name, "transcription": f"{part[:3]} {name}"} for name in sounds(folder / part, 3)
        ]
        table(folder / part / "metadata.jsonl", rows)


@pytest.mark.parametrize("make", [librispeech, pairs, ljspeech, audiofolder])
def test_folders(tmp_path: Path, make: Callable[[Path], None]) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    make(folder)
    found = collect(str(folder))
    assert len(found.train) + len(found.validation) == 6
    assert len(found.validation) == (1 if make is ljspeech else 3)
    assert {text.split()[0] for text in found.train.transcripts} <= {"tra", *map(str.lower, WORDS), "two"}


def test_folders_with_mistakes(tmp_path: Path) -> None:
    sounds(tmp_path / "bare", 2)
    with pytest.raises(UserError, match="holds sounds, but no transcripts"):
        collect(str(tmp_path / "bare"))
    (tmp_path / "bare" / "0.txt").write_text(" ")
    with pytest.raises(UserError, match=r"0\.txt: the transcript of 0\.wav is empty"):
        collect(str(tmp_path / "bare"))
    librispeech(tmp_path / "libri")
    next((tmp_path / "libri").rglob("84-121-1.flac")).unlink()
    with pytest.raises(UserError, match="line 2: 84-121-1 has no sound"):
        collect(str(tmp_path / "libri"))
    with pytest.raises(UserError, match=r"Did you mean asterisk_en"):
        collect("asterisk_eng")
    with pytest.raises(UserError, match="holds no recordings"):
        collect("mnist_5k")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(UserError, match="no data with transcripts"):
        collect(str(tmp_path / "a.txt"))


def test_parquet(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    names = sounds(tmp_path / "in", 6)
    content = [{"bytes": (tmp_path / "in" / name).read_bytes(), "path": name} for name in names]
    folder = tmp_path / "hub" / "data"
    folder.mkdir(parents=True)
    parquet.write_table(
        arrow.table({"audio": content[:5], "sentence": list(WORDS[:5])}), folder / "train-00000-of-00001.parquet"
    )
    parquet.write_table(arrow.table({"audio": content[5:], "sentence": ["Six"]}), folder / "test-00000.parquet")
    found = collect(str(tmp_path / "hub"))
    assert (len(found.train), len(found.validation)) == (4, 1)
    assert [(item.id, item.transcript) for item in found.test] == [("5.wav", "six")]
    parquet.write_table(arrow.table({"audio": [b"x", None], "text": ["a", "b"]}), tmp_path / "bad.parquet")
    with pytest.raises(UserError, match="row 1: the column for the sound holds none"):
        collect(str(tmp_path / "bad.parquet"))


def test_a_changed_sound_is_read_again(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"path": file, "text": word} for file, word in zip(sounds(tmp_path), WORDS, strict=True)
    ]
    place = table(tmp_path / "a.csv", rows)
    before = collect(place)
    assert collect(place).train.folder == before.train.folder
    save(tmp_path / "3.wav", tone(0.5))
    after = collect(place)
    assert after.sha256 != before.sha256
    assert after.train.seconds.sum() + after.validation.seconds.sum() > before.train.seconds.sum() + 0.3


def test_lazy_recordings(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"path": file, "text": word} for file, word in zip(sounds(tmp_path), WORDS, strict=True)
    ]
    train = collect(table(tmp_path / "a.csv", rows)).train
    np.testing.assert_allclose(train.seconds, [item.seconds for item in train])
    assert [item.id for item in train[2:5]] == [train[number].id for number in (2, 3, 4)]
    assert train[-1].id == list(train)[-1].id
    assert [item.id for item in train.chosen([3, 1])] == [train[3].id, train[1].id]
    sent = pickle.dumps(train)
    assert len(sent) < 5000  # the samples stay on the disk
    np.testing.assert_array_equal(pickle.loads(sent)[0].samples, train[0].samples)


def test_too_much_to_keep_is_decoded_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[dict[str, object]] = [
        {"path": file, "text": word} for file, word in zip(sounds(tmp_path), WORDS, strict=True)
    ]
    monkeypatch.setattr(kept, "MOST", 1e-4)
    found = collect(table(tmp_path / "a.csv", rows))
    assert not (found.train.folder / "samples.i16").stat().st_size
    for item, seconds in zip(found.train, found.train.seconds, strict=True):
        assert item.seconds == pytest.approx(seconds)
        np.testing.assert_allclose(item.samples, tone(item.seconds), atol=1e-4)


def test_the_sample() -> None:
    found = sample()
    assert [item.id for item in found.examples] == [
        "cannot-complete-as-dialed",
        "check-number-dial-again",
        "vm-mailboxfull",
    ]
    assert found.examples[0].transcript == "your call cannot be completed as dialed"
    assert sample(as_written=True).examples[0].transcript == "Your call cannot be completed as dialed."
    assert [round(item.seconds, 1) for item in found.examples] == [2.6, 2.2, 4.1]
    with pytest.raises(UserError, match="without a sample"):
        sample("asterisk_fr")


# -- the shipped sets: fetched once, out of Debian's packages ---------------------------------------------------------


@pytest.fixture(params=["en", "fr", "it", "es", "ru"])
def asterisk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Collection:
    """A shipped set, in the cache of this machine."""
    monkeypatch.delenv("TSUITE_CACHE")
    try:
        return collect(f"asterisk_{request.param}")
    except UserError as problem:
        if "package" not in str(problem) and "apt" not in str(problem):
            raise
        pytest.skip(str(problem))


@pytest.mark.slow
def test_the_prompts(asterisk: Collection) -> None:
    parts = [getattr(asterisk, part) for part in ("train", "validation", "test")]
    assert sum(map(len, parts)) == data.manifest.manifest(asterisk.name).rows
    texts = [set(part.transcripts) for part in parts]
    assert not texts[0] & texts[1]
    assert not texts[0] & texts[2]
    assert not texts[1] & texts[2]
    assert 0.15 < len(parts[2]) / sum(map(len, parts)) < 0.2
    assert not any(letter.isdigit() for part in texts for text in part for letter in text)
    assert not any(item.notices for item in parts[1])
    start = time.perf_counter()
    assert len(collect(asterisk.name).train) == len(asterisk.train)
    assert time.perf_counter() - start < 2


@pytest.mark.slow
@pytest.mark.parametrize("asterisk", ["en"], indirect=True)
def test_the_english_prompts(asterisk: Collection) -> None:
    assert [len(part) for part in (asterisk.train, asterisk.validation, asterisk.test)] == [410, 45, 96]
    assert asterisk.sha256 == data.manifest.manifest("asterisk_en").sha256
    letters = {letter for text in asterisk.train.transcripts for letter in text}
    assert letters == set(" 'abcdefghijklmnopqrstuvwxyz")
    assert {item.id for item in asterisk.test[:3]} == {"activated", "agent-loginok", "agent-pass"}
    found = prompts()
    assert len(found) == 272
    assert all(path.is_file() and text for path, text in found)
    held_out = {item.id: item for item in asterisk.test}
    for item in sample().examples:
        assert item.transcript == held_out[item.id].transcript
        np.testing.assert_allclose(item.samples, held_out[item.id].samples, atol=1e-6)
    assert 25 * 60 > sum(len(item.samples) for item in asterisk.train) / SAMPLE_RATE > 18 * 60
