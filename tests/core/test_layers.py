"""Norms, feed-forward networks and what a residual branch passes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close
from transformers import LlamaConfig
from transformers.activations import ACT2FN
from transformers.models.llama.modeling_llama import LlamaMLP
from tsuite.core.layers import ACTIVATIONS, MLP, Branch, Dropout, DropPath, GatedMLP, LayerScale, RMSNorm, dropout

from .families import scramble


def test_rms_norm_equals_torch() -> None:
    norm = RMSNorm(12, eps=1e-5)
    scramble(norm)
    x = torch.randn(3, 4, 12) * 5
    assert_close(norm(x), F.rms_norm(x, (12,), norm.weight, eps=1e-5))


def test_rms_norm_counts_in_float32() -> None:
    x = torch.full((1, 4), 300.0, dtype=torch.float16)  # whose square is past the largest float16
    assert torch.equal(RMSNorm(4).half()(x), torch.ones(1, 4, dtype=torch.float16))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_carry_the_names_of_checkpoints(name: str) -> None:
    x = torch.linspace(-6, 6, 101)
    assert_close(ACTIVATIONS[name](x), ACT2FN[name](x), rtol=1e-5, atol=1e-6)


def test_mlp() -> None:
    mlp = MLP(4, hidden=6, activation=torch.relu)
    x = torch.randn(2, 3, 4)
    assert_close(mlp(x), F.linear(F.linear(x, mlp.up.weight, mlp.up.bias).relu(), mlp.down.weight, mlp.down.bias))
    assert MLP(4).up.weight.shape == (16, 4)
    assert MLP(4, bias=False).down.bias is None


def test_mlp_drops_only_while_training() -> None:
    mlp, x = MLP(8, dropout=0.5), torch.randn(2, 8)
    assert not torch.equal(mlp(x), mlp(x))
    mlp.eval()
    assert torch.equal(mlp(x), mlp(x))


def test_gated_mlp_equals_llamas() -> None:
    ours = GatedMLP(8, hidden=20)
    theirs = LlamaMLP(LlamaConfig(hidden_size=8, intermediate_size=20, num_attention_heads=2))
    gate, up = ours.gate_up.weight.chunk(2)
    names = {"gate_proj.weight": gate, "up_proj.weight": up, "down_proj.weight": ours.down.weight}
    theirs.load_state_dict(names)
    x = torch.randn(2, 3, 8)
    assert_close(ours(x), theirs(x))


def test_layer_scale() -> None:
    scale = LayerScale(3, 0.1)
    assert_close(scale(torch.ones(2, 5, 3)), torch.full((2, 5, 3), 0.1))
    scale.gamma.data = torch.tensor([1.0, 2.0, 3.0])
    assert torch.equal(scale(torch.ones(3)), torch.tensor([1.0, 2.0, 3.0]))


def test_drop_path_skips_samples_and_keeps_the_expectation() -> None:
    torch.manual_seed(0)
    drop, x = DropPath(0.25), torch.ones(20_000, 2, 3)
    out = drop(x)
    assert (out == out[:, :1, :1]).all()  # a sample is dropped as a whole
    assert out.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert out.mean().item() == pytest.approx(1, abs=0.02)  # the standard error is 0.004


def test_drop_path_is_the_identity_outside_training() -> None:
    x = torch.randn(4, 3)
    assert DropPath(0.9).eval()(x) is x
    assert DropPath(0.0)(x) is x


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_drop_path_refuses_an_impossible_share(share: float) -> None:
    with pytest.raises(ValueError, match="lies in"):
        DropPath(share)


def test_branch_holds_only_what_is_on() -> None:
    x = torch.randn(2, 3, 4)
    plain = Branch(4, layer_scale=None, dropout=0.0, drop_path=0.0)
    assert plain(x) is x
    assert not list(plain.parameters())
    full = Branch(4, layer_scale=0.5, dropout=0.5, drop_path=0.5)
    assert_close(full.eval()(x), x / 2)
    assert not torch.equal(full.train()(x), x / 2)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_dropout_clears_its_share_and_keeps_the_mean(share: float) -> None:
    torch.manual_seed(0)
    x = torch.full((333, 301), 2.0, requires_grad=True)
    dropped = dropout(x, share)
    cleared = (dropped == 0).float()
    assert abs(float(cleared.mean()) - share) < 0.01
    assert abs(float(dropped.detach().mean()) - 2) < 0.06
    # Neighbours in a row and in a column are cleared independently: the four of one draw too.
    for one, other in ((cleared[:, :-1], cleared[:, 1:]), (cleared[:-1], cleared[1:])):
        assert abs(float((one * other).mean()) - share**2) < 0.01
    (gradient,) = torch.autograd.grad(dropped.sum(), x)
    assert torch.equal(gradient != 0, dropped != 0)
    assert_close(gradient * 2, dropped)


def test_dropout_follows_the_seed_and_the_precision() -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        x = torch.randn(5, 7, dtype=dtype)
        torch.manual_seed(3)
        one = dropout(x, 0.3)
        torch.manual_seed(3)
        assert torch.equal(one, dropout(x, 0.3))
        assert one.dtype == dtype
    assert dropout(x, 0.0) is x
    layer = Dropout(0.5)
    assert (layer(torch.ones(1000)) == 0).any()
    assert torch.equal(layer.eval()(x), x)
