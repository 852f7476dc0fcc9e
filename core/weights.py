"""Weights of other projects, by tables: one table read in both directions, every key and shape accounted for.

    VIT = KeyTable(
        Row("patches.projection.weight", "patch_embed.proj.weight"),
        Row("encoder.blocks.{}.attention.qkv.weight", ("layer.{}.q.weight", "layer.{}.k.weight", "layer.{}.v.weight")),
        Row("encoder.blocks.{}.mlp.up.weight", "h.{}.mlp.c_fc.weight", transpose=True),
        drops=("mask_token", "layer.{}.attention.masked_bias"),
    )

`{}` stands for the number of a layer. Several of their tensors for one of ours are stacked row-wise (fused qkv).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .errors import UserError, near
from .rehearsal import rehearsing


@dataclass(frozen=True)
class Row:
    """One of our keys and where it is found in theirs.

    transpose: their matrix is stored [in, out] (GPT-2's Conv1D). sizes: rows of each part where several unequal ones
    are stacked (grouped-query attention); None: equal parts. optional: their checkpoint may lack it.
    """

    ours: str
    theirs: str | tuple[str, ...]
    transpose: bool = False
    sizes: tuple[int, ...] | None = None
    optional: bool = False

    @property
    def parts(self) -> tuple[str, ...]:
        return (self.theirs,) if isinstance(self.theirs, str) else self.theirs

    def join(self, tensors: Sequence[Tensor]) -> Tensor:
        """Their parts as our one tensor."""
        tensors = [tensor.t() if self.transpose else tensor for tensor in tensors]
        return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))

    def joined(self, theirs: Mapping[str, Tensor], parts: Sequence[str]) -> Tensor:
        """The same by their names."""
        return self.join([theirs[part] for part in parts])

    def split(self, tensor: Tensor) -> list[Tensor]:
        """Our one tensor as their parts."""
        if len(self.parts) == 1:  # of any shape, a lone number too
            pieces = (tensor,)
        elif self.sizes:
            pieces = tensor.split(list(self.sizes))
        else:
            pieces = tensor.chunk(len(self.parts))
        return [piece.t().contiguous() if self.transpose else piece.contiguous() for piece in pieces]


class Lazy(Mapping[str, Tensor]):
    """Tensors that are made when they are asked for, each time anew; names with one maker are names of one tensor."""

    def __init__(self, makers: Mapping[str, Callable[[], Tensor]]) -> None:
        self.makers = dict(makers)

    def __getitem__(self, name: str) -> Tensor:
        return self.makers[name]()

    def __contains__(self, name: object) -> bool:
        return name in self.makers  # Mapping's own would make the tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self.makers)

    def __len__(self) -> int:
        return len(self.makers)

    def all(self) -> dict[str, Tensor]:
        """Every one of them, made once."""
        made: dict[Callable[[], Tensor], Tensor] = {}
        for make in self.makers.values():
            if make not in made:
                made[make] = make()
        return {name: made[make] for name, make in self.makers.items()}


class KeyTable:
    """A family's names. `drops` are their keys that we know and do not need; any other leftover is an error."""

    def __init__(self, *rows: Row, drops: Iterable[str] = ()) -> None:
        self.rows = rows
        self.drops = tuple(_pattern(drop) for drop in drops)

    def matches(self, keys: Iterable[str]) -> int:
        """How many of `keys` this table knows, for choosing among spellings."""
        templates = [_pattern(part) for row in self.rows for part in row.parts]
        return sum(any(pattern.fullmatch(key) for pattern in templates) for key in keys)

    def to_ours(self, theirs: Mapping[str, Tensor], *, source: str = "the checkpoint") -> dict[str, Tensor]:
        """Their tensors under our names. Raises UserError for a key that is missing or that nobody accounts for."""
        return self.lazily(theirs, source=source).all()

    def lazily(self, theirs: Mapping[str, Tensor], *, source: str = "the checkpoint") -> Lazy:
        """The same, but theirs are only read when one of ours is asked for."""
        ours: dict[str, Callable[[], Tensor]] = {}
        used = set()
        for row in self.rows:
            for layer in _layers(row.parts, theirs):
                parts = [part.format(layer) for part in row.parts]
                missing = [part for part in parts if part not in theirs]
                if missing and row.optional:
                    continue
                if missing:
                    raise UserError(f"{source} lacks {missing[0]!r}.", near(missing[0], theirs, most=5))
                ours[row.ours.format(layer)] = partial(row.joined, theirs, parts)
                used.update(parts)
        left = [key for key in theirs if key not in used and not any(drop.fullmatch(key) for drop in self.drops)]
        if left:
            raise UserError(f"{source} holds {len(left)} tensors that this model has no place for: {_few(left)}.")
        return Lazy(ours)

    def to_theirs(self, ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Our tensors under their names. Raises UserError for one of ours that the table does not know."""
        theirs, used = {}, set()
        for row in self.rows:
            for layer in _layers((row.ours,), ours):
                name = row.ours.format(layer)
                if name in ours:
                    used.add(name)
                    theirs.update(
                        (part.format(layer), piece)
                        for part, piece in zip(row.parts, row.split(ours[name]), strict=True)
                    )
        left = [key for key in ours if key not in used]
        if left:
            raise UserError(f"{len(left)} tensors have no name in the other format: {_few(left)}.")
        return theirs


def best_table(tables: Mapping[str, KeyTable], keys: Iterable[str]) -> tuple[str, KeyTable]:
    """The (named) table that knows most of `keys`. Raises UserError where none knows any."""
    keys = list(keys)
    name = max(tables, key=lambda name: tables[name].matches(keys))
    if not tables[name].matches(keys):
        raise UserError(f"These weights are of no known family ({', '.join(tables)}): {_few(keys)}.")
    return name, tables[name]


def load_into(network: nn.Module, tensors: Mapping[str, Tensor], *, source: str = "the checkpoint") -> None:
    """Copy `tensors` into `network` once every key and each shape is accounted for; nothing is copied otherwise.

    A network made on the meta device takes the tensors themselves, in their own precision and on their own device.
    Raises UserError naming what is missing, what is left over, or which shapes differ.
    """
    own = network.state_dict(keep_vars=True)
    missing = [key for key in own if key not in tensors]
    extra = [key for key in tensors if key not in own]
    if missing or extra:
        what = f"{len(missing)} missing: {_few(missing)}" if missing else f"{len(extra)} too many: {_few(extra)}"
        raise UserError(f"{source} is of another model ({what}).")
    for key, value in own.items():
        if value.shape != tensors[key].shape:
            theirs, needed = tuple(tensors[key].shape), tuple(value.shape)
            raise UserError(f"{source} is of another model: {key} is {theirs}, not {needed}.")
    meta = any(value.is_meta for value in own.values())
    network.load_state_dict({name: _stands(value) for name, value in tensors.items()}, strict=True, assign=meta)
    if meta:
        _complete(network, own)


def _stands(value: Tensor) -> Tensor:
    """A tensor of an exported checkpoint, which a graph holds: its shape without memory, and NaN everywhere, so that
    whoever used it by mistake would see."""
    return torch.full((), float("nan")).expand(value.shape) if value.is_meta else value


def _complete(network: nn.Module, before: Mapping[str, Tensor]) -> None:
    """What assigning leaves undone: parameters that were one (tied weights), and tables that no checkpoint holds.

    A module with such tables fills them in its `reset_buffers(device)`.
    """
    first: dict[int, str] = {}
    for key, value in before.items():
        tied = first.setdefault(id(value), key)
        if tied != key:
            place, _, name = key.rpartition(".")
            setattr(network.get_submodule(place), name, network.get_parameter(tied))
    device = next(network.parameters()).device
    for module in network.modules():
        if callable(reset := getattr(module, "reset_buffers", None)):
            reset(device)
    empty = [name for name, buffer in network.named_buffers() if buffer.is_meta]
    if empty and not rehearsing():
        raise NotImplementedError(f"{_few(empty)} has no values: its module needs a reset_buffers(device)")


class _Unfilled(TorchFunctionMode):
    """Leaves out what fills tensors of the meta device in place: it fills nothing, and still makes torch import its
    compiler (a second and 150 MB)."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name.endswith("_") and not name.endswith("__") and name != "requires_grad_":
            filled = args[0] if args else kwargs["tensor"]
            if filled.is_meta:  # a table on another device gets its values
                return filled
        return func(*args, **(kwargs or {}))


@contextmanager
def without_weights() -> Iterator[None]:
    """Networks made inside have shapes and no memory, and cost no time; `load_into` then gives them their weights."""
    with torch.device("meta"), _Unfilled():
        yield


def count_parameters(network: nn.Module, *, trainable: bool = False) -> int:
    """How many numbers the network holds (shared ones once), or how many of them learn."""
    return sum(value.numel() for value in network.parameters() if value.requires_grad or not trainable)


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(r"(\d+)".join(re.escape(part) for part in template.split("{}")))


def _layers(templates: Sequence[str], keys: Collection[str]) -> list[str]:
    """Numbers that `{}` takes among `keys`, in order; one empty step for templates without `{}`."""
    if not any("{}" in template for template in templates):
        return [""]
    found = (_pattern(template).fullmatch(key) for template in templates for key in keys)
    return sorted({match.group(1) for match in found if match}, key=int)


def _few(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
