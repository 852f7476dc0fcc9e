"""`tsuite plan`: every model, run and finetune; what does not fit, and the nearest setting that does."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tests.commands import tsuite

MODELS = (
    "audio.asr",
    "control.board",
    "control.decision_transformer",
    "molecules.smiles_gpt",
    "text.phi15_zh",
    "timeseries.patchtst",
    "vision.vit",
)
SMALL = {
    "model_type": "phi", "vocab_size": 512, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 128, "partial_rotary_factor": 0.5, "torch_dtype": "float16",
}  # fmt: skip


@pytest.fixture
def phi(tmp_path: Path) -> str:
    """A configuration of transformers, and no weights at all."""
    (tmp_path / "phi").mkdir()
    (tmp_path / "phi" / "config.json").write_text(json.dumps(SMALL))
    return str(tmp_path / "phi")


@pytest.mark.parametrize("model", [name for name in MODELS if name not in ("text.phi15_zh", "molecules.smiles_gpt")])
@pytest.mark.parametrize("command", ["run", "finetune"])
def test_every_model_is_planned(model: str, command: str) -> None:
    words = ("--device", "orin-nx-16gb", "--method", "lora", "--batch", 2, "--length", 1024)
    found = tsuite("plan", model, "--command", command, *words, "--json").json
    assert found["command"] == "plan"
    assert found["device"] == "orin-nx-16gb"
    assert found["fits"]
    assert found["setting"]["batch"] == 2
    assert found["parameters"] > 0
    assert found["needed_bytes"] >= sum(found["memory_bytes"].values())
    assert any("--length 1024" in notice for notice in found["notices"]) or found["setting"]["length"] == 1024


@pytest.mark.parametrize("command", ["run", "finetune"])
def test_a_language_model_is_planned_from_its_configuration_alone(phi: str, command: str) -> None:
    words = ("--checkpoint", phi, "--device", "orin-nano-8gb", "--length", 64, "--batch", 2)
    found = tsuite("plan", "text.phi15_zh", "--command", command, *words, "--json").json
    # embedding and head of 512 x 64, the head's bias; two layers of attention and feed-forward with one norm; a norm
    layer = 4 * (64 * 64 + 64) + (64 * 128 + 128) + (128 * 64 + 64) + 2 * 64
    plain = 2 * 512 * 64 + 512 + 2 * layer + 2 * 64
    if command == "run":
        assert found["parameters"] == plain
        layer = 2 * 2 * 64 * 63 * 4  # keys and values, rows, width, steps, bytes
        assert found["memory_bytes"]["cache"] in (layer, 2 * layer)  # the peak lies in the first or the second
    else:
        assert 0 < found["learning_parameters"] < found["parameters"]


def test_a_length_beyond_the_models_is_said(phi: str) -> None:
    found = tsuite("plan", "text.phi15_zh", "--checkpoint", phi, "--length", 4096, "--batch", 1, "--json").json
    assert found["setting"]["length"] == 128
    assert any("the longest is 128 tokens" in notice for notice in found["notices"])


def test_what_does_not_fit_ends_with_3_and_the_suggestion_fits() -> None:
    words = ("vision.vit", "--size", "base", "--set", "image_size=224", "--batch", 64, "--device", "orin-nano-8gb")
    found = tsuite("plan", *words, "--json", code=3).json
    assert not found["fits"]
    assert found["nearest"]["fits"]
    assert found["nearest"]["setting"]["batch"] == 64  # the same batch, in parts
    assert found["nearest"]["setting"]["accumulate"] > 1
    typed = shlex.split(found["try"])[1:]
    again = tsuite(*typed, "--json").json
    assert again["fits"]
    assert again["memory_bytes"]["activations"] == found["nearest"]["memory_bytes"]["activations"]


def test_an_unknown_board_names_all_of_them() -> None:
    said = tsuite("plan", "vision.vit", "--device", "orin-nano-9gb", code=2)
    assert all(name in said.err for name in ("orin-nano-8gb", "orin-nx-16gb", "agx-orin-64gb", "thor"))


def test_a_table_for_people() -> None:
    said = tsuite("plan", "control.board", "--device", "thor")
    assert all(word in said.out for word in ("weights", "gradients", "optimiser", "activations", "runtime", "headroom"))
    assert "It fits Jetson AGX Thor" in said.out


def test_an_option_of_the_other_command_is_refused() -> None:
    said = tsuite("plan", "vision.vit", "--command", "run", "--lora", 8, code=2)
    assert "--lora is no option of run" in said.err


def test_pictures_of_a_foreign_configuration(tmp_path: Path) -> None:
    shape = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
    described = {"model_type": "vit", "architectures": ["ViTForImageClassification"], "image_size": 32, "patch_size": 8,
                 "id2label": {"0": "a", "1": "b", "2": "c"}, **shape}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(described))
    found = tsuite("plan", "vision.vit", "--command", "run", "--checkpoint", tmp_path, "--json").json
    layer = 4 * (48 * 48 + 48) + (48 * 96 + 96) + (96 * 48 + 48) + 4 * 48
    assert found["parameters"] == (3 * 64 * 48 + 48) + 48 + 17 * 48 + 2 * layer + 2 * 48 + (48 * 3 + 3)
