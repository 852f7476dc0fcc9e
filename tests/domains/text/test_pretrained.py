"""From files to a model: what transformers saved we load, conversions are kept, and what is damaged is refused."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch.testing import assert_close
from tsuite.core import checkpoint
from tsuite.core.errors import UserError
from tsuite.domains.text import gguf, pretrained
from tsuite.domains.text.export import write_gguf, write_hf
from tsuite.domains.text.pretrained import Foundation, load

from .models import CONFIGS, TEXTS, VOCABULARY, build, byte_level, logits, original, save_all, save_tokenizer, token_ids


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TSUITE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "converted"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_all(tmp_path / "hf", "llama, grouped and tied")
    return tmp_path / "hf"


@pytest.fixture
def file(tmp_path: Path, folder: Path) -> Path:
    found = load(folder, source="hf")
    write_gguf(tmp_path / "model.gguf", found.config, found.tensors, found.tokenizer)
    return tmp_path / "model.gguf"


def answer(found: Foundation) -> torch.Tensor:
    return logits(build(found.config, found.tensors), token_ids())


# -- folders ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONFIGS)
def test_what_transformers_saved(name: str, tmp_path: Path) -> None:
    theirs = save_all(tmp_path, name)
    found = load(tmp_path, source=name)
    assert_close(answer(found), logits(theirs, token_ids()), rtol=1e-4, atol=1e-4)
    assert found.source == name
    assert found.sha256 == checkpoint.digest(tmp_path / "model.safetensors")
    assert found.notices == ()


def test_the_precision_asked_for(folder: Path) -> None:
    half = load(folder, source="hf", dtype=torch.bfloat16).tensors
    assert {tensor.dtype for tensor in half.values()} == {torch.bfloat16}
    assert half["head.projection.weight"] is half["tokens.weight"], "tied weights stay one tensor"


def test_mixed_precisions_are_read_as_float32(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    mixed = {name: tensor.half() if tensor.ndim == 2 else tensor for name, tensor in tensors.items()}
    save_file(mixed, folder / "model.safetensors", {"format": "pt"})
    found = load(folder, source="hf")
    assert {tensor.dtype for tensor in found.tensors.values()} == {torch.float32}
    assert torch.equal(found.tensors["tokens.weight"], mixed["model.embed_tokens.weight"].float())


def test_several_files_with_an_index(tmp_path: Path) -> None:
    theirs = original("phi")
    theirs.save_pretrained(tmp_path, max_shard_size="40KB")
    save_tokenizer(tmp_path, byte_level())
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    found = load(tmp_path, source="shards")
    assert_close(answer(found), logits(theirs, token_ids()), rtol=1e-4, atol=1e-4)
    assert len(found.sha256) == 64


def test_pickled_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="Only safetensors"):
        load(folder, source="hf")


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.5, 0.999])
def test_safetensors_that_are_cut_short_are_refused(keep: float, folder: Path) -> None:
    path = folder / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(UserError, match=r"model\.safetensors cannot be read"):
        load(folder, source="hf")


def test_a_tokenizer_of_another_model_is_refused(folder: Path) -> None:
    save_tokenizer(folder, byte_level(size=390))
    load(folder, source="hf")
    backend = byte_level(size=390)
    backend.add_tokens([f"token{number}" for number in range(20)])
    save_tokenizer(folder, backend)
    with pytest.raises(UserError, match=f"do not match: hf has {VOCABULARY} rows"):
        load(folder, source="hf")


def test_another_family_is_named(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "rwkv"}))
    with pytest.raises(UserError, match="rwkv"):
        load(folder, source="hf")


def test_a_row_for_a_padding_token_that_had_to_be_added(tmp_path: Path) -> None:
    """GPT-2 has no token to spare, and no row either."""
    theirs = save_all(tmp_path, "gpt2")
    save_tokenizer(tmp_path, byte_level(size=350), end="<|endoftext|>")
    assert load(tmp_path, source="spare rows").config.vocabulary == VOCABULARY

    backend = byte_level(size=350)
    backend.add_tokens([f"<{number}>" for number in range(VOCABULARY - 350)])
    save_tokenizer(tmp_path, backend, end="<|endoftext|>")
    found = load(tmp_path, source="full")
    assert found.config.vocabulary == VOCABULARY + 1 == len(found.tokenizer)
    assert found.tokenizer.pad_id == VOCABULARY
    assert f"of the id {VOCABULARY}" in found.notices[0]
    ours = answer(found)
    assert_close(ours[..., :-1], logits(theirs, token_ids()), rtol=1e-4, atol=1e-4)
    assert torch.all(ours.argmax(-1) < VOCABULARY)


# -- GGUF files and the cache -----------------------------------------------------------------------------------------


def test_a_conversion_is_kept_and_used(file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(file, source="a")
    assert len([entry for entry in cache.iterdir() if entry.name != "hashes"]) == 1
    monkeypatch.setattr(gguf, "read", None)  # from here on it would fail
    monkeypatch.setattr(pretrained, "sha256_file", None)
    second = load(file, source="b")
    assert second.config == first.config
    assert second.tensors.keys() == first.tensors.keys()
    assert all(torch.equal(second.tensors[key], value) for key, value in first.tensors.items())
    assert second.tensors["head.projection.weight"] is second.tensors["tokens.weight"]
    assert second.tokenizer.sha256 == first.tokenizer.sha256
    assert (second.source, second.sha256) == ("b", first.sha256)
    assert [second.tokenizer.encode(text) for text in TEXTS] == [first.tokenizer.encode(text) for text in TEXTS]


def test_a_file_that_changed_is_converted_anew(file: Path, folder: Path) -> None:
    first = load(file, source="a")
    found = load(folder, source="hf")
    doubled = {name: tensor * 2 for name, tensor in found.tensors.items()}
    write_gguf(file, found.config, doubled, found.tokenizer)
    second = load(file, source="a")
    assert second.sha256 != first.sha256
    assert_close(second.tensors["tokens.weight"], first.tensors["tokens.weight"] * 2)


@pytest.mark.parametrize("damage", ["truncated", "missing", "config", "tokenizer", "manifest"])
def test_a_damaged_entry_is_made_anew(damage: str, file: Path, cache: Path) -> None:
    first = load(file, source="a")
    entry = next(entry for entry in cache.iterdir() if entry.name != "hashes")
    if damage == "truncated":
        os.truncate(entry / "model.safetensors", 1000)
    elif damage == "missing":
        (entry / "tokenizer.json").unlink()
    else:
        target = entry / {"config": "config.json", "tokenizer": "tokenizer.json", "manifest": "manifest.json"}[damage]
        target.write_bytes(b"{" + b" " * (target.stat().st_size - 1))
    again = load(file, source="a")
    assert all(torch.equal(again.tensors[key], value) for key, value in first.tensors.items())
    checkpoint.verify(entry)


def test_a_damaged_memo_of_hashes_is_no_matter(file: Path, cache: Path) -> None:
    first = load(file, source="a")
    for memo in (cache / "hashes").iterdir():
        memo.write_text("[1]")
    assert load(file, source="a").sha256 == first.sha256


def test_a_cache_that_cannot_be_written(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "taken").write_text("a file where the folder would be")
    monkeypatch.setenv("TSUITE_CACHE", str(tmp_path / "taken"))
    found = load(file, source="a")
    assert "could not be kept" in found.notices[0]
    assert answer(found).isfinite().all()


def test_a_folder_with_a_gguf_file(file: Path, tmp_path: Path) -> None:
    (tmp_path / "only").mkdir()
    shutil.copy(file, tmp_path / "only" / "a.gguf")
    assert load(tmp_path / "only", source="a").config.family == "llama"
    shutil.copy(file, tmp_path / "only" / "b.gguf")
    with pytest.raises(UserError, match=r"a\.gguf, b\.gguf"):
        load(tmp_path / "only", source="a")


# -- export -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONFIGS)
def test_an_exported_folder_is_what_transformers_loads(name: str, tmp_path: Path) -> None:
    save_all(tmp_path / "in", name)
    found = load(tmp_path / "in", source=name)
    write_hf(tmp_path / "out", found.config, found.tensors, found.tokenizer, torch.float32)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype="auto").eval()
    assert theirs.dtype == torch.float32
    assert_close(logits(theirs, token_ids()), answer(found), rtol=1e-4, atol=1e-4)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    for text in TEXTS:
        assert tokenizer.encode(text, add_special_tokens=False) == found.tokenizer.encode_special(text)
    generation = theirs.generation_config
    assert set(generation.eos_token_id) == found.tokenizer.stop_ids
    assert generation.pad_token_id == found.tokenizer.pad_id
    turns = [{"role": "user", "content": "今天"}]
    assert tokenizer.apply_chat_template(turns, tokenize=False) == "<|im_start|>user\n今天<|im_end|>\n"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_an_exported_folder_in_half_precision(dtype: torch.dtype, folder: Path, tmp_path: Path) -> None:
    found = load(folder, source="hf")
    write_hf(tmp_path / "out", found.config, found.tensors, found.tokenizer, dtype)
    checkpoint.verify(tmp_path / "out")
    again = load(tmp_path / "out", source="out")
    assert again.config == found.config
    assert all(torch.equal(again.tensors[key], value.to(dtype)) for key, value in found.tensors.items())
    assert again.tokenizer.sha256 == found.tokenizer.sha256
    assert transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype="auto").dtype == dtype
