"""`tsuite bench`: what is measured, and ways to run a model side by side."""

from __future__ import annotations

import pytest

from ..commands import tsuite

QUICK = ("--batch", 1, "--seconds", 0.02, "--threads", 1, "--json")


def test_what_a_row_says() -> None:
    (row,) = tsuite("bench", "vision.vit", *QUICK).json["bench"]
    assert (row["engine"], row["quantize"], row["unit"]) == ("torch", "none", "images")
    assert row["latency_ms"]["p50"] <= row["latency_ms"]["p95"] <= row["latency_ms"]["p99"]
    assert row["throughput_per_second"] == pytest.approx(1e3 / row["latency_ms"]["p50"], rel=0.5)
    assert 100 < row["peak_memory_mb"] < 4000
    assert row["gpu_memory_mb"] is None


def test_text_is_read_and_written() -> None:
    found = tsuite("bench", "text.phi15_zh", "--quantize", "int4", *QUICK).json["bench"]
    assert [(row["work"].split()[0], row["unit"]) for row in found] == [("reading", "tokens"), ("decoding", "tokens")]


def test_bad_words() -> None:
    assert "int8" in tsuite("bench", "vision.vit", "--quantize", "int9", *QUICK, code=2).json["error"]
    assert "torch" in tsuite("bench", "vision.vit", "--engine", "onnx", *QUICK, code=2).json["error"]


@pytest.mark.slow
def test_engines_and_precisions_side_by_side() -> None:
    words = ("--engine", "torch", "--engine", "onnxruntime", "--engine", "tensorrt", "--quantize", "none")
    said = tsuite("bench", "vision.vit", *words, "--quantize", "int8", *QUICK).json
    ways = [(row["engine"], row["quantize"]) for row in said["bench"]]
    assert ways == [(engine, kind) for engine in ("torch", "onnxruntime") for kind in ("none", "int8")]
    missing = {(one["engine"], one["quantize"]) for one in said["failed"]}
    assert missing == {("tensorrt", "none"), ("tensorrt", "int8")}
    assert all("TensorRT is not here" in one["error"] for one in said["failed"])
    assert said["checkpoint"]["source"] == "embedded"
