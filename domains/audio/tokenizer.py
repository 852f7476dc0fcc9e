"""Transcripts to the labels of a CTC model and back: characters, or BPE learnt from the transcripts.

A label's text holds its spaces (" ", " the", "ing"), so that the text of a row of labels is their texts joined,
whichever kind they are. The blank and special labels of foreign vocabularies have the empty text.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from ...core.errors import UserError

if TYPE_CHECKING:
    import tokenizers

Kind = Literal["characters", "bpe"]
BLANK_NAME, SPACE_MARK = "<blank>", "\u2581"


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The labels of a CTC model; `texts[id]` is what a label writes, `blank` the id of CTC's blank.

    Where all letters of the labels are of one case, text of the other case is folded to it before encoding.
    """

    texts: list[str]
    kind: Kind = "characters"
    merges: list[tuple[str, str]] = field(default_factory=list)
    blank: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.blank < len(self.texts) or self.texts[self.blank]:
            raise ValueError(f"the blank, {self.blank}, has to be one of {len(self.texts)} labels and without text")

    def __len__(self) -> int:
        """Labels in all, the blank among them."""
        return len(self.texts)

    def encode(self, text: str) -> list[int]:
        """The label ids of `text`, its white space made single; a `UserError` names the first character outside."""
        text = self.normalise(text)
        if unknown := self.unknown(text):
            first = next(letter for letter in text if letter in unknown)
            raise UserError(
                f"{first!r} (U+{ord(first):04X}) in {_short(text)!r} is not among the model's {len(self)} labels.",
                "Spell it with the characters that the model knows: " + _short("".join(sorted(self.alphabet)).strip()),
            )
        if self.kind == "characters":
            return [self._ids[letter] for letter in text]
        return self._backend.encode(text).ids if text else []

    def decode(self, ids: Iterable[int]) -> str:
        """The text of labels, blanks left out, repeats kept (greedy decoding has taken them away)."""
        return " ".join("".join(self.texts[label] for label in ids).split())

    def unknown(self, text: str) -> set[str]:
        """The characters of `text` that no label can spell."""
        return set(self.normalise(text)) - self.alphabet

    def normalise(self, text: str) -> str:
        """Composed characters (NFC), single spaces, and the labels' case where they have only one."""
        text = " ".join(unicodedata.normalize("NFC", text).split())
        return {"lower": text.lower(), "upper": text.upper()}.get(self.case, text)

    @cached_property
    def alphabet(self) -> frozenset[str]:
        """All characters that can be spelled."""
        alone = {text for text in self.texts if len(text) == 1}
        return frozenset(alone | {" "} if self.kind == "bpe" else alone)

    @cached_property
    def case(self) -> Literal["lower", "upper", "both"]:
        """The case that all letters among the labels have, or both (also where letters have no case)."""
        letters = "".join(self.texts)
        lower, upper = any(map(str.islower, letters)), any(map(str.isupper, letters))
        return "both" if lower == upper else "lower" if lower else "upper"

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {text: label for label, text in enumerate(self.texts) if text}

    @cached_property
    def _backend(self) -> tokenizers.Tokenizer:
        """The BPE by the tokenizers package, from plain data."""
        from tokenizers import Tokenizer
        from tokenizers.models import BPE

        names = [text.replace(" ", SPACE_MARK) or f"<{label}>" for label, text in enumerate(self.texts)]
        backend = Tokenizer(BPE(vocab={name: label for label, name in enumerate(names)}, merges=list(self.merges)))
        backend.pre_tokenizer = _words_apart()
        return backend

    @classmethod
    def characters(cls, texts: Iterable[str]) -> Labels:
        """One label for each character of the transcripts, in the order of their code points, after the blank."""
        found = set().union(*(unicodedata.normalize("NFC", " ".join(text.split())) for text in texts))
        if not found - {" "}:
            raise UserError("The transcripts hold no characters to make labels of.", "Are their texts in the manifest?")
        return cls(texts=["", " ", *sorted(found - {" "})])

    @classmethod
    def bpe(cls, texts: Sequence[str], size: int) -> Labels:
        """`size` labels at most, by byte-pair encoding of the transcripts' words (Sennrich et al. 2016), blank first.

        Raises `UserError` where the characters alone are more than `size`.
        """
        from tokenizers import Tokenizer
        from tokenizers.models import BPE
        from tokenizers.trainers import BpeTrainer

        least = len(cls.characters(texts))
        if size < least:
            raise UserError(f"{size} BPE labels are too few: the transcripts' characters and the blank take {least}.")
        learner = Tokenizer(BPE())
        learner.pre_tokenizer = _words_apart()
        trainer = BpeTrainer(vocab_size=size, special_tokens=[BLANK_NAME], show_progress=False)
        learner.train_from_iterator((unicodedata.normalize("NFC", " ".join(text.split())) for text in texts), trainer)
        learnt = json.loads(learner.to_str())["model"]
        names = sorted(learnt["vocab"], key=learnt["vocab"].get)
        pairs = [tuple(pair.split(" ") if isinstance(pair, str) else pair) for pair in learnt["merges"]]
        return cls(
            texts=["", *(name.replace(SPACE_MARK, " ") for name in names[1:])],
            kind="bpe",
            merges=[(left, right) for left, right in pairs],
        )

    @classmethod
    def from_vocabulary(cls, ids: Mapping[str, int], *, blank: str = "<pad>", space: str = "|") -> Labels:
        """Labels of a foreign checkpoint's vocab.json (wav2vec2's kind): `space` writes a space; the blank and other
        names of several characters in brackets write nothing."""
        if blank not in ids:
            raise UserError(f"The vocabulary has no {blank!r}, which would be CTC's blank.")
        texts = [""] * (max(ids.values()) + 1)
        for name, label in ids.items():
            special = name == blank or (len(name) > 2 and name[0] + name[-1] in ("<>", "[]"))
            texts[label] = "" if special else " " if name == space else name
        return cls(texts=texts, blank=ids[blank])

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint's config.json."""
        data: dict[str, Any] = {"kind": self.kind, "texts": list(self.texts), "blank": self.blank}
        return data | ({"merges": [list(pair) for pair in self.merges]} if self.kind == "bpe" else {})

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Labels:
        """What `to_dict` gave; a `UserError` says what is wrong with it."""
        try:
            merges = [(str(left), str(right)) for left, right in data.get("merges", [])]
            kind: Kind = {"characters": "characters", "bpe": "bpe"}[data["kind"]]  # type: ignore[assignment]
            return cls(texts=[str(text) for text in data["texts"]], kind=kind, merges=merges, blank=int(data["blank"]))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"The labels in the checkpoint's config.json cannot be read: {error!r}.") from error


def _words_apart() -> Any:
    """Each word with the space before it, the first one too; no merge reaches over a space."""
    from tokenizers.pre_tokenizers import Metaspace

    return Metaspace(replacement=SPACE_MARK, prepend_scheme="always", split=True)


def _short(text: str, most: int = 60) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
