"""What a recogniser from scratch hears beside real recordings: espeak-ng's voices, saying the training sentences, and
words of the language that nobody has recorded."""

from __future__ import annotations

import numpy as np

from ....core.errors import UserError
from ....core.sources import Unreachable
from ..data import Collection
from ..kept import LazyRecordings
from ..synthesis import installed, spoken, voices
from ..words import FREQUENT, draw_sentences, read_words
from .options import FinetuneOptions
from .recognisers import CTCRecogniser, WhisperRecogniser

SUITS = 7_500
"""Recordings that are made where nobody says how many: some five hours."""
ENOUGH = 5 * 3600.0
"""Seconds of real recordings from which on none are made where nobody says so."""
SENTENCES = 0.25
"""Share of them that say sentences of the training part; the others say words."""


def synthetic(
    collection: Collection, recogniser: CTCRecogniser | WhisperRecogniser, options: FinetuneOptions, *, scratch: bool
) -> tuple[LazyRecordings | None, list[str]]:
    """The recordings that are made, None for none of them; and what is to be said about them.

    No sentence of validation or test is among them. Raises UserError where they are asked for and cannot be made.
    """
    language = options.language
    few = float(collection.train.seconds.sum()) < ENOUGH
    if not options.synthetic or (options.synthetic < 0 and not (scratch and few and language)):
        return None, []
    if options.synthetic < 0 and not installed():
        return None, ["espeak-ng is not installed: the network hears real recordings alone (apt install espeak-ng)"]
    if not language:
        raise UserError("espeak-ng must know the language.", "Say which: --language en")
    count = SUITS if options.synthetic < 0 else options.synthetic
    words, notices = _words(options)
    if isinstance(recogniser, CTCRecogniser):
        words = {word: often for word, often in words.items() if not recogniser.labels.unknown(word)}
    texts = collection.train.transcripts
    repeated = round(count * SENTENCES) if words else count
    order = np.random.default_rng(options.seed).permutation(np.arange(repeated) % len(texts))
    held_out = {*collection.validation.transcripts, *collection.test.transcripts}
    drawn = draw_sentences(words, count - repeated, seed=options.seed, without=held_out) if words else []
    sentences = [*(texts[int(place)] for place in order), *drawn]
    return spoken(sentences, voices(language), seed=options.seed), notices


def _words(options: FinetuneOptions) -> tuple[dict[str, float], list[str]]:
    """The words to draw from, and how often each is met."""
    place = FREQUENT.get(options.language, "none") if options.words == "auto" else options.words
    if place == "none":
        return {}, []
    try:
        return read_words(place), []
    except Unreachable as problem:
        if options.words != "auto":
            raise
        return {}, [f"no list of words: {problem}"]
