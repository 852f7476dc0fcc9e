"""`tsuite tokenizer extend`: from a checkpoint and texts to a checkpoint that needs fewer tokens for them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...core import checkpoint, manifest
from ...core.errors import UserError, near
from ...core.pretrained import CONFIG, Located, read_json
from ...core.registry import Card
from . import data, finetuned, formats, pretrained
from .conversation import Document, Preference
from .export import write_hf
from .extend import Extension, extend, extend_tensors, tokens_per_character
from .families import FamilyConfig, from_hf
from .formats import AnyExample, Kind
from .tokenizer import Tokenizer

HELD_OUT = 10
"""One text in so many is not learnt from; the cost is measured on these."""


@dataclass(frozen=True, kw_only=True)
class Base:
    """What is extended. tensors: None where only the tokenizer is wanted. rows: of the vocabulary."""

    tokenizer: Tokenizer
    rows: int
    source: str
    config: FamilyConfig | None = None
    tensors: dict[str, Tensor] | None = None
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Extended:
    """What was done. before, after: tokens per character of the `held_out` texts, which were not learnt from."""

    base: Base
    extension: Extension
    texts: int
    held_out: int
    before: float
    after: float
    output: Path

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        found = self.extension
        return {
            "command": "tokenizer extend",
            "base": self.base.source,
            "texts": self.texts,
            "held_out": self.held_out,
            "characters": found.characters,
            "tokens_per_char": {"before": self.before, "after": self.after},
            "learnt_tokens_per_char": {
                "before": found.tokens_before / found.characters,
                "after": found.tokens_after / found.characters,
            },
            "rows": {"before": self.base.rows, "new": len(found.pieces), "added": found.added, "after": found.rows},
            "examples": self.examples(),
            "weights": self.base.tensors is not None,
            "artifacts": [str(self.output)],
            "notices": list(self.base.notices),
        }

    def to_text(self) -> str:
        """A few lines for people."""
        found = self.extension
        where = f"{found.added} rows were added" if found.added else "all in rows that were to spare"
        saved = f"{1 - self.after / self.before:.0%} fewer" if self.before else "nothing held out to measure on"
        return "\n".join(
            [
                f"tokens per character  {self.before:.3f} before, {self.after:.3f} after: {saved} "
                f"({self.held_out} of {self.texts} texts, held out)",
                f"new tokens            {len(found.pieces)}: {where}; the vocabulary has {found.rows} rows",
                f"for example           {'  '.join(self.examples())}",
                f"saved                 {self.output}",
            ]
        )

    def examples(self, most: int = 24) -> list[str]:
        """New tokens that are words of two characters and more, spread over all of them, the most frequent first."""
        texts = [self.extension.tokenizer.decode([row]) for row in self.extension.pieces]
        words = [text for text in texts if len(text) > 1 and "\ufffd" not in text]
        count = min(most, len(words))
        return [words[place * len(words) // count] for place in range(count)]


def run(
    card: Card, texts: Sequence[str], *, base: str, rows: str, reserve: int, output: Path, tokenizer_only: bool
) -> Extended:
    """Extend the checkpoint `base` by what `texts` (files, folders, named data sets) hold, and save it to `output`.

    rows: a number of new tokens, or "spare". Raises `UserError` for what cannot be read, learnt or written.
    """
    merges = _number(rows)
    _refuse_overwriting(output)
    learnt, held_out = split([text for name in texts for text in texts_of(name)])
    found = _base(finetuned.locate_base(card, base), card, base, tokenizer_only)
    extension = extend(found.tokenizer, learnt, merges=merges, reserve=reserve, vocabulary_rows=found.rows)
    if found.config is None or found.tensors is None:
        checkpoint.write(output, extension.tokenizer.save)
    else:
        write_hf(
            output,
            replace(found.config, vocabulary=extension.rows),
            extend_tensors(found.tensors, extension),
            extension.tokenizer,
            dtype=_precision(found.tensors),
        )
    return Extended(
        base=found,
        extension=extension,
        texts=len(learnt) + len(held_out),
        held_out=len(held_out),
        before=tokens_per_character(found.tokenizer, held_out),
        after=tokens_per_character(extension.tokenizer, held_out),
        output=output,
    )


def split(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Texts to learn from and to measure on, by their hashes: the same whatever the order; equal ones stay together."""
    ordered = sorted(set(texts), key=lambda text: hashlib.sha256(text.encode()).digest())
    count = max(1, len(ordered) // HELD_OUT) if len(ordered) > 1 else 0
    return ordered[count:], ordered[:count]


def texts_of(name: str) -> Iterator[str]:
    """The texts that `name` holds: a named data set's part to train on, or all of a file, a folder or `hf://…`."""
    path, known = Path(name).expanduser(), manifest.manifests()
    if "://" not in name and not path.exists() and name not in known:
        raise UserError(
            f"There is no data called {name!r} and no such path.", f"{near(name, known)} See: tsuite data list"
        )
    named = name in known and not path.exists()
    for item in _named(name) if named else formats.read(formats.fetch(name if "://" in name else path)):
        if text := text_of(item).strip():
            yield text


def text_of(item: AnyExample) -> str:
    """All that an example says, a turn a line."""
    if isinstance(item, Preference):
        return "\n".join([*(turn.content for turn in item.turns), item.chosen, item.rejected])
    return item.text if isinstance(item, Document) else "\n".join(turn.content for turn in item.turns)


def _named(name: str) -> Sequence[AnyExample]:
    """The rows to train on, whichever kind of text they are."""
    kinds: tuple[Kind, ...] = ("chat", "preference", "document")
    problems: list[UserError] = []
    for kind in kinds:
        try:
            return data.collect(name, kind=kind).train
        except UserError as problem:
            problems.append(problem)
    raise problems[0]


def _base(located: Located, card: Card, name: str, tokenizer_only: bool) -> Base:
    """The checkpoint, or its tokenizer alone (which then needs no weights beside it)."""
    if tokenizer_only and located.path.is_dir() and (located.path / CONFIG).is_file() and not located.is_ours:
        config = from_hf(read_json(located.path / CONFIG))
        tokenizer = Tokenizer.from_folder(located.path)
        rows = max(config.vocabulary, len(tokenizer))
        return Base(tokenizer=tokenizer, rows=rows, source=located.source, notices=located.notices)
    if tokenizer_only and located.path.is_dir() and not list(located.path.glob("*.gguf")):
        tokenizer = Tokenizer.from_folder(located.path)
        return Base(tokenizer=tokenizer, rows=len(tokenizer), source=located.source, notices=located.notices)
    if located.path.is_dir() and (located.is_ours or (located.path / finetuned.PEFT).is_file()):
        chatter = finetuned.load(card, name)
        if chatter.method is not None and chatter.method.kind in finetuned.UNMERGEABLE:
            raise UserError(f"{located.source} holds {chatter.method.kind} beside the weights.", "Extend its base.")
        config, tensors, tokenizer = chatter.config, dict(chatter.network.state_dict()), chatter.tokenizer
        notices = chatter.notices
    else:
        found = pretrained.load(located.path, source=located.source)
        config, tensors, tokenizer = found.config, found.tensors, found.tokenizer
        notices = (*located.notices, *found.notices)
    return Base(
        tokenizer=tokenizer,
        rows=config.vocabulary,
        source=located.source,
        config=None if tokenizer_only else config,
        tensors=None if tokenizer_only else tensors,
        notices=notices,
    )


def _precision(tensors: dict[str, Tensor]) -> torch.dtype:
    """As stored, so that the rows that were there keep their bits."""
    return tensors["tokens.weight"].dtype


def _number(rows: str) -> int | None:
    if rows == "spare":
        return None
    if not rows.isdecimal() or int(rows) < 1:
        raise UserError(f"--rows {rows} is neither a number from 1 on nor the word spare.", "For example --rows 2048.")
    return int(rows)


def _refuse_overwriting(output: Path) -> None:
    """A folder is replaced as a whole, so it has to be a checkpoint, empty, or not there."""
    if output.is_file():
        raise UserError(f"{output} is a file; --output names a folder.")
    if output.is_dir() and any(output.iterdir()) and not (output / checkpoint.MANIFEST).is_file():
        raise UserError(f"The folder {output} holds other files.", "Name a new folder with --output.")
