"""Token ids on disk, written as they come and mapped into memory: any amount of text in a small amount of memory.

    ids.bin       the ids of all examples one behind the other, 2 or 4 bytes each
    learn.bin     one bit for each token, each example from a new byte on
    lengths.npy   [N] tokens of each example
    facts.json    width of an id in bytes, what was left out

The folder's name is a hash of the data, the tokenizer, its template, the length and the versions of the code.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ...core.errors import UserError
from ...core.lazy import LazySequence
from ...core.sources import Progress
from ...core.sources.derived import derived
from ...core.sources.digest import listener
from ...core.task import Split
from .chat import Encoded, EncodedPair, encode_document, encode_preference, encode_within
from .conversation import Conversation, Preference
from .formats import AnyExample
from .stored import Stored
from .template import template_of
from .tokenizer import Tokenizer

VERSION = 1
"""Of the files and of how conversations become ids: raised when either changes."""


class Tokens(LazySequence[Encoded]):
    """The examples of a folder that `tokenise` made. `lengths` [N] are tokens of each; slices are lists."""

    def __init__(self, folder: Path) -> None:
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        self.notices: tuple[str, ...] = tuple(facts["notices"])
        self.lengths = np.load(folder / "lengths.npy")
        self._starts = np.concatenate([[0], np.cumsum(self.lengths)])
        self._bits = np.concatenate([[0], np.cumsum((self.lengths + 7) // 8)])
        self._ids = np.memmap(folder / "ids.bin", dtype=f"<u{facts['width']}", mode="r")
        self._learn = np.memmap(folder / "learn.bin", dtype=np.uint8, mode="r")

    def __len__(self) -> int:
        return len(self.lengths)

    def item(self, number: int) -> Encoded:
        ids = self._ids[self._starts[number] : self._starts[number + 1]].tolist()
        bits = np.unpackbits(self._learn[self._bits[number] : self._bits[number + 1]], count=len(ids))
        return Encoded(ids, bits.astype(bool).tolist())

    def __iter__(self) -> Iterator[Encoded]:
        return (self[number] for number in range(len(self)))


class TokenPairs(LazySequence[EncodedPair]):
    """Preferences out of `Tokens` in which chosen and rejected sides alternate."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens, self.notices = tokens, tokens.notices
        self.lengths = tokens.lengths.reshape(-1, 2).sum(axis=1)

    def __len__(self) -> int:
        return len(self.lengths)

    def item(self, number: int) -> EncodedPair:
        return EncodedPair(self.tokens[2 * number], self.tokens[2 * number + 1])


def tokenise(part: Split, tokenizer: Tokenizer, *, length: int, progress: Progress | None = None) -> Tokens:
    """The examples of `part` (conversations, documents, preferences) as tokens, at most `length` each: out of the
    cache, else made now and kept.

    Conversations too long are cut after a whole exchange; those whose first reply does not fit are left out, and
    `notices` of the result say how many. Raises `UserError` where none is left.
    """
    facts = [VERSION, part.sha256, part.part, tokenizer.sha256, template_of(tokenizer), length]
    if not (part.sha256 and isinstance(part.examples, Stored)):  # a choice out of them, perhaps
        facts.append(hashlib.sha256(repr(list(part.examples)).encode()).hexdigest())
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    report = listener(progress)

    def told() -> Iterator[AnyExample]:
        for number, item in enumerate(part.examples):
            if number % 100 == 0:
                report(number, len(part.examples), f"tokens of {part.name}, {part.part}")
            yield item

    return Tokens(derived("tokens", key, lambda folder: _write(folder, told(), tokenizer, length), progress))


def pairs(part: Split, tokenizer: Tokenizer, *, length: int, progress: Progress | None = None) -> TokenPairs:
    """`tokenise` for preferences."""
    return TokenPairs(tokenise(part, tokenizer, length=length, progress=progress))


def _write(folder: Path, examples: Iterable[AnyExample], tokenizer: Tokenizer, length: int) -> None:
    """Stream the examples into the files; memory grows by 4 bytes an example."""
    width = 2 if len(tokenizer) <= 2**16 else 4
    lengths, dropped, cut = array("i"), 0, 0
    with open(folder / "ids.bin", "wb") as ids, open(folder / "learn.bin", "wb") as learn:
        for item in examples:
            encoded, shortened = _encoded(item, tokenizer, length)
            dropped += not encoded
            cut += shortened
            for one in encoded:
                ids.write(np.asarray(one.ids, dtype=f"<u{width}").tobytes())
                learn.write(np.packbits(one.learn).tobytes())
                lengths.append(len(one.ids))
    if not lengths:
        raise UserError(f"Not one example fits into {length:,} tokens.", "Allow more with --length.")
    notices = []
    if dropped:
        notices.append(f"{dropped:,} examples were left out: their reply does not fit into {length:,} tokens.")
    if cut:
        notices.append(f"{cut:,} conversations were cut after the last exchange that fits into {length:,} tokens.")
    np.save(folder / "lengths.npy", np.asarray(lengths, dtype=np.int64))
    (folder / "facts.json").write_text(json.dumps({"width": width, "notices": notices}), encoding="utf-8")


def _encoded(item: AnyExample, tokenizer: Tokenizer, length: int) -> tuple[list[Encoded], bool]:
    """What an example becomes, and whether it was cut."""
    if isinstance(item, Conversation):
        encoded, shortened = encode_within(item.turns, tokenizer, length)
        return ([encoded], shortened) if encoded else ([], False)
    if isinstance(item, Preference):
        pair = encode_preference(item, tokenizer, length)
        return ([pair.chosen, pair.rejected] if pair else []), False
    return list(encode_document(item.text, tokenizer, length)), False
