"""Sentences of words drawn at random: what lets a small recogniser meet words that its own recordings do not have."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from ...core.errors import UserError
from ...core.sources import Source

FREQUENT = {
    "en": "pypi://symspellpy==6.10.1/symspellpy/frequency_dictionary_en_82_765.txt"
    "#68e9dc81c7e73bd7310b57e516ecaea0d8b6387ff71344a57c04174650a407a7"
}
"""Words of a language with how often they are written, one a line: English from SymSpell (MIT)."""
MOST = 20_000
"""Words of a list, the most frequent ones, that are drawn from."""
LONGEST = 8
"""Words in the longest sentence."""


def read_words(place: str) -> dict[str, float]:
    """The words of a list and how often each is met: a file or source of one word a line, a count behind it or none.

    Raises UserError for what cannot be read or is no such list.
    """
    path = Source.parse(place).fetch() if "://" in place else Path(place).expanduser()
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{place} cannot be read as a list of words: {error}.") from None
    counts: dict[str, float] = {}
    for number, line in enumerate(lines, 1):
        word, *rest = line.lower().split() or [""]
        try:
            (count,) = (float(item) for item in rest or ["1"])
        except ValueError:
            raise UserError(
                f"{place}, line {number}: {line.strip()!r} is not a word, or a word and its count.",
                "One word a line.",
            ) from None
        if word and count > 0:
            counts[word] = counts.get(word, 0.0) + count
    if not counts:
        raise UserError(f"{place} holds no words.")
    return dict(sorted(counts.items(), key=lambda item: -item[1])[:MOST])


def draw_sentences(words: dict[str, float], count: int, *, seed: int, without: Collection[str] = ()) -> list[str]:
    """`count` sentences of one to eight words, each word drawn by the square root of how often it is met: the frequent
    ones often, the rare ones too. None is among `without`."""
    random = np.random.default_rng(seed)
    known, weights = list(words), np.sqrt(list(words.values()))
    sentences: list[str] = []
    while len(sentences) < count:
        drawn = random.choice(len(known), size=int(random.integers(1, LONGEST + 1)), p=weights / weights.sum())
        sentence = " ".join(known[place] for place in drawn)
        if sentence not in without:
            sentences.append(sentence)
    return sentences
