"""Some rows of the vocabulary learn, the others stay as they are, bit by bit.

    embedding [V, C] = [ base: frozen ]    head [V, C] = [ base: frozen ]    (one and the same where they are tied)
                       [ new:  learns ]                  [ new:  learns ]    each row back at its id by `places`

The optimiser knows only the rows that learn, and no gradient is as large as the whole table.

Axes: B batch, T positions, C width of the model, V vocabulary, R rows that learn.
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
from ..losses import IGNORED, chunked_cross_entropy
from ..quantize import NarrowLinear


class SplitRows(nn.Module):
    """A table [V, C] or [V] in two parts: `base`, frozen, and `new`, the rows `ids` [R], which learn."""

    ids: Tensor
    places: Tensor
    """[V]: where the row of each id stands in [base; new]."""

    def __init__(self, whole: Tensor, ids: Tensor) -> None:
        super().__init__()
        where = ids.device if whole.is_meta else whole.device  # which rows stay is known without their numbers
        whole, learns = whole.detach(), torch.zeros(len(whole), dtype=torch.bool, device=where)
        learns[ids] = True
        self.base = nn.Parameter(whole[~learns].clone(), requires_grad=False)
        self.new = nn.Parameter(whole[learns].to(torch.promote_types(whole.dtype, torch.float32)).clone())
        order = torch.cat([(~learns).nonzero().squeeze(1), learns.nonzero().squeeze(1)])
        self.register_buffer("ids", order[len(self.base) :], persistent=False)
        self.register_buffer("places", order.argsort(), persistent=False)

    @property
    def parts(self) -> tuple[Tensor, Tensor]:
        return self.base, self.new

    def whole(self) -> Tensor:
        """The plain table, in the precision of the rows that stay."""
        return torch.cat([self.base, self.new.to(self.base.dtype)]).detach()[self.places]


class SplitEmbedding(nn.Module):
    """A token embedding some rows of which learn."""

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
        (base, new), places = self.rows.parts, self.rows.places[ids]
        old = F.embedding(places.clamp(max=len(base) - 1), base)
        fresh = F.embedding((places - len(base)).clamp(min=0), new).to(old.dtype)
        vectors = torch.where((places >= len(base))[..., None], fresh, old)
        return vectors if self.scale == 1.0 else vectors * self.scale


class SplitHead(nn.Module):
    """A head some rows of which learn, with their biases."""

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
        return torch.cat(pieces, dim=-1)[..., self.rows.places]


def learn_rows(model: LanguageModel, ids: Tensor) -> None:
    """Let only the rows `ids` [R] of `model`'s embedding and head (weight and bias) learn; changes it in place.

    Whatever else learns stays as it was. Raises UserError where an id has no row, or no row would be left as it is.
    """
    ids = ids.unique()
    if not len(ids) or ids[0] < 0 or ids[-1] >= model.vocabulary:
        raise UserError(f"There are no such rows to learn: the vocabulary has {model.vocabulary}.")
    if len(ids) == model.vocabulary:
        raise UserError(f"All {len(ids)} rows of the vocabulary would learn.", "The method full does that.")
    if _is_split(model):
        raise UserError("Rows of this model's vocabulary learn already.")
    projection = model.head.projection
    rows = SplitRows(model.tokens.weight, ids)
    of_head = rows if model.tied else SplitRows(projection.weight, ids)
    biases = None if projection.bias is None else SplitRows(projection.bias, ids)
    scale = model.tokens.scale
    model.tokens = SplitEmbedding(rows, scale=scale)  # pyright: ignore[reportAttributeAccessIssue]
    model.head.projection = SplitHead(of_head, biases)  # pyright: ignore[reportAttributeAccessIssue]


def merge_rows(model: nn.Module) -> bool:
    """Put plain tables back where `learn_rows` had split them, tied as they were, frozen; gives whether it had."""
    if not isinstance(model, LanguageModel) or not _is_split(model):
        return False
    tokens, head = model.tokens, model.head.projection
    assert isinstance(tokens, SplitEmbedding)
    assert isinstance(head, SplitHead)
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
    """The rows that learn, by name: their "ids" [R], "tokens" [R, C], and where the head has its own "head" [R, C], and
    its "head.bias" [R]."""
    if not isinstance(model, LanguageModel) or not _is_split(model):
        return {}
    tokens, head = model.tokens, model.head.projection
    assert isinstance(tokens, SplitEmbedding)
    assert isinstance(head, SplitHead)
    found = {"ids": tokens.rows.ids, "tokens": tokens.rows.new}
    if head.rows is not tokens.rows:
        found["head"] = head.rows.new
    if head.biases is not None:
        found["head.bias"] = head.biases.new
    return {name: value.detach() for name, value in found.items()}


def load_rows(model: LanguageModel, tensors: dict[str, Tensor]) -> None:
    """Copy what `row_tensors` gave into a plain model's rows. Raises UserError where they do not fit."""
    places = {"tokens": model.tokens.weight}
    if not model.tied:
        places["head"] = model.head.projection.weight
    if model.head.projection.bias is not None:
        places["head.bias"] = model.head.projection.bias
    if {"ids", *places} != set(tensors):
        named = (", ".join(sorted(names)) for names in (tensors, {"ids", *places}))
        raise UserError("The vocabulary's rows are {}; this model needs {}.".format(*named))
    ids = tensors["ids"]
    if ids.ndim != 1 or (len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < model.vocabulary):
        raise UserError(f"The vocabulary's rows go beyond this model's {model.vocabulary}.")
    for name, place in places.items():
        if tensors[name].shape != (len(ids), *place.shape[1:]):
            theirs, ours = tuple(tensors[name].shape), (len(ids), *place.shape[1:])
            raise UserError(f"The vocabulary's rows of {name} are {theirs}; this model needs {ours}.")
    with torch.no_grad():
        for name, place in places.items():
            place[ids] = tensors[name].to(place.dtype)


def language_loss(model: LanguageModel, hidden: Tensor, targets: Tensor, *, chunk: int | None = None) -> Tensor:
    """`chunked_cross_entropy` under the model's own head, split or not: hidden [N, C], targets [N]."""
    return chunked_cross_entropy(hidden, *head_parts(model), head_places(model, targets), chunk=chunk)


def head_parts(model: LanguageModel) -> tuple[Sequence[Tensor], Sequence[Tensor] | None]:
    """Weights and biases of the head, as `losses` takes them."""
    projection: nn.Module = model.head.projection
    if isinstance(projection, SplitHead):
        return projection.rows.parts, None if projection.biases is None else projection.biases.parts
    assert isinstance(projection, (nn.Linear, NarrowLinear))
    return (projection.weight,), None if projection.bias is None else (projection.bias,)


def head_places(model: LanguageModel, targets: Tensor) -> Tensor:
    """Where the ids of `targets` stand below each other in `head_parts`; `IGNORED` ones stay so."""
    projection: nn.Module = model.head.projection
    if not isinstance(projection, SplitHead):
        return targets
    return torch.where(targets == IGNORED, targets, projection.rows.places[targets.clamp(min=0)])


def _is_split(model: LanguageModel) -> bool:
    return isinstance(model.tokens, SplitEmbedding)
