"""The Transformer and what every domain shares. Knows no domain.

    from tsuite.core import Encoder, Decoder, MultiHeadAttention

Names are imported when first used, so that `import tsuite.core` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .lazy import lazy_names

if TYPE_CHECKING:
    from .attention import MultiHeadAttention, attend, attend_reference
    from .blocks import ParallelBlock, PostNormBlock, PreNormBlock
    from .cache import Cache
    from .decoder import Decoder, EncoderDecoder
    from .embed import FrameEmbedding, PatchEmbedding, TokenEmbedding
    from .encoder import Encoder
    from .heads import FirstAndMeanTokens, LanguageHead, MeanTokens, first_token
    from .layers import MLP, DropPath, GatedMLP, LayerNorm, LayerScale, RMSNorm
    from .masks import causal_mask, combine_masks, key_mask, padding_mask, sliding_window_mask
    from .positions import (
        Alibi,
        LearnedPositions,
        RelativeBias,
        Rotary,
        RotaryScaling,
        interpolate_grid,
        sinusoidal,
    )

_HOMES = {
    "attention": ("MultiHeadAttention", "attend", "attend_reference"),
    "blocks": ("ParallelBlock", "PostNormBlock", "PreNormBlock"),
    "cache": ("Cache",),
    "decoder": ("Decoder", "EncoderDecoder"),
    "embed": ("FrameEmbedding", "PatchEmbedding", "TokenEmbedding"),
    "encoder": ("Encoder",),
    "heads": ("FirstAndMeanTokens", "LanguageHead", "MeanTokens", "first_token"),
    "layers": ("MLP", "DropPath", "GatedMLP", "LayerNorm", "LayerScale", "RMSNorm"),
    "masks": ("causal_mask", "combine_masks", "key_mask", "padding_mask", "sliding_window_mask"),
    "positions": (
        "Alibi",
        "LearnedPositions",
        "RelativeBias",
        "Rotary",
        "RotaryScaling",
        "interpolate_grid",
        "sinusoidal",
    ),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__getattr__ = lazy_names(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted(_HOME)
