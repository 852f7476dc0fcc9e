"""Whisper's tokens: text in byte-pairs, and the special ones that say what is wanted and what was heard.

    <|startofprev|> earlier text <|startoftranscript|> <|en|> <|transcribe|> <|notimestamps|>  Good day. <|endoftext|>
                                                                             <|0.00|> Good day.<|1.20|>

A model that knows only English has neither language nor task.
"""

from __future__ import annotations

import json
import string
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from ....core.errors import UserError, near
from ....core.pretrained import read_json

SECONDS_A_STEP = 0.02
"""From one timestamp token to the next."""
_UNSPACED = frozenset(("zh", "ja", "th", "lo", "my", "yue"))
"""Languages written without spaces, where every letter counts as a word."""
_OPENING, _CLOSING = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、"
_NOT_SPOKEN = (
    *'"#()*+/:;<=>@[\\]^_`{|}~「」『』', "<<", ">>", "<<<", ">>>", "--", "---", "-(", "-[", "('", '("', "((", "))",
    "(((", ")))", "[[", "]]", "{{", "}}", "♪♪", "♪♪♪", *"♩♪♫♬♭♮♯",
)  # fmt: skip
_MUSIC = frozenset("♩♪♫♬♭♮♯")


class WhisperTokenizer:
    """Token ids of one checkpoint.

    suppress, suppress_first: ids that never follow, and never come first; None: what OpenAI's own code takes, symbols
    that are not spoken and special tokens. Raises UserError where a special token is missing.
    """

    def __init__(
        self,
        backend: Tokenizer,
        *,
        multilingual: bool,
        suppress: Collection[int] | None = None,
        suppress_first: Collection[int] | None = None,
    ) -> None:
        self.backend, self.multilingual = backend, multilingual
        self.end = self._special("<|endoftext|>")
        self.start = self._special("<|startoftranscript|>")
        self.translate, self.transcribe = self._special("<|translate|>"), self._special("<|transcribe|>")
        self.previous = self._special("<|startofprev|>")
        self.no_speech = self._special("<|nospeech|>", "<|nocaptions|>")
        self.no_timestamps = self._special("<|notimestamps|>")
        self.first_time = self.no_timestamps + 1
        self.languages = self._languages() if multilingual else {}
        self.suppress = frozenset(self._unspoken() if suppress is None else suppress) - {self.end}
        self.suppress_first = frozenset(
            [*self.encode(" "), self.end] if suppress_first is None else suppress_first
        )  # an empty answer is for `no_speech` to give

    @classmethod
    def from_folder(
        cls, folder: Path, *, multilingual: bool, suppress: Collection[int] | None, first: Collection[int] | None
    ) -> WhisperTokenizer:
        """From tokenizer.json, else vocab.json with merges.txt, else CTranslate2's vocabulary, which can only decode.

        Raises UserError where none is there or one cannot be read.
        """
        return cls(_backend(folder), multilingual=multilingual, suppress=suppress, suppress_first=first)

    def save(self, folder: Path) -> None:
        """Write tokenizer.json."""
        self.backend.save(str(folder / "tokenizer.json"))

    # -- what is asked of the model ------------------------------------------------------------------------------------

    def request(self, language: str, task: str, *, timestamps: bool) -> list[int]:
        """The tokens after <|startoftranscript|>. UserError for a language or a task that the model does not know."""
        asked = []
        if self.multilingual:
            asked = [self.language(language), {"translate": self.translate}.get(task, self.transcribe)]
        elif task == "translate" or language not in ("en", "auto"):
            wish = "translate" if task == "translate" else f"understand {language!r}"
            raise UserError(f"This model knows only English and cannot {wish}.", "Use one without .en in its name.")
        return asked if timestamps else [*asked, self.no_timestamps]

    def language(self, code: str) -> int:
        """The token of a language, by its code such as "en"."""
        if code not in self.languages:
            raise UserError(f"This model knows no language {code!r}.", near(code, self.languages))
        return self.languages[code]

    # -- text ----------------------------------------------------------------------------------------------------------

    def encode(self, text: str) -> list[int]:
        return self.backend.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text alone: special tokens and timestamps are left out."""
        return self.backend.decode([token for token in ids if token < self.end], skip_special_tokens=False)

    def seconds(self, token: int) -> float | None:
        """The time that a timestamp token stands for; None for any other."""
        return None if token < self.first_time else (token - self.first_time) * SECONDS_A_STEP

    def words(self, ids: Sequence[int], language: str = "en") -> list[tuple[str, int]]:
        """Text tokens as words: (text, number of tokens) each, with the space before and the punctuation around it."""
        pieces = self._whole_letters(ids)
        if language not in _UNSPACED:
            pieces = _joined(pieces)
        return _with_punctuation(pieces)

    def _whole_letters(self, ids: Sequence[int]) -> list[tuple[str, int]]:
        """The shortest runs of tokens that are whole letters: a token may end in the middle of one."""
        pieces, run = [], []
        for token in ids:
            run.append(token)
            text = self.decode(run)
            if "\ufffd" not in text:
                pieces.append((text, len(run)))
                run = []
        return [*pieces, (self.decode(run), len(run))] if run else pieces

    # -- special tokens ------------------------------------------------------------------------------------------------

    def _special(self, *names: str) -> int:
        for name in names:
            if (token := self.backend.token_to_id(name)) is not None:
                return token
        raise UserError(f"The tokenizer has no {names[0]}: it is not Whisper's.")

    def _languages(self) -> dict[str, int]:
        """Codes and ids: what stands between <|startoftranscript|> and the tasks."""
        ids = range(self.start + 1, min(self.translate, self.transcribe))
        names = {token: self.backend.id_to_token(token) for token in ids}
        return {name[2:-2]: token for token, name in names.items() if name}

    def _unspoken(self) -> set[int]:
        """Tokens of symbols that nobody says, as OpenAI's code lists them, and the special tokens of the question."""
        found = {token for lead in (" -", " '") for token in self.encode(lead)[:1]}
        for symbol in _NOT_SPOKEN:
            for ids in (self.encode(symbol), self.encode(f" {symbol}")):
                if len(ids) == 1 or symbol in _MUSIC:
                    found.add(ids[0])
        asked = {self.start, self.previous, self.no_speech, self.translate, self.transcribe}
        return found | asked | {token for token in [self.backend.token_to_id("<|startoflm|>")] if token is not None}


def _joined(pieces: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Pieces that begin with a space, or are punctuation, begin a word; others continue it."""
    words: list[tuple[str, int]] = []
    for text, count in pieces:
        opened = bool(words) and words[-1][0] != " "
        if not words or (opened and (text.startswith(" ") or text.strip() in string.punctuation)):
            words.append((text, count))
        else:
            words[-1] = (words[-1][0] + text, words[-1][1] + count)
    return words


def _with_punctuation(pieces: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Opening marks join the word that follows, closing ones the word before."""
    words: list[tuple[str, int]] = []
    opening = ("", 0)
    for text, count in pieces:
        if words and text.strip() and text.strip() in _CLOSING and not text.startswith(" "):
            words[-1] = (words[-1][0] + text, words[-1][1] + count)
        elif text.strip() and text.strip() in _OPENING and text.startswith(" "):
            opening = (opening[0] + text, opening[1] + count)
        else:
            words.append((opening[0] + text, opening[1] + count))
            opening = ("", 0)
    return [*words, opening] if opening[1] else words


# -- files ------------------------------------------------------------------------------------------------------------


def _backend(folder: Path) -> Tokenizer:
    try:
        if (folder / "tokenizer.json").is_file():
            return Tokenizer.from_file(str(folder / "tokenizer.json"))
        if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
            parts = models.BPE.read_file(str(folder / "vocab.json"), str(folder / "merges.txt"))
            added = read_json(folder / "added_tokens.json") if (folder / "added_tokens.json").is_file() else {}
            return _byte_level(*parts, added)
        if (vocabulary := _vocabulary(folder)) is not None:
            return _byte_level({token: number for number, token in enumerate(vocabulary)}, [], {})
    except UserError:
        raise
    except Exception as error:  # the library raises bare Exceptions for whatever it cannot read
        raise UserError(f"The tokenizer in {folder} cannot be read ({error}).") from None
    raise UserError(f"{folder} holds no tokenizer.", "It needs tokenizer.json, or vocab.json and merges.txt.")


def _vocabulary(folder: Path) -> list[str] | None:
    """CTranslate2's list of tokens: one a line, or a JSON list."""
    if (folder / "vocabulary.json").is_file():
        return list(json.loads((folder / "vocabulary.json").read_text(encoding="utf-8")))
    if (folder / "vocabulary.txt").is_file():
        return (folder / "vocabulary.txt").read_text(encoding="utf-8").split("\n")
    return None


def _byte_level(vocabulary: dict[str, int], merges: Any, added: dict[str, int]) -> Tokenizer:
    """GPT-2's tokenizer with further tokens at the ids they are listed with."""
    backend = Tokenizer(models.BPE(vocabulary, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    backend.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    names = sorted(added, key=lambda name: added[name])
    special = [name for name in vocabulary if name.startswith("<|") and name.endswith("|>")]
    backend.add_special_tokens([AddedToken(name, normalized=False) for name in [*special, *names]])
    wrong = [name for name in names if backend.token_to_id(name) != added[name]]
    if wrong:
        raise UserError(f"The token {wrong[0]!r} cannot have the id {added[wrong[0]]}: ids before it are missing.")
    return backend
