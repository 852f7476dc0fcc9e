"""Text to token ids and back, whatever the checkpoint keeps its tokenizer in.

    tokenizer.json | vocab.json + merges.txt | GGUF  ->  Tokenizer  ->  ids, text, text as it streams
                                                            |
                                                            +-> a folder that transformers reads to the same ids

The heavy work is the `tokenizers` package's; transformers is not needed.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import UserError

if TYPE_CHECKING:
    import tokenizers

_TOGGLE = threading.Lock()
SPACE = "\u2581"
"""What SentencePiece writes for a space."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Tokenizer:
    """A byte-level BPE (GPT-2's kind) or a SentencePiece BPE with byte fallback (Llama's kind).

    end_id: ends a reply, or a text. stop_ids: all ids that do. pad_id: fills up batches; never the end token, for
    that one has to be learnt. template: the chat template (jinja), None where the checkpoint has none.
    """

    backend: tokenizers.Tokenizer
    bos_id: int | None = None
    end_id: int
    pad_id: int
    stop_ids: frozenset[int] = frozenset()
    template: str | None = None
    _pieces: dict[int, bytes] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.pad_id == self.end_id:
            raise ValueError(f"the padding token has to differ from the end token, {self.end_id}")
        object.__setattr__(self, "stop_ids", frozenset(self.stop_ids) | {self.end_id})
        self.backend.no_truncation()
        self.backend.no_padding()
        self.backend.encode_special_tokens = True  # what a person types is text, even where it looks like <|im_end|>

    def __len__(self) -> int:
        """Ids in use: the highest one and 1."""
        return self._length

    @cached_property
    def _length(self) -> int:
        return max(self.backend.get_vocab(with_added_tokens=True).values()) + 1

    @cached_property
    def sha256(self) -> str:
        """Of everything that decides about ids and templates, as 64 hexadecimal digits."""
        facts = [self.backend.to_str(), self.bos_id, self.end_id, self.pad_id, sorted(self.stop_ids), self.template]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    @cached_property
    def byte_level(self) -> bool:
        """Whether its tokens are bytes (GPT-2's kind) rather than characters with byte fallback (Llama's kind)."""
        return _mentions(self.backend.decoder, "ByteLevel")

    @property
    def adds_bos(self) -> bool:
        """Whether the checkpoint wants the first token of a text to be `bos_id`."""
        return self.bos_id is not None and self.bos_id in self.backend.encode("").ids

    def encode(self, text: str) -> list[int]:
        """The ids of plain text; nothing is added, and text that spells a special token stays text."""
        return self.backend.encode(text, add_special_tokens=False).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of many texts at once, on all cores."""
        return [one.ids for one in self.backend.encode_batch_fast(list(texts), add_special_tokens=False)]

    def encode_special(self, text: str) -> list[int]:
        """The ids of a template's text, in which special tokens are recognised."""
        with _TOGGLE:
            self.backend.encode_special_tokens = False
            try:
                return self.backend.encode(text, add_special_tokens=False).ids
            finally:
                self.backend.encode_special_tokens = True

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, special tokens left out; bytes that are no characters show as U+FFFD."""
        stream = self.stream()
        return "".join(map(stream.push, ids)) + stream.flush()

    def stream(self) -> StreamDecoder:
        """A decoder for ids that arrive one by one."""
        return StreamDecoder(self)

    def token(self, id: int) -> str:
        """The token as the vocabulary spells it; empty for an id without one."""
        return self.backend.id_to_token(id) or ""

    def piece(self, id: int) -> bytes:
        """The bytes that a token adds to a text: none for special tokens and for ids without a token."""
        if id not in self._pieces:
            self._pieces[id] = self._spell(id)
        return self._pieces[id]

    @cached_property
    def added(self) -> Mapping[int, tokenizers.AddedToken]:
        """Tokens that are matched as a whole before any merge; `special` ones among them never show in text."""
        return self.backend.get_added_tokens_decoder()

    def _spell(self, id: int) -> bytes:
        token = self.backend.id_to_token(id)
        if token is None or (id in self.added and self.added[id].special):
            return b""
        if self.byte_level:
            if id not in self.added and all(letter in _BYTE_OF for letter in token):
                return bytes(_BYTE_OF[letter] for letter in token)
            return token.encode()
        if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
            return bytes([int(token[3:5], 16)])
        return token.replace(SPACE, " ").encode()

    @classmethod
    def from_folder(cls, folder: Path) -> Tokenizer:
        """From the files that Hugging Face repositories hold. UserError where none can be read."""
        from .tokenizer_files import read_folder

        return read_folder(folder)

    @classmethod
    def from_gguf(cls, fields: Mapping[str, Any]) -> Tokenizer:
        """From the metadata of a GGUF file. UserError for a kind of tokenizer that is not known."""
        from .tokenizer_gguf import read_fields

        return read_fields(fields)

    def save(self, folder: Path) -> None:
        """Write the files that transformers' AutoTokenizer, and `from_folder`, read to the same ids."""
        from .tokenizer_files import write_folder

        write_folder(self, folder)


class StreamDecoder:
    """Text from ids as they come, in complete characters only; each token costs the same however long the text is."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._first = not tokenizer.byte_level and _mentions(tokenizer.backend.decoder, "Strip", "Metaspace")

    def push(self, id: int) -> str:
        """What one more token completes; empty while a character is half there."""
        return self._trim(self._utf8.decode(self._tokenizer.piece(id)))

    def flush(self) -> str:
        """What is left at the end: U+FFFD for a character that was never completed."""
        return self._trim(self._utf8.decode(b"", final=True))

    def _trim(self, text: str) -> str:
        """SentencePiece puts a space before the first word, which was never in the text."""
        if self._first and text:
            self._first = False
            return text.removeprefix(" ")
        return text


def match_rows(tokenizer: Tokenizer, rows: int, source: str) -> None:
    """Raise UserError unless every id of the tokenizer has its row in the checkpoint's embedding."""
    if len(tokenizer) > rows:
        raise UserError(
            f"Tokenizer and checkpoint do not match: {source} has {rows} rows of vocabulary, the tokenizer gives ids "
            f"up to {len(tokenizer) - 1}.",
            "Take both from the same place.",
        )


def _mentions(part: Any, *kinds: str) -> bool:
    """Whether a pre-tokenizer, normalizer or decoder is, or contains, one of a kind."""
    return any(f'"type":"{kind}"' in part_state(part) for kind in kinds)


def part_state(part: Any) -> str:
    """The settings of a pre-tokenizer, normalizer, decoder or model as JSON; empty for None."""
    return part.__getstate__().decode() if part is not None else ""


def _bytes_by_letter() -> dict[str, int]:
    """GPT-2's letters for bytes: printable ones stand for themselves, the others for letters from U+0100 on."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + index): byte for index, byte in enumerate(others)}


_BYTE_OF = _bytes_by_letter()
