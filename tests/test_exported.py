"""Every model that can be exported as graphs: what ONNX Runtime makes of them is what torch makes of the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tsuite import load

from .commands import tsuite

RUNS: dict[str, list[str]] = {
    "vision.vit": [],
    "audio.asr": ["--checkpoint", "embedded"],
    "timeseries.patchtst": [],
    "control.decision_transformer": [],
    "control.board": [],
    "molecules.smiles_gpt": ["--n", "12", "--qed", "0.9", "--picture", "none"],
}

REPLACED = {"forward", "look", "hidden"}
"""Methods in whose place graphs stand."""
TIMES = {"seconds", "rtf", "act_ms_p50", "act_ms_p99", "milliseconds"}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_an_exported_model_says_the_same(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    kind = RUNS[name]
    source = kind[:2] if kind[:1] == ["--checkpoint"] else []
    options = kind[len(source) :]
    folder = tmp_path / "exported"
    told = tsuite("export", name, *source, "--output", folder, "--json").json
    assert all(Path(path).is_file() for path in told["artifacts"])
    own = tsuite("run", name, *source, *options, "--output", tmp_path / "own", "--threads", 1, "--json").json
    found = tsuite("run", name, "--checkpoint", folder, *options, "--output", tmp_path / "found",
                   "--threads", 1, "--json").json  # fmt: skip
    loaded = load(name, checkpoint=str(folder))
    assert vars(next(module for module in loaded.network.modules() if REPLACED & vars(module).keys()))
    assert len(own["results"]) == len(found["results"])
    for one, other in zip(own["results"], found["results"], strict=True):
        _alike(one, other)
    for metric, value in own["metrics"].items():
        if metric not in TIMES:
            assert found["metrics"][metric] == pytest.approx(value, abs=1e-3, rel=1e-3), metric


def _alike(one: Any, other: Any) -> None:
    """Plain data equal to 1e-3, texts to the letter; seconds are nobody's business."""
    if isinstance(one, dict):
        compared = one.keys() - {*TIMES, "others"}  # another recogniser stands beside an embedded one
        for name in compared:
            _alike(one[name], other[name])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            _alike(left, right)
    elif isinstance(one, float):
        assert np.isclose(one, other, rtol=1e-3, atol=1e-3)
    else:
        assert one == other
