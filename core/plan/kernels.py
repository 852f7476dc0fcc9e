"""What the meta device does not know of kernels: those it has no shapes for, values that are asked for, and choices
that torch makes by device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

aten = torch.ops.aten


def shape_alone(tensor: Tensor) -> Tensor:
    """A tensor of the same shape on the meta device."""
    if tensor.is_meta:
        return tensor
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


# -- values ---------------------------------------------------------------------------------------------------------


def _number(func: Any, tensor: Tensor) -> Any:
    return False if tensor.dtype == torch.bool else 0.0 if tensor.is_floating_point() else 0


def _copied(func: Any, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """A copy; one that would leave the meta device for its values gets zeros."""
    device = kwargs.get("device")
    if device is None or torch.device(device).type == "meta":
        return func(tensor, *args, **kwargs)
    return torch.zeros(tensor.shape, dtype=kwargs.get("dtype") or tensor.dtype, device=device)


def _every_place(func: Any, tensor: Tensor) -> Tensor:
    """All places: how many are not zero is not known, and not more than these."""
    return torch.empty(tensor.numel(), tensor.ndim, dtype=torch.long, device="meta")


def _every_number(func: Any, tensor: Tensor, mask: Tensor) -> Tensor:
    return tensor.new_empty(torch.broadcast_shapes(tensor.shape, mask.shape).numel())


def _indexed(func: Any, tensor: Tensor, indices: Sequence[Tensor | None], *args: Any, **kwargs: Any) -> Tensor:
    """Masks whose values are not known stand for all their places."""
    places: list[Tensor | None] = []
    for index in indices:
        if index is not None and index.dtype in (torch.bool, torch.uint8):
            count = index.numel() if index.is_meta else int(index.count_nonzero())
            places += [torch.empty(count, dtype=torch.long, device="meta") for _ in range(index.ndim)]
        else:
            places.append(None if index is None else shape_alone(index))
    others = [shape_alone(item) if isinstance(item, Tensor) else item for item in args]
    return func(shape_alone(tensor), places, *others, **kwargs)


def _counted(func: Any, tensor: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    return torch.empty(max(minlength, tensor.numel()), dtype=torch.long, device="meta")


def _all_different(func: Any, tensor: Tensor, dim: int, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor, Tensor]:
    count = torch.empty(tensor.shape[dim], dtype=torch.long, device="meta")
    return tensor.clone(), count, count.clone()


def _aligned(func: Any, log_probs: Tensor, targets: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
    """CTC's losses, and what it keeps of every way to spell a target."""
    steps, rows, _ = log_probs.shape
    longest = targets.shape[1] if targets.ndim == 2 else -(-targets.numel() // rows)
    return log_probs.new_empty(rows), log_probs.new_empty(rows, steps, 2 * longest + 1)


def _unaligned(func: Any, grad: Tensor, log_probs: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return torch.empty_like(log_probs)


# -- oneDNN's layouts -------------------------------------------------------------------------------------------------


def _relaid(func: Any, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")


def _weight_gradient(func: Any, rows: Tensor, seen: Tensor, weight: Tensor, bias: bool) -> tuple[Tensor, Tensor]:
    return torch.empty(weight.shape, device="meta"), torch.empty(weight.shape[0] if bias else 0, device="meta")


KERNELS: dict[Any, Callable[..., Any]] = {
    aten._local_scalar_dense.default: _number,
    aten._to_copy.default: _copied,
    aten.item.default: _number,
    aten.nonzero.default: _every_place,
    aten.bincount.default: _counted,
    aten._ctc_loss.default: _aligned,
    aten._ctc_loss.Tensor: _aligned,
    aten._ctc_loss_backward.default: _unaligned,
    aten._ctc_loss_backward.Tensor: _unaligned,
    aten.unique_dim.default: _all_different,
    aten.index.Tensor: _indexed,
    aten.index_put_.default: _indexed,
    aten.index_put.default: _indexed,
    aten.masked_select.default: _every_number,
    aten.to_mkldnn.default: _relaid,
    aten.mkldnn_linear_backward_weights.default: _weight_gradient,
}
"""Operations on shapes alone, given the operation itself first."""
WITH_VALUES = {aten.index.Tensor, aten.index_put_.default, aten.index_put.default}
"""Of these, those that look at the values of what has some."""
if hasattr(aten, "_to_dense"):
    KERNELS[aten._to_dense.default] = _relaid


# -- what torch decides above its operations --------------------------------------------------------------------------


class Decided(TorchFunctionMode):
    """Choices that torch makes by device before an operation is dispatched, made for tensors of the meta device as for
    those of the planned one: the fused attention, and autocast."""

    def __init__(self) -> None:
        super().__init__()
        self._cast: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _NARROW:
            if torch.is_autocast_enabled("cpu"):
                dtype = torch.get_autocast_dtype("cpu")
                args = [self._narrow(item, dtype) for item in args]
                kwargs = {name: self._narrow(item, dtype) for name, item in kwargs.items()}
            else:
                self._cast.clear()
        if func is F.scaled_dot_product_attention and args[0].is_meta:
            return _attend(*args, **kwargs)
        return func(*args, **kwargs)

    def _narrow(self, item: Any, dtype: torch.dtype) -> Any:
        """A tensor as autocast hands it on; weights that learn are cast once."""
        if not isinstance(item, Tensor) or not item.is_meta or item.dtype != torch.float32:
            return item
        if not (item.is_leaf and item.requires_grad and torch.is_grad_enabled()):
            return item.to(dtype)
        if id(item) not in self._cast:
            self._cast[id(item)] = item, item.to(dtype)
        return self._cast[id(item)][1]


_NARROW = {
    F.linear, F.conv1d, F.conv2d, F.scaled_dot_product_attention,
    torch.matmul, torch.bmm, torch.mm, torch.addmm, torch.baddbmm, torch.einsum,
    Tensor.matmul, Tensor.__matmul__, Tensor.__rmatmul__, Tensor.bmm, Tensor.mm,
}  # fmt: skip
"""Products, which autocast does in the narrow precision."""


def _attend(  # noqa: PLR0917 (torch's own signature)
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """The fused kernel: the result and a number for each query are kept, and of the weights nothing."""
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        attn_mask = torch.empty(attn_mask.shape, dtype=query.dtype, device="meta")  # the kernel adds it
    fused = aten._scaled_dot_product_flash_attention_for_cpu
    return fused(query, key, value, 0.0, is_causal, attn_mask=attn_mask, scale=scale)[0]
