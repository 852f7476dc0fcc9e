"""Data sets of the audio domain: named ones with their fixed split, and whatever a person has.

name or path -> rows (a sound, what is said) -> parts (train, validation, test) -> recordings, decoded once and kept
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ...core import manifest
from ...core import task as core_task
from ...core.errors import UserError, near
from ...core.sources import Progress, Source, sha256_file
from ...core.sources.derived import derived
from ...core.sources.digest import listener
from ...core.task import Split
from . import kept
from .files import read_bytes
from .kept import Kept, LazyRecordings
from .listings import Row, listing, named
from .transcripts import Spoken, normalise, parse_prompts, read_prompts, read_spoken, why_unusable, written

VERSION = 1
"""Of what is kept in the cache: raised when the same files give other recordings."""
HUB_FILES = ["*.parquet", "*.csv", "*.tsv", "*.jsonl", "*.json", "*.wav", "*.flac", "*.mp3", "*.ogg", "*.opus",
             "*.trans.txt"]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Collection(core_task.Collection):
    """Recordings, decoded when asked for; `language` is the code of a named set's, "" for others."""

    train: LazyRecordings
    validation: LazyRecordings
    test: LazyRecordings
    language: str = ""


def collect(
    data: str, *, as_written: bool = False, validation: float = 0.1, progress: Progress | None = None
) -> Collection:
    """The data that `data` names: a name of `tsuite data list`, a table, a folder, or `hf://org/name`.

    Named sets keep their fixed split. Of other data, files and folders called train, validation or test are those
    parts; without a validation part the share `validation` of the transcripts becomes it: those whose hash is lowest,
    so that the choice is the same everywhere and no transcript is in both. `as_written` gives transcripts with
    capitals, digits and punctuation. Raises `UserError` for what cannot be found or used, with every bad row.
    """
    path = Path(data).expanduser()
    if data.endswith("dataset.toml") or (data in manifest.manifests() and not path.exists()):
        found = manifest.manifest(data)
        rows, told = _prompts(found, progress)
        language = read_spoken(found.folder / "spoken.toml").language
        name, digest, stamp = found.name, found.sha256, f"{found.sha256} {found.split} {rows}"
    else:
        name, digest, told, language = data, "", (), ""
        place = _place(data, path, progress)
        given = listing(place)
        rows, stamp = _spoken(given.rows, name), f"{place} {given.stamp}"
    key = hashlib.sha256(f"{VERSION} {stamp}".encode()).hexdigest()
    folder = derived("sounds", key, lambda new: kept.write(new, rows, listener(progress), name=name), progress)
    index, content = kept.read(folder)
    parts = {
        part: LazyRecordings(folder, part_rows, as_written=as_written) for part, part_rows in _parts(index, validation)
    }
    return Collection(name=name, sha256=digest or content, notices=told, language=language, **parts)


def prompts(data: str = "asterisk_en", *, words: int = 3, progress: Progress | None = None) -> list[tuple[Path, str]]:
    """(file, transcript as written) of every usable prompt of a named set with at least `words` words, whatever its
    part: what a model that never saw the set is measured on."""
    rows, _ = _prompts(manifest.manifest(data), progress)
    return [
        (row.sound, row.written) for row, text in rows if isinstance(row.sound, Path) and len(text.split()) >= words
    ]


def sample(data: str = "asterisk_en", *, as_written: bool = False) -> Split:
    """The few held-out recordings that lie beside a named set's manifest: for a machine that cannot fetch the set."""
    found = manifest.manifest(data)
    if found.sample_path is None:
        raise UserError(f"The data set {found.name} comes without a sample.")
    spoken = read_spoken(found.folder / "spoken.toml")
    with zipfile.ZipFile(found.sample_path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    (listed,) = (name for name in contents if name.endswith(".txt"))
    examples = []
    for name, text in parse_prompts(contents[listed].decode(found.format.encoding)).items():
        said = written(text) if as_written else normalise(text, spoken.said)
        recording = read_bytes(contents[f"{name}.g722"], id=f"{name}.g722", transcript=said)
        examples.append(dataclasses.replace(recording, id=name))
    return Split(name=found.name, part="test (sample)", examples=examples, sha256=sha256_file(found.sample_path))


def _place(data: str, path: Path, progress: Progress | None) -> Path:
    """The local file or folder that `data` names."""
    if "://" in data:
        source = Source.parse(data)
        if source.kind != "hf":
            return source.fetch(progress)
        return dataclasses.replace(source, dataset=True).fetch(progress, files=None if source.member else HUB_FILES)
    if not path.exists():
        hint = f"{near(data, manifest.manifests())} See: tsuite data list"
        raise UserError(f"There is no data called {data!r} and no such path.", hint)
    return path


# -- rows with their transcripts as spoken ----------------------------------------------------------------------------


def _prompts(found: manifest.Manifest, progress: Progress | None) -> tuple[list[tuple[Row, str]], tuple[str, ...]]:
    """The usable prompts of a named set, each in the part of the first one (by name) that says the same."""
    if found.format.kind != "prompts":
        raise UserError(f"The data set {found.name} holds no recordings with transcripts.", "See: tsuite data list")
    places = found.fetch(progress)
    said = read_prompts(places["transcripts"], found.format.encoding)
    spoken = read_spoken(found.folder / "spoken.toml")
    files = {path.relative_to(places["sounds"]).with_suffix("").as_posix(): path
             for path in places["sounds"].rglob(found.format.files)}  # fmt: skip
    rows: list[tuple[Row, str]] = []
    first: dict[str, str] = {}
    for name in sorted(files):
        if name not in said or why_left_out(name, said[name], spoken):
            continue
        text = normalise(said[name], spoken.said)
        part = found.part(key=first.setdefault(text, name))
        rows.append((Row(id=name, sound=files[name], written=written(said[name]), where=name, part=part), text))
    left = len(files) - len(rows)
    return rows, (f"{left} of {len(files)} recordings are left out: tones, silences, or no sure transcript.",) * bool(
        left
    )


def why_left_out(name: str, text: str, spoken: Spoken) -> str:
    """Why a prompt is not learnt from; "" if it is."""
    return spoken.left_out.get(name) or why_unusable(text, spoken)


def _spoken(rows: Iterable[Row], name: str) -> Iterable[tuple[Row, str]]:
    """Rows of a person's own data with what is said in them; digits stay as they are. Rows that name files are checked
    at once, those with sound inside while they are read."""
    if not isinstance(rows, list):
        return ((row, normalise(row.written)) for row in rows)
    pairs = [(row, normalise(row.written)) for row in rows]
    if silent := [f"{row.where}: the transcript {row.written!r} holds no word" for row, text in pairs if not text]:
        raise named(silent, name)
    return pairs


# -- parts ------------------------------------------------------------------------------------------------------------


def _parts(rows: list[Kept], validation: float) -> Iterable[tuple[str, list[Kept]]]:
    """Train, validation and test. Without a named validation part, of the transcripts that are in no test part the
    share `validation`, by hash, becomes it."""
    by_part: dict[str, list[Kept]] = {"train": [], "validation": [], "test": []}
    given = any(row.part == "validation" for row in rows)
    free = sorted({row.transcript for row in rows if row.part in ("", "train")}, key=_hash)
    count = (
        0 if given or not validation or len(free) < 2 else min(max(1, math.ceil(len(free) * validation)), len(free) - 1)
    )
    chosen = set(free[:count])
    for row in rows:
        part = row.part or "train"
        by_part["validation" if part == "train" and row.transcript in chosen else part].append(row)
    return by_part.items()


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
