"""One layer of a Transformer, in the three residual layouts of the field.

    pre-norm                 post-norm                parallel residual
    x --+-- norm - attn -+   x --+-- attn -+          x --+-- norm -+- attn -+
        +---------------(+)      +--------(+)- norm       |         +- mlp --+
        +-- norm - mlp --+       +-- mlp --+              +-----------------(+)
        +---------------(+)      +--------(+)- norm

Pre-norm: GPT-2, ViT, Llama. Post-norm: the original Transformer, BERT. Parallel: GPT-J, phi.

Axes: B batch, H heads, T query positions, S key positions, C width of the model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

import torch
from torch import Tensor, nn

from .attention import MultiHeadAttention, ScoreCarry
from .cache import LayerCache
from .layers import MLP, Branch, LayerNorm, Norm
from .positions import Rotary, Turn

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True, kw_only=True)
class View:
    """What a layer may look at: the same for every layer of a stack but for the caches.

    mask, context_mask: boolean, True = may attend, broadcastable to [B, H, T, S]; bias: float, likewise.
    positions [T] or [B, T] for rotary models, or the `Turn` made of them. keep: only the first `keep` positions ask.
    carry: attention scores that are handed from layer to layer.
    """

    mask: Tensor | None = None
    bias: Tensor | None = None
    causal: bool = False
    positions: Tensor | Turn | None = None
    context: Tensor | None = None
    context_mask: Tensor | None = None
    cache: LayerCache | None = None
    context_cache: LayerCache | None = None
    keep: int | None = None
    carry: ScoreCarry | None = None


class Block(nn.Module, ABC):
    """Self-attention, cross-attention where there is a context, and a feed-forward network, with residuals."""

    def __init__(
        self,
        *,
        dim: int,
        attention: MultiHeadAttention,
        mlp: nn.Module,
        norm: Norm,
        cross_attention: MultiHeadAttention | None = None,
        branch: Callable[[], Branch],
    ) -> None:
        super().__init__()
        self.attention_norm = norm(dim)
        self.attention, self.attention_branch = attention, branch()
        if cross_attention is not None:
            self.cross_norm = norm(dim)
            self.cross_attention, self.cross_branch = cross_attention, branch()
        else:
            self.cross_attention = None
        self.mlp, self.mlp_branch = mlp, branch()

    @abstractmethod
    def forward(self, x: Tensor, view: View) -> Tensor:
        """x [B, T, C] -> [B, T, C] ([B, keep, C] where `view.keep` is given)."""

    def weights(self, x: Tensor, view: View) -> Tensor:
        """The self-attention weights [B, H, T, S] of this layer for its input x [B, T, C]."""
        bias = view.bias if view.carry is None else view.carry.scores
        return self.attention.weights(
            self._asked(x), mask=view.mask, bias=bias, causal=view.causal, positions=view.positions
        )

    def _asked(self, x: Tensor) -> Tensor:
        """What self-attention sees of the layer's input."""
        return self.attention_norm(x)

    def _attend(self, x: Tensor, view: View) -> Tensor:
        mixed = self.attention(
            x,
            mask=view.mask,
            bias=view.bias,
            causal=view.causal,
            positions=view.positions,
            cache=view.cache,
            keep=view.keep,
            carry=view.carry,
        )
        return self.attention_branch(mixed)

    def _cross(self, x: Tensor, view: View) -> Tensor:
        assert self.cross_attention is not None
        mixed = self.cross_attention(x, view.context, mask=view.context_mask, cache=view.context_cache)
        return self.cross_branch(mixed)


class PreNormBlock(Block):
    """Norm before each branch; the residual stream itself is never normed."""

    def __init__(self, *, dim: int, norm: Norm, **parts: Unpack[Parts]) -> None:
        super().__init__(dim=dim, norm=norm, **parts)
        self.mlp_norm = norm(dim)

    def forward(self, x: Tensor, view: View) -> Tensor:
        x = x[:, : view.keep] + self._attend(self.attention_norm(x), view)
        if self.cross_attention is not None:
            x = x + self._cross(self.cross_norm(x), view)
        return x + self.mlp_branch(self.mlp(self.mlp_norm(x)))


class PostNormBlock(Block):
    """Norm after each sum."""

    def __init__(self, *, dim: int, norm: Norm, **parts: Unpack[Parts]) -> None:
        super().__init__(dim=dim, norm=norm, **parts)
        self.mlp_norm = norm(dim)

    def forward(self, x: Tensor, view: View) -> Tensor:
        x = self.attention_norm(x[:, : view.keep] + self._attend(x, view))
        if self.cross_attention is not None:
            x = self.cross_norm(x + self._cross(x, view))
        return self.mlp_norm(x + self.mlp_branch(self.mlp(x)))

    def _asked(self, x: Tensor) -> Tensor:
        return x


class ParallelBlock(Block):
    """Attention and feed-forward network read one norm side by side, and both are added. Takes no cross-attention."""

    def forward(self, x: Tensor, view: View) -> Tensor:
        if self.cross_attention is not None:
            raise ValueError("the parallel layout has no place for cross-attention")
        normed = self.attention_norm(x)
        mlp = self.mlp_branch(self.mlp(normed[:, : view.keep]))
        return x[:, : view.keep] + self._attend(normed, view) + mlp


class Parts(TypedDict):
    """What every block is made of."""

    attention: MultiHeadAttention
    mlp: nn.Module
    cross_attention: MultiHeadAttention | None
    branch: Callable[[], Branch]


class LayerOptions(TypedDict, total=False):
    """What `Encoder` and `Decoder` may be told about their layers; each has the default named here.

    kv_heads (heads): key/value heads, fewer for grouped-query attention. head_dim (dim / heads).
    block (PreNormBlock): the residual layout. norm (LayerNorm): makes a norm for a width.
    mlp (MLP with 4 dim): makes the feed-forward network for a width. bias (True): of the attention's input
    projection; out_bias (the same): of its output. rotary, qk_norm, scale: see MultiHeadAttention.
    dropout (0): of weights, branches. attention_dropout (the same): of weights alone. drop_path (0): of the last layer,
    growing linearly from 0.
    layer_scale (none): its initial value.
    """

    kv_heads: int | None
    head_dim: int | None
    block: type[Block]
    norm: Norm
    mlp: Callable[[int], nn.Module]
    bias: bool
    out_bias: bool | None
    rotary: Rotary | None
    qk_norm: Norm | None
    scale: float | None
    dropout: float
    attention_dropout: float
    drop_path: float
    layer_scale: float | None


def build_blocks(
    *, dim: int, depth: int, heads: int, context_dim: int | None = None, **options: Unpack[LayerOptions]
) -> nn.ModuleList:
    """`depth` layers of width `dim`, cross-attending to `context_dim` where it is given."""
    bias, dropout = options.get("bias", True), options.get("dropout", 0.0)
    block, norm, mlp = options.get("block", PreNormBlock), options.get("norm", LayerNorm), options.get("mlp", MLP)
    drop_paths = torch.linspace(0, options.get("drop_path", 0.0), depth, device="cpu").tolist()

    def attention(context: int | None = None) -> MultiHeadAttention:
        return MultiHeadAttention(
            dim=dim,
            heads=heads,
            kv_heads=options.get("kv_heads"),
            head_dim=options.get("head_dim"),
            context_dim=context,
            bias=bias,
            out_bias=options.get("out_bias"),
            rotary=options.get("rotary") if context is None else None,
            qk_norm=options.get("qk_norm"),
            scale=options.get("scale"),
            dropout=options.get("attention_dropout", dropout),
        )

    def layer(drop_path: float) -> Block:
        return block(
            dim=dim,
            attention=attention(),
            mlp=mlp(dim),
            norm=norm,
            cross_attention=attention(context_dim) if context_dim is not None else None,
            branch=lambda: Branch(dim, layer_scale=options.get("layer_scale"), dropout=dropout, drop_path=drop_path),
        )

    return nn.ModuleList(layer(drop_path) for drop_path in drop_paths)
