"""How networks are written in ONNX: the same numbers, in the operators that ONNX Runtime is quick with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tsuite.core.attention import MultiHeadAttention
from tsuite.core.engines.onnxruntime import runner
from tsuite.core.export import spelling
from tsuite.core.export.graph import Graph, differences, write_onnx
from tsuite.core.layers import RMSNorm
from tsuite.core.positions import Rotary

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "turned, with shared keys": {"kv_heads": 2, "rotary": Rotary(head_dim=4)},
    "normed and turned, no bias": {"qk_norm": RMSNorm, "rotary": Rotary(head_dim=4), "bias": False},
}


class Masked(torch.nn.Module):
    def __init__(self, attention: MultiHeadAttention) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.attention(x, mask=mask[:, None])


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_projecting_apart_changes_nothing(kind: str) -> None:
    attention = MultiHeadAttention(dim=16, heads=4, **KINDS[kind]).eval()
    x, names = torch.randn(2, 5, 16), set(attention.state_dict())
    for keep in (None, 2):
        expected = attention(x, keep=keep)
        with spelling.apart(attention):
            torch.testing.assert_close(attention(x, keep=keep), expected, rtol=1e-5, atol=1e-6)
    assert set(attention.state_dict()) == names
    assert attention.project.__func__ is MultiHeadAttention.project


@pytest.mark.parametrize("kind", KINDS)
def test_written_attention_is_equal_and_searches_for_no_nan(kind: str, tmp_path: Path) -> None:
    mask = torch.ones(2, 5, 5, dtype=torch.bool).tril()
    mask[0, 1] = False  # sees nothing, and gets zeros
    graph = Graph(
        name="model", owner="", method="", module=Masked(MultiHeadAttention(dim=16, heads=4, **KINDS[kind])),
        inputs={"x": torch.randn(2, 5, 16), "mask": mask}, outputs=("y",), free={"x": (0, 1), "mask": (0, 1, 2)},
    )  # fmt: skip
    write_onnx(graph, tmp_path / "model.onnx")
    run = runner(onnxruntime.InferenceSession(str(tmp_path / "model.onnx")), graph.facts())
    assert differences(graph, lambda given: (run(*given.values()),))["y"] < 1e-5
    nodes = onnx.load(str(tmp_path / "model.onnx")).graph.node
    assert not [node for node in nodes if node.op_type == "IsNaN" or node.domain]
