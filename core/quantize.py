"""Weights in 8 or 4 bits, for inference: less memory, and faster decoding, where one step reads every weight once.

    int8  each output channel has a scale, and its weights are whole numbers from -127 to 127 of it
    int4  each 32 weights of a channel have a scale and a middle, and are one of 16 steps around it: 5 bits a weight

Activations stay floating; they enter the product in bfloat16 and are summed in float32. Only linear layers are
narrowed: convolutions, embeddings and norms stay as they are, and so does a layer whose weights few bits would tell
wrongly: one with a few weights far above the rest.

The kernels are torch's own. torchao, which reaches such kernels through torch's compiler, widens int8 weights at every
step without it (measured: four times slower than the bfloat16 product for one row), has no 4-bit kernel for a CPU any
more, and its import takes 130 MB.

Axes: N rows, I inputs, O outputs, G groups of 32 inputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .errors import UserError, near
from .heads import LanguageHead
from .options import KINDS, NONE
from .rehearsal import place
from .runtime import give_back

FAULT = {"int8": 0.04, "int4": 0.2}
"""The largest error of narrow weights, as a share of their mean size. Weights drawn from a normal distribution have
0.01 and 0.1; a few far above the rest widen the steps, and the rest drowns in them."""

_MANY = 32
"""Above so many rows widening the weights once and a bfloat16 product are the faster way (reading a prompt)."""
_LANES = 16
"""The kernel reads beyond the end of rows whose inputs are no multiple of this, and does not say so."""
GROUP = 32
"""Weights that share a scale in 4 bits."""
SLICE = 1 << 20
"""Weights that are narrowed at once."""
_BLOCK = 64
"""Rows that the kernel for x86 keeps together: slices of so many are in its order what the whole is."""
_MIDDLE = 8
"""The code of a group's middle."""


class NarrowLinear(nn.Module):
    """A linear layer for inference whose weight [O, I] is kept in few bits."""

    bias: Tensor | None
    kind: str

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().clone())

    @property
    def weight(self) -> Tensor:
        """The widened weight [O, I], float32, made anew."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """[..., I] -> [..., O] in x's own precision. Carries no gradients."""
        y = self._product(x.reshape(-1, self.in_features).bfloat16(), place(x))
        y = y.to(x.dtype).view(*x.shape[:-1], self.out_features)
        return y if self.bias is None else y + self.bias

    def _product(self, rows: Tensor, device: str) -> Tensor:
        """bfloat16 rows [N, I] -> [N, O]."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, {self.kind}"


class Int8Linear(NarrowLinear):
    """In 8 bits: w ≈ scale · code."""

    codes: Tensor
    scales: Tensor
    kind = "int8"

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        parts = [_eight_bits(rows.float()) for rows in _slices(linear.weight)]
        self.register_buffer("codes", torch.cat([codes for codes, _, _ in parts]))
        self.register_buffer("scales", torch.cat([scales for _, scales, _ in parts]))
        self.fault = _share([fault for _, _, fault in parts], linear.weight)

    @property
    def weight(self) -> Tensor:
        return self.codes.float() * self.scales.float()[:, None]

    def _product(self, rows: Tensor, device: str) -> Tensor:
        if device == "cpu" and rows.shape[0] <= _MANY and not self.in_features % _LANES:
            return torch.ops.aten._weight_int8pack_mm(rows, self.codes, self.scales)
        return F.linear(rows, self.codes.bfloat16() * self.scales[:, None])


class Int4Linear(NarrowLinear):
    """In 4 bits: w ≈ middle + scale · (code - 8). Inputs are filled up with zeros to a multiple of 32, and outputs to
    one of 16, as the kernel wants them.

    codes: [O, I / 2] uint8, two in a byte, the first in its high half; with `packed` in the order of torch's kernel for
    x86, which no other device reads. scales: [G, O, 2] bfloat16, a scale and a middle."""

    codes: Tensor
    scales: Tensor
    kind = "int4"

    def __init__(self, linear: nn.Linear, *, packed: bool) -> None:
        super().__init__(linear)
        self.packed, self.filled = packed, -self.in_features % GROUP
        parts = [_four_bits(rows.float(), packed=packed) for rows in _slices(linear.weight)]
        self.register_buffer("codes", torch.cat([codes for codes, _, _ in parts]))
        self.register_buffer("scales", torch.cat([scales for _, scales, _ in parts], dim=1))
        self.fault = _share([fault for _, _, fault in parts], linear.weight)

    @property
    def weight(self) -> Tensor:
        return self._widened().float()

    def _widened(self) -> Tensor:
        """The weight [O, I], bfloat16."""
        if self.packed:  # the kernel alone knows its order: its product with each unit vector is a column
            return self._product(torch.eye(self.in_features).bfloat16(), "cpu").t()
        codes = torch.stack([self.codes >> 4, self.codes & 15], dim=-1).flatten(1).unflatten(1, (-1, GROUP))
        scale, middle = self.scales.transpose(0, 1).unbind(-1)  # [O, G]
        weight = torch.addcmul(middle[..., None], codes.to(scale.dtype) - _MIDDLE, scale[..., None]).flatten(1)
        return weight[: self.out_features, : self.in_features]

    def _product(self, rows: Tensor, device: str) -> Tensor:
        if not self.packed:
            return F.linear(rows, self._widened())
        if device != "cpu":
            raise RuntimeError("These 4-bit weights were made for a CPU: quantise again for this device.")
        rows = F.pad(rows, (0, self.filled)) if self.filled else rows
        y = torch.ops.aten._weight_int4pack_mm_for_cpu(rows, self.codes, GROUP, self.scales)
        return y[:, : self.out_features]


def quantize(network: nn.Module, kind: str = "int8", *, device: str = "cpu") -> nn.Module:
    """Every linear layer of the network, its head included, replaced in place by one with narrow weights; returns it.

    kind: `int8` or `int4`; a layer that does not fit 8 bits stays as it is, and one that does not fit 4 gets 8, as does
    a language model's head: on SmolLM2-135M 4 bits there cost 0.05 nats a token, and in all other layers 0.01. device:
    the type of device that it will run on. A head tied to the embedding gets its own copy, and the embedding stays as
    it is. For inference only: merge adapters first. Raises UserError for another kind.
    """
    check(kind)
    packed = device == "cpu" and _packs()
    for name in [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]:
        place, _, last = name.rpartition(".")  # by name: a list of layers would hold what has been replaced
        parent = network.get_submodule(place)
        child = getattr(parent, last)
        few = "int8" if isinstance(parent, LanguageHead) else kind
        setattr(parent, last, _narrow(child, few, packed=packed).train(child.training))
        give_back()  # the next layer's wide weights hardly fit into the gaps beside this one's narrow ones
    return network


def check(kind: str) -> None:
    """UserError for a word that is neither `none` nor one of `KINDS`."""
    if kind not in (NONE, *KINDS):
        raise UserError(f"--quantize cannot be {kind!r}.", near(kind, (NONE, *KINDS)))


def _narrow(linear: nn.Linear, kind: str, *, packed: bool) -> nn.Module:
    """The layer in so few bits as its weights allow, and no fewer than `kind` has."""
    eight = Int8Linear(linear)
    if eight.fault > FAULT["int8"]:
        return linear
    if kind == "int4" and (four := Int4Linear(linear, packed=packed)).fault <= FAULT["int4"]:
        return four
    return eight


def fits_8_bits(weight: Tensor) -> bool:
    """Whether 8 bits tell the weight [O, I] well enough."""
    return _share([_eight_bits(rows.float())[2] for rows in _slices(weight)], weight) <= FAULT["int8"]


def _slices(weight: Tensor) -> Sequence[Tensor]:
    """Some rows of a weight [O, I] after others: what narrowing takes beside the result stays small."""
    return weight.detach().split(max(1, SLICE // weight.shape[1] // _BLOCK) * _BLOCK)


def _share(faults: Sequence[Tensor], weight: Tensor) -> float:
    """How far off narrow weights are (root mean square), as a share of their mean size, from each slice's squared
    error. In a rehearsal not at all."""
    if weight.is_meta:
        return 0.0
    size = torch.stack([rows.float().abs().sum() for rows in _slices(weight)]).sum() / weight.numel()
    return float((torch.stack(list(faults)).sum() / weight.numel()).sqrt() / size.clamp(min=1e-30))


def _eight_bits(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Codes [O, I] int8, scales [O] bfloat16 and the squared error of a float32 weight."""
    # The kernel reads scales in bfloat16. Rounded before the codes are made, they cost no systematic error.
    scales = (weight.abs().amax(dim=1).clamp(min=1e-12) / 127).bfloat16()
    steps = scales.float()[:, None]
    codes = (weight / steps).round_().clamp_(-127, 127)
    return codes.to(torch.int8), scales, torch.addcmul(weight, codes, steps, value=-1).square_().sum()


def _four_bits(weight: Tensor, *, packed: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Codes, scales [G, O, 2] and the squared error of a float32 weight, filled up as `Int4Linear` says."""
    outputs, inputs = weight.shape
    groups = F.pad(weight, (0, -inputs % GROUP, 0, -outputs % _LANES)).unflatten(1, (-1, GROUP))  # [O, G, 32]
    low, high = groups.aminmax(dim=2)
    # As above: what is rounded later is rounded first.
    scale = ((high - low) / 15).clamp(min=1e-12).bfloat16()
    middle = (low + _MIDDLE * scale.float()).bfloat16()
    steps, offset = scale.float()[..., None], middle.float()[..., None]
    codes = ((groups - offset) / steps).round_().add_(_MIDDLE).clamp_(0, 15)
    fault = torch.addcmul(groups - offset, codes - _MIDDLE, steps, value=-1).square_().sum()
    codes = codes.flatten(1)
    if packed:
        narrow = torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes.int(), 1)
    else:
        pairs = codes.to(torch.uint8)
        narrow = pairs[:, ::2] << 4 | pairs[:, 1::2]
    return narrow, torch.stack([scale, middle], dim=-1).transpose(0, 1).contiguous(), fault


def _packs() -> bool:
    """Whether torch has a fast kernel for 4 bits on this CPU: elsewhere it has a plain one, slower than widening."""
    known = hasattr(torch.ops.aten, "_weight_int4pack_mm_for_cpu")
    return known and torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
