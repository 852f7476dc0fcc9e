"""What else is known while labels are decoded: a language model, hot words, a lexicon, a bonus for each word.

A `Fusion` is an automaton that reads labels and says by how many nats each one changes a prefix's score. A word-level
language model speaks at the end of a word; a hot word's boost grows with its letters and is taken back where the word
is not completed; a word outside the lexicon is charged as soon as no word of it begins so.

    labels    h     e     l     p     ' '                  hot word "help": 6
    boost   +1.5  +1.5  +1.5  +1.5    kept                 "hell": +1.5 +1.5 +1.5 -4.5
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from .ngram import SPACE, UNKNOWN, NGram
from .ngram import State as Context
from .tokenizer import Labels

_MOST_STATES = 200_000


class Memory(NamedTuple):
    """What matters of the text so far."""

    context: Context
    """The language model's."""
    partial: str | None
    """The unfinished word: None before any, "" after a space."""
    charged: bool
    """Whether the unfinished word has been found to be outside the lexicon."""
    hot: tuple[int, ...]
    """The hot words under way."""


class State:
    """A state of the automaton; `moves` are the answers it has given already, `most` bounds all that it may give: the
    language model and the lexicon only take."""

    __slots__ = ("memory", "most", "moves")

    def __init__(self, memory: Memory, *, most: float) -> None:
        self.memory, self.most = memory, most
        self.moves: dict[int, tuple[float, State]] = {}


class Fusion:
    """Scores in nats that are added to those of the labels; make one and use it for all recordings.

    lm_weight: the factor of the language model's log-probabilities. word_bonus: for each word, against the language
    model's liking for few. hotwords: words or phrases and the boost of each. lexicon: the words that may come; None:
    the language model's, or any without one; hot words are always in it. unknown: what another word is charged
    (-inf forbids it).
    """

    def __init__(
        self,
        labels: Labels,
        *,
        lm: NGram | None = None,
        lm_weight: float = 0.5,
        word_bonus: float = 0.0,
        hotwords: Mapping[str, float] | None = None,
        lexicon: Iterable[str] | None = None,
        unknown: float = -4.0,
    ) -> None:
        self.texts = labels.texts
        if lm_weight < 0 or unknown > 0:
            raise ValueError(f"lm_weight {lm_weight} has to be at least 0, unknown {unknown} at most 0")
        self.word_bonus, self.unknown, self.lm_weight = word_bonus, unknown, lm_weight
        self.words_lm = lm if lm and lm.level == "word" else None
        self.letters_lm = lm if lm and lm.level == "character" else None
        hot = {labels.normalise(phrase): boost for phrase, boost in (hotwords or {}).items() if phrase.strip()}
        self.hot = HotWords(hot, step=max(map(len, labels.texts)))
        self.spelling = {labels.normalise(word): word for word in lm.words} if self.words_lm and lm else {}
        if lexicon is None and self.words_lm:
            lexicon = self.spelling
        self.lexicon = None if lexicon is None else {labels.normalise(word) for word in lexicon}
        if self.lexicon is not None:
            self.lexicon |= {word for phrase in hot for word in phrase.split()}
            self.prefixes = {word[:length] for word in self.lexicon for length in range(1, len(word) + 1)}
        self._known: dict[Memory, State] = {}
        self.start = self._state(Memory(lm.start if lm else (), None, False, self.hot.start))

    def move(self, state: State, label: int) -> tuple[float, State]:
        """What `label` adds after `state`, and the state after it."""
        found = state.moves.get(label)
        if found is None:
            total, after = 0.0, state.memory
            for letter in self.texts[label]:
                value, after = self._space(after) if letter == " " else self._letter(after, letter)
                total += value
            if len(self._known) > _MOST_STATES:
                self._known.clear()  # states in use live on; only what they share is worked out again
            found = state.moves[label] = total, self._known.get(after) or self._state(after)
        return found

    def _state(self, memory: Memory) -> State:
        state = self._known[memory] = State(memory, most=max(0.0, self.word_bonus) + self.hot.most(memory.hot))
        return state

    def finish(self, state: State) -> float:
        """What the end of the text adds: the last word is complete, boosts of incomplete hot words are taken back."""
        total, after = self._space(state.memory)
        lm = self.words_lm or self.letters_lm
        return total - self.hot.pending(after.hot) + (self.lm_weight * lm.finish(after.context) if lm else 0.0)

    def _space(self, memory: Memory) -> tuple[float, Memory]:
        """The end of a word: the language model and the lexicon judge it, hot words that end here keep their boost."""
        context, word, charged, hot = memory
        if not word:  # a space before the first word, or a second one
            return 0.0, memory
        total = self.word_bonus
        if self.words_lm:
            value, context = self.words_lm.score(context, self.spelling.get(word, UNKNOWN))
            total += self.lm_weight * value
        if self.lexicon is not None and not charged and word not in self.lexicon:
            total += self.unknown
        boost, hot = self.hot.space(hot)
        return total + boost, Memory(context, "", False, hot)

    def _letter(self, memory: Memory, letter: str) -> tuple[float, Memory]:
        context, partial, charged, hot = memory
        total, hot = self.hot.letter(hot, letter)
        if self.letters_lm:
            for unit in (SPACE, letter) if partial == "" else (letter,):
                value, context = self.letters_lm.score(context, unit)
                total += self.lm_weight * value
        partial = (partial or "") + letter
        if self.lexicon is not None and not charged and partial not in self.prefixes:
            total, charged = total + self.unknown, True
        return total, Memory(context, partial, charged, hot)


class HotWords:
    """A trie of phrases that knows which of them are under way; a state is the nodes reached, from every word's start.

    A node holds the part of the boost that is lent to whoever has come so far: boost · letters so far / letters.
    step: letters of the longest label.
    """

    def __init__(self, phrases: Mapping[str, float], *, step: int = 1) -> None:
        self.children: list[dict[str, int]] = [{}]
        self.lent: list[float] = [0.0]
        self.boost: list[float | None] = [None]  # of a phrase that ends here
        self.start = (0,) if phrases else ()
        for phrase, boost in phrases.items():
            node = 0
            for length, letter in enumerate(phrase, 1):
                node = self._child(node, letter)
                share = boost * length / len(phrase)
                self.lent[node] = max(self.lent[node], share, key=abs)
            self.boost[node] = boost
        self._gain = [self._best(node, step) - self.lent[node] for node in range(len(self.children))]
        self._restart = self._gain[0] if step > 1 else 0.0  # a label that begins with a space may begin a phrase

    def _best(self, node: int, step: int) -> float:
        """The most that may be lent or kept within `step` letters of a node; 0 for leaving the trie."""
        found = max(0.0, self.lent[node])
        if step:
            further = {letter: self._best(child, step - 1) for letter, child in self.children[node].items()}
            ended = (self.boost[node] or 0.0) + further.get(" ", 0.0)
            found = max(found, ended, *further.values())
        return found

    def most(self, state: tuple[int, ...]) -> float:
        """A bound of what one label may gain after `state`."""
        return sum(self._gain[node] for node in state) + self._restart

    def _child(self, node: int, letter: str) -> int:
        if letter not in self.children[node]:
            self.children[node][letter] = len(self.children)
            self.children.append({})
            self.lent.append(0.0)
            self.boost.append(None)
        return self.children[node][letter]

    def pending(self, state: tuple[int, ...]) -> float:
        """What is lent in all, and may be taken back."""
        return sum(self.lent[node] for node in state)

    def letter(self, state: tuple[int, ...], letter: str) -> tuple[float, tuple[int, ...]]:
        """The change of the score by a letter (not a space), and the state after it."""
        after = tuple(self.children[node][letter] for node in state if letter in self.children[node])
        return self.pending(after) - self.pending(state), after

    def space(self, state: tuple[int, ...]) -> tuple[float, tuple[int, ...]]:
        """The same at the end of a word: phrases that end here keep their boost, longer ones go on."""
        kept = sum(self.boost[node] or 0.0 for node in state)
        after = tuple(self.children[node][" "] for node in state if " " in self.children[node]) + self.start
        return kept + self.pending(after) - self.pending(state), after
