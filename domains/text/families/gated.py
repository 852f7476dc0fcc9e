"""What Llama and all that followed it share: RMSNorm, gated feed-forward networks, rotary positions, grouped queries.

Touvron et al. 2023 (arXiv 2302.13971, 2307.09288).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ....core.decoder import Decoder
from ....core.errors import UserError
from ....core.language import LanguageModel
from ....core.layers import ACTIVATIONS, GatedMLP, RMSNorm
from ....core.weights import KeyTable, Row
from .base import BLOCK, EMBEDDING, HEAD, FamilyConfig, copies, fused
from .rope import Rope
from .settings import need, single

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, kw_only=True)
class GatedConfig(FamilyConfig):
    """kv_heads: key/value heads. head_dim: width of one head. qkv_bias, out_bias: of the attention's projections.
    qk_norm: queries and keys are normed before they turn."""

    kv_heads: int
    head_dim: int
    activation: str = "silu"
    rope: Rope = field(default_factory=Rope)
    qkv_bias: bool = False
    out_bias: bool = False
    qk_norm: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kv_heads < 1 or self.heads % self.kv_heads:
            raise UserError(f"{self.heads} heads cannot share {self.kv_heads} key/value heads evenly.")

    @classmethod
    def from_hf(cls, config: Mapping[str, Any]) -> Self:
        heads, dim = need(config, "num_attention_heads"), need(config, "hidden_size")
        return cls(
            vocabulary=need(config, "vocab_size"),
            dim=dim,
            depth=need(config, "num_hidden_layers"),
            heads=heads,
            kv_heads=config.get("num_key_value_heads") or heads,
            head_dim=config.get("head_dim") or dim // heads,
            hidden=need(config, "intermediate_size"),
            length=need(config, "max_position_embeddings"),
            eps=config.get("rms_norm_eps") or 1e-6,
            activation=config.get("hidden_act") or "silu",
            tied=bool(config.get("tie_word_embeddings", False)),
            rope=Rope.from_hf(config),
            **cls._biases(config),
        )

    @classmethod
    def _biases(cls, config: Mapping[str, Any]) -> dict[str, bool]:
        """Which parts the family has, by its settings."""
        return {}

    def to_hf(self) -> dict[str, Any]:
        return {
            "vocab_size": self.vocabulary,
            "hidden_size": self.dim,
            "num_hidden_layers": self.depth,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "intermediate_size": self.hidden,
            "max_position_embeddings": self.length,
            "rms_norm_eps": self.eps,
            "hidden_act": self.activation,
            "tie_word_embeddings": self.tied,
            **self.rope.to_hf(),
        }

    @classmethod
    def from_gguf(cls, fields: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        kind = fields["general.architecture"]
        if fields.get(f"{kind}.expert_count"):
            raise UserError(f"This {kind} model is a mixture of experts, which is not supported.")
        heads, dim = need(fields, f"{kind}.attention.head_count"), need(fields, f"{kind}.embedding_length")
        head_dim = fields.get(f"{kind}.attention.key_length") or dim // heads
        return cls(
            vocabulary=tensors["token_embd.weight"].shape[0],
            dim=dim,
            depth=need(fields, f"{kind}.block_count"),
            heads=heads,
            kv_heads=fields.get(f"{kind}.attention.head_count_kv") or heads,
            head_dim=head_dim,
            hidden=need(fields, f"{kind}.feed_forward_length"),
            length=need(fields, f"{kind}.context_length"),
            eps=single(need(fields, f"{kind}.attention.layer_norm_rms_epsilon")),
            tied="output.weight" not in tensors,
            rope=Rope.from_gguf(fields, kind, head_dim, tensors.get("rope_freqs.weight")),
            qkv_bias="blk.0.attn_q.bias" in tensors,
            out_bias="blk.0.attn_output.bias" in tensors,
            qk_norm="blk.0.attn_q_norm.weight" in tensors,
        )

    def to_gguf(self) -> dict[str, int | float | str]:
        return {
            **self.gguf_sizes(),
            "attention.head_count_kv": self.kv_heads,
            "attention.key_length": self.head_dim,
            "attention.value_length": self.head_dim,
            "attention.layer_norm_rms_epsilon": self.eps,
            "vocab_size": self.vocabulary,
            **self.rope.to_gguf(self.head_dim),
        }

    def network(self) -> LanguageModel:
        norm = partial(RMSNorm, eps=self.eps)
        decoder = Decoder(
            dim=self.dim,
            depth=self.depth,
            heads=self.heads,
            kv_heads=self.kv_heads,
            head_dim=self.head_dim,
            norm=norm,
            mlp=partial(GatedMLP, hidden=self.hidden, activation=ACTIVATIONS[self.activation]),
            bias=self.qkv_bias,
            out_bias=self.out_bias,
            qk_norm=norm if self.qk_norm else None,
            rotary=self.rope.rotary(self.head_dim),
        )
        return LanguageModel(vocabulary=self.vocabulary, decoder=decoder, length=self.length, tied=self.tied)

    def table(self) -> KeyTable:
        layer = "model.layers.{}"
        return KeyTable(
            Row(EMBEDDING, "model.embed_tokens.weight"),
            Row(HEAD, "lm_head.weight", optional=self.tied),
            *self._rows(
                qkv=(f"{layer}.self_attn.{{part}}_proj", "q k v"),
                out=f"{layer}.self_attn.o_proj",
                norms=(f"{layer}.input_layernorm", f"{layer}.post_attention_layernorm"),
                qk_norms=(f"{layer}.self_attn.q_norm", f"{layer}.self_attn.k_norm"),
                gate_up=(f"{layer}.mlp.{{part}}_proj", "gate up"),
                down=f"{layer}.mlp.down_proj",
            ),
            *copies("decoder.norm", "model.norm", "weight"),
            drops=(f"{layer}.self_attn.rotary_emb.inv_freq", "model.rotary_emb.inv_freq"),
        )

    def gguf_table(self, names: Collection[str] = ()) -> KeyTable:
        layer = "blk.{}"
        return KeyTable(
            Row(EMBEDDING, "token_embd.weight"),
            Row(HEAD, "output.weight", optional=self.tied),
            *self._rows(
                qkv=(f"{layer}.attn_{{part}}", "q k v"),
                out=f"{layer}.attn_output",
                norms=(f"{layer}.attn_norm", f"{layer}.ffn_norm"),
                qk_norms=(f"{layer}.attn_q_norm", f"{layer}.attn_k_norm"),
                gate_up=(f"{layer}.ffn_{{part}}", "gate up"),
                down=f"{layer}.ffn_down",
            ),
            *copies("decoder.norm", "output_norm", "weight"),
            drops=("rope_freqs.weight",),
        )

    def _rows(
        self,
        *,
        qkv: tuple[str, str],
        out: str,
        norms: tuple[str, str],
        qk_norms: tuple[str, str],
        gate_up: tuple[str, str],
        down: str,
    ) -> list[Row]:
        """The rows of one layer by others' names."""
        sizes = (self.heads * self.head_dim, self.kv_heads * self.head_dim, self.kv_heads * self.head_dim)
        attention = f"{BLOCK}.attention"
        rows = [
            *fused(f"{attention}.qkv", *qkv, *_kinds(self.qkv_bias), sizes=sizes),
            *copies(f"{attention}.out", out, *_kinds(self.out_bias)),
            *copies(f"{BLOCK}.attention_norm", norms[0], "weight"),
            *copies(f"{BLOCK}.mlp_norm", norms[1], "weight"),
            *fused(f"{BLOCK}.mlp.gate_up", *gate_up, "weight"),
            *copies(f"{BLOCK}.mlp.down", down, "weight"),
        ]
        if self.qk_norm:
            rows += copies(f"{attention}.query_norm", qk_norms[0], "weight")
            rows += copies(f"{attention}.key_norm", qk_norms[1], "weight")
        return rows


def _kinds(bias: bool) -> tuple[str, ...]:
    return ("weight", "bias") if bias else ("weight",)
