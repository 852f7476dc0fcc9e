"""How well speech was recognised: word and character error rates, how sure they are, and which words go wrong.

An error rate is (substitutions + deletions + insertions) / words of the truth, summed over all utterances before it is
divided; jiwer aligns. Texts are made comparable first, by a named normalisation that every score carries with it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...core.errors import missing_extra
from .normalise import normaliser

ROUNDS = 1000
"""Resamplings of the utterances behind a confidence interval."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What was said and what was heard, both as they stand; `seconds` of the recording where they are known."""

    id: str
    truth: str
    heard: str
    seconds: float = math.nan


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Counted against `length` words (or characters) of the truth."""

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    length: int = 0

    @property
    def total(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors for each word of the truth, 0 or more; NaN where the truth has none."""
        return self.total / self.length if self.length else math.nan

    def __add__(self, other: Errors) -> Errors:
        return Errors(**{name: getattr(self, name) + getattr(other, name) for name in vars(self)})

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "rate": None if math.isnan(self.rate) else round(self.rate, 6)}


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """One pair, its texts normalised, with its errors."""

    id: str
    truth: str
    heard: str
    words: Errors
    characters: Errors
    seconds: float = math.nan

    def to_json(self) -> dict[str, Any]:
        return {"id": self.id, "truth": self.truth, "heard": self.heard, "words": self.words.to_json(),
                "characters": self.characters.to_json()}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Confusions:
    """How often a word was heard as another, was missed, or was heard where nothing was said."""

    substituted: Counter[tuple[str, str]] = field(default_factory=Counter)
    deleted: Counter[str] = field(default_factory=Counter)
    inserted: Counter[str] = field(default_factory=Counter)

    def most(self, count: int) -> list[tuple[str, str, int]]:
        """The most frequent (said, heard, times); "" stands for nothing."""
        rows = [(said, heard, times) for (said, heard), times in self.substituted.items()]
        rows += [(said, "", times) for said, times in self.deleted.items()]
        rows += [("", heard, times) for heard, times in self.inserted.items()]
        return sorted(rows, key=lambda row: (-row[2], row[0], row[1]))[:count]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The errors of many utterances. `interval`: the word error rate's 95 % confidence interval (bootstrap)."""

    normalisation: str
    utterances: tuple[Utterance, ...]
    words: Errors
    characters: Errors
    interval: tuple[float, float]
    confusions: Confusions

    @property
    def metrics(self) -> dict[str, float]:
        """The headline numbers."""
        low, high = self.interval
        right = sum(one.truth == one.heard for one in self.utterances)
        return {
            "wer": self.words.rate, "wer_low": low, "wer_high": high, "cer": self.characters.rate,
            "sentences_right": right / len(self.utterances) if self.utterances else math.nan,
        }  # fmt: skip

    def worst(self, count: int = 10) -> list[Utterance]:
        """The utterances with the most word errors, then the highest rate; none without errors."""
        wrong = [one for one in self.utterances if one.words.total]
        rate = {id(one): one.words.rate if one.words.length else math.inf for one in wrong}
        return sorted(wrong, key=lambda one: (-one.words.total, -rate[id(one)], one.id))[:count]

    def to_json(self, *, most: int = 20) -> dict[str, Any]:
        """Everything but the utterances that were right."""
        return {
            "normalisation": self.normalisation, "utterances": len(self.utterances),
            "words": self.words.to_json(), "characters": self.characters.to_json(),
            "wer_95": [None if math.isnan(bound) else round(bound, 6) for bound in self.interval],
            "worst": [one.to_json() for one in self.worst(most)],
            "confusions": [{"said": said, "heard": heard, "times": times}
                           for said, heard, times in self.confusions.most(most)],
        }  # fmt: skip


def score(pairs: Sequence[Pair], *, normalisation: str = "basic", seed: int = 0) -> Scores:
    """Score pairs after `normalisation` (none, basic, whisper; see `normalise`).

    Raises `UserError` for an unknown normalisation or where jiwer is not installed.
    """
    try:
        import jiwer
    except ModuleNotFoundError as error:
        raise missing_extra("jiwer", "audio") from error
    clean = normaliser(normalisation)
    texts = [(clean(pair.truth), clean(pair.heard)) for pair in pairs]
    confusions = Confusions()
    utterances = []
    for pair, (truth, heard) in zip(pairs, texts, strict=True):
        words = _count(jiwer.process_words, truth.split(), heard.split(), " ")
        letters = _count(jiwer.process_characters, list(truth), list(heard), "")
        _confuse(confusions, truth.split(), heard.split(), words[1])
        utterances.append(
            Utterance(id=pair.id, truth=truth, heard=heard, words=words[0], characters=letters[0], seconds=pair.seconds)
        )
    every = [one.words for one in utterances]
    return Scores(
        normalisation=normalisation,
        utterances=tuple(utterances),
        words=sum(every, Errors()),
        characters=sum((one.characters for one in utterances), Errors()),
        interval=confidence_interval([one.total for one in every], [one.length for one in every], seed=seed),
        confusions=confusions,
    )


def confidence_interval(
    errors: Sequence[int], lengths: Sequence[int], *, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """The interval of sum(errors) / sum(lengths) when utterances are drawn anew with replacement (Bisani & Ney 2004).

    NaN where there are fewer than two utterances, or no words.
    """
    count = len(errors)
    if count < 2 or not sum(lengths):
        return math.nan, math.nan
    random = np.random.default_rng(seed)
    chosen = random.multinomial(count, np.full(count, 1 / count), size=ROUNDS).astype(np.float32)  # [rounds, count]
    total = chosen @ np.asarray(lengths, dtype=np.float32)
    rates = (chosen @ np.asarray(errors, dtype=np.float32))[total > 0] / total[total > 0]
    low, high = np.quantile(rates, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _count(process: Any, truth: list[str], heard: list[str], space: str) -> tuple[Errors, list[Any]]:
    """The errors of one utterance and jiwer's alignment; an empty truth is all insertions, whatever jiwer says."""
    if not truth:
        return Errors(insertions=len(heard)), []
    found = process(space.join(truth), space.join(heard))
    return Errors(
        substitutions=found.substitutions, deletions=found.deletions, insertions=found.insertions, length=len(truth)
    ), found.alignments[0]


def _confuse(confusions: Confusions, truth: list[str], heard: list[str], alignment: list[Any]) -> None:
    """Count the words of one alignment."""
    if not truth:
        confusions.inserted.update(heard)
    for chunk in alignment:
        said, got = truth[chunk.ref_start_idx : chunk.ref_end_idx], heard[chunk.hyp_start_idx : chunk.hyp_end_idx]
        if chunk.type == "substitute":
            confusions.substituted.update(zip(said, got, strict=True))
        elif chunk.type == "delete":
            confusions.deleted.update(said)
        elif chunk.type == "insert":
            confusions.inserted.update(got)
