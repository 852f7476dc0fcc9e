"""`--quantize` of run and evaluate, for every model that ships; and what it refuses."""

from __future__ import annotations

import pytest

from ..commands import tsuite

MODELS = {  # what a person gives, the metric, and how far it may move in its own unit
    "vision.vit": ("accuracy", 0.01),
    "timeseries.patchtst": ("mase", 0.01),
    "control.decision_transformer": ("return_mean", 10.0),
    "molecules.smiles_gpt": ("validity", 0.03),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["int8", "int4"])
@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_score_stays(name: str, kind: str) -> None:
    metric, tolerance = MODELS[name]
    wide, narrow = (
        tsuite("run", name, "--quantize", how, "--threads", 1, "--json").json["metrics"][metric]
        for how in ("none", kind)
    )
    assert narrow == pytest.approx(wide, abs=tolerance)


def test_other_words_are_refused_before_anything_is_loaded() -> None:
    error = tsuite("run", "vision.vit", "--quantize", "int3", "--checkpoint", "nowhere", "--json", code=2).json["error"]
    assert "int8" in error
    assert "nowhere" not in error


def test_a_plan_knows_it_too() -> None:
    words = ("plan", "text.phi15_zh", "--checkpoint", "phi-1.5", "--command", "run", "--json")
    wide, narrow = (tsuite(*words, "--quantize", kind).json for kind in ("none", "int8"))
    assert narrow["setting"]["quantize"] == "int8"
    work = [plan["needed_bytes"] - plan["memory_bytes"]["runtime"] for plan in (wide, narrow)]
    assert work[1] < 0.6 * work[0]
    assert "--command run" in tsuite("plan", "vision.vit", "--quantize", "int8", "--json", code=2).json["error"]
