"""Decoded recordings on disk: written once, from whatever they came as, and read one by one without holding them all.

    index.json     one row each: id, transcript as written and as spoken, part, where its samples are, notices
    samples.i16    all samples at 16 kHz as 16-bit integers, one recording behind the other; absent where there are more
                   than `MOST` hours: then a recording is decoded from its own file each time

Axes: R recordings, N samples of one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import UserError
from ...core.lazy import LazySequence
from ...core.sources import sha256_file
from ...core.sources.cache import require_space
from ...core.sources.digest import Progress
from .files import SAMPLE_RATE, Recording, duration, read_bytes, read_file
from .listings import Row, named

MOST = 40
"""Hours of sound that are kept decoded (115 MB an hour)."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """One row of the index: `start` and `count` are in samples; `path` is set where the samples are not kept."""

    id: str
    written: str
    transcript: str
    part: str
    start: int
    count: int
    path: str = ""
    notices: tuple[str, ...] = ()


class LazyRecordings(LazySequence[Recording]):
    """Recordings of a folder that `write` made, read when asked for; slices are lists. Cheap to send to a worker.

    `as_written` gives transcripts with their capitals, digits and punctuation instead of as a CTC model learns them.
    """

    def __init__(self, folder: Path, rows: Sequence[Kept], *, as_written: bool = False) -> None:
        self.folder, self.rows, self.as_written = folder, list(rows), as_written
        self._samples: np.ndarray | None = None

    @property
    def seconds(self) -> np.ndarray:
        """Length of each recording [R] in seconds, known without decoding."""
        return np.asarray([row.count for row in self.rows], dtype=np.float64) / SAMPLE_RATE

    @property
    def transcripts(self) -> list[str]:
        """What is said in each, known without decoding."""
        return [row.written if self.as_written else row.transcript for row in self.rows]

    def chosen(self, numbers: Iterable[int]) -> LazyRecordings:
        """These recordings alone, in this order."""
        return LazyRecordings(self.folder, [self.rows[number] for number in numbers], as_written=self.as_written)

    def __len__(self) -> int:
        return len(self.rows)

    def item(self, number: int) -> Recording:
        row = self.rows[number]
        text = row.written if self.as_written else row.transcript
        if row.path:
            return read_file(row.path, transcript=text, id=row.id)
        if self._samples is None:
            self._samples = np.memmap(self.folder / "samples.i16", dtype=np.int16, mode="r")
        samples = self._samples[row.start : row.start + row.count].astype(np.float32) / 32768
        return Recording(id=row.id, samples=samples, transcript=text, notices=row.notices)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_samples": None}  # a worker maps the file itself


def write(
    folder: Path, rows: Iterable[tuple[Row, str]], progress: Progress, *, name: str, count: int | None = None
) -> None:
    """Decode pairs of (row, transcript as spoken) into `folder`; `count` of them, where that is known.

    Raises UserError that names every row whose sound cannot be used.
    """
    kept: list[Kept] = []
    problems: list[str] = []
    digest = hashlib.sha256()
    whole = not isinstance(rows, list) or _fits(rows)
    place = 0
    with open(folder / "samples.i16", "wb") as file:
        for number, (row, text) in enumerate(rows):
            progress(number, len(rows) if isinstance(rows, list) else count, f"decoding {name}")
            try:
                samples, notices, length = _decoded(row, whole)
            except UserError as error:
                problems.append(f"{row.where}: {error}")
                continue
            path = str(row.sound) if not whole and isinstance(row.sound, Path) else ""
            kept.append(
                Kept(
                    id=row.id, written=row.written, transcript=text, part=row.part, start=place, count=length,
                    path=path, notices=notices,
                )
            )  # fmt: skip
            place += file.write(np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2").tobytes()) // 2
            content = sha256_file(row.sound) if isinstance(row.sound, Path) else hashlib.sha256(row.sound).hexdigest()
            digest.update(f"{row.id}\t{row.written}\t{row.part}\t{content}\n".encode())
    if problems:
        raise named(problems, name)
    if not kept:
        raise UserError(f"{name} holds no recordings with a transcript.")
    plain = {"sha256": digest.hexdigest(), "rows": [asdict(row) for row in kept]}
    (folder / "index.json").write_text(json.dumps(plain, ensure_ascii=False), encoding="utf-8")


def read(folder: Path) -> tuple[list[Kept], str]:
    """The index of a folder that `write` made, and the sha256 of what it was made of."""
    plain = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    return [Kept(**{**row, "notices": tuple(row["notices"])}) for row in plain["rows"]], plain["sha256"]


def _fits(rows: list[tuple[Row, str]]) -> bool:
    """Whether the sound is to be kept decoded. Raises UserError where it should be and the disk is too small."""
    seconds = 0.0
    for row, _ in rows:
        if isinstance(row.sound, Path):
            try:
                seconds += duration(row.sound)
            except UserError:
                continue  # said when it is decoded
    if seconds > MOST * 3600:
        return False
    require_space(int(seconds * SAMPLE_RATE * 2))
    return True


def _decoded(row: Row, whole: bool) -> tuple[np.ndarray, tuple[str, ...], int]:
    """Samples [N] of a row (none where they are not kept), notices, and how many samples there are."""
    if isinstance(row.sound, bytes):
        found = read_bytes(row.sound, id=row.id)
    elif whole:
        found = read_file(row.sound, id=row.id)
    else:
        return np.empty(0, np.float32), (), round(duration(row.sound) * SAMPLE_RATE)
    return found.samples, found.notices, len(found.samples)
