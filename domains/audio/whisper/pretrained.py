"""Whisper checkpoints as they are found: folders of transformers', OpenAI's weights in safetensors, CTranslate2's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ....core.errors import UserError
from ....core.pretrained import CONFIG, read_foreign_tensors, read_json
from ....core.weights import load_into, without_weights
from . import ctranslate2
from .config import WhisperConfig
from .model import Whisper
from .tables import to_ours
from .tokenizer import WhisperTokenizer

BINARY = "model.bin"


def load(path: Path, *, source: str, dtype: torch.dtype = torch.float32) -> tuple[Whisper, WhisperTokenizer]:
    """The model and its tokenizer at `path`: a folder, or the file of weights in one.

    A folder of transformers' holds safetensors, config.json and a tokenizer; OpenAI's names may stand there without a
    config.json; CTranslate2's holds model.bin. Weights become `dtype` whatever they were; the model is in evaluation
    mode. Raises UserError for anything else, damaged files, and weights of another model.
    """
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    described = _json(folder / CONFIG)
    generation = described | _json(folder / "generation_config.json")
    binary = path if path.suffix == ".bin" else folder / BINARY
    if path.suffix == ".bin" or (path.is_dir() and binary.is_file() and not list(folder.glob("*.safetensors"))):
        config, tensors = _from_binary(binary, described, source)
    else:
        tensors = to_ours(read_foreign_tensors(path), source=source)
        if "d_model" in described or described.get("model_type", "whisper") != "whisper":
            config = WhisperConfig.from_hf(described, generation)
        else:
            config = WhisperConfig.from_tensors(tensors, alignment=described.get("alignment_heads"))
    with without_weights():
        model = Whisper(config)
    made: dict[int, torch.Tensor] = {}  # tied weights stay one tensor
    cast = {name: made.setdefault(id(tensor), tensor.to(dtype)) for name, tensor in tensors.items()}
    load_into(model, cast, source=source)
    tokenizer = WhisperTokenizer.from_folder(
        folder,
        multilingual=config.multilingual,
        suppress=_ids(generation, "suppress_tokens", "suppress_ids"),
        first=_ids(generation, "begin_suppress_tokens", "suppress_ids_begin"),
    )
    _match(tokenizer, config, source)
    return model.eval(), tokenizer


def _from_binary(path: Path, described: dict[str, Any], source: str) -> tuple[WhisperConfig, dict[str, torch.Tensor]]:
    weights, settings = ctranslate2.read(path)
    tensors = to_ours(weights, source=source)
    config = WhisperConfig.from_tensors(
        tensors,
        heads=settings.get("encoder/num_heads"),
        text_heads=settings.get("decoder/num_heads"),
        alignment=described.get("alignment_heads"),
    )
    return config, tensors


def _match(tokenizer: WhisperTokenizer, config: WhisperConfig, source: str) -> None:
    """Raises UserError where the tokenizer is of another model than the weights."""
    if tokenizer.no_timestamps >= config.vocabulary:
        raise UserError(
            f"The tokenizer of {source} goes up to the id {tokenizer.no_timestamps}, the weights to "
            f"{config.vocabulary - 1}.",
            "Do the tokenizer and the checkpoint belong together?",
        )


def _ids(generation: dict[str, Any], *names: str) -> list[int] | None:
    """A list of tokens under one of its names; None where there is none."""
    for name in names:
        if isinstance(found := generation.get(name), list):
            return [int(token) for token in found if int(token) >= 0]
    return None


def _json(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}
