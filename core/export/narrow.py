"""Graphs with narrow weights, by ONNX Runtime's own tools: the products then run in whole numbers.

int8: weights in 8 bits with a scale for each output, activations in 8 bits with one scale for all, found as they come.
int4: weights in 4 bits with a scale for each 32 of them, and activations in 8 bits with a scale for as many.

A language model's own activations do not share one scale: a few are a hundred times the rest (Sun et al. 2024,
arXiv:2402.17762), which drowns. So its steps have blocks of 32 in int8 too (SmolLM2: 0.01 nats a token worse than
float32, not 0.4, at the same speed of decoding, though prompts take 1.8 times as long), and its head keeps 8 bits in
int4, as it does in `core.quantize`. A product whose weights do not fit 8 bits (see there) stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ..errors import missing_extra
from ..quantize import fits_8_bits
from .quiet import quietly

BLOCK = 32
"""Weights that share a scale, and activations beside them."""
LANGUAGE = {"step", "rows"}
"""Graphs of a language model, by kind: a step's layers and the head."""


def narrow(path: Path, kind: str, *, of: str = "method") -> None:
    """Replace the graph in `path`, one of kind `of` (`Graph.kind`), by the same with weights as `kind` (`int8`,
    `int4`). UserError where the tools are missing."""
    try:
        import onnx
        from onnxruntime import quantization
        from onnxruntime.quantization import matmul_nbits_quantizer as blocks
    except ModuleNotFoundError as error:
        raise missing_extra(str(error.name), "export") from None
    fresh = path.with_suffix(".narrow.onnx")
    model = onnx.load(str(path))
    wide = list(_misfits(model.graph))
    with quietly("", "onnxruntime.quantization.matmul_nbits_quantizer"):
        if kind == "int8" and of not in LANGUAGE:
            quantization.quantize_dynamic(
                str(path), str(fresh), per_channel=True, weight_type=quantization.QuantType.QInt8,
                op_types_to_quantize=["MatMul", "Gemm"], nodes_to_exclude=wide,
                extra_options={"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT},
            )  # fmt: skip
        else:
            bits = 8 if kind == "int8" or of == "rows" else 4
            how: Any = blocks.DefaultWeightOnlyQuantConfig(
                block_size=BLOCK, is_symmetric=True, accuracy_level=4, bits=bits
            )
            maker: Any = blocks.MatMulNBitsQuantizer(model, nodes_to_exclude=wide, algo_config=how)
            maker.process()
            maker.model.save_model_to_file(str(fresh), use_external_data_format=False)
    fresh.replace(path)


def _misfits(graph: Any) -> Iterator[str]:
    """The names of products whose weights do not fit 8 bits."""
    from onnx import numpy_helper

    held = {one.name: one for one in graph.initializer}
    for node in graph.node:
        if node.op_type in ("MatMul", "Gemm") and node.input[1] in held:
            weight = torch.from_numpy(numpy_helper.to_array(held[node.input[1]]).copy())  # [I, O]
            turned = any(one.name == "transB" and one.i for one in node.attribute)
            if weight.ndim == 2 and not fits_8_bits(weight if turned else weight.T):
                yield from (node.name, f"{node.name}_MatMul")  # what the tools make of a Gemm
