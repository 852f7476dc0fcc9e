"""N-gram language models in plain Python: built from transcripts, read from and written to ARPA files.

Smoothing is interpolated Kneser-Ney with one discount an order (Kneser & Ney 1995; Chen & Goodman 1998, section 4.1.6):

    p(w | h) = max(a(h w) - D, 0) / a(h)  +  D t(h) / a(h) · p(w | h without its first word)

a(·) counts how often an n-gram was seen where n is the model's order or it begins a sentence, else after how many
different words; t(h) is the number of different words after h; D = n1 / (n1 + 2 n2) of that order, kept within
0.1 … 0.9 so that tiny data leave something for both terms. Below the unigrams lies the uniform distribution over the
words, the end of the sentence and `<unk>`, which so has a probability of its own.

Probabilities are log10 inside and in the file, as ARPA wants it; what the functions give is natural logarithms.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from ...core.errors import UserError
from . import arpa
from .arpa import Gram

State = tuple[str, ...]
"""The last words that still matter, oldest first."""

Level = Literal["word", "character"]
START, END, UNKNOWN, SPACE = "<s>", "</s>", "<unk>", "<space>"
_LN10 = math.log(10)
_NEVER = -99.0
"""What ARPA files say of <s>, which follows nothing."""


@dataclass(frozen=True, kw_only=True)
class NGram:
    """A back-off model: `table[n-gram] = (log10 probability of its last word after the others, log10 back-off weight)`.

    level: whether its words are words or single characters (with the space spelled `<space>` in the file).
    """

    order: int
    table: dict[Gram, tuple[float, float]] = field(repr=False)
    level: Level = "word"

    @property
    def start(self) -> State:
        """The state before the first word."""
        return (START,) if self.order > 1 else ()

    def score(self, state: State, word: str) -> tuple[float, State]:
        """Natural log-probability of `word` after `state`, and the state after it."""
        table = self.table
        if (word,) not in table:
            word = UNKNOWN
        context, penalty = state, 0.0
        while (entry := table.get((*context, word))) is None:
            if not context:
                entry = (self._floor, 0.0)
                break
            penalty += table[context][1] if context in table else 0.0
            context = context[1:]
        after = (*state, word)[1 - self.order :] if self.order > 1 else ()
        while after and after not in table:
            after = after[1:]
        return (entry[0] + penalty) * _LN10, after

    def finish(self, state: State) -> float:
        """Natural log-probability that the sentence ends after `state`."""
        return self.score(state, END)[0]

    def sentence(self, text: str) -> float:
        """Natural log-probability of a whole sentence, its end included."""
        state, total = self.start, 0.0
        for word in split(text, self.level):
            value, state = self.score(state, word)
            total += value
        return total + self.finish(state)

    def perplexity(self, texts: Iterable[str]) -> float:
        """exp of the mean negative log-probability a word, ends of sentences counted; unknown words as `<unk>`."""
        texts = list(texts)
        words = sum(len(split(text, self.level)) + 1 for text in texts)
        return math.exp(-sum(map(self.sentence, texts)) / words) if words else math.nan

    @cached_property
    def words(self) -> frozenset[str]:
        """The vocabulary, without the marks of sentences and of the unknown."""
        return frozenset(gram[0] for gram in self.table if len(gram) == 1) - {START, END, UNKNOWN}

    @cached_property
    def _floor(self) -> float:
        """A model without `<unk>` gives an unknown word a tenth of its rarest word's probability."""
        return min(entry[0] for gram, entry in self.table.items() if len(gram) == 1 and entry[0] > _NEVER) - 1

    # -- made from transcripts ------------------------------------------------------------------------------------

    @classmethod
    def build(cls, texts: Iterable[str], *, order: int = 3, level: Level = "word") -> NGram:
        """The interpolated Kneser-Ney model of the transcripts, one sentence each; empty ones are passed over."""
        if order < 1:
            raise UserError(f"An n-gram model of order {order} cannot be: it has to be at least 1.")
        counts = _count(texts, order, level)
        if not counts[0]:
            raise UserError("There are no words to make a language model of.", "Are the transcripts empty?")
        vocabulary = {gram for gram in counts[0] if gram != (START,)} | {(END,), (UNKNOWN,)}
        below = dict.fromkeys(vocabulary, 1 / len(vocabulary))  # the uniform distribution
        probabilities: list[dict[Gram, float]] = []
        backoffs: dict[Gram, float] = {}
        for n in range(1, order + 1):
            adjusted = counts[n - 1] if n == order else _continuations(counts[n - 1], counts[n])
            adjusted.pop((START,), None)
            here, left = _interpolate(adjusted, below)
            if n == 1:
                here = {gram: here.get(gram, 0.0) + left[()] / len(vocabulary) * (gram not in here) for gram in below}
            else:
                backoffs |= left
            probabilities.append(here)
            below = here
        table = {
            gram: (_digits(value), _digits(backoffs.get(gram, 1.0)))
            for grams in probabilities
            for gram, value in grams.items()
        }
        if order > 1:
            table[(START,)] = (_NEVER, _digits(backoffs.get((START,), 1.0)))
        return cls(order=order, table=table, level=level)

    # -- files ----------------------------------------------------------------------------------------------------

    def write(self, path: Path) -> None:
        """Write an ARPA file, gzipped where the name ends in .gz; what `build` made is read back equal."""
        arpa.write(path, self.table, self.level)

    @classmethod
    def read(cls, path: Path | str, *, level: Level | None = None) -> NGram:
        """Read an ARPA file of any order, gzipped or not; a `UserError` names file and line of what is wrong.

        level: what its words are; None: what the file's first line says (ours does), else words.
        """
        table, order, noted = arpa.read(Path(path))
        found: Level = "character" if noted == "character" else "word"
        return cls(order=order, table=table, level=level or found)


def split(text: str, level: Level) -> list[str]:
    """The units of a sentence: its words, or its characters with `<space>` between words."""
    if level == "word":
        return text.split()
    return [SPACE if letter == " " else letter for letter in " ".join(text.split())]


def _count(texts: Iterable[str], order: int, level: Level) -> list[Counter[Gram]]:
    """How often each n-gram of 1 … order was seen; one mark begins a sentence, one ends it."""
    counts: list[Counter[Gram]] = [Counter() for _ in range(order)]
    for text in texts:
        if units := split(text, level):
            known = (UNKNOWN if unit in (START, END) else unit for unit in units)  # marks within a text are no marks
            row = (START, *known, END)
            for n in range(1, order + 1):
                counts[n - 1].update(row[place : place + n] for place in range(len(row) - n + 1))
    return counts


def _continuations(seen: Counter[Gram], longer: Counter[Gram]) -> Counter[Gram]:
    """After how many different words each n-gram was seen; nothing comes before <s>, so there the count stays."""
    found: Counter[Gram] = Counter(gram[1:] for gram in longer)
    return found + Counter({gram: count for gram, count in seen.items() if gram[0] == START})


def _interpolate(counts: Counter[Gram], below: dict[Gram, float]) -> tuple[dict[Gram, float], dict[Gram, float]]:
    """The probabilities of one order, and what each context leaves to the order below."""
    total: Counter[Gram] = Counter()
    different: Counter[Gram] = Counter()
    for gram, count in counts.items():
        total[gram[:-1]] += count
        different[gram[:-1]] += 1
    once, twice = (sum(count == n for count in counts.values()) for n in (1, 2))
    discount = min(0.9, max(0.1, once / (once + 2 * twice))) if once + twice else 0.1
    left = {context: discount * different[context] / total[context] for context in total}
    values = {
        gram: (count - discount) / total[gram[:-1]] + left[gram[:-1]] * below[gram[1:] or gram]
        for gram, count in counts.items()
    }
    return values, left


def _digits(probability: float) -> float:
    """log10 to the digits that the file keeps."""
    return float(f"{math.log10(probability):.7g}")
