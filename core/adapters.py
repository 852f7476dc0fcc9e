"""LoRA: learn a small low-rank change beside each large matrix (Hu et al. 2022), by `peft`.

    y = W x + (alpha / rank) · B A x        W stays fixed; A [rank, in] and B [out, rank] learn

`add_lora` changes a network in place; `merge_lora` folds the change into W, so that what is saved is a plain
network again.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, TypeVar

from torch import nn

from .errors import UserError, missing_extra, near

NAME = "lora"

Network = TypeVar("Network", bound=nn.Module)


def add_lora(network: nn.Module, *, rank: int = 8, alpha: float | None = None, targets: Sequence[str] = ()) -> int:
    """Freeze `network` and put a low-rank change beside each linear layer that `targets` names; gives how many.

    `targets` are last parts of module names ("query", "mlp.up"); none: every linear layer. `alpha` scales the change
    (None: twice the rank). Unfreeze a new head afterwards if it should learn too.

    Raises `UserError` where peft is missing, a target matches no linear layer, or the rank is below 1.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ModuleNotFoundError as error:
        raise missing_extra("peft", "vision") from error
    if rank < 1:
        raise UserError(f"The rank of LoRA must be 1 or more, not {rank}.")
    chosen = _linear_names(network, targets)
    config = LoraConfig(r=rank, lora_alpha=2 * rank if alpha is None else alpha, target_modules=chosen)  # pyright: ignore
    network.requires_grad_(False)
    inject_adapter_in_model(config, network, adapter_name=NAME)
    return len(chosen)


def _linear_names(network: nn.Module, targets: Sequence[str]) -> list[str]:
    """Full names of the linear layers whose name is, or ends in a dot and, one of `targets`."""
    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    for target in targets:
        if not any(_ends_in(name, target) for name in linear):
            endings = {name.rpartition(".")[2] for name in linear}
            raise UserError(f"No linear layer is called {target!r}.", near(target, endings))
    return [name for name in linear if not targets or any(_ends_in(name, target) for target in targets)]


def _ends_in(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def merge_lora(network: nn.Module) -> int:
    """Fold every low-rank change into its layer and put the plain layer back; gives how many. Gradients stay as
    they were (frozen), except in layers that were changed, whose weights are the merged ones."""
    changed = _adapted(network)  # told by what they hold, so that a network without adapters needs no peft
    for name, module in changed:
        module.merge()
        parent, _, child = name.rpartition(".")
        setattr(network.get_submodule(parent), child, module.get_base_layer())
    if changed and hasattr(network, "peft_config"):
        del network.peft_config
    return len(changed)


def merged(network: Network) -> Network:
    """A copy of `network` with its adapters folded in; the network itself where it has none."""
    if not _adapted(network):
        return network
    plain = copy.deepcopy(network)
    merge_lora(plain)
    return plain


def _adapted(network: nn.Module) -> list[tuple[str, Any]]:
    """The layers that hold an adapter, by name."""
    return [(name, module) for name, module in network.named_modules() if hasattr(module, "lora_A")]
