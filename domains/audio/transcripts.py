"""What is said in a recording, as written and as spoken: lists of prompts, and the letters that a CTC model learns.

    "Press 1, then #."  ->  "press one then pound"

How digits, signs and abbreviations are said depends on the language and on the speaker: that is data, a `spoken.toml`
beside the data set's manifest, and no code.
"""

from __future__ import annotations

import gzip
import re
import sys
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...core.errors import UserError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ASIDE = re.compile(r"\[[^\]]*\]|\([^)]*\)|<[^>]*>")
"""What describes a sound and is not said: [ascending tones], (1 second of silence), <beep>."""
LOST = re.compile(r"\w\?\w|\w\? +[a-zà-ÿа-я]|(?:^|\s)\?+(?:\s|$)|�")
"""Letters that some program before us could not write: "pu? essere", "? piena"."""
APOSTROPHES = str.maketrans(dict.fromkeys("’‘ʼ`´＇", "'"))


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """How what is written is said (`said`: a written word to spoken ones), files to leave out with the reason, and the
    code of the language, "en"."""

    said: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    language: str = ""


def read_spoken(path: Path) -> Spoken:
    """The table in `path`; an empty one where there is no such file. Raises UserError for one that is malformed."""
    if not path.is_file():
        return Spoken()
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        return Spoken(
            said={str(key).lower(): str(value) for key, value in table.get("said", {}).items()},
            left_out={str(key): str(value) for key, value in table.get("left_out", {}).items()},
            language=str(table.get("language", "")),
        )
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, AttributeError) as error:
        raise UserError(f"The table {path} cannot be read: {error}") from None


def written(text: str) -> str:
    """A transcript without what describes sounds, and without doubled spaces."""
    return " ".join(ASIDE.sub(" ", text).split())


def normalise(text: str, said: Mapping[str, str] | None = None) -> str:
    """`text` as a CTC model learns it: lower-case letters of any script, digits, apostrophes within words, spaces.

    `said` replaces written words first, as they stand or without the punctuation around them.
    """
    said = said or {}
    words = []
    for word in unicodedata.normalize("NFKC", written(text)).translate(APOSTROPHES).lower().split():
        bare = word.strip(".,;:!?\"'“”«»„…()[]-–—")
        known = said.get(word, said.get(bare))
        words += known.split() if known is not None else [said.get(part, part) for part in _parts(word)]
    return " ".join(part for word in words if (part := word.strip("'")))


def _parts(word: str) -> list[str]:
    """A written word without its signs; a sign inside it (re-enter, and/or) divides it."""
    return "".join(letter if _is_kept(letter) else " " for letter in word).split()


def _is_kept(letter: str) -> bool:
    return letter == "'" or unicodedata.category(letter)[0] in "LMN"


def why_unusable(text: str, spoken: Spoken) -> str:
    """Why nothing can be learnt from this transcript of a prompt; "" if something can."""
    if LOST.search(written(text)):
        return "its transcript lost letters"
    said = normalise(text, spoken.said)
    if not said:
        return "nothing is said in it"
    if spoken.said and (digits := [word for word in said.split() if any(letter.isdigit() for letter in word)]):
        return f"how {digits[0]!r} is said is not known"
    return ""


def read_prompts(path: Path, encoding: str = "utf-8") -> dict[str, str]:
    """The list of prompts in a file, perhaps gzipped; see `parse_prompts`."""
    content = path.read_bytes()
    try:
        return parse_prompts((gzip.decompress(content) if path.suffix == ".gz" else content).decode(encoding))
    except (UnicodeDecodeError, OSError, EOFError) as error:
        raise UserError(f"The list of prompts {path} cannot be read: {error}") from None


def parse_prompts(text: str) -> dict[str, str]:
    """Lines `name: what is said` as a table; `;` begins a comment.

    A name that stands there twice with different texts is left out: which one is right cannot be known.
    """
    found: dict[str, str] = {}
    twice: set[str] = set()
    for line in text.removeprefix("\ufeff").splitlines():
        name, colon, said = line.partition(":")
        name, said = name.strip(), said.strip()
        if not colon or not name or name.startswith(";"):
            continue
        twice |= {name} if found.get(name, said) != said else set()
        found[name] = said
    return {name: said for name, said in found.items() if name not in twice}
