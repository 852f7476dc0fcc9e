"""Token ids of a part on disk, made once and mapped into memory: MOSES is 120 MB of them, of which a batch is read.

    texts.txt, .npy   the molecules in the tokenizer's notation, where that is not what is stored already
    ids.npy           [T] ids of all, each molecule with its begin and end
    lengths.npy       [N] tokens of each
    which.npy         [N] the molecule's number in its part

The folder's name is a hash of the data, the tokenizer, the options and the version of the code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ...core.errors import UserError
from ...core.sources import Progress
from ...core.sources.derived import derived
from ...core.task import Split
from .notation import Notation, to_selfies
from .parallel import spread
from .smiles import randomised
from .stored import Stored, Strings, write_strings
from .tokenizer import SmilesTokenizer

VERSION = 2
NAMED, LISTED = 5, 10_000
"""Molecules that a notice repeats, and that are listed one by one, at most."""


class Tokens:
    """Rows of ids out of a folder that `tokenise` made. `lengths` [N] are tokens of each row, begin and end among them,
    `which` [N] the number of its molecule in the part, `notices` what was left out,
    `left_out` the first of it one by one: (text, reason)."""

    def __init__(self, folder: Path) -> None:
        self.lengths = np.load(folder / "lengths.npy")
        self.which = np.load(folder / "which.npy")
        self._starts = np.cumsum(self.lengths) - self.lengths
        self._ids = np.load(folder / "ids.npy", mmap_mode="r")
        told = json.loads((folder / "notices.json").read_text(encoding="utf-8"))
        self.notices: tuple[str, ...] = tuple(told["notices"])
        self.left_out: tuple[tuple[str, str], ...] = tuple((text, reason) for text, reason in told["left_out"])

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, number: int) -> np.ndarray:
        """The ids of one row."""
        start = self._starts[number]
        return np.asarray(self._ids[start : start + self.lengths[number]])

    def rows(self, numbers: Sequence[int] | np.ndarray, *, pad: int = 0) -> np.ndarray:
        """Several rows [B, T] int64, filled up to the longest with `pad`."""
        lengths = self.lengths[numbers]
        columns = np.arange(lengths.max(initial=0))
        inside = columns < lengths[:, None]
        places = np.where(inside, self._starts[numbers][:, None] + columns, 0)
        return np.where(inside, self._ids[places], pad).astype(np.int64)


def vocabulary(
    part: Split, *, notation: Notation = "smiles", random: int = 0, seed: int = 0, extra: Sequence[str] = (),
    workers: int = 0, progress: Progress | None = None,
) -> SmilesTokenizer:  # fmt: skip
    """The tokenizer of a part's molecules, as `tokenise` with the same options will write them."""
    texts, _ = _texts(part, notation, random=random, workers=workers, progress=progress, seed=seed)
    return SmilesTokenizer.from_texts(texts.blob(), notation=notation, extra=extra)


def tokenise(
    part: Split, tokenizer: SmilesTokenizer, *, length: int, random: int = 0, seed: int = 0, workers: int = 0,
    progress: Progress | None = None,
) -> Tokens:  # fmt: skip
    """The molecules of a part as ids, at most `length` tokens each: out of the cache, else made now and kept.

    random: so many spellings of each molecule instead of the canonical one, drawn by `seed`. What is too long, has a
    token outside of the vocabulary, or no words in SELFIES, is left out; `notices` name them. UserError where none is
    left.
    """
    texts, key = _texts(part, tokenizer.notation, random=random, workers=workers, progress=progress, seed=seed)
    facts = [VERSION, key, tokenizer.sha256, length]

    def produce(folder: Path) -> None:
        _write(folder, texts, tokenizer, length, max(random, 1))

    return Tokens(derived("molecule-tokens", _hash(facts), produce, progress))


def _texts(
    part: Split, notation: Notation, *, random: int, workers: int, progress: Progress | None, seed: int = 0
) -> tuple[Strings, str]:
    """What is to be tokenised, a line each, and a hash of it: stored already if that is the canonical SMILES."""
    examples = part.examples
    if isinstance(examples, Stored) and notation == "smiles" and not random:
        return examples.smiles, _hash([part.sha256, part.part])
    stored = isinstance(examples, Stored) and part.sha256
    smiles = examples.smiles.all() if isinstance(examples, Stored) else [one.smiles for one in examples]
    key = _hash([VERSION, part.sha256, part.part, notation, random, seed, [] if stored else smiles])

    def lines() -> Iterator[str]:
        work = partial(_respelt, notation=notation, random=random)
        numbered: Iterable[tuple[int, str]] = ((seed * 1_000_003 + n, one) for n, one in enumerate(smiles))
        for chunk in spread(work, numbered, workers=workers):
            yield from chunk

    folder = derived("molecule-texts", key, lambda folder: write_strings(folder, "texts", lines()), progress)
    return Strings(folder, "texts"), key


def _respelt(chunk: Sequence[tuple[int, str]], *, notation: Notation, random: int) -> list[str]:
    """Every molecule in its notation, `random` times; "" where it has no words for it."""
    spelt = []
    for number, smiles in chunk:
        seeds = range(number * random, (number + 1) * random)
        ways = [randomised(smiles, seed) for seed in seeds] if random else [smiles]
        spelt += ways if notation == "smiles" else [to_selfies(one) or "" for one in ways]
    return spelt


def _write(folder: Path, texts: Strings, tokenizer: SmilesTokenizer, length: int, copies: int) -> None:
    """Encode all at once, leave out what cannot be learnt from, and say which that is."""
    ids, lengths = tokenizer.encode_texts(texts.blob())
    starts = np.cumsum(lengths) - lengths
    empty, long = lengths <= 2, lengths > length
    strange = np.zeros(len(lengths), dtype=bool)
    strange[np.searchsorted(starts, np.flatnonzero(ids == tokenizer.unknown), side="right") - 1] = True
    bad = empty | long | strange
    if bad.all():
        tokenizer.check(texts[int(n)] for n in np.flatnonzero(strange)[:1000]) if strange.any() else None
        raise UserError(f"Not one molecule has at most {length:,} tokens.", "Allow longer ones.")
    kept = np.repeat(~bad, lengths)
    np.save(folder / "ids.npy", ids[kept])
    np.save(folder / "lengths.npy", lengths[~bad].astype(np.int32))
    np.save(folder / "which.npy", (np.flatnonzero(~bad) // copies).astype(np.int32))
    notices = []
    if strange.any():
        notices.append(_strange(texts, np.flatnonzero(strange), tokenizer))
    if (long & ~strange).any():
        first = texts[int(np.flatnonzero(long & ~strange)[0])]
        notices.append(f"{(long & ~strange).sum():,} molecules of more than {length:,} tokens are left out: {first} …")
    if empty.any():
        notices.append(f"{empty.sum():,} molecules are left out: SELFIES has no words for them.")
    left = [(texts[int(n)], _reason(texts[int(n)], tokenizer, strange=bool(strange[n]), length=length))
            for n in np.flatnonzero(bad & ~empty)[:LISTED]]  # fmt: skip
    text = json.dumps({"notices": notices, "left_out": left})
    (folder / "notices.json").write_text(text, encoding="utf-8")


def _reason(text: str, tokenizer: SmilesTokenizer, *, strange: bool, length: int) -> str:
    """Why a molecule is left out."""
    if not strange:
        return f"it has more than {length} tokens"
    known = set(tokenizer.tokens)
    outside = dict.fromkeys(one for one in tokenizer.cut(text) if one not in known)
    return f"it holds {' '.join(outside)}, which the vocabulary does not"


def _strange(texts: Strings, numbers: np.ndarray, tokenizer: SmilesTokenizer) -> str:
    """The molecules with tokens outside of the vocabulary, the first of them by name."""
    known = set(tokenizer.tokens)
    told = []
    for number in numbers[:NAMED]:
        text = texts[int(number)]
        told.append(f"{' '.join(dict.fromkeys(one for one in tokenizer.cut(text) if one not in known))} in {text}")
    more = f" and {len(numbers) - NAMED:,} more" if len(numbers) > NAMED else ""
    return f"{len(numbers):,} molecules hold what the vocabulary does not and are left out: {'; '.join(told)}{more}."


def _hash(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
