"""Phi 1, 1.5 and 2: attention and feed-forward network side by side, half of each head turns, the head has a bias.

Li et al. 2023 (arXiv 2309.05463).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from ....core.blocks import ParallelBlock
from ....core.decoder import Decoder
from ....core.language import LanguageModel
from ....core.layers import ACTIVATIONS, MLP
from ....core.weights import KeyTable, Row
from .base import BLOCK, EMBEDDING, HEAD, FamilyConfig, copies, fused
from .rope import Rope
from .settings import need, refuse, single

if TYPE_CHECKING:
    from typing_extensions import Self

_ATTENTION = f"{BLOCK}.attention"


@dataclass(frozen=True, kw_only=True)
class PhiConfig(FamilyConfig):
    """kv_heads: key/value heads, as many as `heads` in all published models."""

    family: ClassVar[str] = "phi"
    model_types: ClassVar[tuple[str, ...]] = ("phi",)
    architectures: ClassVar[tuple[str, ...]] = ("phi2",)

    kv_heads: int
    rope: Rope = field(default_factory=lambda: Rope(share=0.5))

    @property
    def head_dim(self) -> int:
        """Width of one head."""
        return self.dim // self.heads

    @classmethod
    def from_hf(cls, config: Mapping[str, Any]) -> Self:
        refuse(config, qk_layernorm=(False,))
        heads, dim = need(config, "num_attention_heads"), need(config, "hidden_size")
        return cls(
            vocabulary=need(config, "vocab_size"),
            dim=dim,
            depth=need(config, "num_hidden_layers"),
            heads=heads,
            kv_heads=config.get("num_key_value_heads") or heads,
            hidden=config.get("intermediate_size") or 4 * dim,
            length=need(config, "max_position_embeddings"),
            eps=config.get("layer_norm_eps") or 1e-5,
            activation=config.get("hidden_act") or "gelu_new",
            tied=bool(config.get("tie_word_embeddings", False)),
            rope=Rope.from_hf(config, share=0.5),
        )

    def to_hf(self) -> dict[str, Any]:
        return {
            "architectures": ["PhiForCausalLM"],
            "model_type": "phi",
            "vocab_size": self.vocabulary,
            "hidden_size": self.dim,
            "num_hidden_layers": self.depth,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "intermediate_size": self.hidden,
            "max_position_embeddings": self.length,
            "layer_norm_eps": self.eps,
            "hidden_act": self.activation,
            "tie_word_embeddings": self.tied,
            "qk_layernorm": False,
            **self.rope.to_hf(),
        }

    @classmethod
    def from_gguf(cls, fields: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        heads, dim = need(fields, "phi2.attention.head_count"), need(fields, "phi2.embedding_length")
        return cls(
            vocabulary=tensors["token_embd.weight"].shape[0],
            dim=dim,
            depth=need(fields, "phi2.block_count"),
            heads=heads,
            kv_heads=fields.get("phi2.attention.head_count_kv") or heads,
            hidden=fields.get("phi2.feed_forward_length") or 4 * dim,
            length=need(fields, "phi2.context_length"),
            eps=single(need(fields, "phi2.attention.layer_norm_epsilon")),
            tied="output.weight" not in tensors,
            rope=Rope.from_gguf(fields, "phi2", dim // heads, None),
        )

    def to_gguf(self) -> dict[str, int | float | str]:
        return {
            **self.gguf_sizes(),
            "attention.head_count_kv": self.kv_heads,
            "attention.layer_norm_epsilon": self.eps,
            **self.rope.to_gguf(self.head_dim),
        }

    def network(self) -> LanguageModel:
        decoder = Decoder(
            dim=self.dim,
            depth=self.depth,
            heads=self.heads,
            kv_heads=self.kv_heads,
            block=ParallelBlock,
            norm=partial(nn.LayerNorm, eps=self.eps),
            mlp=partial(MLP, hidden=self.hidden, activation=ACTIVATIONS[self.activation]),
            rotary=self.rope.rotary(self.head_dim),
        )
        return LanguageModel(vocabulary=self.vocabulary, decoder=decoder, length=self.length, tied=self.tied, bias=True)

    def table(self) -> KeyTable:
        layer = "model.layers.{}"
        return KeyTable(
            Row(EMBEDDING, "model.embed_tokens.weight"),
            Row(HEAD, "lm_head.weight", optional=self.tied),
            Row("head.projection.bias", "lm_head.bias"),
            *fused(f"{_ATTENTION}.qkv", f"{layer}.self_attn.{{part}}_proj", "q k v", sizes=self._sizes),
            *copies(f"{_ATTENTION}.out", f"{layer}.self_attn.dense"),
            *copies(f"{BLOCK}.attention_norm", f"{layer}.input_layernorm"),
            *copies(f"{BLOCK}.mlp.up", f"{layer}.mlp.fc1"),
            *copies(f"{BLOCK}.mlp.down", f"{layer}.mlp.fc2"),
            *copies("decoder.norm", "model.final_layernorm"),
            drops=(f"{layer}.self_attn.rotary_emb.inv_freq",),
        )

    def gguf_table(self, names: Collection[str] = ()) -> KeyTable:
        qkv = f"{_ATTENTION}.qkv"
        if "blk.0.attn_qkv.weight" in names:  # files made before Phi was part of transformers
            attention = copies(qkv, "blk.{}.attn_qkv")
        else:
            attention = fused(qkv, "blk.{}.attn_{part}", "q k v", sizes=self._sizes)
        return KeyTable(
            Row(EMBEDDING, "token_embd.weight"),
            Row(HEAD, "output.weight", optional=self.tied),
            Row("head.projection.bias", "output.bias"),
            *attention,
            *copies(f"{_ATTENTION}.out", "blk.{}.attn_output"),
            *copies(f"{BLOCK}.attention_norm", "blk.{}.attn_norm"),
            *copies(f"{BLOCK}.mlp.up", "blk.{}.ffn_up"),
            *copies(f"{BLOCK}.mlp.down", "blk.{}.ffn_down"),
            *copies("decoder.norm", "output_norm"),
        )

    @property
    def _sizes(self) -> tuple[int, int, int]:
        return self.dim, self.kv_heads * self.head_dim, self.kv_heads * self.head_dim
