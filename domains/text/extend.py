"""Chinese at half the tokens: new merges for a byte-level BPE tokenizer, and rows for them in the network.

The merges that exist are applied first, as ever, and the new ones to what they leave: so text in ASCII keeps its ids,
any text still comes back exactly, and the result is an ordinary vocabulary with ordinary merges, not "added tokens",
which programs cut differently. New ids take the rows that a checkpoint has to spare (phi-1.5: 905) before any is added.

Axes: V rows of the vocabulary, C width of the model.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ...core.errors import UserError
from ...core.language import LanguageModel
from . import merges as bpe
from .tokenizer import Tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

LONGEST_WORD = 256
"""Tokens of a stretch that is learnt from in one piece; longer ones, without any punctuation, are cut."""

VOCABULARY = ("tokens.weight", "head.projection.weight", "head.projection.bias")
"""Tensors of a `LanguageModel` that have a row for each token."""


@dataclass(frozen=True, kw_only=True)
class Extension:
    """A tokenizer with more merges.

    pieces: new id -> the ids of the old tokenizer whose place it takes. rows: of the vocabulary that the network needs,
    of which `added` are beyond those it had. The counts are of the text that was learnt from.
    """

    tokenizer: Tokenizer
    pieces: dict[int, list[int]]
    rows: int
    added: int
    characters: int
    tokens_before: int
    tokens_after: int


def extend(
    tokenizer: Tokenizer,
    texts: Iterable[str],
    *,
    merges: int | None,
    reserve: int,
    vocabulary_rows: int,
    grow: bool = True,
) -> Extension:
    """Learn at most `merges` new tokens on `texts` (None: as many as there are rows to spare).

    vocabulary_rows: rows that the network has. reserve: of these, rows that stay free (for a pad token and the marks of
    turns). grow: whether rows may be added where none is spare. Raises `UserError` for a tokenizer that is not
    byte-level BPE, for too few rows, and for texts with nothing to learn.
    """
    settings = json.loads(tokenizer.backend.to_str())
    if settings["model"]["type"] != "BPE" or not tokenizer.byte_level:
        raise UserError(
            f"Only a byte-level BPE can be extended by merges; this tokenizer is a {settings['model']['type']} over "
            "characters, as SentencePiece makes it.",
            "Models of the families phi, gpt2, qwen and SmolLM have a tokenizer of that kind.",
        )
    first = len(tokenizer)
    most = _room(first, merges, reserve, vocabulary_rows, grow)
    words, characters = count_words(tokenizer.backend, texts)
    plain = set(settings["model"]["vocab"].values()).difference(tokenizer.added)
    known = {id: piece for id in plain if (piece := tokenizer.piece(id))}
    stretches: Counter[bpe.Word] = Counter()
    for word, times in words.items():
        for stretch in _stretches(_ids(tokenizer, word), known):
            stretches[stretch] += times
    learnt = bpe.learn(stretches, known, first=first, most=most)
    if not learnt:
        raise UserError(
            f"There is nothing to learn in the text ({characters} characters): no two pieces outside ASCII occur "
            "together twice.",
            "Give more text in the language that the tokenizer should learn.",
        )
    extended = replace(tokenizer, backend=_with_merges(settings, learnt))
    rows = max(vocabulary_rows, first + len(learnt) + reserve)
    return Extension(
        tokenizer=extended,
        pieces=_pieces(learnt),
        rows=rows,
        added=rows - vocabulary_rows,
        characters=characters,
        tokens_before=sum(len(_ids(tokenizer, word)) * times for word, times in words.items()),
        tokens_after=sum(len(_ids(extended, word)) * times for word, times in words.items()),
    )


def tokens_per_character(tokenizer: Tokenizer, texts: Iterable[str]) -> float:
    """What a character costs, over all texts together; 0 for no text."""
    tokens = characters = 0
    for text in texts:
        tokens += len(tokenizer.encode(text))
        characters += len(text)
    return tokens / characters if characters else 0.0


def extend_network(model: LanguageModel, extension: Extension) -> None:
    """Give `model` the rows of `extension`, in place: each new row is the mean of those whose place it takes.

    In the embedding [V, C], the head's weight [V, C] and the head's bias [V]; rows added without a token become the
    mean of all. The other rows keep their bits.
    Adapters and quantisation come after this.
    """
    tied, head = model.tied, model.head.projection
    model.tokens.weight = _parameter(model.tokens.weight, extension)
    model.tokens.num_embeddings = model.tokens.weight.shape[0]
    head.weight = model.tokens.weight if tied else _parameter(head.weight, extension)
    head.out_features = head.weight.shape[0]
    if head.bias is not None:
        head.bias = _parameter(head.bias, extension)


def extend_tensors(tensors: Mapping[str, Tensor], extension: Extension) -> dict[str, Tensor]:
    """The same for the tensors of a `LanguageModel` by name; those given stay as they are, tied ones are tied again."""
    made = {id(tensors[name]): _extended(tensors[name], extension) for name in VOCABULARY if name in tensors}
    return {name: made.get(id(tensor), tensor) for name, tensor in tensors.items()}


def _parameter(parameter: Tensor, extension: Extension) -> nn.Parameter:
    return nn.Parameter(_extended(parameter.detach(), extension), requires_grad=parameter.requires_grad)


def _extended(old: Tensor, extension: Extension) -> Tensor:
    """[V, …] -> [V', …] with the new rows filled; means are taken in float32."""
    missing = extension.rows - old.shape[0]
    rows = old.clone()
    if missing > 0:
        mean = old.float().mean(dim=0, keepdim=True).to(old.dtype)
        rows = torch.cat([old, mean.expand(missing, *old.shape[1:])])
    for row, replaced in extension.pieces.items():
        rows[row] = old[replaced].float().mean(dim=0).to(old.dtype)
    return rows


def _room(first: int, merges: int | None, reserve: int, rows: int, grow: bool) -> int:
    """How many tokens to learn at most."""
    spare = max(0, rows - first - reserve)
    told = f"The model has {rows} rows, of which {first} are in use and {reserve} are kept free: {spare} to spare"
    if merges is not None and merges < 1:
        raise UserError(f"{merges} new tokens cannot be learnt.", "Give a number from 1 on.")
    if merges is None:
        if not spare:
            raise UserError(f"{told}.", "Say how many rows to add, for example --rows 2048.")
        return spare
    if merges > spare and not grow:
        raise UserError(f"{told}, but {merges} new tokens were asked for.", f"Ask for {spare} at most.")
    return merges


# -- the tokenizer's own files --------------------------------------------------------------------------------------


def count_words(backend: Backend, texts: Iterable[str]) -> tuple[Counter[str], int]:
    """The words that the tokenizer's own first cut finds, in byte letters, with how often; and the characters read."""
    counted: Counter[str] = Counter()
    characters = 0
    for text in texts:
        characters += len(text)
        plain = backend.normalizer.normalize_str(text) if backend.normalizer else text
        counted.update(word for word, _ in backend.pre_tokenizer.pre_tokenize_str(plain))
    return counted, characters


def _ids(tokenizer: Tokenizer, word: str) -> list[int]:
    """The ids of a word in byte letters."""
    return [token.id for token in tokenizer.backend.model.tokenize(word)]


def _stretches(ids: list[int], known: dict[int, bytes]) -> Iterator[bpe.Word]:
    """The stretches of two tokens and more that hold no ASCII: merges never reach across anything else."""
    stretch: list[int] = []
    for token in (*ids, None):
        if token is not None and token in known and min(known[token]) >= 0x80 and len(stretch) < LONGEST_WORD:
            stretch.append(token)
            continue
        if len(stretch) > 1:
            yield tuple(stretch)
        stretch = []


def _pieces(learnt: dict[bpe.Pair, int]) -> dict[int, list[int]]:
    """New id -> old ids."""
    pieces: dict[int, list[int]] = {}
    for (left, right), row in learnt.items():
        pieces[row] = [*pieces.get(left, [left]), *pieces.get(right, [right])]
    return pieces


def _with_merges(settings: dict[str, Any], learnt: dict[bpe.Pair, int]) -> Backend:
    """The tokenizer of these settings with `learnt` appended."""
    from tokenizers import Tokenizer as Backend

    model = settings["model"]
    vocabulary: dict[str, int] = dict(model["vocab"])
    # `tokenizers` numbers an added token anew unless the model's own vocabulary holds it.
    vocabulary |= {token["content"]: token["id"] for token in settings["added_tokens"]}
    texts = {number: text for text, number in model["vocab"].items()}
    listed = list(model["merges"])
    pair_as_text = bool(listed) and isinstance(listed[0], str)
    for (left, right), row in learnt.items():
        texts[row] = texts[left] + texts[right]
        vocabulary[texts[row]] = row
        listed.append(f"{texts[left]} {texts[right]}" if pair_as_text else [texts[left], texts[right]])
    return Backend.from_str(json.dumps({**settings, "model": {**model, "vocab": vocabulary, "merges": listed}}))
