"""Ids, text and streams: as transformers gives them, through every kind of file, and no character cut in half."""

from __future__ import annotations

import json
from pathlib import Path
from unicodedata import normalize

import pytest
import transformers
from tokenizers import AddedToken, models, pre_tokenizers
from tokenizers import Tokenizer as Backend
from tsuite.core.errors import UserError
from tsuite.domains.text.tokenizer import Tokenizer, match_rows, part_state
from tsuite.domains.text.tokenizer_gguf import REGEXES, SAME, cutting_rule, read_fields, write_fields

from .models import TEMPLATE, TEXTS, byte_level, save_tokenizer, sentencepiece

HARD = [
    *TEXTS,
    "",
    " ",
    "\n\n",
    "ÿ\x00\x7f",
    "I'LL 12345 ½ ²",
    "word<|im_end|>word",
    "</s><s>",
    "é\u0065\u0301",
    "𠜎 繁體",
]
RULES = ("gpt-2", "smollm", "qwen2", "llama-bpe")


def make(folder: Path, rule: str) -> tuple[Tokenizer, Backend]:
    if rule == "sentencepiece":
        backend = sentencepiece()
        save_tokenizer(folder, backend, end="</s>", bos_token="<s>", unk_token="<unk>")
    else:
        backend = byte_level(rule)
        save_tokenizer(folder, backend)
    return Tokenizer.from_folder(folder), backend


@pytest.fixture(params=[*RULES, "sentencepiece"])
def tokenizer(request: pytest.FixtureRequest, tmp_path: Path) -> Tokenizer:
    return make(tmp_path, request.param)[0]


@pytest.fixture
def chatml(tmp_path: Path) -> Tokenizer:
    return make(tmp_path, "gpt-2")[0]


def ids_of(tokenizer: Tokenizer) -> dict[str, object]:
    """Everything that decides about ids, to compare two of them."""
    return {
        "plain": [tokenizer.encode(text) for text in HARD],
        "special": [tokenizer.encode_special(text) for text in HARD],
        "ids": (tokenizer.bos_id, tokenizer.end_id, tokenizer.pad_id, tokenizer.stop_ids, len(tokenizer)),
        "template": tokenizer.template,
    }


@pytest.mark.parametrize("rule", [*RULES, "sentencepiece"])
def test_ids_equal_transformers(rule: str, tmp_path: Path) -> None:
    ours, _ = make(tmp_path, rule)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in HARD:
        assert ours.encode_special(text) == theirs.encode(text, add_special_tokens=False), text
        literal = theirs.encode(text, add_special_tokens=False, split_special_tokens=True)
        assert ours.encode(text) == literal, text


def test_saved_and_read_again(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "again")
    again = Tokenizer.from_folder(tmp_path / "again")
    assert ids_of(again) == ids_of(tokenizer)
    assert again.sha256 == tokenizer.sha256
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "again")
    for text in HARD:
        assert tokenizer.encode_special(text) == theirs.encode(text, add_special_tokens=False), text
    assert (theirs.eos_token_id, theirs.pad_token_id) == (tokenizer.end_id, tokenizer.pad_id)
    assert theirs.chat_template == tokenizer.template


@pytest.mark.parametrize("rule", [*RULES, "sentencepiece"])
def test_through_gguf_metadata(rule: str, tmp_path: Path) -> None:
    ours, _ = make(tmp_path, rule)
    fields = write_fields(ours, 500)
    assert len(fields["tokenizer.ggml.tokens"]) == len(fields["tokenizer.ggml.token_type"]) == 500
    assert ids_of(read_fields(fields)) == ids_of(ours)


def test_text_survives(tokenizer: Tokenizer) -> None:
    for text in HARD:
        composes = "NFC" in part_state(tokenizer.backend.normalizer)  # Qwen joins letters and accents
        assert tokenizer.decode(tokenizer.encode(text)) == (normalize("NFC", text) if composes else text)


def test_decoding_equals_the_library(tokenizer: Tokenizer) -> None:
    """Also where a text is cut in the middle of a character; there the library's SentencePiece gives up whole ones."""
    for text in HARD:
        ids = tokenizer.encode_special(text)
        for cut in range(len(ids) + 1):
            expected = tokenizer.backend.decode(ids[:cut])
            assert tokenizer.decode(ids[:cut]) == expected or ("\ufffd" in expected and not tokenizer.byte_level)


def test_the_stream_never_gives_half_a_character(tokenizer: Tokenizer) -> None:
    for text in TEXTS:
        stream, shown = tokenizer.stream(), ""
        ids = tokenizer.encode(text)
        for id in ids:
            shown += stream.push(id)
            assert "\ufffd" not in shown
            assert text.startswith(shown)
        assert shown + stream.flush() == text


def test_a_broken_character_shows_at_the_end(chatml: Tokenizer) -> None:
    stream = chatml.stream()
    ids = chatml.encode("𠜎")
    assert len(ids) == 4
    assert [stream.push(id) for id in ids[:-1]] == [""] * (len(ids) - 1)
    assert stream.flush() == "\ufffd"
    assert stream.flush() == ""
    bad = chatml.stream()
    letter = chatml.encode("a")[0]
    assert bad.push(ids[0]) + bad.push(letter) == "\ufffda"


def test_a_typed_special_token_stays_text(tokenizer: Tokenizer) -> None:
    end = tokenizer.token(tokenizer.end_id)
    typed = f"Ignore this{end}and go on"
    assert tokenizer.end_id not in tokenizer.encode(typed)
    assert tokenizer.end_id not in tokenizer.encode_batch([typed])[0]
    assert tokenizer.decode(tokenizer.encode(typed)) == typed
    assert tokenizer.end_id in tokenizer.encode_special(typed)
    assert tokenizer.encode_batch(HARD) == [tokenizer.encode(text) for text in HARD]


def test_marks_that_a_file_does_not_call_special_are_so_all_the_same(tmp_path: Path) -> None:
    backend = byte_level()
    backend.add_tokens([AddedToken("<|fim_prefix|>", normalized=False), AddedToken("    ", normalized=False)])
    tokenizer = Tokenizer.from_folder(save_tokenizer(tmp_path, backend))
    assert 350 not in tokenizer.encode("<|fim_prefix|>")
    assert 351 in tokenizer.encode("a    b")
    assert tokenizer.encode_special("<|fim_prefix|>") == [350]
    assert tokenizer.decode([350, 351]) == "    "


def test_special_tokens_and_unknown_ids_leave_no_text(chatml: Tokenizer) -> None:
    a = chatml.encode("a")[0]
    assert chatml.decode([chatml.end_id, a, 10_000, chatml.pad_id]) == "a"


@pytest.mark.parametrize(
    ("settings", "pad"),
    [
        ({}, "<|endoftext|>"),
        ({"pad_token": "<|im_start|>"}, "<|im_start|>"),
        ({"pad_token": "<|im_end|>"}, "<|endoftext|>"),  # the end token, which has to be learnt
    ],
)
def test_padding_is_never_the_end(settings: dict[str, str], pad: str, tmp_path: Path) -> None:
    save_tokenizer(tmp_path, byte_level(), **settings)
    tokenizer = Tokenizer.from_folder(tmp_path)
    assert tokenizer.token(tokenizer.pad_id) == pad
    assert tokenizer.pad_id != tokenizer.end_id


def test_a_padding_token_is_added_where_none_is_to_spare(tmp_path: Path) -> None:
    save_tokenizer(tmp_path, byte_level(), end="<|endoftext|>")
    tokenizer = Tokenizer.from_folder(tmp_path)
    assert tokenizer.pad_id == len(tokenizer) - 1 == 350
    assert tokenizer.token(tokenizer.pad_id) == "<|pad|>"
    match_rows(tokenizer, 351, "a checkpoint")
    with pytest.raises(UserError, match="Tokenizer and checkpoint do not match"):
        match_rows(tokenizer, 350, "a checkpoint")


def test_the_older_pair_of_files(tmp_path: Path) -> None:
    """vocab.json and merges.txt with added tokens, as GPT-2 and CodeGen (phi) came."""
    backend = byte_level()
    backend.encode_special_tokens = True
    backend.model.save(str(tmp_path))
    spaces = {"    ": 350, "  ": 351}
    (tmp_path / "added_tokens.json").write_text(json.dumps(spaces))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|endoftext|>", "bos_token": None}))
    tokenizer = Tokenizer.from_folder(tmp_path)
    backend.add_tokens([AddedToken(space, normalized=True) for space in spaces])
    for text in [*HARD, "a     b", "  if"]:
        assert tokenizer.encode(text) == backend.encode(text, add_special_tokens=False).ids
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert 350 in tokenizer.encode("a     b")
    assert tokenizer.end_id == backend.token_to_id("<|endoftext|>")
    assert tokenizer.pad_id == 352

    (tmp_path / "added_tokens.json").write_text(json.dumps({"    ": 360}))
    with pytest.raises(UserError, match="360"):
        Tokenizer.from_folder(tmp_path)


def test_end_tokens_of_every_spelling(tmp_path: Path) -> None:
    save_tokenizer(tmp_path, byte_level())
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 0]}))
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    config["eos_token"] = {"content": "<|im_end|>", "__type": "AddedToken"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    assert Tokenizer.from_folder(tmp_path).stop_ids == {0, 2}
    del config["eos_token"]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    assert Tokenizer.from_folder(tmp_path).end_id == 2
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": 0}))
    assert Tokenizer.from_folder(tmp_path).end_id == 0


@pytest.mark.parametrize("form", ["jinja", "json", "list", "inside"])
def test_chat_templates_of_every_form(form: str, tmp_path: Path) -> None:
    save_tokenizer(tmp_path, byte_level())
    (tmp_path / "chat_template.jinja").unlink(missing_ok=True)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text()) | {"chat_template": None}
    if form == "jinja":
        (tmp_path / "chat_template.jinja").write_text(TEMPLATE)
    elif form == "json":
        (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    else:
        several = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": TEMPLATE}]
        config["chat_template"] = several if form == "list" else TEMPLATE
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    assert Tokenizer.from_folder(tmp_path).template == TEMPLATE


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tokenizer\.json"):
        Tokenizer.from_folder(tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(b"\x0a")
    with pytest.raises(UserError, match=r"lone tokenizer\.model"):
        Tokenizer.from_folder(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        Tokenizer.from_folder(tmp_path)
    backend = Backend(models.WordPiece({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    backend.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "[UNK]"}))
    with pytest.raises(UserError, match="byte-level BPE"):
        Tokenizer.from_folder(tmp_path)


def test_rules_have_names() -> None:
    assert set(SAME.values()) == {*RULES} >= set(REGEXES)


def test_a_rule_without_a_name_is_not_written(chatml: Tokenizer) -> None:
    for rule in RULES:
        chatml.backend.pre_tokenizer = byte_level(rule).pre_tokenizer
        assert cutting_rule(chatml) == rule
    chatml.backend.pre_tokenizer = pre_tokenizers.Whitespace()
    with pytest.raises(UserError, match="no name"):
        write_fields(chatml, 400)


@pytest.mark.parametrize(("change", "named"), [({"pre": "tekken"}, "tekken"), ({"model": "bert"}, "bert")])
def test_unknown_gguf_tokenizers_are_named(change: dict[str, str], named: str, chatml: Tokenizer) -> None:
    fields = write_fields(chatml, 400) | {f"tokenizer.ggml.{key}": value for key, value in change.items()}
    with pytest.raises(UserError, match=named):
        read_fields(fields)


def test_the_end_cannot_pad(chatml: Tokenizer) -> None:
    with pytest.raises(ValueError, match="padding"):
        Tokenizer(backend=chatml.backend, end_id=2, pad_id=2)
