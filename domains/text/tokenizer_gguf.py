"""A tokenizer in the metadata of a GGUF file, in and out.

tokenizer.ggml.model       gpt2 (byte-level BPE) or llama (SentencePiece BPE)
tokenizer.ggml.pre         how text is cut before merging, by the name of a model that does so
tokenizer.ggml.tokens      the vocabulary, in order of ids; token_type, merges or scores beside it
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from ...core.errors import UserError, near
from .tokenizer import SPACE, Tokenizer, part_state
from .tokenizer_files import add_in_order, assemble, library

if TYPE_CHECKING:
    import tokenizers

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
_KEY = "tokenizer.ggml."

_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{digits}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
REGEXES = {"qwen2": _WORDS.replace("{digits}", ""), "llama-bpe": _WORDS.replace("{digits}", "{1,3}")}
"""How text is cut by the models whose rule is not GPT-2's."""
SAME = {"gpt-2": "gpt-2", "phi-2": "gpt-2", "default": "gpt-2", "smollm": "smollm", "qwen2": "qwen2"}
SAME |= {"deepseek-r1-qwen": "qwen2", "llama-bpe": "llama-bpe", "llama3": "llama-bpe", "llama-v3": "llama-bpe"}
"""Names in files -> the rule they stand for."""


def read_fields(fields: Mapping[str, Any]) -> Tokenizer:
    """See `Tokenizer.from_gguf`."""
    kind = fields.get(f"{_KEY}model")
    makers = {"gpt2": _byte_level, "llama": _sentencepiece}
    if kind not in makers:
        raise UserError(
            f"The GGUF file's tokenizer is of the kind {kind!r}, which is not supported.", near(str(kind), makers)
        )
    tokens = list(fields[f"{_KEY}tokens"])
    types = list(fields.get(f"{_KEY}token_type") or [NORMAL] * len(tokens))
    unused = len(list(takewhile(lambda type: type == UNUSED, reversed(types))))  # rows that only fill up
    tokens, types = tokens[: len(tokens) - unused], types[: len(types) - unused]
    backend = makers[kind](fields, tokens, types)
    package = library()
    added = [
        (id, package.AddedToken(token, special=type != USER_DEFINED, normalized=False))
        for id, (token, type) in enumerate(zip(tokens, types, strict=True))
        if type in (CONTROL, USER_DEFINED) or (type == UNKNOWN and kind == "llama")
    ]
    add_in_order(backend, added, "The GGUF file")
    bos, end, pad = (_id(fields, name, len(tokens)) for name in ("bos", "eos", "padding"))
    if fields.get(f"{_KEY}add_bos_token", kind == "llama") and bos is not None:
        first = tokens[bos]
        backend.post_processor = package.processors.TemplateProcessing(
            single=f"{first} $A", pair=f"{first} $A $B", special_tokens=[(first, bos)]
        )
    turn = _id(fields, "eot", len(tokens))
    return assemble(
        backend,
        bos=bos,
        end=end,
        pad=pad,
        stops=[] if turn is None else [turn],
        template=fields.get("tokenizer.chat_template"),
        source="The GGUF file",
    )


def _byte_level(fields: Mapping[str, Any], tokens: list[str], types: list[int]) -> tokenizers.Tokenizer:
    package = library()
    name = fields.get(f"{_KEY}pre", "default")
    if name not in SAME:
        raise UserError(f"The GGUF file cuts text as {name!r} does, which is not known.", near(str(name), SAME))
    merges = [tuple(merge.split(" ")) for merge in fields[f"{_KEY}merges"]]
    rule, vocabulary = SAME[name], {token: id for id, token in enumerate(tokens)}
    backend = package.Tokenizer(package.models.BPE(vocabulary, merges, ignore_merges=rule == "llama-bpe"))
    backend.pre_tokenizer, backend.decoder = _cutter(rule), package.decoders.ByteLevel()
    if rule == "qwen2":
        backend.normalizer = package.normalizers.NFC()
    return backend


def _cutter(rule: str) -> Any:
    cut = library().pre_tokenizers
    if rule == "smollm":
        return cut.Sequence([cut.Digits(individual_digits=True), cut.ByteLevel(add_prefix_space=False)])
    if rule in REGEXES:
        split = cut.Split(library().Regex(REGEXES[rule]), behavior="isolated")
        return cut.Sequence([split, cut.ByteLevel(add_prefix_space=False, use_regex=False)])
    return cut.ByteLevel(add_prefix_space=False)


def _sentencepiece(fields: Mapping[str, Any], tokens: list[str], types: list[int]) -> tokenizers.Tokenizer:
    package = library()
    scores = fields[f"{_KEY}scores"]
    vocabulary = {token: id for id, token in enumerate(tokens)}
    unknown = next((token for token, type in zip(tokens, types, strict=True) if type == UNKNOWN), None)
    backend = package.Tokenizer(
        package.models.BPE(
            vocabulary, _merges(tokens, types, scores), unk_token=unknown, fuse_unk=True, byte_fallback=True
        )
    )
    spaced = fields.get(f"{_KEY}add_space_prefix", True)
    swap = [package.normalizers.Replace(" ", SPACE)]
    backend.normalizer = package.normalizers.Sequence([package.normalizers.Prepend(SPACE), *swap] if spaced else swap)
    part = package.decoders
    steps = [part.Replace(SPACE, " "), part.ByteFallback(), part.Fuse()]
    backend.decoder = part.Sequence([*steps, part.Strip(" ", 1, 0)] if spaced else steps)
    return backend


def _merges(tokens: list[str], types: list[int], scores: list[float]) -> list[tuple[str, str]]:
    """SentencePiece joins whichever neighbours make the piece of the highest score; as merges in order that is every
    way to cut a piece in two, the highest first."""
    usable = {token: id for id, token in enumerate(tokens) if types[id] in (NORMAL, USER_DEFINED, UNUSED)}
    found = [
        (-scores[id], usable[token[:cut]], usable[token[cut:]], token[:cut], token[cut:])
        for token, id in usable.items()
        for cut in range(1, len(token))
        if token[:cut] in usable and token[cut:] in usable
    ]
    return [(left, right) for *_, left, right in sorted(found)]


# -- out --------------------------------------------------------------------------------------------------------------


def write_fields(tokenizer: Tokenizer, rows: int, *, phi: bool = False) -> dict[str, Any]:
    """The metadata of a tokenizer for a model of so many rows; those without a token are filled up.

    phi: GPT-2's rule is called by the name that files of Phi give it. UserError for a rule that has no name.
    """
    backend = tokenizer.backend
    spelled = {id: token for token, id in backend.get_vocab(with_added_tokens=True).items()}
    model = json.loads(backend.to_str())["model"]
    merges = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
    types = [_type(tokenizer, id, spelled, model.get("unk_token")) for id in range(rows)]
    values: dict[str, Any] = {
        "tokens": [spelled.get(id, f"[PAD{id}]") for id in range(rows)],
        "token_type": types,
        "eos_token_id": tokenizer.end_id,
        "padding_token_id": tokenizer.pad_id,
        "add_bos_token": tokenizer.adds_bos,
    }
    if tokenizer.bos_id is not None:
        values["bos_token_id"] = tokenizer.bos_id
    if tokenizer.byte_level:
        rule = cutting_rule(tokenizer)
        values |= {"model": "gpt2", "pre": "phi-2" if phi and rule == "gpt-2" else rule}
        values["merges"] = [" ".join(merge) for merge in merges]
    else:
        values |= {"model": "llama", "pre": "default", "scores": _scores(merges, spelled, rows)}
        values["add_space_prefix"] = "Prepend" in part_state(backend.normalizer)
        values |= {"unknown_token_id": types.index(UNKNOWN)} if UNKNOWN in types else {}
    found = {f"{_KEY}{name}": value for name, value in values.items()}
    return found if tokenizer.template is None else {**found, "tokenizer.chat_template": tokenizer.template}


def cutting_rule(tokenizer: Tokenizer) -> str:
    """The name of the rule by which a byte-level tokenizer cuts text before merging. UserError where it has none."""
    own = _plain(tokenizer.backend.pre_tokenizer)
    for rule in dict.fromkeys(SAME.values()):
        if _plain(_cutter(rule)) == own:
            return rule
    raise UserError(
        "The tokenizer cuts text by a rule that GGUF has no name for, so the file would be read to other ids.",
        f"Known are the rules of {', '.join(dict.fromkeys(SAME.values()))}.",
    )


def _plain(cutter: Any) -> str:
    """A pre-tokenizer's settings but for that of offsets, which has no part in the ids."""
    return part_state(cutter).replace('"trim_offsets":true', '"trim_offsets":false')


def _type(tokenizer: Tokenizer, id: int, spelled: Mapping[int, str], unknown: str | None) -> int:
    if id not in spelled:
        return UNUSED
    if not tokenizer.byte_level and spelled[id] == unknown:
        return UNKNOWN
    if id in tokenizer.added:
        return CONTROL if tokenizer.added[id].special else USER_DEFINED
    return BYTE if not tokenizer.byte_level and spelled[id].startswith("<0x") else NORMAL


def _scores(merges: list[list[str]], spelled: Mapping[int, str], rows: int) -> list[float]:
    """Scores that rank pieces as the merges do: a piece counts as the first merge that makes it."""
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(merges):
        ranks.setdefault("".join(merge), rank)
    return [-float(ranks.get(spelled.get(id, ""), len(merges))) for id in range(rows)]


def _id(fields: Mapping[str, Any], name: str, count: int) -> int | None:
    id = fields.get(f"{_KEY}{name}_token_id")
    return int(id) if id is not None and 0 <= int(id) < count else None
