"""Graphs with narrow weights, by ONNX Runtime's own tools: the products then run in whole numbers.

int8: weights in 8 bits with a scale for each output, activations in 8 bits with a scale found as they come. int4:
weights in 4 bits with a scale for each 32 of them, activations as they are.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

from ..errors import missing_extra

BLOCK = 32
"""Weights that share a scale, in 4 bits."""


def narrow(path: Path, kind: str) -> list[str]:
    """Replace the graph in `path` by the same with weights as `kind` (`int8`, `int4`); gives what to be aware of."""
    try:
        import onnx
        from onnxruntime import quantization
    except ModuleNotFoundError as error:
        raise missing_extra(str(error.name), "export") from None
    fresh = path.with_suffix(".narrow.onnx")
    logger, level = logging.getLogger(), logging.getLogger().level
    logger.setLevel(logging.ERROR)  # its advice is for its own command line
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if kind == "int8":
                quantization.quantize_dynamic(
                    str(path), str(fresh), per_channel=True, weight_type=quantization.QuantType.QInt8,
                    op_types_to_quantize=["MatMul", "Gemm"],
                    extra_options={"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT},
                )  # fmt: skip
            else:
                _four_bits(path, fresh)
    finally:
        logger.setLevel(level)
    fresh.replace(path)
    return []


def _four_bits(path: Path, fresh: Path) -> None:
    import onnx
    from onnxruntime.quantization import matmul_nbits_quantizer as tool

    settings: Any = tool.DefaultWeightOnlyQuantConfig(block_size=BLOCK, is_symmetric=True, accuracy_level=4)
    maker: Any = tool.MatMulNBitsQuantizer(onnx.load(str(path)), algo_config=settings)
    maker.process()
    maker.model.save_model_to_file(str(fresh), use_external_data_format=False)
