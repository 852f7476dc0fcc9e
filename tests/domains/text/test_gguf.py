"""GGUF files: what we write the `gguf` package reads back equal, and so do we; what is damaged is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from gguf.quants import dequantize, quantize
from torch.testing import assert_close
from tsuite.core import checkpoint
from tsuite.core.errors import UserError
from tsuite.domains.text import families
from tsuite.domains.text.gguf import Contents, Kind, read, write_gguf
from tsuite.domains.text.pretrained import Foundation, load

from .models import CONFIGS, TEXTS, build, logits, save_all, sentencepiece, token_ids

TYPES = {"f16": gguf.GGMLQuantizationType.F16, "q8_0": gguf.GGMLQuantizationType.Q8_0}
ARCHITECTURES = {"phi": "phi2", "llama": "llama", "gpt2": "gpt2"}


def foundation(folder: Path, name: str) -> Foundation:
    save_all(folder, name)
    return load(folder, source=name)


def written(folder: Path, name: str, kind: Kind) -> tuple[Foundation, Path]:
    found = foundation(folder / "hf", name)
    path = folder / f"{kind}.gguf"
    write_gguf(path, found.config, found.tensors, found.tokenizer, kind)
    return found, path


def halved(found: Foundation) -> dict[str, torch.Tensor]:
    """The weights as a file in half precision keeps them: matrices rounded, the rest as it is."""
    whole = {"positions.weight"}
    return {
        name: tensor if tensor.ndim < 2 or name in whole else tensor.half().float()
        for name, tensor in found.tensors.items()
    }


@pytest.mark.parametrize("name", CONFIGS)
def test_our_reader_gives_the_same_model(name: str, tmp_path: Path) -> None:
    found, path = written(tmp_path, name, "f16")
    again = read(path)
    assert again.config == found.config
    expected = halved(found)
    assert again.tensors.keys() == expected.keys()
    assert all(torch.equal(again.tensors[key], value) for key, value in expected.items())
    ids = token_ids()
    assert torch.equal(logits(build(again.config, again.tensors), ids), logits(build(found.config, expected), ids))
    assert_same_tokenizer(again, found)


def assert_same_tokenizer(again: Contents, found: Foundation) -> None:
    ours, theirs = again.tokenizer, found.tokenizer
    assert [ours.encode(text) for text in TEXTS] == [theirs.encode(text) for text in TEXTS]
    assert (ours.end_id, ours.pad_id, ours.stop_ids) == (theirs.end_id, theirs.pad_id, theirs.stop_ids)
    assert ours.template == theirs.template
    assert len(ours) == len(theirs)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", ["phi", "llama, grouped and tied", "gpt2"])
def test_the_package_reads_back_what_we_wrote(name: str, kind: Kind, tmp_path: Path) -> None:
    found, path = written(tmp_path, name, kind)
    reader = gguf.GGUFReader(path)
    expected = found.config.write_gguf(found.tensors)
    assert {tensor.name for tensor in reader.tensors} == set(expected)
    kinds = set()
    for tensor in reader.tensors:
        values = expected[tensor.name].numpy()
        whole = values.ndim == 1 or tensor.name == "position_embd.weight"
        wanted = gguf.GGMLQuantizationType.F32 if whole else TYPES[kind]
        kinds.add(wanted)
        assert tensor.tensor_type == wanted, tensor.name
        assert np.array_equal(tensor.data, quantize(values, wanted)), tensor.name
    assert len(kinds) == 2
    text = reader.fields["general.architecture"].contents()
    assert text == ARCHITECTURES[name.split(",", maxsplit=1)[0]]


def test_eight_bits_are_close(tmp_path: Path) -> None:
    found, path = written(tmp_path, "phi", "q8_0")
    again = read(path)
    ids = token_ids()
    ours, expected = logits(build(again.config, again.tensors), ids), logits(build(found.config, found.tensors), ids)
    assert 0 < (ours - expected).abs().max() < 0.1 * expected.std()


@pytest.mark.parametrize(("name", "pre"), [("phi", "phi-2"), ("llama", "gpt-2"), ("qwen2", "qwen2"), ("gpt2", "gpt-2")])
def test_the_rule_for_cutting_text_is_named(name: str, pre: str, tmp_path: Path) -> None:
    fields = gguf.GGUFReader(written(tmp_path, name, "f16")[1]).fields
    assert fields["tokenizer.ggml.pre"].contents() == pre
    types = fields["tokenizer.ggml.token_type"].contents()
    assert types[:3] == [gguf.TokenType.CONTROL] * 3
    assert types[350:] == [gguf.TokenType.UNUSED] * 50
    assert fields["tokenizer.ggml.padding_token_id"].contents() != fields["tokenizer.ggml.eos_token_id"].contents()


def test_other_quantisations_are_read(tmp_path: Path) -> None:
    """Q4_1 and Q4_0 blocks, and bfloat16, as a converter would have written them."""
    found = foundation(tmp_path / "hf", "llama")
    write_gguf(tmp_path / "plain.gguf", found.config, found.tensors, found.tokenizer)
    plain = gguf.GGUFReader(tmp_path / "plain.gguf")
    kinds = [getattr(gguf.GGMLQuantizationType, kind) for kind in ("Q4_1", "Q4_0", "BF16", "Q5_0")]
    writer = gguf.GGUFWriter(tmp_path / "mixed.gguf", "llama")
    for field in plain.fields.values():
        if not field.name.startswith("GGUF.") and field.name != "general.architecture":
            sub_type = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(field.name, field.contents(), field.types[0], sub_type)
    expected = {}
    for index, tensor in enumerate(plain.tensors):
        values = dequantize(tensor.data, tensor.tensor_type)
        kind = kinds[index % len(kinds)] if values.ndim == 2 else gguf.GGMLQuantizationType.F32
        packed = quantize(values, kind)
        writer.add_tensor(tensor.name, packed, raw_dtype=kind)
        expected[tensor.name] = torch.from_numpy(np.array(dequantize(packed, kind)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    again = read(tmp_path / "mixed.gguf")
    ours = found.config.read_gguf(expected)
    assert all(torch.equal(again.tensors[key], value) for key, value in ours.items())


def test_fused_projections_of_older_phi_files(tmp_path: Path) -> None:
    found = foundation(tmp_path, "phi")
    theirs = found.config.write_gguf(found.tensors)
    for layer in range(found.config.depth):
        for kind in ("weight", "bias"):
            parts = [theirs.pop(f"blk.{layer}.attn_{part}.{kind}") for part in "qkv"]
            theirs[f"blk.{layer}.attn_qkv.{kind}"] = torch.cat(parts)
    again = found.config.read_gguf(theirs)
    assert all(torch.equal(again[key], value) for key, value in found.tensors.items())


def test_sentencepiece_models(tmp_path: Path) -> None:
    from .models import original, save_tokenizer

    original("llama").save_pretrained(tmp_path / "hf")
    save_tokenizer(tmp_path / "hf", sentencepiece(), end="</s>", bos_token="<s>")
    found = load(tmp_path / "hf", source="sp")
    write_gguf(tmp_path / "sp.gguf", found.config, found.tensors, found.tokenizer)
    assert_same_tokenizer(read(tmp_path / "sp.gguf"), found)


@pytest.mark.parametrize("keep", [0.0, 0.001, 0.3, 0.6, 0.999])
def test_a_file_that_is_cut_short_is_refused(keep: float, tmp_path: Path) -> None:
    _, path = written(tmp_path, "llama", "f16")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(UserError, match=r"f16\.gguf cannot be read as GGUF"):
        load(path, source="cut")


def test_what_is_no_gguf_or_of_another_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"PK\x03\x04" * 100)
    with pytest.raises(UserError, match="cannot be read as GGUF"):
        load(tmp_path / "a.gguf", source="zip")
    writer = gguf.GGUFWriter(tmp_path / "b.gguf", "mamba")
    writer.add_tensor("token_embd.weight", np.zeros((4, 4), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(UserError, match="mamba"):
        load(tmp_path / "b.gguf", source="mamba")
    with pytest.raises(UserError, match="yarn"):
        families.from_gguf(
            {
                "general.architecture": "llama",
                "llama.attention.head_count": 4,
                "llama.embedding_length": 32,
                "llama.block_count": 1,
                "llama.feed_forward_length": 8,
                "llama.context_length": 8,
                "llama.attention.layer_norm_rms_epsilon": 1e-5,
                "llama.rope.scaling.type": "yarn",
            },
            {"token_embd.weight": torch.zeros(4, 32)},
        )


def test_a_failed_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = foundation(tmp_path / "hf", "llama")
    target = tmp_path / "out" / "model.gguf"
    target.parent.mkdir()
    target.write_text("the former one")

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "flush", full)
    with pytest.raises(UserError, match="No space left"):
        write_gguf(target, found.config, found.tensors, found.tokenizer)
    assert target.read_text() == "the former one"
    assert [path.name for path in target.parent.iterdir()] == ["model.gguf"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "phi, turning less"])
def test_llama_cpp_answers_the_same(name: str, kind: Kind, tmp_path: Path) -> None:
    llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    _, path = written(tmp_path, name, kind)
    shutil.rmtree(tmp_path / "hf")
    contents = read(path)
    ours = build(contents.config, contents.tensors)
    theirs = llama_cpp.Llama(model_path=str(path), n_ctx=64, n_threads=1, logits_all=True, verbose=False)
    for text in TEXTS:
        assert theirs.tokenize(text.encode(), add_bos=False, special=False) == contents.tokenizer.encode(text), text
    ids = contents.tokenizer.encode(TEXTS[0])[:12]
    theirs.eval(ids)
    # where weights are of 8 bits llama.cpp rounds what they are multiplied with too: only clear choices are the same
    noise = 0.05 if kind == "f16" else 0.2
    for _ in range(16):
        expected = torch.tensor(theirs._scores[-1])
        answer = logits(ours, torch.tensor([ids]))[0, -1]
        assert_close(answer, expected, rtol=0, atol=noise * float(expected.std()))
        best, second = answer.topk(2).values
        assert int(expected.argmax()) == int(answer.argmax()) or best - second < noise * expected.std()
        ids.append(int(answer.argmax()))
        theirs.eval(ids[-1:])
    theirs.close()
