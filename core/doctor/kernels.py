"""Real work, one kernel of each kind that the models need. Each function tells what it found, or raises.

`device` is a torch.device. What a GPU gives is compared with the CPU, or with the same thing written out.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any


def product(device: Any, dtype: Any, tolerance: float) -> str:
    """A matrix product in `dtype`."""
    import torch

    left, right = torch.randn(256, 256, generator=torch.Generator().manual_seed(0)), torch.eye(256) * 2
    found = (left.to(device, dtype) @ right.to(device, dtype)).float().cpu()
    difference = float((found - left * 2).abs().max())
    if not difference < tolerance:
        raise ArithmeticError(f"the product is off by {difference:.3g}")
    return f"off by at most {difference:.1e}"


def arrays() -> str:
    """numpy's arrays to torch and back: a torch that was built against numpy 1 imports beside numpy 2, and refuses."""
    import warnings

    import numpy
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such a torch complains at its first touch of numpy; the error is what counts
        if float((torch.from_numpy(numpy.ones(3, numpy.float32)) * 2).numpy().sum()) != 6:
            raise ArithmeticError("a sum of ones is wrong")
    return f"numpy {numpy.__version__} and torch {torch.__version__} understand each other"


def comparison(device: Any) -> str:
    """Comparing, choosing and sorting: kernels of their own, which builds for another GPU lack too."""
    import torch

    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(2, 4096, generator=generator)
    there, other = left.to(device), right.to(device)
    pairs = (
        (torch.where(there < other, there, other), torch.minimum(left, right)),
        (there.sort().values, left.sort().values),
        ((there >= other).nonzero(), (left >= right).nonzero()),
        (there.argmax(), left.argmax()),
    )
    if not all(torch.equal(found.cpu(), expected) for found, expected in pairs):
        raise ArithmeticError("a comparison gives something else than on the CPU")
    return "the same as on the CPU"


def attention(device: Any) -> str:
    """The fused attention against the written-out one."""
    import torch

    from .. import attention as core

    query, key, value = (torch.randn(1, 4, 64, 32, device=device) for _ in range(3))
    fused, reference = (
        core.attend(query, key, value, causal=True),
        core.attend_reference(query, key, value, causal=True)[0],
    )
    difference = float((fused - reference).abs().max())
    if not difference < 1e-3:
        raise ArithmeticError(f"the fused kernel is off by {difference:.3g}")
    return f"differ by {difference:.1e}"


def gradient(device: Any) -> str:
    """Forward and backward through a Transformer layer."""
    import torch

    from ..encoder import Encoder

    encoder = Encoder(dim=64, depth=1, heads=2).to(device)
    encoder(torch.randn(2, 16, 64, device=device)).square().mean().backward()
    norm = sum(float(value.grad.norm()) for value in encoder.parameters() if value.grad is not None)
    if not 0 < norm < float("inf"):
        raise ArithmeticError(f"the gradient's norm is {norm}")
    return f"norm {norm:.3g}"


def four_bit(device: Any) -> str:
    """A layer with our own 4-bit weights, forward and backward, against the same weights widened on the CPU."""
    import torch

    from ..nf4 import NF4Linear

    plain, x = _layer(), torch.randn(8, 256, generator=torch.Generator().manual_seed(1))
    expected = torch.nn.functional.linear(x, NF4Linear(plain).weight, plain.bias)
    there = x.to(device).requires_grad_()
    found = NF4Linear(plain.to(device))(there)
    found.sum().backward()
    difference = float((found.detach().cpu() - expected.detach()).abs().max())
    if not difference < 1e-2 or there.grad is None or not bool(there.grad.isfinite().all()):
        raise ArithmeticError(f"the layer is off by {difference:.3g}")
    return f"off by at most {difference:.1e}"


def eight_bit(device: Any) -> str:
    """A layer with our own int8 weights against the plain one."""
    import torch

    from ..quantize import quantize

    plain, x = _layer(), torch.randn(8, 256, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = plain(x)
        found = quantize(torch.nn.Sequential(plain)).to(device)(x.to(device)).cpu()
        error = float((found - expected).norm() / expected.norm())
    if not error < 0.05:
        raise ArithmeticError(f"the layer is off by {error:.1%}")
    return f"off by {error:.1%}"


def bitsandbytes(device: Any) -> str:
    """bitsandbytes' own 4-bit kernels: its wheel for servers imports on a board, and fails here."""
    import torch
    from bitsandbytes import functional  # pyright: ignore[reportMissingImports]

    weight = torch.randn(256, 256, generator=torch.Generator().manual_seed(0)).to(device)
    codes, state = functional.quantize_4bit(weight, quant_type="nf4")
    error = float((functional.dequantize_4bit(codes, state) - weight).norm() / weight.norm())
    if not error < 0.2:
        raise ArithmeticError(f"the weights come back off by {error:.1%}")
    return f"off by {error:.1%}"


def gpu() -> str:
    """Any kernel at all on the GPU: what a torch for other machines fails at."""
    import torch

    if not torch.version.cuda:
        raise RuntimeError(f"torch {torch.__version__} is built without CUDA")
    if float((torch.ones(4, 4, device="cuda") @ torch.ones(4, 4, device="cuda")).sum()) != 64:
        raise ArithmeticError("a product of ones is wrong")
    return torch.cuda.get_device_name()


def writable(folder: Path) -> str:
    """Whether the folder can be written, and what room there is."""
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder} cannot be written; set TSUITE_CACHE to another folder")
    return f"{folder}, {shutil.disk_usage(folder).free / 1e9:.1f} GB free"


def _layer() -> Any:
    """A linear layer [128, 256] on the CPU, the same each time, whatever the random state is."""
    import torch

    generator = torch.Generator().manual_seed(0)
    layer = torch.nn.Linear(256, 128)
    with torch.no_grad():
        for value in layer.parameters():
            value.copy_(torch.randn(value.shape, generator=generator) / 16)
    return layer
