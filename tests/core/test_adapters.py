"""LoRA: changes nothing at first, trains only itself, merges into a plain network."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn
from tsuite.core.adapters import add_lora, merge_lora
from tsuite.core.errors import UserError

pytest.importorskip("peft")


def network() -> nn.Module:
    torch.manual_seed(0)
    block = nn.ModuleDict({"query": nn.Linear(6, 6), "value": nn.Linear(6, 6, bias=False), "norm": nn.LayerNorm(6)})
    return nn.Sequential(block["query"], block["norm"], nn.Sequential(block["value"], nn.GELU()), nn.Linear(6, 2))


def test_add_train_merge():
    net, inputs = network(), torch.randn(5, 6)
    before, keys = net(inputs), set(net.state_dict())
    fixed = {name: value.clone() for name, value in net.state_dict().items()}
    assert add_lora(net, rank=2, alpha=4) == 3
    torch.testing.assert_close(net(inputs), before)
    learning = [name for name, value in net.named_parameters() if value.requires_grad]
    assert learning
    assert all("lora_" in name for name in learning)

    optimiser = torch.optim.SGD([value for value in net.parameters() if value.requires_grad], lr=0.5)
    for _ in range(3):
        optimiser.zero_grad()
        net(inputs).square().sum().backward()
        optimiser.step()
    after = net(inputs)
    assert not torch.allclose(after, before)

    assert merge_lora(net) == 3
    torch.testing.assert_close(net(inputs), after)
    assert set(net.state_dict()) == keys
    assert all(type(module).__module__.startswith("torch.") for module in net.modules())
    assert torch.equal(net.state_dict()["1.weight"], fixed["1.weight"])
    assert merge_lora(net) == 0


def test_targets():
    assert add_lora(network(), targets=["0", "2.0"]) == 2
    with pytest.raises(UserError, match="No linear layer is called 'query'"):
        add_lora(network(), targets=["query"])
    with pytest.raises(UserError, match="rank"):
        add_lora(network(), rank=0)


def test_missing_peft(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UserError, match=r"pip install 'tsuite\[vision\]'"):
        add_lora(network())
