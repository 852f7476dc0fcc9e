"""New vocabulary rows that learn below old ones that stay as they are, bit by bit.

    embedding [V, C] = [ base: frozen ]    head [V, C] = [ base: frozen ]    (one and the same where they are tied)
                       [ new:  learns ]                  [ new:  learns ]

The optimiser knows only the new rows, and no gradient is as large as the whole table.

Axes: B batch, T positions, C width of the model, V vocabulary, R new rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..embed import TokenEmbedding
from ..errors import UserError
from ..language import LanguageModel
from ..linear import Linear, product
from ..losses import chunked_cross_entropy


class SplitRows(nn.Module):
    """A table [V, C] or [V] in two parts: `base`, frozen, and `new`, which learns."""

    def __init__(self, whole: Tensor, start: int) -> None:
        super().__init__()
        whole = whole.detach()
        self.start = start
        self.base = nn.Parameter(whole[:start].clone(), requires_grad=False)
        self.new = nn.Parameter(whole[start:].to(torch.promote_types(whole.dtype, torch.float32)).clone())

    @property
    def parts(self) -> tuple[Tensor, Tensor]:
        return self.base, self.new

    def whole(self) -> Tensor:
        """The plain table, in the precision of the old rows."""
        return torch.cat([self.base, self.new.to(self.base.dtype)]).detach()


class ExtendedEmbedding(nn.Module):
    """A token embedding whose rows from `start` on learn."""

    def __init__(self, rows: SplitRows, *, scale: float) -> None:
        super().__init__()
        self.rows, self.scale = rows, scale
        self.num_embeddings, self.embedding_dim = len(rows.base) + len(rows.new), rows.base.shape[1]

    @property
    def weight(self) -> Tensor:
        """All rows [V, C], put together each time that it is asked for."""
        return self.rows.whole()

    def forward(self, ids: Tensor) -> Tensor:
        """Token ids [B, T] -> [B, T, C]."""
        start, (base, new) = self.rows.start, self.rows.parts
        old = F.embedding(ids.clamp(max=start - 1), base)
        fresh = F.embedding((ids - start).clamp(min=0), new).to(old.dtype)
        vectors = torch.where((ids >= start)[..., None], fresh, old)
        return vectors if self.scale == 1.0 else vectors * self.scale


class ExtendedHead(nn.Module):
    """A head whose rows, and their biases, from `start` on learn."""

    def __init__(self, rows: SplitRows, biases: SplitRows | None) -> None:
        super().__init__()
        self.rows, self.biases = rows, biases
        self.in_features, self.out_features = rows.base.shape[1], len(rows.base) + len(rows.new)

    @property
    def weight(self) -> Tensor:
        """All rows [V, C], put together each time that it is asked for."""
        return self.rows.whole()

    @property
    def bias(self) -> Tensor | None:
        return None if self.biases is None else self.biases.whole()

    def forward(self, x: Tensor) -> Tensor:
        """x [..., C] -> logits [..., V]."""
        biases = (None, None) if self.biases is None else self.biases.parts
        pieces = [
            product(x, part.to(x.dtype), None if bias is None else bias.to(x.dtype))
            for part, bias in zip(self.rows.parts, biases, strict=True)
        ]
        return torch.cat(pieces, dim=-1)


def learn_rows(model: LanguageModel, start: int) -> None:
    """Let only the rows from id `start` on of `model`'s embedding and head (weight and bias) learn; changes it in
    place. Whatever else learns stays as it was. Raises UserError where there is no such row, or none before it.
    """
    if not 0 < start < model.vocabulary:
        raise UserError(f"New rows cannot begin at {start}: the vocabulary has {model.vocabulary}.")
    if _is_extended(model):
        raise UserError("The new rows of this model learn already.")
    projection = model.head.projection
    rows = SplitRows(model.tokens.weight, start)
    of_head = rows if model.tied else SplitRows(projection.weight, start)
    biases = None if projection.bias is None else SplitRows(projection.bias, start)
    scale = model.tokens.scale
    model.tokens = ExtendedEmbedding(rows, scale=scale)  # pyright: ignore[reportAttributeAccessIssue]
    model.head.projection = ExtendedHead(of_head, biases)  # pyright: ignore[reportAttributeAccessIssue]


def merge_rows(model: nn.Module) -> bool:
    """Put plain tables back where `learn_rows` had split them, tied as they were, frozen; gives whether it had."""
    if not isinstance(model, LanguageModel) or not _is_extended(model):
        return False
    tokens, head = model.tokens, model.head.projection
    assert isinstance(tokens, ExtendedEmbedding)
    assert isinstance(head, ExtendedHead)
    with torch.device("meta"):
        embedding = TokenEmbedding(tokens.num_embeddings, tokens.embedding_dim, scale=tokens.scale)
        projection = Linear(head.in_features, head.out_features, bias=head.biases is not None)
    embedding.weight = nn.Parameter(tokens.weight, requires_grad=False)
    tied = head.rows is tokens.rows
    projection.weight = embedding.weight if tied else nn.Parameter(head.weight, requires_grad=False)
    if head.bias is not None:
        projection.bias = nn.Parameter(head.bias, requires_grad=False)
    model.tokens, model.head.projection = embedding, projection
    return True


def row_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The new rows that learn, by name: "tokens", and where the head has its own "head", and its "head.bias"."""
    if not isinstance(model, LanguageModel) or not _is_extended(model):
        return {}
    tokens, head = model.tokens, model.head.projection
    assert isinstance(tokens, ExtendedEmbedding)
    assert isinstance(head, ExtendedHead)
    found = {"tokens": tokens.rows.new}
    if head.rows is not tokens.rows:
        found["head"] = head.rows.new
    if head.biases is not None:
        found["head.bias"] = head.biases.new
    return {name: value.detach() for name, value in found.items()}


def load_rows(model: LanguageModel, tensors: dict[str, Tensor], start: int) -> None:
    """Copy what `row_tensors` gave into a plain model's rows from id `start` on. Raises UserError where they do not
    fit."""
    places = {"tokens": model.tokens.weight}
    if not model.tied:
        places["head"] = model.head.projection.weight
    if model.head.projection.bias is not None:
        places["head.bias"] = model.head.projection.bias
    if set(places) != set(tensors):
        raise UserError(f"The new rows are {', '.join(sorted(tensors))}; this model needs {', '.join(sorted(places))}.")
    for name, place in places.items():
        if place[start:].shape != tensors[name].shape:
            theirs, ours = tuple(tensors[name].shape), tuple(place[start:].shape)
            raise UserError(f"The new rows of {name} are {theirs}; this model has room for {ours} from id {start} on.")
    with torch.no_grad():
        for name, place in places.items():
            place[start:] = tensors[name].to(place.dtype)


def language_loss(model: LanguageModel, hidden: Tensor, targets: Tensor, *, chunk: int | None = None) -> Tensor:
    """`chunked_cross_entropy` under the model's own head, split or not: hidden [N, C], targets [N]."""
    return chunked_cross_entropy(hidden, *head_parts(model), targets, chunk=chunk)


def head_parts(model: LanguageModel) -> tuple[Sequence[Tensor], Sequence[Tensor] | None]:
    """Weights and biases of the head, as `losses` takes them."""
    projection: nn.Module = model.head.projection
    if isinstance(projection, ExtendedHead):
        return projection.rows.parts, None if projection.biases is None else projection.biases.parts
    assert isinstance(projection, nn.Linear)
    return (projection.weight,), None if projection.bias is None else (projection.bias,)


def _is_extended(model: LanguageModel) -> bool:
    return isinstance(model.tokens, ExtendedEmbedding)
