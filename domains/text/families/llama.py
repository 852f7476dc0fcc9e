"""Llama and what is built like it: SmolLM2, TinyLlama, Mistral.

GGUF holds the rows of Llama's queries and keys in another order: it pairs neighbouring channels for the rotation,
where Hugging Face (and we) pair channel i with i + D/2.

Axes: H heads, D width of one head, C width of the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from torch import Tensor

from ....core.weights import Lazy
from .gated import GatedConfig
from .settings import refuse


@dataclass(frozen=True, kw_only=True)
class LlamaConfig(GatedConfig):
    """Llama's settings; those of its kin are the same."""

    family: ClassVar[str] = "llama"
    model_types: ClassVar[tuple[str, ...]] = ("llama", "mistral")
    architectures: ClassVar[tuple[str, ...]] = ("llama",)

    @classmethod
    def _biases(cls, config: Mapping[str, Any]) -> dict[str, bool]:
        refuse(config, mlp_bias=(False,), pretraining_tp=(1,))
        window, length = config.get("sliding_window"), config["max_position_embeddings"]
        if window is not None and window < length:
            refuse(config, sliding_window=(None, f"{length} or more"))
        bias = bool(config.get("attention_bias", False))
        return {"qkv_bias": bias, "out_bias": bias}

    def to_hf(self) -> dict[str, Any]:
        bias = {"attention_bias": self.qkv_bias, "mlp_bias": False}
        return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", **super().to_hf(), **bias}

    def read_gguf(self, theirs: Mapping[str, Tensor], *, source: str = "the file") -> Lazy:
        return super().read_gguf(Lazy({key: partial(self._halves, theirs, key) for key in theirs}), source=source)

    def write_gguf(self, ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
        theirs = {key: self._reorder(key, value, out=True) for key, value in super().write_gguf(ours).items()}
        factors = self.rope.factors(self.head_dim)
        return theirs if factors is None else {**theirs, "rope_freqs.weight": factors}

    def _halves(self, theirs: Mapping[str, Tensor], key: str) -> Tensor:
        return self._reorder(key, theirs[key], out=False)

    def _reorder(self, key: str, tensor: Tensor, *, out: bool) -> Tensor:
        """Rows of queries and keys [HD, C] between halves (ours) and neighbours (GGUF; `out`)."""
        if not key.startswith("blk.") or (".attn_q." not in key and ".attn_k." not in key):
            return tensor
        pairs = (2, self.head_dim // 2) if out else (self.head_dim // 2, 2)
        return tensor.unflatten(0, (-1, *pairs)).transpose(1, 2).flatten(0, 2).contiguous()
