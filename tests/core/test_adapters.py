"""Each method changes nothing at first, trains only itself, and can be saved, loaded and merged."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from tsuite.core import adapters
from tsuite.core.adapters import Method, adapter_tensors, apply, load_adapter, merge, merged
from tsuite.core.decoder import Decoder
from tsuite.core.errors import UserError
from tsuite.core.language import LanguageModel
from tsuite.core.layers import GatedMLP
from tsuite.core.nf4 import NF4Linear
from tsuite.core.positions import Rotary

ADDING = ("lora", "dora", "ia3", "bottleneck")
PROMPTS = ("prompt", "prefix")
VOCABULARY, WIDTH = 40, 16


def model(*, tied: bool = True, learned: bool = False) -> Any:
    """Grouped queries, gated MLP, rotary or learned positions."""
    torch.manual_seed(0)
    decoder = Decoder(
        dim=WIDTH, depth=3, heads=4, kv_heads=2, mlp=lambda dim: GatedMLP(dim, hidden=24),
        rotary=None if learned else Rotary(head_dim=4),
    )  # fmt: skip
    network = LanguageModel(
        vocabulary=VOCABULARY, decoder=decoder, length=32, learned=learned, tied=tied, bias=not tied
    )
    with torch.no_grad():
        for value in network.parameters():
            value.add_(0.05 * torch.randn_like(value))
    return network.eval()


def tokens(rows: int = 2, steps: int = 7) -> Tensor:
    return torch.randint(VOCABULARY, (rows, steps), generator=torch.Generator().manual_seed(1))


def method(kind: str, **more: object) -> Method:
    return Method(kind=kind, rank=3, width=5, tokens=4, layers=1, **more)  # type: ignore[arg-type]


def learn(network: nn.Module, steps: int = 3) -> None:
    optimiser = torch.optim.AdamW([value for value in network.parameters() if value.requires_grad], lr=0.02)
    for _ in range(steps):
        optimiser.zero_grad()
        network(tokens()).square().mean().backward()
        optimiser.step()


@pytest.mark.parametrize("kind", [*ADDING, "freeze"])
def test_changes_nothing_at_first(kind):
    network = model()
    before = network(tokens())
    apply(network, method(kind))
    torch.testing.assert_close(network(tokens()), before, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", [*ADDING, *PROMPTS, "qlora", "freeze"])
def test_only_the_adapter_learns(kind):
    network = apply(model(), method(kind))
    fixed = {name: value.clone() for name, value in network.named_parameters() if not value.requires_grad}
    learning = {name: value.clone() for name, value in network.named_parameters() if value.requires_grad}
    assert set(adapter_tensors(network)) == set(learning)
    assert fixed
    learn(network)
    after = dict(network.named_parameters())
    assert all(torch.equal(after[name], value) for name, value in fixed.items())
    assert [name for name, value in learning.items() if torch.equal(after[name], value)] == []


def test_full():
    network = apply(model(), method("full"))
    assert all(value.requires_grad for value in network.parameters())


def test_freeze():
    network = apply(model(), method("freeze"))
    names = {name.split(".")[1] + "." + name.split(".")[2] for name in adapter_tensors(network)}
    assert names == {"blocks.2", "norm.weight", "norm.bias"}
    assert any(
        name.startswith("head") for name in adapter_tensors(apply(model(tied=False), method("freeze", head=True)))
    )
    with pytest.raises(UserError, match="has 3"):
        apply(model(), Method(kind="freeze", layers=4))


@pytest.mark.parametrize("kind", ["lora", "dora", "ia3"])
@pytest.mark.parametrize("tied", [True, False])
def test_merging(kind, tied):
    network = apply(model(tied=tied), method(kind))
    learn(network)
    expected, keys = network(tokens()), set(model(tied=tied).state_dict())
    plain = merged(network)
    assert adapter_tensors(network)  # the original keeps its adapters
    torch.testing.assert_close(plain(tokens()), expected, atol=1e-5, rtol=1e-5)
    assert set(plain.state_dict()) == keys
    assert plain.tied == tied
    assert merge(network) == merge(plain) + {"lora": 12, "dora": 12, "ia3": 6}[kind]
    torch.testing.assert_close(network(tokens()), expected, atol=1e-5, rtol=1e-5)
    assert merged(plain) is plain


@pytest.mark.parametrize("kind", ["bottleneck", *PROMPTS])
def test_what_cannot_be_merged(kind):
    network = apply(model(), method(kind))
    with pytest.raises(UserError, match="cannot be merged"):
        merged(network)
    assert adapter_tensors(network)


def test_four_bits():
    network = model()
    exact = network(tokens())
    apply(network, method("qlora"))
    assert sum(isinstance(module, NF4Linear) for module in network.modules()) == 12
    rounded = network(tokens())
    assert 0 < (rounded - exact).norm() / exact.norm() < 0.3
    learn(network)
    torch.testing.assert_close(merged(network)(tokens()), network(tokens()), atol=1e-5, rtol=1e-5)
    some = apply(model(), method("qlora", targets=("qkv",)))  # everything in 4 bits, one layer of each block adapted
    assert len(adapter_tensors(some)) == 6
    merge(some)
    assert not any(isinstance(module, NF4Linear) for module in some.modules())


@pytest.mark.parametrize("kind", [*ADDING, *PROMPTS, "qlora", "freeze", "full"])
def test_saved_and_loaded(kind):
    network = apply(model(), method(kind))
    learn(network)
    tensors = {name: value.clone() for name, value in adapter_tensors(network).items()}
    again = load_adapter(model(), Method.from_dict(method(kind).to_dict()), tensors)
    torch.testing.assert_close(again(tokens()), network(tokens()), atol=0, rtol=0)
    with pytest.raises(UserError, match="is for another network"):
        load_adapter(model(), method(kind), {**tensors, "decoder.blocks.9.attention.qkv.lora_a": torch.zeros(3, 16)})
    name = next(iter(tensors))
    with pytest.raises(UserError, match=f"{name} is .*, not"):
        load_adapter(model(), method(kind), {**tensors, name: torch.zeros(3, 5, 7)})


def test_layers_and_ranks_are_the_tensors_own():
    network = apply(model(), method("lora", targets=("qkv", "blocks.1.mlp.down")))
    learn(network)
    tensors = dict(adapter_tensors(network))
    assert len(tensors) == 8
    torch.testing.assert_close(load_adapter(model(), method("lora"), tensors)(tokens()), network(tokens()))
    name = "decoder.blocks.1.mlp.down"  # a row of zeros more in A and a column more in B: another rank, the same change
    tensors[f"{name}.lora_a"] = torch.cat([tensors[f"{name}.lora_a"], torch.ones(1, 24)])
    tensors[f"{name}.lora_b"] = torch.cat([tensors[f"{name}.lora_b"], torch.zeros(WIDTH, 1)], dim=1)
    torch.testing.assert_close(load_adapter(model(), method("lora"), tensors)(tokens()), network(tokens()))


def test_low_rank_gradients_equal_a_dense_layers():
    torch.manual_seed(0)
    layer = nn.Linear(6, 5)
    network: Any = apply(nn.Sequential(layer), Method(rank=2, alpha=3.0))
    adapter = network[0]
    with torch.no_grad():
        adapter.lora_b.normal_()
    x, upstream = torch.randn(2, 4, 6, requires_grad=True), torch.randn(2, 4, 5)
    ours = torch.autograd.grad(network(x), [x, adapter.lora_a, adapter.lora_b], upstream)
    plain = x @ (layer.weight + 1.5 * adapter.lora_b @ adapter.lora_a).t() + layer.bias
    for one, two in zip(ours, torch.autograd.grad(plain, [x, adapter.lora_a, adapter.lora_b], upstream), strict=True):
        torch.testing.assert_close(one, two)


def test_dora_divides_by_the_length_of_each_row():
    network = apply(model(), method("dora"))
    learn(network)
    layer = network.decoder.blocks[0].attention.out
    dense = layer.base.weight + layer.scale * layer.lora_b @ layer.lora_a
    torch.testing.assert_close(layer._norm(), dense.norm(dim=1))
    assert not torch.allclose(layer._norm(), layer.magnitude)


def test_dropout():
    network = apply(model(), method("lora", dropout=0.5))
    learn(network)
    network.train()
    assert not torch.equal(network(tokens()), network(tokens()))
    network.eval()
    torch.testing.assert_close(merged(network)(tokens()), network(tokens()), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ADDING)
def test_without(kind):
    network = apply(model(), method(kind))
    learn(network)
    with torch.no_grad():
        learnt, names = network(tokens()), set(network.state_dict())
        with adapters.without_adapters(network):
            torch.testing.assert_close(network(tokens()), model()(tokens()), atol=0, rtol=0)
        torch.testing.assert_close(network(tokens()), learnt, atol=0, rtol=0)
    assert set(network.state_dict()) == names


def test_scale():
    assert Method(rank=16).scale == 2
    assert Method(rank=16, alpha=4).scale == 0.25
    assert Method(rank=16, alpha=4, root=True).scale == 1


@pytest.mark.parametrize("kind", ADDING)
def test_autocast(kind):
    network = apply(model(), method(kind)).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        network(tokens()).float().square().mean().backward()
    assert all(
        value.grad is not None and value.grad.isfinite().all() for value in network.parameters() if value.requires_grad
    )


def test_base_in_16_bits():
    """Adapters stay in float32, where small steps are not lost."""
    network = apply(model().bfloat16(), method("lora"))
    assert {value.dtype for value in adapter_tensors(network).values()} == {torch.float32}
    network(tokens()).float().square().mean().backward()
    assert merged(network).decoder.blocks[0].mlp.down.weight.dtype == torch.bfloat16


def test_every_network_of_linear_layers():
    """Not only language models: targets by name, a head that learns beside."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(6, 6), nn.LayerNorm(6), nn.Sequential(nn.Linear(6, 6, bias=False)), nn.Linear(6, 2)
    )
    whole = copy.deepcopy(network)
    apply(network, Method(targets=("0", "2.0")))
    assert set(adapter_tensors(network)) == {"0.lora_a", "0.lora_b", "2.0.lora_a", "2.0.lora_b"}
    assert merge(network) == 2
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), whole.parameters(), strict=True))
    assert len(adapter_tensors(apply(whole, Method()))) == 6


def test_mistakes():
    with pytest.raises(UserError, match=r"No linear layer is called 'query'.*Known are"):
        apply(model(), Method(targets=("query",)))
    with pytest.raises(UserError, match="Did you mean dora"):
        Method(kind="dorra")
    with pytest.raises(UserError, match="rank"):
        Method(rank=0)
    with pytest.raises(UserError, match="dropout"):
        Method(dropout=1.0)
    with pytest.raises(UserError, match="no field 'ranks'"):
        Method.from_dict({"ranks": 4})
    with pytest.raises(UserError, match="adapters already"):
        apply(apply(model(), Method()), Method())
    with pytest.raises(UserError, match="finds nothing to adapt"):
        apply(nn.Sequential(nn.ReLU()), Method(kind="ia3"))
    with pytest.raises(UserError, match="language model"):
        apply(nn.Linear(2, 2), Method(kind="prompt"))
    with pytest.raises(UserError, match="no room"):
        apply(model(), Method(kind="prefix", tokens=32))
    assert adapters.KINDS[0] == "full"
