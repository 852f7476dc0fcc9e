"""The originals that `families.py` is held to, built by their own libraries from the same sizes."""

from __future__ import annotations

import timm
from torch import nn
from transformers import (
    BertConfig,
    BertModel,
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
