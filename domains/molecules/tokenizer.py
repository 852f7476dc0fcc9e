"""Molecules to token ids and back: a vocabulary out of the data, and a real beginning and end.

A text is a molecule in the tokenizer's notation: its SMILES, or SELFIES. N texts, T tokens in all.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import UserError
from .notation import NOTATIONS, Notation, from_selfies, splitter, to_selfies

SPECIAL = ("<pad>", "<begin>", "<end>", "<unknown>")
LONG = re.compile(rb"\[[^\]\n]*\]?|Br|Cl|%[0-9]{2}")
"""The tokens of more than one letter, in the bytes of many texts."""
MOST_LONG = 120
"""Long tokens that have a byte of their own while many texts are encoded at once."""


@dataclass(frozen=True)
class SmilesTokenizer:
    """`tokens[id]` is what an id writes; the first four are padding, begin, end and unknown, those in <> write nothing.

    Raises ValueError for tokens without the special ones at their head, or named twice.
    """

    tokens: tuple[str, ...]
    notation: Notation = "smiles"
    pad, begin, end, unknown = 0, 1, 2, 3

    def __post_init__(self) -> None:
        if self.tokens[: len(SPECIAL)] != SPECIAL or len(set(self.tokens)) != len(self.tokens):
            raise ValueError(f"the tokens have to be different and begin with {SPECIAL}, not {self.tokens[:5]}")
        if self.notation not in NOTATIONS:
            raise ValueError(f"the notation is one of {NOTATIONS}, not {self.notation!r}")

    def __len__(self) -> int:
        """Tokens in all, the special ones among them."""
        return len(self.tokens)

    @classmethod
    def from_smiles(
        cls, smiles: Iterable[str], *, notation: Notation = "smiles", extra: Sequence[str] = ()
    ) -> SmilesTokenizer:
        """The vocabulary of these molecules, in the order of the alphabet; `extra` names like <scaffold> follow the
        special ones. What SELFIES has no words for is passed over."""
        texts = smiles if notation == "smiles" else filter(None, map(to_selfies, smiles))
        return cls.from_texts("\n".join(texts).encode(), notation=notation, extra=extra)

    @classmethod
    def from_texts(cls, blob: bytes, *, notation: Notation = "smiles", extra: Sequence[str] = ()) -> SmilesTokenizer:
        """As `from_smiles`, of texts in their notation already, a line each. UserError where there are none."""
        long = set(LONG.findall(blob))
        short = np.unique(np.frombuffer(LONG.sub(b"", blob), dtype=np.uint8))
        found = sorted({token.decode() for token in long} | {chr(byte) for byte in short if byte > 32})
        if not found:
            raise UserError("There are no molecules to make a vocabulary of.")
        return cls((*SPECIAL, *extra, *found), notation)

    # -- one molecule -------------------------------------------------------------------------------------------------

    def text(self, smiles: str) -> str:
        """The molecule in this tokenizer's notation. UserError where SELFIES has no words for it."""
        text = smiles if self.notation == "smiles" else to_selfies(smiles)
        if text is None:
            raise UserError(f"SELFIES has no words for {smiles}.", "Use the notation smiles, or leave it out.")
        return text

    def split(self, smiles: str) -> list[str]:
        """The tokens of a molecule, in words."""
        return self.cut(self.text(smiles))

    def cut(self, text: str) -> list[str]:
        """The tokens of a text that is in this notation already."""
        return splitter(self.notation)(text)

    def encode(self, smiles: str) -> list[int]:
        """The ids, with begin and end; what the vocabulary does not have is `unknown`."""
        return [self.begin, *(self._ids.get(token, self.unknown) for token in self.split(smiles)), self.end]

    def decode(self, ids: Iterable[int]) -> str:
        """The SMILES up to the first end; special tokens write nothing. Not every row of ids is a molecule."""
        written = []
        for number in ids:
            if number == self.end:
                break
            token = self.tokens[number]
            written.append("" if token.startswith("<") else token)
        text = "".join(written)
        return text if self.notation == "smiles" else from_selfies(text)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.tokens)}

    # -- what it does not know ----------------------------------------------------------------------------------------

    def strange(self, smiles: str) -> list[str]:
        """The tokens of a molecule that are not in the vocabulary, in order and once each."""
        return [token for token in dict.fromkeys(self.split(smiles)) if token not in self._ids]

    def check(self, smiles: Iterable[str]) -> None:
        """UserError that names every token outside of the vocabulary with the first molecule that holds it."""
        first: dict[str, str] = {}
        count: Counter[str] = Counter()
        for one in smiles:
            for token in self.strange(one):
                first.setdefault(token, one)
                count[token] += 1
        if not first:
            return
        told = "; ".join(f"{token} in {first[token]} and {n - 1:,} more" if n > 1 else f"{token} in {first[token]}"
                         for token, n in count.most_common(5))  # fmt: skip
        more = f"; and {len(first) - 5} further tokens" if len(first) > 5 else ""
        raise UserError(
            f"The vocabulary of {len(self)} tokens does not have {told}{more}.",
            "Leave those molecules out, or learn from scratch on all: the vocabulary is that of what is learnt from.",
        )

    # -- many molecules -----------------------------------------------------------------------------------------------

    def encode_texts(self, blob: bytes) -> tuple[np.ndarray, np.ndarray]:
        """Texts in this notation, a line each (the last one ended too) -> ids [T] uint16 of all, each with begin and
        end, and the tokens of each [N] int64. 58 million letters take a few seconds."""
        codes = {token.encode(): bytes([128 + n]) for n, token in enumerate(self._long[:MOST_LONG])}
        if len(self._long) > MOST_LONG or not blob.isascii():
            return self._encode_slowly(blob)
        table = np.full(256, self.unknown, dtype=np.uint16)
        for token, number in self._ids.items():
            code = codes.get(token.encode(), token.encode())
            if len(code) == 1:
                table[code[0]] = number
        table[0], table[ord("\n")] = self.begin, self.end
        coded = LONG.sub(lambda match: codes.get(match[0], b"\xff"), blob.replace(b"\n", b"\n\0"))
        row = np.frombuffer(b"\0" + coded[:-1] if coded else b"", dtype=np.uint8)
        ends = np.flatnonzero(row == ord("\n"))
        return table[row], np.diff(ends, prepend=-1)

    def _encode_slowly(self, blob: bytes) -> tuple[np.ndarray, np.ndarray]:
        cut = splitter(self.notation)
        rows = [[self.begin, *(self._ids.get(token, self.unknown) for token in cut(line)), self.end]
                for line in blob.decode(errors="replace").split("\n")[:-1]]  # fmt: skip
        ids = np.fromiter((number for row in rows for number in row), dtype=np.uint16)
        return ids, np.asarray([len(row) for row in rows], dtype=np.int64)

    @cached_property
    def _long(self) -> list[str]:
        return [token for token in self.tokens if len(token) > 1 and not token.startswith("<")]

    # -- kept with a checkpoint ---------------------------------------------------------------------------------------

    @property
    def sha256(self) -> str:
        """A hash of all that its ids depend on."""
        return hashlib.sha256(json.dumps(self.to_dict()).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint's JSON."""
        return {"notation": self.notation, "tokens": list(self.tokens)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SmilesTokenizer:
        """What `to_dict` gave; a `UserError` says what is wrong with it."""
        try:
            return cls(tuple(str(token) for token in data["tokens"]), data.get("notation", "smiles"))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"The tokenizer of the checkpoint cannot be read: {error}.") from error

    def save(self, path: str | Path) -> Path:
        """Write it as JSON."""
        path = Path(path)
        path.write_text(json.dumps(self.to_dict(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: str | Path) -> SmilesTokenizer:
        """What `save` wrote. UserError names the file."""
        try:
            return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
        except (OSError, ValueError, AttributeError) as error:
            raise UserError(f"{path} holds no tokenizer: {error}.") from error
