"""A transcript as people and programs want it: a table, text, subtitles, JSON, a picture."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...core.checkpoint import write_text
from ...core.task import Result, Summary
from .files import Recording
from .subtitles import Segment, clock, end_of, srt, vtt

PICTURED, LONGEST = 6, 120.0
"""Recordings in one picture at most, and seconds of each."""


@dataclass(frozen=True, kw_only=True)
class Transcript(Result):
    """What is said in one recording. `seconds` of sound, `took` seconds to write it down; `truth` where it is known;
    `others`: what other recognisers made of it, by name; `words`: whether their times were asked for."""

    text: str
    segments: tuple[Segment, ...]
    seconds: float
    took: float = 0.0
    truth: str | None = None
    others: dict[str, str] = field(default_factory=dict)
    words: bool = False
    recording: Recording | None = None

    def to_json(self) -> dict[str, Any]:
        segments = [segment.to_json() for segment in self.segments]
        if not self.words:
            segments = [{key: value for key, value in one.items() if key != "words"} for one in segments]
        known = {} if self.truth is None else {"truth": self.truth}
        return {
            "id": self.id, "text": self.text, **known, **({"others": self.others} if self.others else {}),
            "seconds": round(self.seconds, 3), "rtf": round(self.took / max(self.seconds, 1e-9), 4),
            "segments": segments, "notices": list(self.notices),
        }  # fmt: skip


def transcript_table(results: Sequence[Transcript], summary: Summary) -> Any:
    """What the terminal shows: texts with times; where the truth is known it stands above what was heard."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    lines: list[Any] = []
    for result in results[:20]:
        table = Table.grid(padding=(0, 2))
        if len(results) > 1 or result.truth is not None:
            lines.append(Text(f"{end_of(result.id, 60)}  ({result.seconds:.1f} s)", style="bold"))
        if result.truth is not None:
            table.add_row(Text("said", style="dim"), Text(result.truth))
        for segment in result.segments:
            table.add_row(Text(_times(segment), style="dim"), Text(segment.text.strip()))
        if not result.segments:
            table.add_row(Text("no speech", style="dim"), "")
        for name, text in result.others.items():
            table.add_row(Text(name, style="dim"), Text(text))
        lines += [table, ""]
    if len(results) > 20:
        lines.append(Text(f"… and {len(results) - 20} more", style="dim"))
    if "wer" in summary.metrics:
        rates = (f"{name.upper()} {summary.metrics[name]:.1%}" for name in ("wer", "cer"))
        speed = f"{summary.metrics['rtf']:.3f} of real time" if "rtf" in summary.metrics else ""
        lines.append(Text("  ".join([*rates, speed]).strip(), style="bold"))
    return Group(*lines)


def _times(segment: Segment) -> str:
    """Minutes, seconds and tenths."""
    return " – ".join(clock(second, ".")[3:-2] for second in (segment.start, segment.end))


# -- files ------------------------------------------------------------------------------------------------------------


def save(results: Sequence[Transcript], place: Path, *, subtitles: Sequence[str], picture: bool) -> list[Path]:
    """Write subtitles ("srt", "vtt") beside each other and the picture into the folder `place`; or where `place` is a
    file, all transcripts into it, as its ending says."""
    if place.suffix in WRITERS:
        write_text(place, WRITERS[place.suffix](results))
        return [place]
    saved = []
    for kind in subtitles:
        for name, result in zip(_names(results), results, strict=True):
            saved.append(place / f"{name}.{kind}")
            write_text(saved[-1], WRITERS[f".{kind}"]([result]))
    shown = [one for one in results if one.recording is not None and one.seconds <= LONGEST][:PICTURED]
    if picture and shown:
        saved.append(_draw(shown, place / "transcripts.png"))
    return saved


def _draw(results: Sequence[Transcript], path: Path) -> Path:
    from .picture import Recorded, draw_recordings

    recorded = [
        Recorded(
            id=result.id,
            samples=result.recording.samples,
            words=[word for segment in result.segments for word in segment.words],
            truth=result.truth,
        )
        for result in results
        if result.recording is not None
    ]
    return draw_recordings(recorded, path, title="audio.asr: what was heard, and when")


def _names(results: Sequence[Transcript]) -> list[str]:
    """File names without endings, one for each and none twice."""
    names: list[str] = []
    for result in results:
        stem = Path(result.id).stem or "recording"
        number = sum(name == stem or name.startswith(f"{stem}-") for name in names)
        names.append(f"{stem}-{number + 1}" if number else stem)
    return names


def _one_after_the_other(results: Sequence[Transcript]) -> list[Segment]:
    return [segment for result in results for segment in result.segments]


WRITERS: dict[str, Callable[[Sequence[Transcript]], str]] = {
    ".srt": lambda results: srt(_one_after_the_other(results)),
    ".vtt": lambda results: vtt(_one_after_the_other(results)),
    ".txt": lambda results: "".join(f"{result.text}\n" for result in results),
    ".json": lambda results: json.dumps([one.to_json() for one in results], ensure_ascii=False, indent=1) + "\n",
}
"""How a file of each ending is written."""
