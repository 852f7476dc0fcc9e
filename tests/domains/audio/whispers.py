"""Whisper checkpoints as others write them: tiny, random, with a tokenizer made on the spot."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from tsuite.domains.audio.whisper.tables import CTRANSLATE2, HEAD, OPENAI

TEXT = ("He was not an ill-disposed young man.", " The number is in service: please hold on!", " déjà vu, 你好。")
LANGUAGES = ("en", "de", "zh")
LENGTH = 100
"""Positions of the tiny encoder: two seconds."""


def tokenizer(*, timestamps: int = LENGTH + 1) -> Tokenizer:
    """Byte-pairs of a few sentences, and Whisper's special tokens in their order."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    backend.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet))
    tasks = ("translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps")
    names = ["<|endoftext|>", "<|startoftranscript|>", *(f"<|{name}|>" for name in (*LANGUAGES, *tasks))]
    backend.add_special_tokens([AddedToken(name, normalized=False) for name in names])
    times = [AddedToken(f"<|{step * 0.02:.2f}|>", normalized=False) for step in range(timestamps)]
    backend.add_special_tokens(times)
    return backend


def reference(*, length: int = LENGTH, seed: int = 0) -> transformers.WhisperForConditionalGeneration:
    """transformers' model, random, with weights large enough that outputs differ from one another."""
    torch.manual_seed(seed)
    backend = tokenizer(timestamps=length + 1)
    end = int(backend.token_to_id("<|endoftext|>") or 0)
    config = transformers.WhisperConfig(
        vocab_size=backend.get_vocab_size(), num_mel_bins=16, d_model=32, encoder_layers=2, decoder_layers=3,
        encoder_attention_heads=2, decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=40,
        max_source_positions=length, max_target_positions=64, pad_token_id=end, bos_token_id=end, eos_token_id=end,
        decoder_start_token_id=end + 1, suppress_tokens=None, begin_suppress_tokens=None,
    )  # fmt: skip
    model = transformers.WhisperForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "encoder.embed_positions" not in name:
                nn.init.normal_(value, std=0.25)
    generation: Any = model.generation_config
    generation.is_multilingual = True
    generation.suppress_tokens, generation.begin_suppress_tokens = [3, 7, end + 2], [9, end]
    generation.no_timestamps_token_id = backend.token_to_id("<|notimestamps|>")
    generation.lang_to_id = {f"<|{code}|>": backend.token_to_id(f"<|{code}|>") for code in LANGUAGES}
    generation.task_to_id = {task: backend.token_to_id(f"<|{task}|>") for task in ("transcribe", "translate")}
    generation.max_initial_timestamp_index = 50
    generation.eos_token_id = generation.pad_token_id = end
    generation.decoder_start_token_id = end + 1
    generation.alignment_heads = [[1, 0], [2, 3]]
    return model


def hf_folder(folder: Path, model: transformers.WhisperForConditionalGeneration) -> Path:
    """A folder as the hub holds it."""
    model.save_pretrained(folder)
    tokenizer(timestamps=model.config.max_source_positions + 1).save(str(folder / "tokenizer.json"))
    return folder


def openai_tensors(ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Under OpenAI's names, which have no bias of keys."""
    theirs = OPENAI.to_theirs({key: tensor for key, tensor in ours.items() if key != HEAD})
    return {key: tensor for key, tensor in theirs.items() if not key.endswith("key.bias")}


def binary(ours: Mapping[str, Tensor], *, heads: int, text_heads: int, kind: str = "float32") -> bytes:
    """CTranslate2's model.bin, version 6; matrices of `kind` float32, float16 or int8."""
    theirs = CTRANSLATE2.to_theirs({key: tensor for key, tensor in ours.items() if key != HEAD})
    theirs = dict(_stored(theirs, kind))
    theirs["encoder/num_heads"] = torch.tensor(heads, dtype=torch.int16)
    theirs["decoder/num_heads"] = torch.tensor(text_heads, dtype=torch.int16)
    theirs["decoder/pre_norm"] = torch.tensor(1, dtype=torch.int8)
    parts = [struct.pack("<I", 6), _string("WhisperSpec"), struct.pack("<II", 3, len(theirs))]
    types = {torch.float32: 0, torch.int8: 1, torch.int16: 2, torch.float16: 4}
    for name, tensor in theirs.items():
        data = tensor.contiguous().numpy().tobytes()
        shape = struct.pack(f"<B{tensor.ndim}I", tensor.ndim, *tensor.shape)
        parts += [_string(name), shape, struct.pack("<BI", types[tensor.dtype], len(data)), data]
    alias = _string("decoder/projection/weight") + _string("decoder/embeddings/weight")
    return b"".join([*parts, struct.pack("<I", 1), alias])


def _stored(tensors: Mapping[str, Tensor], kind: str) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in tensors.items():
        if kind == "int8" and tensor.ndim == 2 and "position" not in name:
            scale = 127 / tensor.abs().amax(dim=1)
            yield name, (tensor * scale[:, None]).round().to(torch.int8)
            yield f"{name}_scale", scale
        else:
            yield name, tensor.half() if kind == "float16" else tensor


def _string(text: str) -> bytes:
    data = text.encode() + b"\0"
    return struct.pack("<H", len(data)) + data


def binary_folder(folder: Path, data: bytes, *, alignment: list[list[int]] | None = None) -> Path:
    """A folder as CTranslate2's converter writes it."""
    (folder / "model.bin").write_bytes(data)
    settings = {"suppress_ids": [3, 7], "suppress_ids_begin": [9], "alignment_heads": alignment or []}
    (folder / "config.json").write_text(json.dumps(settings))
    tokenizer().save(str(folder / "tokenizer.json"))
    return folder
