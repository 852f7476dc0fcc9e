"""ONNX Runtime, really started: a graph of three nodes through each of its providers. Run as a program of its own.

A build for another machine may end the process that imports it, so `engines` starts this file and reads what it
prints. The graph is written out here byte by byte: the package onnx may not be there.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

TRIED = ("CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider")


def main() -> None:
    """Print version, providers, and for each of TRIED that is there what went wrong ("": nothing)."""
    import onnxruntime

    there = onnxruntime.get_available_providers()
    wrong = {name: _wrong(onnxruntime, name) for name in TRIED if name in there}
    sys.stdout.write(json.dumps({"version": onnxruntime.__version__, "providers": there, "wrong": wrong}) + "\n")


def _wrong(onnxruntime: Any, provider: str) -> str:
    """What goes wrong with relu(x x) + x on that provider; "" for nothing."""
    import numpy

    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    try:
        session = onnxruntime.InferenceSession(graph(), options, providers=[provider])
        if provider not in session.get_providers():  # it goes over to the CPU without a word
            return "it does not start: its libraries are missing or of other versions"
        x = numpy.array([[1, -2], [3, 4]], numpy.float32)
        (found,) = session.run(["y"], {"x": x})
    except Exception as error:  # onnxruntime's own errors have no common type
        return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
    off = float(abs(found - (numpy.maximum(x @ x, 0) + x)).max())
    return "" if off < 0.05 else f"what it computes is off by {off:.3g}"


def graph() -> bytes:
    """y = relu(x x) + x for x [2, 2], as an ONNX file of opset 13 (fields by their numbers in onnx.proto)."""
    nodes = [_node("MatMul", "xx", "a"), _node("Relu", "a", "b"), _node("Add", "bx", "y")]
    body = b"".join(_field(1, node) for node in nodes)
    body += _field(2, b"three") + _field(11, _value(b"x")) + _field(12, _value(b"y"))
    return _number(1, 7) + _field(8, _number(2, 13)) + _field(7, body)


def _node(kind: str, inputs: str, output: str) -> bytes:
    """Inputs and output are named by a letter each."""
    named = b"".join(_field(1, letter.encode()) for letter in inputs)
    return named + _field(2, output.encode()) + _field(4, kind.encode())


def _value(name: bytes) -> bytes:
    """A float32 matrix [2, 2] of that name."""
    shape = 2 * _field(1, _number(1, 2))
    return _field(1, name) + _field(2, _field(1, _number(1, 1) + _field(2, shape)))


def _field(number: int, payload: bytes) -> bytes:
    """A field of bytes; everything here is so short that a length is one or two of them."""
    size = len(payload)
    return bytes([number << 3 | 2]) + (bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])) + payload


def _number(number: int, value: int) -> bytes:
    return bytes([number << 3, value])


if __name__ == "__main__":
    if sys.path[:1] == [os.path.dirname(os.path.abspath(__file__))]:
        del sys.path[0]  # the modules beside this one are not for others to import
    main()
