"""A tokenizer in a folder, as Hugging Face's repositories hold it.

tokenizer.json                      everything about ids (or vocab.json + merges.txt + added_tokens.json, older)
tokenizer_config.json               names of the end, begin and padding tokens, the chat template
generation_config.json              ids that end a reply
chat_template.jinja, .json          the chat template, where it is a file of its own
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import UserError, missing_extra
from ...core.pretrained import read_json
from .tokenizer import Tokenizer, part_state

if TYPE_CHECKING:
    import tokenizers

FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
)
ENDS = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<|end|>", "</s>")
"""Special tokens that end a reply by their very name."""
PADS = ("<|pad|>", "<pad>", "[PAD]", "<|finetune_right_pad_id|>", "<unk>", "<|endoftext|>")
"""Special tokens that may fill up batches, best first."""
_MARK = re.compile(r"<\|\w+\|>")
"""What only ever is a special token, though some files do not say so: a person who types it means the text."""
PAD = "<|pad|>"
"""The padding token that is added where a tokenizer has none to spare."""


def library() -> Any:
    """The `tokenizers` package. UserError where it is not installed."""
    try:
        import tokenizers
    except ModuleNotFoundError:
        raise missing_extra("tokenizers", "text") from None
    return tokenizers


def read_folder(folder: Path) -> Tokenizer:
    """See `Tokenizer.from_folder`."""
    config = _json(folder / "special_tokens_map.json") | _json(folder / "tokenizer_config.json")
    generation = _json(folder / "config.json") | _json(folder / "generation_config.json")
    backend = _backend(folder, config)
    ids = {kind: _id(backend, config.get(f"{kind}_token")) for kind in ("bos", "eos", "pad")}
    stops = _ids(generation.get("eos_token_id"))
    return assemble(
        backend,
        bos=ids["bos"],
        end=ids["eos"] if ids["eos"] is not None else next(iter(stops), None),
        pad=ids["pad"],
        stops=stops,
        template=_template(folder, config),
        source=str(folder),
    )


def assemble(
    backend: tokenizers.Tokenizer,
    *,
    bos: int | None,
    end: int | None,
    pad: int | None,
    stops: Iterable[int],
    template: str | None,
    source: str,
) -> Tokenizer:
    """A tokenizer of these parts, what is not stated found by the usual names, a padding token added if need be."""
    added = backend.get_added_tokens_decoder().values()
    marks = [token.content for token in added if not token.special and _MARK.fullmatch(token.content)]
    backend.add_special_tokens([_special(mark) for mark in marks])
    special = {token.content: id for id, token in backend.get_added_tokens_decoder().items() if token.special}
    named = [special[name] for name in ENDS if name in special]
    if end is None:
        end = next((special[name] for name in reversed(ENDS) if name in special), None)
    if end is None:
        raise UserError(f"{source} names no end token.", "Add eos_token to its tokenizer_config.json.")
    if pad is None or pad == end:
        pad = next((special[name] for name in PADS if name in special and special[name] != end), None)
    if pad is None:
        backend.add_special_tokens([_special(PAD)])
        pad = backend.token_to_id(PAD)
        assert pad is not None
    kept = {id for id in (bos, end, pad, *stops) if id is not None}
    plain = [backend.id_to_token(id) for id in sorted(kept) if backend.id_to_token(id) not in special]
    backend.add_special_tokens([_special(token) for token in plain if token])
    tokenizer = Tokenizer(
        backend=backend, bos_id=bos, end_id=end, pad_id=pad, stop_ids=frozenset({*stops, *named}), template=template
    )
    if not tokenizer.byte_level and "ByteFallback" not in part_state(backend.decoder):
        raise UserError(
            f"{source} holds a tokenizer of a kind that is not supported.",
            "Supported: byte-level BPE (as GPT-2) and SentencePiece BPE with byte fallback (as Llama).",
        )
    return tokenizer


def write_folder(tokenizer: Tokenizer, folder: Path) -> None:
    """See `Tokenizer.save`."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.backend.save(str(folder / "tokenizer.json"))
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": tokenizer.token(tokenizer.end_id),
        "pad_token": tokenizer.token(tokenizer.pad_id),
        "clean_up_tokenization_spaces": False,
    }
    if tokenizer.bos_id is not None:
        config["bos_token"] = tokenizer.token(tokenizer.bos_id)
    if tokenizer.template is not None:
        config["chat_template"] = tokenizer.template
    _write(folder / "tokenizer_config.json", config)
    _write(folder / "generation_config.json", generation_settings(tokenizer))


def generation_settings(tokenizer: Tokenizer) -> dict[str, Any]:
    """What a generation_config.json says of a tokenizer: the ids that end a reply, that one first which is learnt."""
    others = sorted(tokenizer.stop_ids - {tokenizer.end_id})
    ids: dict[str, Any] = {"eos_token_id": [tokenizer.end_id, *others], "pad_token_id": tokenizer.pad_id}
    return {**ids, **({} if tokenizer.bos_id is None else {"bos_token_id": tokenizer.bos_id})}


# -- the pieces -------------------------------------------------------------------------------------------------------


def _backend(folder: Path, config: Mapping[str, Any]) -> tokenizers.Tokenizer:
    package = library()
    whole, vocab, merges = folder / "tokenizer.json", folder / "vocab.json", folder / "merges.txt"
    try:
        if whole.is_file():
            return package.Tokenizer.from_file(str(whole))
        if vocab.is_file() and merges.is_file():
            return _from_merges(package, folder, config)
    except UserError:
        raise
    except Exception as error:  # the package raises bare Exceptions for whatever is wrong with a file
        raise UserError(f"The tokenizer in {folder} cannot be read ({error}).", "Is the file whole?") from None
    hint = "It needs tokenizer.json, or vocab.json and merges.txt."
    if (folder / "tokenizer.model").is_file():
        hint += " A lone tokenizer.model is not read: save the tokenizer with transformers once to get tokenizer.json."
    raise UserError(f"{folder} holds no tokenizer.", hint)


def _from_merges(package: Any, folder: Path, config: Mapping[str, Any]) -> tokenizers.Tokenizer:
    """GPT-2's older pair of files, with the added tokens of CodeGen (phi) and others."""
    backend = package.Tokenizer(package.models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt")))
    backend.pre_tokenizer = package.pre_tokenizers.ByteLevel(add_prefix_space=bool(config.get("add_prefix_space")))
    backend.decoder = package.decoders.ByteLevel()
    listed = {int(id): dict(token) for id, token in (config.get("added_tokens_decoder") or {}).items()}
    for content, id in _json(folder / "added_tokens.json").items():
        listed.setdefault(int(id), {"content": content, "normalized": True})
    for name in ("bos_token", "eos_token", "unk_token", "pad_token"):
        content = _content(config.get(name))
        id = backend.token_to_id(content) if content else None
        if content and id is not None:
            listed.setdefault(id, {"content": content, "special": True, "normalized": False})
    add_in_order(backend, [(id, package.AddedToken(**token)) for id, token in sorted(listed.items())], str(folder))
    return backend


def add_in_order(
    backend: tokenizers.Tokenizer, tokens: Iterable[tuple[int, tokenizers.AddedToken]], source: str
) -> None:
    """Add tokens whose ids are given. UserError where the numbering has a hole, so that one would get another id."""
    tokens = list(tokens)
    backend.add_tokens([token for _, token in tokens])
    for id, token in tokens:
        if backend.token_to_id(token.content) != id:
            raise UserError(
                f"{source} gives the added token {token.content!r} the id {id}, where the next free one is "
                f"{backend.token_to_id(token.content)}.",
                "Vocabulary and added tokens do not belong together.",
            )


def _template(folder: Path, config: Mapping[str, Any]) -> str | None:
    own = folder / "chat_template.jinja"
    if own.is_file():
        return own.read_text(encoding="utf-8")
    found = _json(folder / "chat_template.json").get("chat_template") or config.get("chat_template")
    if isinstance(found, list):  # several by name
        named = {entry["name"]: entry["template"] for entry in found}
        return named.get("default", next(iter(named.values()), None))
    return found


def _id(backend: tokenizers.Tokenizer, token: Any) -> int | None:
    content = _content(token)
    return backend.token_to_id(content) if content else None


def _content(token: Any) -> str | None:
    """A token that is written as text, or as a dict with its `content`."""
    return token.get("content") if isinstance(token, Mapping) else token


def _ids(value: Any) -> list[int]:
    if value is None:
        return []
    return [int(id) for id in value] if isinstance(value, list) else [int(value)]


def _special(content: str) -> tokenizers.AddedToken:
    return library().AddedToken(content, special=True, normalized=False)


def _json(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _write(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
