"""Families of language models, one file each. A new one is a file with a `FamilyConfig` and its entry in `FAMILIES`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ....core.errors import UserError, near
from .base import FamilyConfig
from .gpt2 import GPT2Config
from .llama import LlamaConfig
from .phi import PhiConfig
from .qwen import QwenConfig
from .rope import Rope

__all__ = [
    "FAMILIES",
    "FamilyConfig",
    "GPT2Config",
    "LlamaConfig",
    "PhiConfig",
    "QwenConfig",
    "Rope",
    "build",
    "from_gguf",
    "from_hf",
]

FAMILIES: dict[str, type[FamilyConfig]] = {
    config.family: config for config in (GPT2Config, LlamaConfig, PhiConfig, QwenConfig)
}


def from_hf(config: Mapping[str, Any]) -> FamilyConfig:
    """The configuration that a Hugging Face config.json describes. UserError where its model_type is not known."""
    known = {name: family for family in FAMILIES.values() for name in family.model_types}
    return _pick(known, config.get("model_type"), "config.json", "model_type").from_hf(config)


def from_gguf(fields: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> FamilyConfig:
    """The configuration that a GGUF file describes. UserError where its architecture is not known."""
    known = {name: family for family in FAMILIES.values() for name in family.architectures}
    return _pick(known, fields.get("general.architecture"), "GGUF file", "architecture").from_gguf(fields, tensors)


def build(family: str, fields: Mapping[str, Any]) -> FamilyConfig:
    """The configuration saved by us as `config.family` and `config.fields()`."""
    return _pick(FAMILIES, family, "saved configuration", "family").restore(fields)


def _pick(known: Mapping[str, type[FamilyConfig]], name: Any, place: str, field: str) -> type[FamilyConfig]:
    if name not in known:
        raise UserError(
            f"The {place} names the {field} {name!r}, which is not supported.",
            f"Supported: {', '.join(known)}." if name is None else near(str(name), known),
        )
    return known[name]
