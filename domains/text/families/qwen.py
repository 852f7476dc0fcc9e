"""Qwen 2, 2.5 (biases on query, key and value) and 3 (norms of queries and keys instead).

Yang et al. 2024 (arXiv 2407.10671), 2025 (arXiv 2505.09388).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from .gated import GatedConfig
from .settings import refuse


@dataclass(frozen=True, kw_only=True)
class QwenConfig(GatedConfig):
    """Qwen's settings; `qk_norm` tells the third generation from the second."""

    family: ClassVar[str] = "qwen"
    model_types: ClassVar[tuple[str, ...]] = ("qwen2", "qwen3")
    architectures: ClassVar[tuple[str, ...]] = ("qwen2", "qwen3")

    @classmethod
    def _biases(cls, config: Mapping[str, Any]) -> dict[str, bool]:
        refuse(config, use_sliding_window=(False,))
        if config["model_type"] == "qwen2":
            return {"qkv_bias": True}
        bias = bool(config.get("attention_bias", False))
        return {"qkv_bias": bias, "out_bias": bias, "qk_norm": True}

    def to_hf(self) -> dict[str, Any]:
        kind = {"architectures": ["Qwen3ForCausalLM" if self.qk_norm else "Qwen2ForCausalLM"]}
        kind |= {"model_type": self.gguf_architecture, "use_sliding_window": False}
        return {**kind, **super().to_hf(), **({"attention_bias": self.qkv_bias} if self.qk_norm else {})}

    @property
    def gguf_architecture(self) -> str:
        return "qwen3" if self.qk_norm else "qwen2"
