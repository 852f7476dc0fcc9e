"""Checkpoints of transformers' PatchTSTForPrediction: equal outputs, and a refusal of what has no counterpart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tsuite.core import registry
from tsuite.core.errors import UserError
from tsuite.core.pretrained import Located
from tsuite.domains.timeseries.patchtst import transformers as theirs
from tsuite.domains.timeseries.windows import batch_of_values

hub = pytest.importorskip("transformers")

BASE: dict[str, Any] = {
    "context_length": 48, "prediction_length": 12, "patch_length": 8, "patch_stride": 8, "d_model": 16,
    "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 32, "num_input_channels": 3,
}  # fmt: skip
VARIANTS: dict[str, dict[str, Any]] = {
    "as transformers sets it": {},
    "the paper's": {"pooling_type": None, "pre_norm": False},
    "a token in front": {"use_cls_token": True, "norm_type": "layernorm", "positional_encoding_type": "random"},
    "overlapping patches, not scaled": {"scaling": None, "pooling_type": None, "patch_stride": 4},
    "lopsided patches": {"context_length": 50, "pooling_type": None, "activation_function": "relu"},
}


def saved(folder: Path, **changed: Any) -> Any:
    """Their network with random weights, also in the statistics of its batch norms; written to `folder`."""
    torch.manual_seed(0)
    model = hub.PatchTSTForPrediction(hub.PatchTSTConfig(**{**BASE, **changed})).eval()
    for name, value in model.named_buffers():
        if "running" in name:
            value.copy_(torch.rand_like(value) + 0.5)
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_outputs_are_equal(variant: str, tmp_path: Path) -> None:
    model = saved(tmp_path, **VARIANTS[variant])
    network, _ = theirs.load(Located(path=tmp_path, source="there"))
    assert sum(value.numel() for value in network.parameters()) == sum(
        value.numel() for name, value in model.named_parameters()
    )
    x = torch.randn(2, model.config.context_length, 3) * 5 + 3
    expected = model(past_values=x).prediction_outputs
    found = network.eval()(batch_of_values(x, horizon=12))[0].reshape(2, 3, 12).transpose(1, 2)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"channel_attention": True}, "across channels"),
        ({"share_embedding": False}, "each channel"),
        ({"share_projection": False}, "each channel"),
        ({"loss": "nll"}, "distribution"),
        ({"scaling": "mean"}, "scales by mean"),
        ({"scaling": True}, "scales by"),
        ({"pooling_type": "max"}, "maximum"),
        ({"bias": False}, "without bias"),
        ({"context_length": "long"}, "incomplete"),
    ],
)
def test_what_has_no_counterpart_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        theirs.config_of({**BASE, **given})


def test_an_incomplete_configuration_is_named() -> None:
    with pytest.raises(UserError, match="context_length"):
        theirs.config_of({})


def test_a_checkpoint_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}), encoding="utf-8")
    with pytest.raises(UserError, match="bert, not a PatchTST"):
        theirs.load(Located(path=tmp_path, source="there"))


def test_only_folders_with_safetensors_are_read(tmp_path: Path) -> None:
    load = registry.card("timeseries.patchtst").load_task().load
    saved(tmp_path)
    with pytest.raises(UserError, match=r"no config.json"):
        load(str(tmp_path / "model.safetensors"))
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="may hold code"):
        load(str(tmp_path / "pytorch_model.bin"))
    with pytest.raises(UserError, match=r"holds no model.safetensors.*can run code"):
        load(str(tmp_path))
    with pytest.raises(UserError, match="no checkpoint 'nowhere'"):
        load("nowhere")


def test_a_trained_shape_cannot_be_set(tmp_path: Path) -> None:
    saved(tmp_path)
    with pytest.raises(UserError, match="d_model cannot be set"):
        registry.card("timeseries.patchtst").load_task().load(str(tmp_path), settings={"d_model": "8"})


def test_a_checkpoint_without_a_forecasting_head_is_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    save_file({name: value for name, value in weights.items() if not name.startswith("head.")},
              tmp_path / "model.safetensors")  # fmt: skip
    with pytest.raises(UserError, match="no forecasting head"):
        theirs.load(Located(path=tmp_path, source="there"))


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps({**config, "d_model": 32}), encoding="utf-8")
    with pytest.raises(UserError, match="positions is"):
        theirs.load(Located(path=tmp_path, source="there"))


def test_the_task_forecasts_any_table_with_one(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    saved(tmp_path)
    task = registry.card("timeseries.patchtst").load_task().load(str(tmp_path))
    frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=60, freq="h"), "load": range(60)})
    result = task(frame)
    assert result.y_hat.shape == (1, 12)
    assert result.quantiles is None
    assert list(result.frame().columns) == ["unique_id", "ds", "horizon", "y_hat"]
    assert "learnt from steps of numbered rows, these are of h" in result.notices[0]
