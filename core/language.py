"""A language model: token ids in, a guess at the next token out.

    tokens [B, T] -> vectors (+ learned positions) -> decoder -> hidden [B, T, C] -> head -> logits [B, T, V]

Axes: B batch, T positions of this call, S positions so far, C width of the model, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .cache import Cache
from .decoder import Decoder
from .embed import TokenEmbedding
from .heads import LanguageHead
from .positions import LearnedPositions


class LanguageModel(nn.Module):
    """A decoder between a token embedding and a head over the vocabulary.

    length: positions the model was made for. learned: it adds a learned vector for each of them (GPT-2), rather than
    turning queries and keys in the decoder. tied: the head's weights are the embedding's. bias: of the head (phi).
    """

    def __init__(
        self,
        *,
        vocabulary: int,
        decoder: Decoder,
        length: int,
        learned: bool = False,
        tied: bool = False,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.length = length
        self.tokens = TokenEmbedding(vocabulary, decoder.dim)
        self.positions = LearnedPositions(length=length, dim=decoder.dim) if learned else None
        self.decoder = decoder
        self.head = LanguageHead(
            dim=decoder.dim, vocabulary=vocabulary, bias=bias, embedding=self.tokens if tied else None
        )

    @property
    def vocabulary(self) -> int:
        """Rows of the embedding: the ids that the model knows."""
        return self.tokens.num_embeddings

    @property
    def tied(self) -> bool:
        """Whether the head's weights are the embedding's."""
        return self.head.projection.weight is self.tokens.weight

    def forward(
        self,
        tokens: Tensor,
        *,
        mask: Tensor | None = None,
        positions: Tensor | None = None,
        cache: Cache | None = None,
        last: bool = False,
    ) -> Tensor:
        """Ids [B, T] -> logits [B, T, V]; with `last` those of the last position alone, [B, 1, V]. See `hidden`."""
        hidden = self.hidden(tokens, mask=mask, positions=positions, cache=cache)
        return self.head(hidden[:, -1:] if last else hidden)

    def hidden(
        self,
        tokens: Tensor,
        *,
        mask: Tensor | None = None,
        positions: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """Ids [B, T] -> what the head reads, [B, T, C].

        mask: boolean, True = may attend, broadcastable to [B, H, T, S]; joined with the causal mask. For a batch padded
        on the left it is `key_mask(keep)` with keep [B, S], and positions [B, T] count the real tokens alone.
        cache: holds the S - T positions before these and takes these up.
        """
        return self.contextualise(self.tokens(tokens), mask=mask, positions=positions, cache=cache)

    def contextualise(
        self,
        vectors: Tensor,
        *,
        mask: Tensor | None = None,
        positions: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """Vectors [B, T, C] in place of tokens (soft prompts) -> [B, T, C]; the rest as in `hidden`."""
        if positions is None:
            past = 0 if cache is None else cache.length
            positions = torch.arange(past, past + vectors.shape[1], device=vectors.device)
        if self.positions is not None:
            vectors = self.positions(vectors, positions)
        return self.decoder(vectors, mask=mask, positions=positions, cache=cache)

    def new_cache(self, capacity: int) -> Cache:
        """A key/value cache for `capacity` positions in all."""
        return self.decoder.new_cache(capacity)
