"""Sound with transcripts from whatever a person has: a table of paths and texts, a folder, parquet with sound inside.

Every reader ends in a `Listing`: rows that name a sound and what is said in it, in order. Nothing is decoded here.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...core.errors import UserError, missing_extra, near
from .files import SUFFIXES, sound_files

PATHS = ("path", "audio_path", "audio_filepath", "audio_file", "audio", "file", "file_name", "filename", "wav",
         "wav_path", "sound", "recording")  # fmt: skip
TEXTS = ("transcript", "text", "sentence", "transcription", "normalized_text", "raw_text", "words", "target")
DURATIONS = ("duration", "seconds", "audio_duration", "length")
SPLITS = ("split", "part", "subset")
PARTS = {"train": "train", "training": "train", "val": "validation", "valid": "validation", "validation": "validation",
         "dev": "validation", "eval": "validation", "test": "test", "testing": "test"}  # fmt: skip
TABLES = (".csv", ".tsv", ".jsonl", ".json")
MOST_NAMED = 20
"""Bad rows that one error lists; the rest is counted."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A sound (a file, or a file's bytes) and what is said in it as written; `where` it stands, for errors; `part` is
    "" where the data name none."""

    id: str
    sound: Path | bytes
    written: str
    where: str
    part: str = ""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """`rows`, read while they are asked for, and a `stamp` that changes when any file of them does."""

    rows: Iterable[Row]
    stamp: str


def listing(place: Path) -> Listing:
    """The rows at `place`: .csv, .tsv, .jsonl, .json, .parquet, or a folder. Raises UserError that names every bad row:
    missing files, empty transcripts, durations of zero."""
    if place.is_dir():
        return _folder(place)
    if place.suffix.lower() == ".parquet":
        return _parquet([place])
    if place.suffix.lower() in TABLES:
        return _listed(_table(place))
    raise UserError(
        f"{place} is no data with transcripts.",
        "Give a .csv, .tsv or .jsonl with the columns path and transcript, a .parquet, a folder, or hf://org/name.",
    )


def named(problems: Sequence[str], source: str) -> UserError:
    """One error for all bad rows of `source`."""
    more = f"\n… and {len(problems) - MOST_NAMED:,} more" if len(problems) > MOST_NAMED else ""
    rows = "1 row" if len(problems) == 1 else f"{len(problems):,} rows"
    return UserError(
        f"{rows} of {source} cannot be used:\n" + "\n".join(problems[:MOST_NAMED]) + more + "\n", "Mend or remove them."
    )


def _listed(rows: Iterable[Row]) -> Listing:
    """Rows that name files, with the files' sizes and times as the stamp."""
    rows = list(rows)
    state = hashlib.sha256()
    for row in rows:
        assert isinstance(row.sound, Path)
        fact = row.sound.stat()
        state.update(f"{row}\t{fact.st_size}\t{fact.st_mtime_ns}\n".encode())
    return Listing(rows=rows, stamp=state.hexdigest())


# -- tables -----------------------------------------------------------------------------------------------------------


def _table(path: Path, part: str = "") -> list[Row]:
    """The rows of one table, whose paths start from its own folder."""
    rows, problems = [], []
    for number, record in _records(path):
        where = f"{path.name}, line {number}"
        place, text = _cell(record, PATHS, path), _cell(record, TEXTS, path)
        file, problem = _check(path.parent, place, text, record)
        named_part = next((str(record[key]).strip().lower() for key in record if key.lower() in SPLITS), "")
        if named_part and named_part not in PARTS:
            problem = problem or f"there is no part {named_part!r}. {near(named_part, PARTS)}"
        if problem:
            problems.append(f"{where}: {problem}")
            continue
        rows.append(Row(id=place, sound=file, written=text, where=where, part=PARTS.get(named_part, part)))
    if problems:
        raise named(problems, str(path))
    if not rows:
        raise UserError(f"{path} holds no rows.")
    return rows


def _check(folder: Path, place: str, text: str, record: Mapping[str, Any]) -> tuple[Path, str]:
    """The file that a row names, and what is wrong with the row ("": nothing)."""
    file = folder / place
    if not place:
        return file, "the path is empty"
    if not file.is_file():  # Common Voice keeps its sounds one folder below
        file = folder / "clips" / place
    if not file.is_file():
        return file, f"there is no file {folder / place}"
    if not text:
        return file, f"the transcript of {place} is empty"
    for key in record:
        if key.lower() in DURATIONS and record[key] not in (None, ""):
            try:
                seconds = float(record[key])
            except (TypeError, ValueError):
                return file, f"the duration of {place} is {record[key]!r}, and no number"
            if not seconds > 0:
                return file, f"the duration of {place} is {seconds:g} s"
    return file, ""


def _cell(record: Mapping[str, Any], wanted: Sequence[str], path: Path) -> str:
    for name in wanted:
        for given, value in record.items():
            if given.strip().lower() == name:
                return "" if value is None else str(value).strip()
    what = "path of the sound" if wanted is PATHS else "transcript"
    raise UserError(f"{path} has no column for the {what}; it has: {', '.join(record)}.", f"Name one {wanted[0]!r}.")


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a table with the numbers of their lines."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not written in UTF-8 ({error}).", "Save it again as UTF-8.") from None
    if path.suffix.lower() == ".json" and text.lstrip().startswith("["):
        yield from enumerate(_json(text, f"{path}"), start=1)
    elif path.suffix.lower() in (".json", ".jsonl"):
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                record = _json(line, f"{path}, line {number}")
                if not isinstance(record, dict):
                    raise UserError(f"{path}, line {number} is no object.", 'Write {"path": …, "transcript": …}.')
                yield number, record
    else:
        lines = text.splitlines(keepends=True)
        quoting = csv.QUOTE_MINIMAL
        if path.name == "metadata.csv" and lines and lines[0].count("|") in (1, 2):  # LJSpeech: id|as written|as said
            lines.insert(0, "path|written|transcript\n" if lines[0].count("|") == 2 else "path|transcript\n")
            quoting = csv.QUOTE_NONE
        mark = "|" if quoting == csv.QUOTE_NONE else "\t" if path.suffix.lower() == ".tsv" else ","
        reader = csv.DictReader(lines, delimiter=mark, quoting=quoting)
        for record in reader:
            if quoting == csv.QUOTE_NONE:
                record["path"] = _of_ljspeech(path.parent, record["path"])
            number = reader.line_num - (quoting == csv.QUOTE_NONE)
            yield number, {key: value for key, value in record.items() if isinstance(key, str)}


def _of_ljspeech(folder: Path, name: str) -> str:
    beside = [f"{top}{name}{ending}" for top in ("wavs/", "") for ending in (".wav", ".flac", "")]
    return next((place for place in beside if (folder / place).is_file()), beside[0])


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError(f"{where} is no valid JSON ({error}).") from None


# -- folders ----------------------------------------------------------------------------------------------------------


def _folder(folder: Path) -> Listing:
    """Tables called train, validation, test or metadata; LibriSpeech's *.trans.txt; a .txt beside each sound; parquet.

    Files and folders called train, validation (dev) or test are those parts."""
    if parquet := sorted(folder.rglob("*.parquet")):
        return _parquet(parquet)
    tables = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in TABLES and path.is_file()]
    tables = [path for path in tables if path.stem.lower() == "metadata" or _part(path, folder)]
    if tables:
        return _listed(row for path in tables for row in _table(path, _part(path, folder)))
    if lists := sorted(folder.rglob("*.trans.txt")):
        return _listed(row for path in lists for row in _librispeech(path, folder))
    return _listed(_pairs(folder))


def _part(path: Path, folder: Path) -> str:
    """The part that a file's name ("dev-clean", "test.csv") or one of its folders inside `folder` names, or ""."""
    for name in (path.stem, *path.relative_to(folder).parts[-2::-1]):
        word = name.lower().replace("_", "-").replace(".", "-").split("-")[0]
        if word in PARTS:
            return PARTS[word]
    return ""


def _librispeech(path: Path, folder: Path) -> Iterator[Row]:
    """Lines `1089-134686-0000 HE HOPED THERE WOULD BE`, each with a sound of that name beside the list."""
    problems, rows = [], []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        name, _, text = line.strip().partition(" ")
        if not name:
            continue
        where = f"{path.relative_to(folder)}, line {number}"
        files = [
            file for suffix in (".flac", ".wav", *sorted(SUFFIXES)) if (file := path.parent / (name + suffix)).is_file()
        ]
        if not files or not text.strip():
            problems.append(f"{where}: " + (f"the transcript of {name} is empty" if files else f"{name} has no sound"))
            continue
        rows.append(
            Row(
                id=str(files[0].relative_to(folder)),
                sound=files[0],
                written=text,
                where=where,
                part=_part(path, folder),
            )
        )
    if problems:
        raise named(problems, str(path))
    yield from rows


def _pairs(folder: Path) -> Iterator[Row]:
    """Sounds with a text of the same name beside them; sounds without one are left out unless none has one."""
    problems, rows = [], []
    for file in sound_files(folder):
        text = next((path for path in (file.with_suffix(".txt"), file.with_suffix(".lab")) if path.is_file()), None)
        if text is None:
            continue
        name = str(file.relative_to(folder))
        said = " ".join(text.read_text(encoding="utf-8-sig", errors="replace").split())
        if not said:
            problems.append(f"{text.relative_to(folder)}: the transcript of {name} is empty")
        rows.append(Row(id=name, sound=file, written=said, where=name, part=_part(file, folder)))
    if problems:
        raise named(problems, str(folder))
    if not rows:
        raise UserError(
            f"The folder {folder} holds sounds, but no transcripts.",
            "Put a .txt of the same name beside each, or a metadata.csv with the columns path and transcript.",
        )
    yield from rows


# -- parquet ----------------------------------------------------------------------------------------------------------


def _parquet(paths: Sequence[Path]) -> Listing:
    """Sound inside the table, as the Hugging Face hub keeps it: bytes, or {bytes, path}."""
    facts = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    return Listing(rows=_parquet_rows(paths), stamp=hashlib.sha256(str(facts).encode()).hexdigest())


def _parquet_rows(paths: Sequence[Path]) -> Iterator[Row]:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise missing_extra("pyarrow", "audio") from None
    for path in paths:
        part, number = _part(path, path.parent.parent), 0
        try:
            file = parquet.ParquetFile(path)
        except (arrow.ArrowInvalid, OSError) as error:
            raise UserError(f"{path} cannot be read as parquet ({error}).") from None
        known = file.schema_arrow.names
        columns = [_column(known, wanted, path) for wanted in (PATHS, TEXTS)]
        with file:
            for batch in file.iter_batches(batch_size=64, columns=columns):
                for sound, text in zip(*(batch.column(name).to_pylist() for name in columns), strict=True):
                    yield _encoded(sound, text, f"{path.name}, row {number}", part)
                    number += 1


def _column(known: Sequence[str], wanted: Sequence[str], path: Path) -> str:
    first = "audio" if wanted is PATHS else wanted[0]
    for name in (first, *wanted):
        for given in known:
            if given.lower() == name:
                return given
    raise UserError(f"{path} has no column called {first}; it has: {', '.join(known)}.", f"Name one {first!r}.")


def _encoded(sound: Any, text: Any, where: str, part: str) -> Row:
    content = sound.get("bytes") if isinstance(sound, dict) else sound
    if not isinstance(content, bytes):
        raise UserError(f"{where}: the column for the sound holds none.")
    if not (isinstance(text, str) and text.strip()):
        raise UserError(f"{where}: the transcript is empty.")
    name = sound.get("path") if isinstance(sound, dict) else None
    return replace(Row(id=where, sound=content, written=text, where=where, part=part), id=name or where)
