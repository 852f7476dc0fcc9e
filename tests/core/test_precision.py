"""Weights between a file and their use: what is mapped, and that nothing is there twice."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from tsuite.core import checkpoint
from tsuite.core.adapters import Method, apply, body
from tsuite.core.nf4 import NF4Linear
from tsuite.core.precision import after_method, as_stored, before_method, recast, settle
from tsuite.core.quantize import Int8Linear, quantize

LARGE = checkpoint.MAPPED // 2 + 7
"""Numbers of four bytes that are mapped, and do not end with a page."""

needs_maps = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def maps_of(path: Path) -> int:
    """How often this process maps the file."""
    return Path("/proc/self/maps").read_text().count(str(path))


@needs_maps
def test_each_tensor_goes_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    made = {name: torch.randn(LARGE) for name in "abc"} | {"few": torch.arange(3), "none": torch.empty(0, 4)}
    checkpoint.save_tensors(path, made)
    found = checkpoint.load_tensors(path)
    assert all(torch.equal(found[name], value) for name, value in made.items())
    for left in (3, 2, 1):
        assert maps_of(path) == left
        del found["abc"[left - 1]]
        gc.collect()
    assert maps_of(path) == 0
    assert set(found) == {"few", "none"}


def test_what_is_written_stays_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    checkpoint.save_tensors(path, {"a": torch.ones(LARGE), "b": torch.ones(LARGE, dtype=torch.bfloat16)})
    before = path.read_bytes()
    found = checkpoint.load_tensors(path)
    assert found["b"].dtype == torch.bfloat16
    found["a"][:10] = 0
    assert path.read_bytes() == before


@needs_maps
def test_a_file_that_was_replaced(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    checkpoint.save_tensors(path, {"a": torch.ones(LARGE)})
    found = checkpoint.load_tensors(path)["a"]
    checkpoint.save_tensors(tmp_path / "new", {"a": torch.zeros(LARGE)})
    (tmp_path / "new").replace(path)
    assert (found == 1).all()


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(nn.Linear(64, 64), nn.LayerNorm(64), nn.Linear(64, 32))
        self.head = nn.Linear(32, 16)


def half() -> Small:
    torch.manual_seed(0)
    return Small().half()


def test_as_stored_leaves_the_body() -> None:
    with as_stored():
        network = settle(half())
    kinds = {name: value.dtype for name, value in network.named_parameters()}
    assert {name for name, kind in kinds.items() if kind == torch.float16} == {
        f"{name}.{kind}" for name in body(network) for kind in ("weight", "bias")
    }
    assert {value.dtype for value in settle(half()).parameters()} == {torch.float32}


@pytest.mark.parametrize("kind", ["qlora", "lora", "dora", "ia3", "full"])
@pytest.mark.parametrize("bf16", [False, True])
def test_the_same_network_whether_it_was_widened_first(kind: str, bf16: bool) -> None:
    """By way of float32 for all of it, or layer by layer from half precision."""
    method = Method(kind=kind, rank=4, targets=("0", "2"))  # pyright: ignore[reportArgumentType]
    made = []
    for late in (False, True):
        network = half()
        if late:
            with as_stored():
                settle(network)
        else:
            network.float()
        before_method(network, method.kind, half=bf16)
        torch.manual_seed(1)
        apply(network, method)
        after_method(network, method.kind, half=bf16)
        made.append(network)
    first, second = (network.state_dict() for network in made)
    assert {name: value.dtype for name, value in first.items()} == {n: v.dtype for n, v in second.items()}
    assert all(torch.equal(first[name], second[name]) for name in first)
    x = torch.randn(3, 64).to(torch.bfloat16 if bf16 and kind in ("lora", "dora", "ia3", "qlora") else torch.float32)
    outputs = [network.blocks[0](x) for network in made]
    assert torch.equal(*outputs)


def test_narrow_weights_stay() -> None:
    network: Any = quantize(half())
    scales = network.blocks[0].scales.clone()
    recast(network, torch.float32)
    assert isinstance(network.blocks[0], Int8Linear)
    assert network.blocks[0].scales.dtype == scales.dtype == torch.bfloat16
    assert network.blocks[1].weight.dtype == torch.float32
    four: Any = recast(nn.Sequential(NF4Linear(nn.Linear(64, 64).half())), torch.float32)[0]
    assert (four.scales.dtype, four.dtype, four.bias.dtype) == (torch.float16, torch.float32, torch.float32)


def test_slices_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    from tsuite.core import nf4
    from tsuite.core import quantize as narrowing

    linear = nn.Linear(96, 400)
    whole = [Int8Linear(linear), narrowing.Int4Linear(linear, packed=False), NF4Linear(linear)]
    if narrowing._packs():
        whole.append(narrowing.Int4Linear(linear, packed=True))
    monkeypatch.setattr(narrowing, "SLICE", 96 * 128)
    monkeypatch.setattr(nf4, "SLICE", nf4.BLOCK * 10)
    cut = [Int8Linear(linear), narrowing.Int4Linear(linear, packed=False), NF4Linear(linear)]
    if narrowing._packs():
        cut.append(narrowing.Int4Linear(linear, packed=True))
    for one, other in zip(whole, cut, strict=True):
        assert torch.equal(one.codes, other.codes)
        assert torch.equal(one.scales, other.scales)


PROGRAM = """
import sys
from pathlib import Path
import torch
from tsuite.core import checkpoint, runtime
from tsuite.core.adapters import Method, apply
from tsuite.core.precision import after_method, as_stored, before_method, settle
from tsuite.core.quantize import quantize
from tsuite.core.weights import load_into, without_weights

def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1024

def made():
    with without_weights():
        network = torch.nn.Sequential(*(torch.nn.Linear(2048, 2048, bias=False) for _ in range(36)))
    return network

quantize(torch.nn.Sequential(torch.nn.Linear(2048, 2048)))  # what the work itself takes
start = peak()
tensors = checkpoint.load_tensors(Path(sys.argv[1]))
network = made()
load_into(network, tensors)
tensors.clear()
with as_stored():
    settle(network)
if sys.argv[2] == "int8":
    quantize(network)
elif sys.argv[2] == "qlora":
    before_method(network, "qlora", half=False)
    apply(network, Method(kind="qlora", rank=2))
    after_method(network, "qlora", half=False)
else:
    before_method(network, "full", half=False)
print(peak() - start)
"""


@needs_maps
@pytest.mark.slow
@pytest.mark.parametrize(("way", "most"), [("int8", 151 + 100), ("qlora", 80 + 100), ("float32", 604 + 100)])
def test_no_second_copy_while_loading(tmp_path: Path, way: str, most: int) -> None:
    """A file of 302 MB in half precision: beside the result (MB) there is a layer, and not the file or its float32."""
    path = tmp_path / "weights.safetensors"
    checkpoint.save_tensors(path, {f"{n}.weight": torch.randn(2048, 2048).mul_(0.02).half() for n in range(36)})
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(path), way], capture_output=True, text=True, check=True)
    assert float(done.stdout) < most
