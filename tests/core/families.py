"""Well-known models assembled from bricks, each with the table of its foreign names and its original.

Language models are the text domain's (`tests/domains/text/test_families.py`).

A parity test for another family is one network, one `KeyTable` and one entry of `FAMILIES`, which `test_families.py`
finds.

Axes: B batch, T positions, C width of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn
from tsuite.core.blocks import PostNormBlock
from tsuite.core.embed import PatchEmbedding, TokenEmbedding
from tsuite.core.encoder import Encoder
from tsuite.core.heads import first_token
from tsuite.core.layers import MLP, RMSNorm
from tsuite.core.masks import key_mask
from tsuite.core.positions import LearnedPositions, RelativeBias
from tsuite.core.weights import KeyTable, Row

from . import originals


def scramble(network: nn.Module, seed: int = 0, std: float = 0.2) -> nn.Module:
    """Random values in every parameter, biases and norms too, so that no two could be mixed up unnoticed."""
    generator = torch.Generator().manual_seed(seed)
    for value in network.parameters():
        noise = torch.randn(value.shape, generator=generator) * std
        value.data = noise + 1 if value.ndim == 1 and bool((value == 1).all()) else noise
    return network


def copies(ours: str, theirs: str, *kinds: str, **options: Any) -> list[Row]:
    """Rows for the weight and the bias (or the `kinds`) of one place."""
    return [Row(f"{ours}.{kind}", f"{theirs}.{kind}", **options) for kind in kinds or ("weight", "bias")]


def fused(ours: str, theirs: str, parts: str, *kinds: str, **options: Any) -> list[Row]:
    """Rows for a projection that they keep in several parts (named by words) and we in one."""
    return [
        Row(f"{ours}.{kind}", tuple(f"{theirs}.{part}.{kind}" for part in parts.split()), **options)
        for kind in kinds or ("weight", "bias")
    ]


class ViT(nn.Module):
    """A vision Transformer (Dosovitskiy et al. 2020, arXiv 2010.11929) with a class token."""

    def __init__(self, *, image: int, patch: int, dim: int, depth: int, heads: int, classes: int) -> None:
        super().__init__()
        self.patches = PatchEmbedding(patch=patch, channels=3, dim=dim)
        self.class_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.positions = nn.Parameter(torch.zeros(1, (image // patch) ** 2 + 1, dim))
        self.encoder = Encoder(dim=dim, depth=depth, heads=heads, norm=partial(nn.LayerNorm, eps=1e-6))
        self.head = nn.Linear(dim, classes)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, rows, columns] -> logits [B, classes]."""
        x = self.patches(pixels)
        x = torch.cat([self.class_token.expand(x.shape[0], -1, -1), x], dim=1) + self.positions
        return self.head(first_token(self.encoder(x, keep=1)))


class Bert(nn.Module):
    """BERT (Devlin et al. 2018, arXiv 1810.04805) without its pooler; all tokens are of segment 0."""

    def __init__(self, *, vocabulary: int, length: int, dim: int, depth: int, heads: int) -> None:
        super().__init__()
        norm = partial(nn.LayerNorm, eps=1e-12)
        self.tokens, self.segments = TokenEmbedding(vocabulary, dim), TokenEmbedding(2, dim)
        self.positions, self.norm = LearnedPositions(length=length, dim=dim), norm(dim)
        self.encoder = Encoder(dim=dim, depth=depth, heads=heads, block=PostNormBlock, norm=norm, final_norm=False)

    def forward(self, tokens: Tensor, attention_mask: Tensor) -> Tensor:
        """Token ids and 0/1 mask [B, T] -> [B, T, C]."""
        x = self.positions(self.tokens(tokens) + self.segments(torch.zeros_like(tokens)))
        return self.encoder(self.norm(x), mask=key_mask(attention_mask.bool()))


class T5Encoder(nn.Module):
    """The encoder of T5 (Raffel et al. 2020, arXiv 1910.10683)."""

    def __init__(self, *, vocabulary: int, dim: int, depth: int, heads: int, head_dim: int, hidden: int) -> None:
        super().__init__()
        self.tokens = TokenEmbedding(vocabulary, dim)
        self.encoder = Encoder(
            dim=dim,
            depth=depth,
            heads=heads,
            head_dim=head_dim,
            norm=RMSNorm,
            mlp=partial(MLP, hidden=hidden, activation=torch.relu, bias=False),
            bias=False,
            scale=1.0,
            position_bias=RelativeBias(heads=heads),
        )

    def forward(self, tokens: Tensor, attention_mask: Tensor) -> Tensor:
        """Token ids and 0/1 mask [B, T] -> [B, T, C]."""
        return self.encoder(self.tokens(tokens), mask=key_mask(attention_mask.bool()))


TIMM_VIT = KeyTable(
    Row("class_token", "cls_token"),
    Row("positions", "pos_embed"),
    *copies("patches.projection", "patch_embed.proj"),
    *copies("encoder.blocks.{}.attention_norm", "blocks.{}.norm1"),
    *copies("encoder.blocks.{}.attention.qkv", "blocks.{}.attn.qkv"),
    *copies("encoder.blocks.{}.attention.out", "blocks.{}.attn.proj"),
    *copies("encoder.blocks.{}.mlp_norm", "blocks.{}.norm2"),
    *copies("encoder.blocks.{}.mlp.up", "blocks.{}.mlp.fc1"),
    *copies("encoder.blocks.{}.mlp.down", "blocks.{}.mlp.fc2"),
    *copies("encoder.norm", "norm"),
    *copies("head", "head"),
)

BERT = KeyTable(
    Row("tokens.weight", "embeddings.word_embeddings.weight"),
    Row("segments.weight", "embeddings.token_type_embeddings.weight"),
    Row("positions.weight", "embeddings.position_embeddings.weight"),
    *copies("norm", "embeddings.LayerNorm"),
    *fused("encoder.blocks.{}.attention.qkv", "encoder.layer.{}.attention.self", "query key value"),
    *copies("encoder.blocks.{}.attention.out", "encoder.layer.{}.attention.output.dense"),
    *copies("encoder.blocks.{}.attention_norm", "encoder.layer.{}.attention.output.LayerNorm"),
    *copies("encoder.blocks.{}.mlp.up", "encoder.layer.{}.intermediate.dense"),
    *copies("encoder.blocks.{}.mlp.down", "encoder.layer.{}.output.dense"),
    *copies("encoder.blocks.{}.mlp_norm", "encoder.layer.{}.output.LayerNorm"),
    drops=("pooler.dense.weight", "pooler.dense.bias"),
)

T5 = KeyTable(
    Row("tokens.weight", "shared.weight"),
    Row("encoder.position_bias.weight", "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"),
    *fused("encoder.blocks.{}.attention.qkv", "encoder.block.{}.layer.0.SelfAttention", "q k v", "weight"),
    *copies("encoder.blocks.{}.attention.out", "encoder.block.{}.layer.0.SelfAttention.o", "weight"),
    *copies("encoder.blocks.{}.attention_norm", "encoder.block.{}.layer.0.layer_norm", "weight"),
    *copies("encoder.blocks.{}.mlp.up", "encoder.block.{}.layer.1.DenseReluDense.wi", "weight"),
    *copies("encoder.blocks.{}.mlp.down", "encoder.block.{}.layer.1.DenseReluDense.wo", "weight"),
    *copies("encoder.blocks.{}.mlp_norm", "encoder.block.{}.layer.1.layer_norm", "weight"),
    *copies("encoder.norm", "encoder.final_layer_norm", "weight"),
    drops=("encoder.embed_tokens.weight",),
)


def llama_table(sizes: tuple[int, int, int]) -> KeyTable:
    """Llama's names; `sizes` are the rows of query, key and value, which grouped-query attention makes unequal."""
    layer, block = "model.layers.{}", "decoder.blocks.{}"
    return KeyTable(
        Row("tokens.weight", "model.embed_tokens.weight"),
        Row("head.projection.weight", "lm_head.weight"),
        *fused(f"{block}.attention.qkv", f"{layer}.self_attn", "q_proj k_proj v_proj", "weight", sizes=sizes),
        *copies(f"{block}.attention.out", f"{layer}.self_attn.o_proj", "weight"),
        *copies(f"{block}.attention_norm", f"{layer}.input_layernorm", "weight"),
        *copies(f"{block}.mlp_norm", f"{layer}.post_attention_layernorm", "weight"),
        *fused(f"{block}.mlp.gate_up", f"{layer}.mlp", "gate_proj up_proj", "weight"),
        *copies(f"{block}.mlp.down", f"{layer}.mlp.down_proj", "weight"),
        *copies("decoder.norm", "model.norm", "weight"),
    )


def torch_table(*, ours: str = "", theirs: str = "", cross: bool = False) -> KeyTable:
    """The names of `nn.TransformerEncoder`, or with `cross` of `nn.TransformerDecoder`, below these prefixes.

    For their fused cross-attention, of which we have two, see `torch_state`.
    """
    block, layer = f"{ours}blocks.{{}}", f"{theirs}layers.{{}}"
    rows = [
        Row(f"{block}.attention.qkv.weight", f"{layer}.self_attn.in_proj_weight"),
        Row(f"{block}.attention.qkv.bias", f"{layer}.self_attn.in_proj_bias"),
        *copies(f"{block}.attention.out", f"{layer}.self_attn.out_proj"),
        *copies(f"{block}.attention_norm", f"{layer}.norm1"),
        *copies(f"{block}.mlp.up", f"{layer}.linear1"),
        *copies(f"{block}.mlp.down", f"{layer}.linear2"),
        *copies(f"{block}.mlp_norm", f"{layer}.norm{3 if cross else 2}"),
        *copies(f"{ours}norm", f"{theirs}norm"),
    ]
    if cross:
        rows += copies(f"{block}.cross_attention.out", f"{layer}.multihead_attn.out_proj")
        rows += copies(f"{block}.cross_norm", f"{layer}.norm2")
        rows += [
            Row(f"{block}.cross_attention.in.{kind}", f"{layer}.multihead_attn.in_proj_{kind}")
            for kind in ("weight", "bias")
        ]
    return KeyTable(*rows)


def torch_state(network: nn.Module, table: KeyTable) -> dict[str, Tensor]:
    """Our weights under torch's names, the two projections of cross-attention joined to one."""
    state = dict(network.state_dict())
    for key in [key for key in state if ".cross_attention.query." in key]:
        state[key.replace("query", "in")] = torch.cat([state.pop(key), state.pop(key.replace("query", "key_value"))])
    return table.to_theirs(state)


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family: how to build it from bricks (`ours`) and from its library (`theirs`), by the same sizes.

    real maps the name of a true-size model to its sizes and its published number of parameters; answer takes what we
    compare out of what theirs returns.
    """

    table: KeyTable
    ours: Callable[..., nn.Module]
    theirs: Callable[..., nn.Module]
    tiny: Mapping[str, int]
    real: Mapping[str, tuple[Mapping[str, int], int]] = field(default_factory=dict)
    inputs: Callable[[], dict[str, Tensor]]
    answer: Callable[[Any], Tensor]


def pixels() -> dict[str, Tensor]:
    """Two random pictures of 16 x 16."""
    return {"x": torch.randn(2, 3, 16, 16)}


def padded_tokens() -> dict[str, Tensor]:
    """Two random texts of 7 tokens, of which the second ends after 4."""
    mask = torch.ones(2, 7, dtype=torch.long)
    mask[1, 4:] = 0
    return {"input_ids": torch.randint(50, (2, 7)), "attention_mask": mask}


_VIT = {"image": 224, "patch": 16, "depth": 12, "classes": 1000}
_HIDDEN = attrgetter("last_hidden_state")

FAMILIES: dict[str, Family] = {
    "timm_vit": Family(
        table=TIMM_VIT,
        ours=ViT,
        theirs=originals.timm_vit,
        tiny={"image": 16, "patch": 4, "dim": 32, "depth": 3, "heads": 4, "classes": 5},
        real={
            "vit_tiny_patch16_224": ({**_VIT, "dim": 192, "heads": 3}, 5_717_416),
            "vit_small_patch16_224": ({**_VIT, "dim": 384, "heads": 6}, 22_050_664),
            "vit_base_patch16_224": ({**_VIT, "dim": 768, "heads": 12}, 86_567_656),
        },
        inputs=pixels,
        answer=lambda logits: logits,
    ),
    "bert": Family(
        table=BERT,
        ours=Bert,
        theirs=originals.bert,
        tiny={"vocabulary": 50, "length": 12, "dim": 32, "depth": 3, "heads": 4},
        # 109,482,240 with the pooler, which is a square matrix and a bias
        real={
            "bert-base-uncased": (
                {"vocabulary": 30522, "length": 512, "dim": 768, "depth": 12, "heads": 12},
                109_482_240 - 768 * 769,
            )
        },
        inputs=padded_tokens,
        answer=_HIDDEN,
    ),
    "t5_encoder": Family(
        table=T5,
        ours=T5Encoder,
        theirs=originals.t5,
        tiny={"vocabulary": 50, "dim": 32, "depth": 3, "heads": 4, "head_dim": 6, "hidden": 40},
        real={
            "t5-small": (
                {"vocabulary": 32128, "dim": 512, "depth": 6, "heads": 8, "head_dim": 64, "hidden": 2048},
                35_330_816,
            )
        },
        inputs=padded_tokens,
        answer=_HIDDEN,
    ),
}
