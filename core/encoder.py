"""The encoder: every position may look at every other.

Axes: B batch, H heads, T positions, C width of the model.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor, nn

from .attention import ScoreCarry
from .blocks import Block, LayerOptions, View, build_blocks
from .layers import LayerNorm
from .positions import Alibi, RelativeBias

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Encoder(nn.Module):
    """`depth` layers over embedded x [B, T, C], and a norm at the end.

    final_norm: leave it out for post-norm layers, which end in one. position_bias: `RelativeBias` or `Alibi`, computed
    once and shared by all layers. residual_attention: scores are handed from layer to layer. The other options are
    those of `LayerOptions`.

    >>> Encoder(dim=192, depth=12, heads=3, norm=partial(nn.LayerNorm, eps=1e-6))  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        dim: int,
        depth: int,
        heads: int,
        final_norm: bool = True,
        position_bias: RelativeBias | Alibi | None = None,
        residual_attention: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__()
        self.dim = dim
        self.blocks = build_blocks(dim=dim, depth=depth, heads=heads, **options)
        self.norm = options.get("norm", LayerNorm)(dim) if final_norm else None
        self.position_bias, self.residual_attention = position_bias, residual_attention

    def forward(
        self, x: Tensor, *, mask: Tensor | None = None, positions: Tensor | None = None, keep: int | None = None
    ) -> Tensor:
        """x [B, T, C] -> [B, T, C].

        mask: boolean, True = may attend, broadcastable to [B, H, T, T] (for padding: `key_mask`).
        positions [T] or [B, T]: for rotary models. keep: only the first `keep` positions are needed of the result
        [B, keep, C]; the last layer then computes no others (a class token costs a twelfth less of a 12-layer ViT).
        """
        view = self.view(x, mask=mask, positions=positions)
        for block in self.blocks[:-1]:
            x = block(x, view)
        for block in self.blocks[-1:]:
            x = block(x, replace(view, mask=_rows(view.mask, keep), bias=_rows(view.bias, keep), keep=keep))
        return x if self.norm is None else self.norm(x)

    def last_layers(self, x: Tensor, count: int, *, mask: Tensor | None = None) -> list[Tensor]:
        """What each of the last `count` layers gives for x [B, T, C], through the final norm: `count` of [B, T, C]."""
        view, found = self.view(x, mask=mask, positions=None), []
        for number, block in enumerate(self.blocks):
            x = block(x, view)
            if number >= len(self.blocks) - count:
                found.append(x if self.norm is None else self.norm(x))
        return found

    def attention_maps(self, x: Tensor, *, mask: Tensor | None = None, positions: Tensor | None = None) -> list[Tensor]:
        """The attention weights [B, H, T, T] of every layer, by the written-out path; for looking at, not for speed."""
        view, maps = self.view(x, mask=mask, positions=positions), []
        for block in self.blocks:
            assert isinstance(block, Block)
            maps.append(block.weights(x, view))
            x = block(x, view)
        return maps

    def view(self, x: Tensor, *, mask: Tensor | None, positions: Tensor | None) -> View:
        """What each layer may look at."""
        bias = self.position_bias(x.shape[1], x.shape[1]) if self.position_bias is not None else None
        carry = ScoreCarry() if self.residual_attention else None
        return View(mask=mask, bias=bias, positions=positions, carry=carry)


def _rows(table: Tensor | None, keep: int | None) -> Tensor | None:
    """The first `keep` query rows of a mask or bias [..., T, S]; one that serves all queries stays."""
    return table if table is None or keep is None or table.shape[-2] == 1 else table[..., :keep, :]
