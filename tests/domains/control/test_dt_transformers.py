"""Checkpoints of transformers' DecisionTransformerModel: equal actions, and a refusal of what has no counterpart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tsuite.core.errors import UserError
from tsuite.core.pretrained import Located
from tsuite.domains.control.decision_transformer import transformers as theirs
from tsuite.domains.control.decision_transformer.acting import Player
from tsuite.domains.control.decision_transformer.windows import TrajectoryBatch

hub = pytest.importorskip("transformers")

BASE: dict[str, Any] = {
    "state_dim": 4, "act_dim": 2, "hidden_size": 16, "max_ep_len": 30, "n_layer": 2, "bos_token_id": None,
    "eos_token_id": None,
}  # fmt: skip
VARIANTS: dict[str, dict[str, Any]] = {
    "as transformers sets it": {},
    "without tanh": {"action_tanh": False},
    "heads and widths": {"n_head": 4, "n_inner": 40, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-3},
    "scores as they are": {"scale_attn_weights": False},
}


def saved(folder: Path, **changed: Any) -> Any:
    """Their network with random weights, large enough to matter; written to `folder`."""
    torch.manual_seed(0)
    model = hub.DecisionTransformerModel(hub.DecisionTransformerConfig(**{**BASE, **changed})).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.2 * torch.randn_like(value))
    model.save_pretrained(folder)
    return model


def loaded(folder: Path, **settings: Any) -> Any:
    return theirs.load(Located(path=folder, source="there"), settings)


def trajectories(count: int, context: int) -> dict[str, torch.Tensor]:
    """Made up, the second padded on the left."""
    torch.manual_seed(1)
    mask = torch.ones(count, context, dtype=torch.bool)
    mask[1, :3] = False
    return {
        "observations": torch.randn(count, context, 4),
        "actions": torch.rand(count, context, 2) * 2 - 1,
        "returns": torch.randn(count, context),
        "steps": torch.arange(context).repeat(count, 1) + 7,
        "mask": mask,
    }


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_actions_are_equal(variant: str, tmp_path: Path) -> None:
    model = saved(tmp_path, **VARIANTS[variant])
    network, around = loaded(tmp_path)
    given = trajectories(2, 6)
    expected = model(
        states=given["observations"], actions=given["actions"], returns_to_go=given["returns"][..., None],
        timesteps=given["steps"], attention_mask=given["mask"].long(),
    ).action_preds  # fmt: skip
    batch = TrajectoryBatch(**given, known=given["mask"], scored=given["mask"])
    found = network.head.decode(network(batch).raw[:, :, 0])
    torch.testing.assert_close(found[given["mask"]], expected[given["mask"]], rtol=1e-5, atol=1e-5)
    assert around.setting.action.numbers == 2
    assert around.setting.env == ""


@torch.no_grad()
def test_acting_is_equal(tmp_path: Path) -> None:
    """Step by step with our cache, against their window of what was seen and done so far."""
    model = saved(tmp_path)
    network, _ = loaded(tmp_path)
    player = Player(network)
    player.reset(1, targets=[3.0])
    seen = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    actions, asked = torch.zeros(1, 6, 2), torch.zeros(1, 6, 1)
    for step in range(6):
        asked[0, step] = 3.0 - 0.25 * step
        found = player.act(seen[step : step + 1])
        expected = model(
            states=torch.from_numpy(seen[None, : step + 1]), actions=actions[:, : step + 1],
            returns_to_go=asked[:, : step + 1], timesteps=torch.arange(step + 1)[None],
            attention_mask=torch.ones(1, step + 1, dtype=torch.long),
        ).action_preds[:, -1]  # fmt: skip
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
        actions[0, step] = torch.from_numpy(found[0])
        player.reward(np.array([0.25]))


def test_what_it_does_not_hold_may_be_told(tmp_path: Path) -> None:
    saved(tmp_path)
    network, around = loaded(tmp_path, return_scale="1000", target="3600", mean="1,2,3,4", std="2,2,2,2")
    assert network.config.return_scale == 1000
    assert around.target == 3600
    assert network.states.scaled(torch.ones(1, 1, 4)).tolist() == [[[0.0, -0.5, -1.0, -1.5]]]
    for settings, said in (
        ({"mean": "1,2"}, "2 numbers where a state has 4"),
        ({"meen": "1"}, "Did you mean mean"),
        ({"target": "much"}, "numbers separated by commas"),
    ):
        with pytest.raises(UserError, match=said):
            loaded(tmp_path, **settings)


def test_an_environment_of_other_shapes_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("gymnasium")
    saved(tmp_path)
    with pytest.raises(UserError, match="CartPole-v1 has 2 choices to act"):
        loaded(tmp_path, env="CartPole-v1")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"scale_attn_by_inverse_layer_idx": True}, "by the number of the layer"),
        ({"add_cross_attention": True}, "cross-attends"),
        ({"activation_function": "tanh"}, "no activation 'tanh'"),
        ({"model_type": "gpt2"}, "is a gpt2, not a Decision Transformer"),
    ],
)
def test_what_has_no_counterpart_is_refused(changed: dict[str, Any], said: str, tmp_path: Path) -> None:
    saved(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    with pytest.raises(UserError, match=said):
        loaded(tmp_path)


def test_every_tensor_is_accounted_for(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    saved(tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    save_file({**tensors, "encoder.h.0.extra": torch.zeros(1)}, path)
    with pytest.raises(UserError, match=r"no place for: encoder\.h\.0\.extra"):
        loaded(tmp_path)
    save_file({name: value for name, value in tensors.items() if "wpe" not in name}, path)
    with pytest.raises(UserError, match=r"lacks .encoder\.wpe\.weight"):
        loaded(tmp_path)
