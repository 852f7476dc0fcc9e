"""The decoder: each position looks at itself and what came before, and perhaps at a context.

Axes: B batch, H heads, T positions of this call, S positions so far, C width of the model.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .attention import MultiHeadAttention
from .blocks import LayerOptions, View, build_blocks
from .cache import Cache
from .encoder import Encoder
from .layers import LayerNorm
from .masks import combine_masks, sliding_window_mask
from .positions import Alibi, RelativeBias
from .rehearsal import again

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Decoder(nn.Module):
    """`depth` causal layers over embedded x [B, T, C], cross-attending where `context_dim` is given, and a norm.

    window: each position sees only so many positions, itself included. final_norm, position_bias and the other options
    as for `Encoder`. checkpointing (an attribute, off): in training, layers are computed again in the backward pass
    instead of keeping what they computed; a third more time for a fraction of the memory (Chen et al. 2016, arXiv
    1604.06174).
    """

    def __init__(
        self,
        *,
        dim: int,
        depth: int,
        heads: int,
        context_dim: int | None = None,
        window: int | None = None,
        final_norm: bool = True,
        position_bias: RelativeBias | Alibi | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__()
        self.dim, self.window = dim, window
        self.rotary = options.get("rotary")  # the one that every layer holds
        self.blocks = build_blocks(dim=dim, depth=depth, heads=heads, context_dim=context_dim, **options)
        self.norm = options.get("norm", LayerNorm)(dim) if final_norm else None
        self.position_bias = position_bias
        self.checkpointing = False

    def forward(
        self,
        x: Tensor,
        *,
        context: Tensor | None = None,
        mask: Tensor | None = None,
        context_mask: Tensor | None = None,
        positions: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """x [B, T, C] -> [B, T, C].

        mask: boolean, True = may attend, broadcastable to [B, H, T, S]; joined with the causal mask (for left padding:
        `key_mask`). context [B, U, context_dim] with context_mask broadcastable to [B, H, T, U].
        cache: holds the S - T positions before these and takes these up; the result equals the uncached one.
        positions [T] or [B, T]: for rotary models, default S-T..S-1.
        """
        steps = x.shape[1]
        past = 0 if cache is None else cache.length
        if self.window is not None:
            near = sliding_window_mask(steps, past + steps, window=self.window, device=x.device)
            mask = combine_masks(mask, near)
        if positions is None:
            positions = torch.arange(past, past + steps, device=x.device)
        turn = None if self.rotary is None else self.rotary.turn(positions, x.dtype)
        bias = self.position_bias(steps, past + steps) if self.position_bias is not None else None
        view = View(mask=mask, bias=bias, causal=True, positions=turn, context=context, context_mask=context_mask)
        for index, block in enumerate(self.blocks):
            if cache is None and self.checkpointing and self.training and torch.is_grad_enabled():
                x = cast(Tensor, checkpoint(block, x, view, use_reentrant=False, context_fn=again))
            elif cache is None:
                x = block(x, view)
            else:
                x = block(x, dataclasses.replace(view, cache=cache.own[index], context_cache=cache.cross[index]))
        return x if self.norm is None else self.norm(x)

    def remember(self, context: Tensor, cache: Cache) -> None:
        """Project the context [B, U, context_dim] into a new cache, for every layer; calls with it then need none.

        Raises ValueError for a decoder that does not cross-attend.
        """
        for block, layer in zip(self.blocks, cache.cross, strict=True):
            cross = getattr(block, "cross_attention", None)
            if not isinstance(cross, MultiHeadAttention):
                raise ValueError("this decoder was made without context_dim: it takes no context")
            cross.remember(context, layer)

    def new_cache(self, capacity: int, *, context_capacity: int = 0) -> Cache:
        """A cache for `capacity` positions in all (and `context_capacity` of the context)."""
        return Cache(len(self.blocks), capacity, context_capacity=context_capacity)


class EncoderDecoder(nn.Module):
    """An encoder whose result is the context of a decoder (translation, speech recognition).

    The decoder must cross-attend to the encoder's width; ValueError otherwise.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        cross = getattr(decoder.blocks[0], "cross_attention", None)
        if cross is None or cross.context_dim != encoder.dim:
            raise ValueError(f"the decoder must be made with context_dim={encoder.dim}, the width of the encoder")
        self.encoder, self.decoder = encoder, decoder

    def forward(
        self,
        source: Tensor,
        target: Tensor,
        *,
        source_mask: Tensor | None = None,
        target_mask: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """source [B, U, C], target [B, T, C] -> [B, T, C]; masks boolean, True = may attend.

        To decode step by step, call `encoder` once and `decoder` with its cache for each step.
        """
        context = self.encoder(source, mask=source_mask)
        return self.decoder(target, context=context, context_mask=source_mask, mask=target_mask, cache=cache)
