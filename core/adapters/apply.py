"""Putting a method on a network, reading off what it has learnt, and folding it into the weights."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from ..attention import MultiHeadAttention
from ..errors import UserError, near
from ..nf4 import NF4Linear
from ..runtime import give_back
from .linear import AdaptedLinear, Base, BottleneckLinear, LowRankLinear, ScaledLinear
from .method import Method
from .prompts import PrefixedAttention, PromptedModel, add_prompt
from .rows import merge_rows

Network = TypeVar("Network", bound=nn.Module)

TARGETS = {
    "ia3": ("qkv", "key_value", "down"),
    "bottleneck": ("out", "down"),
}
"""What is adapted where `Method.targets` says nothing; for other kinds every linear layer but the head."""


def apply(network: Network, method: Method) -> Network:
    """Freeze `network` but for what `method` learns, adding it where it is new; changes the network, and gives it back.

    A new head or new rows that should learn too are unfrozen afterwards. Raises UserError where the method has no
    place in this network or a target matches no linear layer.
    """
    _require_plain(network)
    if method.kind == "full":
        network.requires_grad_(True)
        return network
    network.requires_grad_(False)
    if method.kind == "freeze":
        _unfreeze_last(network, method)
    elif method.kind in ("prompt", "prefix"):
        add_prompt(network, method.tokens, prefix=method.kind == "prefix")
    else:
        _adapt(network, method, _linear_names(network, method))
    return network


def _require_plain(network: nn.Module) -> None:
    if _added(network):
        raise UserError("This network has adapters already.", "Merge them first.")


def _adapt(network: nn.Module, method: Method, names: Iterable[str], like: Mapping[str, Tensor] | None = None) -> None:
    """Wrap the linear layers called `names`; with `qlora` every other one but the head goes into 4 bits as well.
    like: an adapter's tensors, which then say what each layer needs."""
    if method.kind == "qlora":
        for name in body(network):
            _replace(network, name, NF4Linear(cast(nn.Linear, network.get_submodule(name))))
            give_back()  # the next layer's wide weights hardly fit into the gaps beside this one's narrow ones
    for name in names:
        base = network.get_submodule(name)
        assert isinstance(base, (nn.Linear, NF4Linear))
        _replace(network, name, _adapter(network, name, base, method, like or {}))


def _adapter(network: nn.Module, name: str, base: Base, method: Method, like: Mapping[str, Tensor]) -> AdaptedLinear:
    if method.low_rank:
        rank = len(like[f"{name}.lora_a"]) if f"{name}.lora_a" in like else None
        return LowRankLinear(base, method, rank=rank)
    if method.kind == "bottleneck":
        return BottleneckLinear(base, width=method.width)
    if (factors := like.get(f"{name}.output_factors")) is not None:
        return ScaledLinear(base, inputs=False, count=len(factors))
    # Of attention the keys and values are scaled, and elsewhere what the layer reads: the hidden units of an MLP.
    attention, last = network.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2]
    if not like and last == "qkv" and isinstance(attention, MultiHeadAttention):
        return ScaledLinear(base, inputs=False, count=2 * attention.kv_heads * attention.head_dim)
    return ScaledLinear(base, inputs=bool(like) or last != "key_value")


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, module)


def body(network: nn.Module) -> list[str]:
    """The linear layers but for the head's, by name."""
    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    return [name for name in linear if not _ends_in(name, "head") and not name.startswith("head.")]


def _linear_names(network: nn.Module, method: Method) -> list[str]:
    """The linear layers that `method` adapts: those whose name is, or ends in a dot and, one of its targets."""
    every = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not method.targets:
        wanted = TARGETS.get(method.kind)
        chosen = [name for name in body(network) if wanted is None or any(_ends_in(name, target) for target in wanted)]
        if not chosen:
            raise UserError(f"The method {method.kind} finds nothing to adapt in this network.", "Name its targets.")
        return chosen
    for target in method.targets:
        if not any(_ends_in(name, target) for name in every):
            endings = {name.rpartition(".")[2] for name in every}
            raise UserError(f"No linear layer is called {target!r}.", near(target, endings))
    return [name for name in every if any(_ends_in(name, target) for target in method.targets)]


def _ends_in(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def _unfreeze_last(network: nn.Module, method: Method) -> None:
    """The last blocks, the norm after them and perhaps the head."""
    stacks = [module for module in network.modules() if isinstance(getattr(module, "blocks", None), nn.ModuleList)]
    if not stacks:
        raise UserError("This network has no blocks of which the last ones could learn.")
    stack, blocks = stacks[-1], list(stacks[-1].blocks)  # pyright: ignore[reportArgumentType, reportCallIssue]
    if method.layers > len(blocks):
        raise UserError(f"The last {method.layers} blocks cannot learn: the network has {len(blocks)}.")
    learning: Sequence[object] = [*blocks[-method.layers :], getattr(stack, "norm", None)]
    for module in (*learning, getattr(network, "head", None) if method.head else None):
        if isinstance(module, nn.Module):
            module.requires_grad_(True)


# -- what has been learnt ---------------------------------------------------------------------------------------------


ROWS = ("tokens.rows.", "head.projection.rows.", "head.projection.biases.")


def adapter_tensors(network: nn.Module) -> dict[str, Tensor]:
    """What the adapters hold, by name; without adapters the weights that learn (`freeze`). New rows are `rows`' own."""
    added = _added(network)
    if not added:
        added = {name: value for name, value in network.named_parameters() if value.requires_grad}
    return {name: value.detach() for name, value in added.items() if not name.startswith(ROWS)}


def _added(network: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters that adapters brought in."""
    found: dict[str, nn.Parameter] = {}
    for place, module in network.named_modules():
        if isinstance(module, (AdaptedLinear, PromptedModel, PrefixedAttention)):
            old = {id(value) for value in module.base.parameters()} if isinstance(module, AdaptedLinear) else set()
            names = {"prompt"} if isinstance(module, PromptedModel) else {"prefix"}
            for name, value in module.named_parameters(prefix=place):
                last = name.removeprefix(place).lstrip(".")
                if (isinstance(module, AdaptedLinear) and id(value) not in old) or last in names:
                    found[name] = value
    return found


def load_adapter(
    network: Network, method: Method, tensors: Mapping[str, Tensor], *, source: str = "the adapter"
) -> Network:
    """Put an adapter that `adapter_tensors` gave, or `merged` read from elsewhere, on a plain network.

    Ranks are the tensors' own, and layers without tensors stay plain. Raises UserError naming the first tensor that
    fits nowhere; the network is then as it was, but frozen.
    """
    _require_plain(network)
    network.requires_grad_(False)
    if method.kind in ("full", "freeze", "prompt", "prefix"):
        apply(network, method)
    else:
        layers = sorted({name.rsplit(".", _depth(method))[0] for name in tensors}, key=_natural)
        known = {name for name, module in network.named_modules() if isinstance(module, nn.Linear)}
        if unknown := [name for name in layers if name not in known]:
            raise UserError(f"{source} is for another network: this one has no layer {unknown[0]!r}.")
        _adapt(network, method, layers, tensors)
    own = dict(network.named_parameters()) if method.kind in ("full", "freeze") else _added(network)
    _fill({name: value for name, value in own.items() if value.requires_grad}, tensors, source)
    return network


def _depth(method: Method) -> int:
    """How many parts of a tensor's name lie below the layer's."""
    return 2 if method.kind == "bottleneck" else 1


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in name.split(".")]


def _fill(own: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor], source: str) -> None:
    for name in (*tensors, *own):
        if name not in own or name not in tensors:
            lack = "has no place for" if name not in own else "needs"
            raise UserError(f"{source} is for another network: this one {lack} {name!r}.")
        if own[name].shape != tensors[name].shape:
            theirs, ours = tuple(tensors[name].shape), tuple(own[name].shape)
            raise UserError(f"{source} is for another network: {name} is {theirs}, not {ours}.")
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(tensors[name])


@contextmanager
def without_adapters(network: nn.Module) -> Iterator[None]:
    """The network inside the block is as it was before adapters of its linear layers (the reference of preference
    tuning); new rows, prompts and prefixes stay."""
    adapted = [(name, module) for name, module in network.named_modules() if isinstance(module, AdaptedLinear)]
    for name, module in adapted:
        _replace(network, name, module.base)
    try:
        yield
    finally:
        for name, module in adapted:
            _replace(network, name, module)


# -- back to a plain network ------------------------------------------------------------------------------------------


def merge(network: nn.Module) -> int:
    """Fold every adapter, and new rows, into plain layers; gives how many layers changed. Their weights are frozen.

    Raises UserError, before anything is changed, for a method that has no plain counterpart.
    """
    if isinstance(network, PromptedModel) or any(isinstance(m, BottleneckLinear) for m in network.modules()):
        raise UserError(
            "A prompt, a prefix and bottleneck adapters are no change of the weights and cannot be merged into them.",
            "Keep the adapter beside the model, or use lora, dora or ia3.",
        )
    adapted = [name for name, module in network.named_modules() if isinstance(module, AdaptedLinear)]
    for name in adapted:  # by name: a list of modules would keep the memory of those that are replaced already
        _replace(network, name, cast(AdaptedLinear, network.get_submodule(name)).merged())
    for name in [name for name, module in network.named_modules() if isinstance(module, NF4Linear)]:
        _replace(network, name, cast(NF4Linear, network.get_submodule(name)).widened())
    return len(adapted) + merge_rows(network)


def merged(network: Network) -> Network:
    """A copy of `network` with its adapters and new rows folded in; the network itself where it has none."""
    plain = copy.deepcopy(network)
    return plain if merge(plain) else network
