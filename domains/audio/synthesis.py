"""Speech made by espeak-ng, in many voices, for training alone: robots are cheap, people are not.

    recordings = spoken(["press one", "goodbye"], voices("en"))

espeak-ng is a program of its own (GPL-3.0), called and not linked: it need not be there unless this is asked for.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np

from ...core.errors import UserError, near
from ...core.sources import Progress
from ...core.sources.derived import derived
from ...core.sources.digest import listener
from . import kept
from .listings import Row

VARIANTS = ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "f1", "f2", "f3", "f4", "f5")
"""The plainest of the speakers that every language has: "en-us+f3"."""
ACCENTS = {"en": ("en-us", "en-gb"), "fr": ("fr-fr",)}
"""Languages that espeak-ng has under another name, or under several."""


def voices(language: str) -> tuple[str, ...]:
    """The speakers of a language, "en": all variants of its accents."""
    return tuple(f"{accent}+{variant}" for accent in ACCENTS.get(language, (language,)) for variant in VARIANTS)


def installed() -> bool:
    """Whether espeak-ng is there."""
    return shutil.which("espeak-ng") is not None


def spoken(
    sentences: Sequence[str], voices: Sequence[str], *, seed: int = 0, progress: Progress | None = None
) -> kept.LazyRecordings:
    """Each sentence once, as recordings that are made once and kept. For voices and errors see `synthesise`."""
    made_of = repr((list(sentences), list(voices), seed, _version()))

    def make(folder: Path) -> None:
        rows = ((row, row.written) for row in synthesise(sentences, voices, seed=seed))
        kept.write(folder, rows, listener(progress), name="sentences by espeak-ng", count=len(sentences))

    folder = derived("sounds", hashlib.sha256(made_of.encode()).hexdigest(), make, progress)
    return kept.LazyRecordings(folder, kept.read(folder)[0])


def synthesise(
    sentences: Sequence[str],
    voices: Sequence[str],
    speeds: Sequence[int] = (130, 150, 175, 200),
    pitches: Sequence[int] = (30, 45, 60, 75),
    *,
    seed: int = 0,
    ahead: int = 8,
) -> Iterator[Row]:
    """Each sentence once, by a voice ("en-us+f3"), at a speed (words a minute) and a pitch (0 to 99) drawn by `seed`.

    What is written of each is the sentence. Never give held-out sentences: a model that was told the answers by a
    robot is not tested by them. Raises UserError where espeak-ng is missing or does not know a voice.
    """
    _check(voices, speeds, pitches)
    random = np.random.default_rng(seed)

    def tasks() -> Iterator[tuple[int, str, str, int, int]]:
        for number, sentence in enumerate(sentences):
            draw = [options[int(random.integers(len(options)))] for options in (voices, speeds, pitches)]
            yield number, sentence, str(draw[0]), int(draw[1]), int(draw[2])

    waiting = tasks()
    with ThreadPoolExecutor(max_workers=min(ahead, os.cpu_count() or 1)) as pool:
        while batch := list(islice(waiting, ahead)):
            yield from pool.map(lambda task: _say(*task), batch)


def _say(number: int, sentence: str, voice: str, speed: int, pitch: int) -> Row:
    """One sentence said by espeak-ng."""
    command = [_program(), "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdin", "--stdout"]
    done = subprocess.run(command, input=sentence.encode(), capture_output=True, check=False)
    name = f"espeak-ng {voice} {speed}/min {pitch}: {number}"
    if done.returncode or not done.stdout:
        told = done.stderr.decode(errors="replace").strip() or f"it ended with {done.returncode}"
        raise UserError(f"espeak-ng could not say {sentence!r} as {voice}: {told}")
    return Row(id=name, sound=done.stdout, written=sentence, where=name)


def _program() -> str:
    found = shutil.which("espeak-ng")
    if found is None:
        raise UserError("espeak-ng, which makes the speech, is not installed.", "Try: apt install espeak-ng")
    return found


def _check(voices: Sequence[str], speeds: Sequence[int], pitches: Sequence[int]) -> None:
    if not (voices and speeds and pitches):
        raise UserError("At least one voice, speed and pitch is needed to make speech.")
    known, speakers = languages(), variants()
    for voice in voices:
        language, _, variant = voice.partition("+")
        if language not in known:
            raise UserError(f"espeak-ng has no voice {language!r}.", near(language, known))
        if variant and variant not in speakers:
            raise UserError(f"espeak-ng has no speaker {variant!r}.", near(variant, speakers))
    if wrong := [speed for speed in speeds if not 80 <= speed <= 450]:
        raise UserError(f"A speed of {wrong[0]} words a minute is not among those of espeak-ng, 80 to 450.")
    if wrong := [pitch for pitch in pitches if not 0 <= pitch <= 99]:
        raise UserError(f"A pitch of {wrong[0]} is not among those of espeak-ng, 0 to 99.")


def languages() -> set[str]:
    """The languages that the installed espeak-ng speaks: "en-us", "fr-fr", "it"."""
    return {row[1] for row in _listed("--voices") if len(row) > 1}


def variants() -> set[str]:
    """The speakers that the installed espeak-ng can give to every language: "f3"."""
    return {row[-1].removeprefix("!v/") for row in _listed("--voices=variant") if row}


def _version() -> str:
    done = subprocess.run([_program(), "--version"], capture_output=True, text=True, check=False)
    return done.stdout.split("Data")[0]


def _listed(option: str) -> list[list[str]]:
    done = subprocess.run([_program(), option], capture_output=True, text=True, check=False)
    return [line.split() for line in done.stdout.splitlines()[1:]]
