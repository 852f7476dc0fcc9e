"""GPT-2: learned positions, tied weights, matrices that Hugging Face stores the other way round.

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from ....core.decoder import Decoder
from ....core.language import LanguageModel
from ....core.layers import ACTIVATIONS, MLP
from ....core.weights import KeyTable, Row
from .base import BLOCK, EMBEDDING, HEAD, FamilyConfig, copies
from .settings import need, refuse, single

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, kw_only=True)
class GPT2Config(FamilyConfig):
    """GPT-2's settings are those that every family has."""

    family: ClassVar[str] = "gpt2"
    model_types: ClassVar[tuple[str, ...]] = ("gpt2",)
    architectures: ClassVar[tuple[str, ...]] = ("gpt2",)
    prefix: ClassVar[str] = "transformer."

    tied: bool = True

    @classmethod
    def from_hf(cls, config: Mapping[str, Any]) -> Self:
        refuse(
            config, scale_attn_weights=(True,), scale_attn_by_inverse_layer_idx=(False,), add_cross_attention=(False,)
        )
        dim = need(config, "n_embd")
        return cls(
            vocabulary=need(config, "vocab_size"),
            dim=dim,
            depth=need(config, "n_layer"),
            heads=need(config, "n_head"),
            hidden=config.get("n_inner") or 4 * dim,
            length=config.get("n_positions") or need(config, "n_ctx"),
            eps=config.get("layer_norm_epsilon") or 1e-5,
            activation=config.get("activation_function") or "gelu_new",
            tied=bool(config.get("tie_word_embeddings", True)),
        )

    def to_hf(self) -> dict[str, Any]:
        return {
            "architectures": ["GPT2LMHeadModel"],
            "model_type": "gpt2",
            "vocab_size": self.vocabulary,
            "n_embd": self.dim,
            "n_layer": self.depth,
            "n_head": self.heads,
            "n_inner": self.hidden,
            "n_positions": self.length,
            "n_ctx": self.length,
            "layer_norm_epsilon": self.eps,
            "activation_function": self.activation,
            "tie_word_embeddings": self.tied,
        }

    @classmethod
    def from_gguf(cls, fields: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        dim = need(fields, "gpt2.embedding_length")
        return cls(
            vocabulary=tensors["token_embd.weight"].shape[0],
            dim=dim,
            depth=need(fields, "gpt2.block_count"),
            heads=need(fields, "gpt2.attention.head_count"),
            hidden=fields.get("gpt2.feed_forward_length") or 4 * dim,
            length=need(fields, "gpt2.context_length"),
            eps=single(need(fields, "gpt2.attention.layer_norm_epsilon")),
            tied="output.weight" not in tensors,
        )

    def to_gguf(self) -> dict[str, int | float | str]:
        return {
            **self.gguf_sizes(),
            "attention.layer_norm_epsilon": self.eps,
        }

    def network(self) -> LanguageModel:
        decoder = Decoder(
            dim=self.dim,
            depth=self.depth,
            heads=self.heads,
            norm=partial(nn.LayerNorm, eps=self.eps),
            mlp=partial(MLP, hidden=self.hidden, activation=ACTIVATIONS[self.activation]),
        )
        return LanguageModel(
            vocabulary=self.vocabulary, decoder=decoder, length=self.length, learned=True, tied=self.tied
        )

    def table(self) -> KeyTable:
        layer = "transformer.h.{}"
        return KeyTable(
            Row(EMBEDDING, "transformer.wte.weight"),
            Row(HEAD, "lm_head.weight", optional=self.tied),
            Row("positions.weight", "transformer.wpe.weight"),
            *copies(f"{BLOCK}.attention_norm", f"{layer}.ln_1"),
            *copies(f"{BLOCK}.attention.qkv", f"{layer}.attn.c_attn", transpose=True),
            *copies(f"{BLOCK}.attention.out", f"{layer}.attn.c_proj", transpose=True),
            *copies(f"{BLOCK}.mlp_norm", f"{layer}.ln_2"),
            *copies(f"{BLOCK}.mlp.up", f"{layer}.mlp.c_fc", transpose=True),
            *copies(f"{BLOCK}.mlp.down", f"{layer}.mlp.c_proj", transpose=True),
            *copies("decoder.norm", "transformer.ln_f"),
            drops=(f"{layer}.attn.bias", f"{layer}.attn.masked_bias"),
        )

    def gguf_table(self, names: Collection[str] = ()) -> KeyTable:
        return KeyTable(
            Row(EMBEDDING, "token_embd.weight"),
            Row(HEAD, "output.weight", optional=self.tied),
            Row("positions.weight", "position_embd.weight"),
            *copies(f"{BLOCK}.attention_norm", "blk.{}.attn_norm"),
            *copies(f"{BLOCK}.attention.qkv", "blk.{}.attn_qkv"),
            *copies(f"{BLOCK}.attention.out", "blk.{}.attn_output"),
            *copies(f"{BLOCK}.mlp_norm", "blk.{}.ffn_norm"),
            *copies(f"{BLOCK}.mlp.up", "blk.{}.ffn_up"),
            *copies(f"{BLOCK}.mlp.down", "blk.{}.ffn_down"),
            *copies("decoder.norm", "output_norm"),
        )
