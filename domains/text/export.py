"""A model for the world outside: a Hugging Face folder that transformers loads, a GGUF file that llama.cpp loads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ...core import checkpoint
from ...core.pretrained import CONFIG, WEIGHTS
from .families import FamilyConfig
from .gguf import write_gguf
from .tokenizer import Tokenizer
from .tokenizer_files import generation_settings

__all__ = ["write_gguf", "write_hf"]


def write_hf(
    folder: Path,
    config: FamilyConfig,
    tensors: Mapping[str, Tensor],
    tokenizer: Tokenizer,
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write weights (our names) and tokenizer as `AutoModelForCausalLM` and `AutoTokenizer` read them.

    Either the whole folder appears, or what was there before stays. Raises UserError where the disk refuses.
    """

    def fill(fresh: Path) -> None:
        theirs = {name: tensor.to(dtype) for name, tensor in config.write_hf(tensors).items()}
        checkpoint.save_tensors(fresh / WEIGHTS, theirs, {"format": "pt"})
        # both names of the precision: transformers 4 and 5
        precision = str(dtype).removeprefix("torch.")
        settings = {**config.to_hf(), **generation_settings(tokenizer), "dtype": precision, "torch_dtype": precision}
        (fresh / CONFIG).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        tokenizer.save(fresh)

    checkpoint.write(folder, fill)
