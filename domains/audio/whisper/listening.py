"""One answer to each window of sound: what is asked of the model, and `core.generate` on a cache that heard it.

Axes: B windows, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ....core.generate import Generated, Processor, generate
from ....core.sampling import Sampling
from ..subtitles import Word
from .model import Whisper, WindowCache
from .options import WhisperOptions
from .rules import Suppress, Timestamps, loop_at_end
from .tokenizer import WhisperTokenizer


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a window holds. ids: text and timestamps, without the end; probabilities: of each, and of the end.

    seconds: how much of the window is sound. words: with times from its beginning, where they were asked for.
    no_speech: the probability that nobody speaks, found out for doubted answers only. looped: it went in circles.
    """

    ids: tuple[int, ...] = ()
    probabilities: tuple[float, ...] = ()
    text: str = ""
    language: str = "en"
    words: tuple[Word, ...] = ()
    seconds: float = 0.0
    temperature: float = 0.0
    no_speech: float = 0.0
    looped: bool = False

    @property
    def log_probability(self) -> float:
        """The mean of all tokens, natural."""
        return sum(math.log(max(p, 1e-12)) for p in self.probabilities) / max(1, len(self.probabilities))

    @property
    def confidence(self) -> float:
        """The geometric mean of the tokens' probabilities."""
        return math.exp(self.log_probability)


@dataclass(frozen=True)
class Listener:
    """A model, its tokenizer, and what a person wants of them."""

    model: Whisper
    tokenizer: WhisperTokenizer
    options: WhisperOptions

    def answer(
        self,
        heard: WindowCache,
        languages: Sequence[str],
        temperature: float = 0.0,
        *,
        most: int | None = None,
        guard: bool = True,
    ) -> list[Said]:
        """What was said in each window that was heard, in its language; of at most `most` tokens (half the model's
        length). guard: an answer that goes in circles is broken off. UserError for an unknown language or task."""
        prompts = self._prompts(languages)
        sampling = Sampling(
            temperature=temperature,
            beams=1 if temperature else self.options.beams,
            seed=self.options.seed,
            max_new=most or self.model.config.text_length // 2,
        )
        everyone = range(len(prompts))
        # Beams of several windows would copy sound at every step, and draws depend on their place among others.
        groups = [list(everyone)] if sampling.greedy else [[row] for row in everyone]
        answers: list[Generated] = []
        for rows in groups:
            asked = [prompts[row] for row in rows]
            answers += generate(
                self.model.text,
                asked,
                sampling,
                stop_ids=frozenset([self.tokenizer.end]),
                stop=(lambda row, ids: loop_at_end(ids) is not None) if guard else None,
                processors=self._rules([len(prompt) for prompt in asked]),
                past=heard.rows(rows),
            )
        return [self._said(*pair, temperature) for pair in zip(answers, languages, strict=True)]

    def no_speech(self, heard: WindowCache) -> list[float]:
        """The probability for each window that nobody speaks in it."""
        return self._first_logits(heard).softmax(dim=-1)[:, self.tokenizer.no_speech].tolist()

    def languages(self, heard: WindowCache) -> list[str]:
        """The language of each window: the one that was asked for, else the likeliest."""
        asked = self.options.language
        return [language for language, _ in self.detect(heard)] if asked == "auto" else [asked] * len(heard.windows)

    def detect(self, heard: WindowCache) -> list[tuple[str, float]]:
        """The likeliest language of each window and its probability among all; ("en", 1.0) where there is no other."""
        if not self.tokenizer.multilingual:
            return [("en", 1.0)] * len(heard.windows)
        codes, tokens = zip(*self.tokenizer.languages.items(), strict=True)
        values, places = self._first_logits(heard)[:, list(tokens)].softmax(dim=-1).max(dim=-1)
        return [(codes[place], value) for place, value in zip(places.tolist(), values.tolist(), strict=True)]

    def _first_logits(self, heard: WindowCache) -> Tensor:
        """Logits [B, V] of what follows <|startoftranscript|>."""
        cache = self.model.text.new_cache(1)
        cache.copy(heard, rows=len(heard.windows))
        tokens = torch.full((len(heard.windows), 1), self.tokenizer.start, device=self.model.positions.device)
        return self.model.text(tokens, cache=cache)[:, 0].float()

    def _prompts(self, languages: Sequence[str]) -> list[list[int]]:
        """What the model is given to read in each window, an earlier text first."""
        before, prompt = [], self.options.prompt.strip()
        if prompt:  # the end of a text that is too long
            ids = self.tokenizer.encode(f" {prompt}")
            before = [self.tokenizer.previous, *ids[-(self.model.config.text_length // 2 - 1) :]]
        begin, task, times = [*before, self.tokenizer.start], self.options.task, self.options.timestamps
        return [[*begin, *self.tokenizer.request(language, task, timestamps=times)] for language in languages]

    def _rules(self, begins: list[int]) -> list[Processor]:
        facts = (self.tokenizer, self.model.config.vocabulary, begins, self.model.positions.device)
        return [Suppress(*facts), Timestamps(*facts)] if self.options.timestamps else [Suppress(*facts)]

    def _said(self, answer: Generated, language: str, temperature: float) -> Said:
        ids = tuple(answer.ids[:-1] if answer.finished == "stop" else answer.ids)
        return Said(
            ids=ids,
            probabilities=tuple(answer.probabilities),
            text=self.tokenizer.decode(ids),
            language=language,
            temperature=temperature,
            looped=answer.finished == "string",
        )
