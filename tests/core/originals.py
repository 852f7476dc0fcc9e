"""The originals that `families.py` is held to, built by their own libraries from the same sizes."""

from __future__ import annotations

import timm
from torch import nn
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    T5Config,
    T5EncoderModel,
)


def timm_vit(*, image: int, patch: int, dim: int, depth: int, heads: int, classes: int) -> nn.Module:
    return timm.models.VisionTransformer(
        img_size=image, patch_size=patch, embed_dim=dim, depth=depth, num_heads=heads, num_classes=classes
    )


def bert(*, vocabulary: int, length: int, dim: int, depth: int, heads: int) -> nn.Module:
    config = BertConfig(
        vocab_size=vocabulary,
        max_position_embeddings=length,
        hidden_size=dim,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        intermediate_size=4 * dim,
    )
    return BertModel(config, add_pooling_layer=False)


def t5(*, vocabulary: int, dim: int, depth: int, heads: int, head_dim: int, hidden: int) -> nn.Module:
    config = T5Config(vocab_size=vocabulary, d_model=dim, d_kv=head_dim, d_ff=hidden, num_layers=depth, num_heads=heads)
    return T5EncoderModel(config)


def gpt2(*, vocabulary: int, length: int, dim: int, depth: int, heads: int) -> nn.Module:
    end = vocabulary - 1
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=vocabulary,
            n_positions=length,
            n_embd=dim,
            n_layer=depth,
            n_head=heads,
            bos_token_id=end,
            eos_token_id=end,
        )
    )


def llama(*, vocabulary: int, dim: int, depth: int, heads: int, kv_heads: int, hidden: int) -> nn.Module:
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=dim,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        intermediate_size=hidden,
    )
    return LlamaForCausalLM(config)


def phi(*, vocabulary: int, dim: int, depth: int, heads: int) -> nn.Module:
    config = PhiConfig(
        vocab_size=vocabulary,
        hidden_size=dim,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        intermediate_size=4 * dim,
    )
    return PhiForCausalLM(config)
